"""A scripted player of Seaquest, from the console's RAM.

All numbers are pixels of the 210 x 160 screen, and for 4 frames a step. What lies where in RAM, and how the
game moves things, follows Dennis Debro's public-domain disassembly; the extents of things were measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

# Addresses in RAM; slices hold one value for each of the four lanes, from the lowest.
_FRAME, _LEVEL, _DIFFICULTY, _DIVERS, _PLAYER_X, _FACING, _PLAYER_Y = 1, 60, 61, 62, 70, 86, 97
_OXYGEN, _TORPEDO_X, _PATROL_X = 102, 103, 118
_GROUP_X, _GROUP_MEMBERS, _DIVER_OR_MISSILE_X, _KIND = slice(30, 34), slice(36, 40), slice(71, 75), slice(89, 93)

_STEP = 4  # frames, and as many pixels for the player
_LEFT, _RIGHT, _SURFACE, _FLOOR = 21, 134, 13, 108
_ALL_DIVERS, _FULL_OXYGEN = 6, 64
_LANES, _PATROL_ROW = 141 - 24 * np.arange(4), 45
# The player's rows and columns, from its position; and the row of its torpedo, which goes up and down with it.
_TOP, _BOTTOM, _WIDTH, _TORPEDO_ROW = 33, 43, 16, 40
# Three in a group, each with its bit in the group's byte; those on the left have the highest.
_MEMBERS = ((4, 0), (2, 16), (1, 32))

# Actions by vertical (-1 up) and horizontal (-1 left) direction, without and with FIRE.
_MOVES = {
    (0, 0): (0, 1),
    (0, 1): (3, 11),
    (0, -1): (4, 12),
    (-1, 0): (2, 10),
    (1, 0): (5, 13),
    (-1, 1): (6, 14),
    (-1, -1): (7, 15),
    (1, 1): (8, 16),
    (1, -1): (9, 17),
}


@dataclass(frozen=True)
class _Thing:
    """What moves along a lane.

    Attributes:
        lane: its row, one of `_LANES`, or another of what is at the surface.
        x: column of its left end.
        speed: columns in a step, negative to the left.
        left, right: its first and last column, from `x`.
        top, bottom: (T,) its first and last row after 0, 1, 2, ... steps.
    """

    lane: int
    x: float
    speed: float
    left: int
    right: int
    top: np.ndarray
    bottom: np.ndarray

    def meets(self, xs: np.ndarray, ys: np.ndarray, margin: tuple[int, int]) -> np.ndarray:
        """Where a player would touch it after 0, 1, 2, ... steps, as bool (T, Y, X).

        Args:
            xs: (X,) columns of the player.
            ys: (Y,) its rows.
            margin: columns and rows by which it is taken to be larger.
        """
        wide, high = margin
        x = self.x + self.speed * np.arange(len(self.top))[:, None]
        columns = (xs <= x + self.right + wide) & (xs + _WIDTH - 1 >= x + self.left - wide)
        rows = (ys + _TOP <= self.bottom[:, None] + high) & (ys + _BOTTOM >= self.top[:, None] - high)
        return np.asarray(rows[:, :, None] & columns[:, None, :])


class SeaquestDemonstrator:
    """Seaquest: fetch divers, shoot from the nearest place, and surface with all six or before the air is used up.

    Each step it looks for the best path of `_AHEAD` steps on a grid of places, by dynamic programming over all
    places and times: around everything that moves along the lanes, to whatever is worth most at its distance.
    """

    _AHEAD = 28
    # A step later is worth this share.
    _PATIENCE = 0.95
    _DEATH = -100.0
    # In shots that hit. Six divers bring their reward and that of all the air that is left.
    _DIVER, _SURFACING = 5.0, 50.0
    # Columns between the player and what it shoots at: close enough to be sure, and where missiles come from
    # in front, far enough to leave.
    _RANGE, _DISTANCE, _DISTANCE_TO_MISSILES = 70, 6, 34
    # Air, in the game's units of 8 steps, for surfacing from the floor and a detour.
    _RESERVE = 6

    def __init__(self, rng: np.random.Generator) -> None:
        """Start an episode.

        Args:
            rng: decides which lanes it likes better: without chance every game would be the same.
        """
        self._likes = dict(zip(_LANES.tolist(), rng.uniform(1.0, 1.5, size=len(_LANES)), strict=True))

    def __call__(self, observation: np.ndarray, info: Mapping[str, Any]) -> int:
        """Choose an action."""
        ram = info["ram"].astype(int)
        x, y = int(ram[_PLAYER_X]), int(ram[_PLAYER_Y])
        xs, ys = _reach(x, _LEFT, _RIGHT), _reach(y, _SURFACE, _FLOOR)
        enemies, divers, missiles = self._things(ram)
        surfacing = ram[_DIVERS] == _ALL_DIVERS or (ram[_DIVERS] > 0 and ram[_OXYGEN] <= self._RESERVE + y // 32)
        shape = (self._AHEAD, len(ys), len(xs))
        goals, blocked = np.zeros(shape), np.zeros(shape, bool)
        for thing in (*enemies, *missiles):
            blocked |= thing.meets(xs, ys, (4, 1))
        if surfacing:
            goals[:, ys == _SURFACE] = self._SURFACING
        else:
            # Without a diver it is deadly, with fewer than six it costs one.
            blocked[:, ys == _SURFACE] |= ram[_OXYGEN] < _FULL_OXYGEN
            for enemy in enemies:
                goals = np.maximum(goals, self._likes.get(enemy.lane, 1.0) * self._shots(enemy, xs, ys))
            for diver in divers:
                worth = self._DIVER * self._likes[diver.lane]
                goals = np.maximum(goals, worth * diver.meets(xs, ys, (-4, -4)))
        values = self._values(goals, blocked)
        column, row = int(np.argmin(abs(xs - x))), int(np.argmin(abs(ys - y)))
        best, action = -np.inf, 0
        for (down, right), (move, move_and_fire) in _MOVES.items():
            if not (0 <= row + down < len(ys) and 0 <= column + right < len(xs)):
                continue
            facing = right or (-1 if ram[_FACING] else 1)
            place = xs[column + right], ys[row + down]
            hits = ram[_TORPEDO_X] == 0 and any(self._hits(enemy, *place, facing) for enemy in enemies)
            value = values[row + down, column + right] + hits
            if value > best:
                best, action = value, move_and_fire if hits else move
        return action

    def _things(self, ram: np.ndarray) -> tuple[list[_Thing], list[_Thing], list[_Thing]]:
        """Enemies, divers and missiles."""
        difficulty = ram[_DIFFICULTY]
        swim, dive, shoot = (speed * _STEP / 16 for speed in (difficulty + 6, (difficulty + 6) // 2, difficulty + 16))
        still = np.zeros(self._AHEAD, int)
        bob = (ram[_FRAME] // 4 + np.arange(self._AHEAD)) % 16
        bob = np.minimum(bob, 15 - bob)
        enemies, divers, missiles = [], [], []
        lanes = zip(
            _LANES.tolist(), ram[_GROUP_X], ram[_GROUP_MEMBERS], ram[_DIVER_OR_MISSILE_X], ram[_KIND], strict=True
        )
        for lane, group_x, members, other_x, kind in lanes:
            submarine, way, hurried = kind & 4, -1 if kind & 8 else 1, kind & 16
            rows = (lane - 1 + still, lane + 9 + still) if submarine else (lane - 4 + bob, lane + 2 + bob)
            line = (lane + 4 + still, lane + 7 + still)
            # Places to the left of the screen have gone around; the first from the right come in from 215.
            start = group_x - 256 * (group_x >= (216 if way < 0 else 168))
            for bit, offset in _MEMBERS:
                if members & bit and -8 < start + offset < 160:
                    enemies.append(_Thing(lane, start + offset, way * swim, 0, 7, *rows))
                    if submarine:
                        # A missile may leave it at any moment.
                        nose = (8, 20) if way > 0 else (-13, -1)
                        missiles.append(_Thing(lane, start + offset, way * swim, *nose, *line))
            if 0 < other_x < 160 and submarine:
                missiles.append(_Thing(lane, other_x, way * shoot, 2, 7, *line))
            elif 0 < other_x < 160:
                speed = swim if hurried else dive
                divers.append(_Thing(lane, other_x, way * speed, 0, 7, lane - 4 + still, lane + 9 + still))
        if ram[_LEVEL] >= 2:
            frames = (4, 4, 4, 2, 1)[min(ram[_LEVEL], 6) - 2]
            x = ram[_PATROL_X] if ram[_PATROL_X] < 160 else 0
            enemies.append(_Thing(_PATROL_ROW, x, -_STEP / frames, 0, 7, _PATROL_ROW + still, _PATROL_ROW + 10 + still))
        return enemies, divers, missiles

    def _shots(self, enemy: _Thing, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
        """From where, and after how many steps, a shot would hit: 0 or 1 as (T, Y, X)."""
        x = enemy.x + enemy.speed * np.arange(self._AHEAD)[:, None]
        ahead = (xs - x) * np.sign(enemy.speed) > 0
        shoots = enemy.bottom[0] - enemy.top[0] > 6
        least = np.where(ahead & shoots, self._DISTANCE_TO_MISSILES, self._DISTANCE)
        gap = np.maximum(x - (xs + _WIDTH), xs - (x + 8))
        columns = (gap >= least) & (gap <= self._RANGE) & (x > 4) & (x < 148)
        row = ys + _TORPEDO_ROW
        rows = (row >= enemy.top[:, None] + 1) & (row <= enemy.bottom[:, None] - 1)
        return np.asarray(rows[:, :, None] & columns[:, None, :], float)

    def _hits(self, enemy: _Thing, x: int, y: int, facing: int) -> bool:
        """Whether a torpedo shot from there hits it."""
        if y < _SURFACE + 5:
            return False
        gap = (enemy.x - x - 8) * facing
        steps = gap / (5 * _STEP - enemy.speed * facing)
        if not 0 <= steps < 8 or not 8 <= enemy.x + enemy.speed * steps <= 148:
            return False
        after = round(steps) + 1
        return bool(enemy.top[after] <= y + _TORPEDO_ROW <= enemy.bottom[after])

    def _values(self, goals: np.ndarray, blocked: np.ndarray) -> np.ndarray:
        """What it is worth to be at each place after one step: (T, Y, X), (T, Y, X) -> (Y, X)."""
        values = np.zeros(goals.shape[1:])
        for goal, block in zip(goals[:0:-1], blocked[:0:-1], strict=True):
            onward = self._PATIENCE * _best_neighbour(values)
            # A goal from which there is no way on is none.
            values = np.where(block, self._DEATH, np.where(onward < 0, onward, np.maximum(onward, goal)))
        return values


def _reach(start: int, low: int, high: int) -> np.ndarray:
    """Positions that steps lead to from `start`, which is one of them, between and including the ends."""
    before, after = -(-(start - low) // _STEP), -(-(high - start) // _STEP)
    return np.clip(start + _STEP * np.arange(-before, after + 1), low, high)


def _best_neighbour(values: np.ndarray) -> np.ndarray:
    """The largest value among each place and its eight neighbours: (Y, X) -> (Y, X)."""
    for _ in range(2):
        best = values.copy()
        best[1:] = np.maximum(best[1:], values[:-1])
        best[:-1] = np.maximum(best[:-1], values[1:])
        values = best.T
    return values
