"""A scripted player of Space Invaders, from the console's RAM.

All numbers are pixels of the 210 x 160 screen, and for 4 frames a step. All were measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

# Addresses in RAM. Each of the six rows of invaders, from the lowest, is a byte with one bit for each that is left,
# from the lowest bit for the first column on the left; each shield nine bytes, from the left and the top.
_INVADERS_Y, _INVADERS_LEFT, _ROWS, _INVADERS_X, _PLAYER_X, _SAUCER_X = 16, 17, slice(18, 24), 26, 28, 30
_SHIELDS, _BOMBS_Y, _BOMBS_X, _SHOT_Y, _SHOT_X = slice(43, 70), slice(81, 83), slice(83, 85), 85, 87

_LEFT, _RIGHT = 35, 117
_STEP = 2
# Values where there is no shot or bomb, and no saucer. Shots and bombs count rows in pairs.
_NO_SHOT, _NO_SAUCER = 246, 180
_LOWEST_BOTTOM, _BETWEEN_ROWS, _BETWEEN_COLUMNS, _INVADER_WIDTH, _INVADER_HEIGHT = 131, 18, 16, 8, 10
# Places of the first column between which all six march, the rows that they come down at either end, and their speed
# by how many are left at most.
_MARCH, _DESCENT = (23, 50), 10
_SPEEDS = {1: 5.0, 2: 2.29, 3: 1.71, 4: 0.98, 7: 0.75, 21: 0.375, 36: 0.125}
_SAUCER_ROW, _SAUCER_WIDTH = 16, 7
_SHIELD_COLUMNS, _SHIELD_ROW = 42 + 32 * np.arange(3), 157
# Of a shot: where it starts, from the player's position and on the screen, and the rows that it rises in a step.
_MUZZLE, _MUZZLE_ROW, _SHOT_SPEED = 3, 173, 8
_BOMB_SPEED = 4


@dataclass(frozen=True)
class _Fleet:
    """The invaders, and where they will be.

    Attributes:
        rows: (6,) bytes as in RAM.
        x: (S,) left end of the first column after 0, 1, 2, ... steps.
        bottom: (6, S) the screen's row just below each row of them.
    """

    rows: np.ndarray
    x: np.ndarray
    bottom: np.ndarray

    @classmethod
    def ahead(cls, ram: np.ndarray, way: int, steps: int) -> "_Fleet":
        """Foresee their march.

        Args:
            ram: (128,) integers.
            way: 1 if they march to the right, -1 to the left.
            steps: S.
        """
        rows = ram[_ROWS]
        columns = np.flatnonzero(np.bitwise_or.reduce(rows) >> np.arange(6) & 1)
        x, y = float(ram[_INVADERS_X]), 2.0 * ram[_INVADERS_Y]
        speed = next((speed for most, speed in _SPEEDS.items() if ram[_INVADERS_LEFT] <= most), 0.0)
        first, last = (columns[0], columns[-1]) if len(columns) else (0, 5)
        low, high = _MARCH[0] - _BETWEEN_COLUMNS * first, _MARCH[1] + _BETWEEN_COLUMNS * (5 - last)
        places = []
        for _ in range(steps):
            places.append((x - 1, y))
            x += way * speed
            if not low <= x <= high:
                x, y, way = float(np.clip(x, low, high)), y + _DESCENT, -way
        xs, ys = np.array(places).T
        return cls(rows, xs, _LOWEST_BOTTOM + ys - _BETWEEN_ROWS * np.arange(6)[:, None])

    def meets(self, row: int, x: np.ndarray, steps: np.ndarray, start: float) -> tuple[np.ndarray, ...]:
        """Where shots pass a row of invaders.

        Args:
            row: of the fleet, from the lowest.
            x: (X,) columns of the shots.
            steps: (T, 1) after which they are shot.
            start: the screen's row from which they rise.

        Returns:
            (T, X) of each: steps of flight, the fleet's column that is nearest there, and pixels from the middle of
            the invader in it, infinite where none is left.
        """
        flight = np.zeros(steps.shape)
        for _ in range(3):  # they come down meanwhile
            when = np.minimum(np.rint(steps + flight).astype(int), len(self.x) - 1)
            flight = np.maximum(start - self.bottom[row, when], 0.0) / _SHOT_SPEED
        along = x - self.x[when] - (_INVADER_WIDTH - 1) / 2
        column = np.rint(along / _BETWEEN_COLUMNS).astype(int)
        present = (column >= 0) & (column < 6) & (self.rows[row] >> np.clip(column, 0, 5) & 1 > 0)
        distance = np.where(present, abs(along - _BETWEEN_COLUMNS * column), np.inf)
        return np.broadcast_to(flight, column.shape), np.clip(column, 0, 5), distance


class SpaceInvadersDemonstrator:
    """Space Invaders: stand clear of bombs, and where a shot will meet what is worth most for its time.

    Each step it looks for the best path of `_AHEAD` steps along the ground, by dynamic programming over all places
    and times. It shoots past the shields, never through them.
    """

    _NOOP, _MOVES = 0, {0: (0, 1), 1: (2, 4), -1: (3, 5)}
    _AHEAD = 24
    _LONGEST_FLIGHT = 24
    # A step later is worth this share.
    _PATIENCE = 0.93
    _DEATH = -100.0
    _SAUCER = 6.0
    # Pixels from an invader's middle within which a shot hits it, and beyond which it flies past.
    _SURE, _PAST = 2.5, 6.0
    # Rows on the screen between which a bomb's top hits the player.
    _HIT_ROWS = (170, 196)

    def __init__(self, rng: np.random.Generator) -> None:
        """Start an episode.

        Args:
            rng: decides which columns it likes better: without chance every game would be the same.
        """
        self._likes = rng.uniform(1.0, 2.0, size=6)
        self._last: np.ndarray | None = None
        self._way = 1

    def __call__(self, observation: np.ndarray, info: Mapping[str, Any]) -> int:
        """Choose an action."""
        ram = info["ram"].astype(int)
        last, self._last = ram if self._last is None else self._last, ram
        self._watch(ram, last)
        fleet = _Fleet.ahead(ram, self._way, self._AHEAD + self._LONGEST_FLIGHT)
        xs, here = _reach(int(ram[_PLAYER_X]))
        steps = np.arange(self._AHEAD)[:, None]
        worth = self._worth(fleet, xs + _MUZZLE, steps, ram, int(ram[_SAUCER_X] - last[_SAUCER_X]))
        ready = self._steps_until_ready(fleet, ram)
        goals = np.where(steps >= ready, worth, 0.0)
        values = self._values(goals, self._bombs(ram, xs))
        hits = ready == 0 and goals[0, here] > 0
        best, action = -np.inf, self._NOOP
        for right, (move, move_and_fire) in self._MOVES.items():
            if 0 <= here + right < len(xs) and values[here + right] > best:
                best, action = values[here + right], move_and_fire if hits else move
        return action

    def _watch(self, ram: np.ndarray, last: np.ndarray) -> None:
        """Learn which way the invaders march."""
        # The first column is another one when all of it is gone.
        half = _BETWEEN_COLUMNS // 2
        moved = (ram[_INVADERS_X] - last[_INVADERS_X] + half) % _BETWEEN_COLUMNS - half
        if ram[_INVADERS_Y] < last[_INVADERS_Y]:
            self._way = 1  # a new wave
        elif ram[_INVADERS_Y] > last[_INVADERS_Y]:
            self._way = 1 if ram[_INVADERS_X] == _MARCH[0] else -1
        elif moved:
            self._way = int(np.sign(moved))

    def _worth(self, fleet: _Fleet, x: np.ndarray, steps: np.ndarray, ram: np.ndarray, saucer_speed: int) -> np.ndarray:
        """What shots are worth, by what they hit first.

        Args:
            fleet: the invaders.
            x: (X,) columns of the shots.
            steps: (T, 1) from now until they start.
            ram: (128,) integers.
            saucer_speed: columns in a step.

        Returns:
            float (T, X)
        """
        worth = np.zeros((len(steps), len(x)))
        flying = np.broadcast_to(~self._shielded(fleet, x, ram), worth.shape)
        for row in range(6):
            flight, column, distance = fleet.meets(row, x, steps, _MUZZLE_ROW)
            urgency = 1 + (fleet.bottom[row, 0] > _SHIELD_ROW)
            value = urgency * self._likes[column] * self._PATIENCE**flight
            worth = np.where(flying & (distance <= self._SURE), value, worth)
            flying = flying & (distance >= self._PAST)
        if ram[_SAUCER_X] != _NO_SAUCER and 0 < abs(saucer_speed) < 3:
            later = steps + (_MUZZLE_ROW - _SAUCER_ROW) / _SHOT_SPEED
            inside = x - (ram[_SAUCER_X] - 1 + np.sign(saucer_speed) * later)
            worth = np.where(flying & (inside >= 1) & (inside < _SAUCER_WIDTH - 1), self._SAUCER, worth)
        return worth

    def _steps_until_ready(self, fleet: _Fleet, ram: np.ndarray) -> float:
        """How long until the shot in flight is gone; 0 if there is none."""
        if ram[_SHOT_Y] == _NO_SHOT:
            return 0.0
        y, x = 2.0 * ram[_SHOT_Y] + 3, np.array([ram[_SHOT_X] - 2])
        for row in range(6):
            flight, _, distance = fleet.meets(row, x, np.zeros((1, 1), int), y)
            if fleet.bottom[row, 0] - _INVADER_HEIGHT < y and distance[0, 0] <= _INVADER_WIDTH / 2:
                return max(float(flight[0, 0]), 1.0)
        return max(float(y) / _SHOT_SPEED, 1.0)

    def _shielded(self, fleet: _Fleet, x: np.ndarray, ram: np.ndarray) -> np.ndarray:
        """Whether something is left of a shield above each column: (X,) -> bool (X,)."""
        if fleet.bottom[fleet.rows > 0, 0].max(initial=0) >= _SHIELD_ROW:
            return np.zeros(x.shape, bool)  # invaders that come so low have swept the shields away
        left = np.bitwise_or.reduce(ram[_SHIELDS].reshape(3, 9), axis=1)[:, None]
        inside = x - _SHIELD_COLUMNS[:, None]
        within = (inside >= 0) & (inside < 8)
        return np.asarray((within & (left >> (7 - np.clip(inside, 0, 7)) & 1 > 0)).any(0))

    def _bombs(self, ram: np.ndarray, xs: np.ndarray) -> np.ndarray:
        """Where a bomb hits the player after 0, 1, 2, ... steps: bool (T, X)."""
        blocked = np.zeros((self._AHEAD, len(xs)), bool)
        first, last = self._HIT_ROWS
        for y, x in zip(ram[_BOMBS_Y], ram[_BOMBS_X], strict=True):
            if y != _NO_SHOT:
                row = 2 * y + 3 + _BOMB_SPEED * np.arange(self._AHEAD)[:, None]
                blocked |= (row >= first) & (row <= last) & (x - xs >= -1) & (x - xs <= 10)
        return blocked

    def _values(self, goals: np.ndarray, blocked: np.ndarray) -> np.ndarray:
        """What it is worth to be at each place after one step: (T, X), (T, X) -> (X,)."""
        values = np.zeros(goals.shape[1])
        for goal, block in zip(goals[:0:-1], blocked[:0:-1], strict=True):
            best = values.copy()
            best[1:] = np.maximum(best[1:], values[:-1])
            best[:-1] = np.maximum(best[:-1], values[1:])
            onward = self._PATIENCE * best
            values = np.where(block, self._DEATH, np.where(onward < 0, onward, np.maximum(onward, goal)))
        return values


def _reach(x: int) -> tuple[np.ndarray, int]:
    """Positions that steps lead to from `x`, between and including the ends, and which of them `x` is."""
    before, after = -(-(x - _LEFT) // _STEP), -(-(_RIGHT - x) // _STEP)
    return np.clip(x + _STEP * np.arange(-before, after + 1), _LEFT, _RIGHT), before
