"""A scripted player of Pong, from the true state in `info["state"]`.

All numbers are in the units of the console's RAM (see `env.STATE_ADDRESSES`), and for 4 frames a step.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np


class PongDemonstrator:
    """Pong: go where the ball will arrive, at the time when it does, and place the shot."""

    # Pong calls its paddle's ways right and left.
    _NOOP, _UP, _DOWN = 0, 2, 3
    _WALLS = (44.0, 206.0)
    _CONTACT_X = 188.0
    # Where to wait while the ball flies away. Most balls come back in the lower half.
    _HOME = 150.0

    def __init__(self, rng: np.random.Generator) -> None:
        """Start an episode.

        Args:
            rng: varies the shots: without chance the game falls into an endless rally.
        """
        self._rng = rng
        self._seen: list[np.ndarray] = []
        self._coming = False
        self._aims = (0.0, 0.0, 0.0)

    def __call__(self, observation: np.ndarray, info: Mapping[str, Any]) -> int:
        """Choose an action."""
        self._seen = [*self._seen[-2:], info["state"][:3].astype(np.float64)]
        if len(self._seen) < 3:
            return self._NOOP
        (_, _, y0), (last_x, last_y, y1), (ball_x, ball_y, y2) = self._seen
        paddle = _Paddle(y2, np.array([y1 - y0, y2 - y1]))
        in_play = min(ball_y, last_y) > 0
        coming = in_play and last_x < ball_x < self._CONTACT_X
        if coming and not self._coming:
            jitter = self._rng.uniform(-0.5, 0.5)
            self._aims = (14.5 + jitter, -1.0 + jitter, self._rng.uniform(0.0, 13.0))
        self._coming = coming
        if coming:
            steps = (self._CONTACT_X - ball_x) / (ball_x - last_x)
            arrival = _reflect(ball_y + (ball_y - last_y) * steps, *self._WALLS)
            push = paddle.push(arrival - self._aim(arrival), steps)
        else:
            push = paddle.push(self._HOME, np.inf)
        return {-1: self._UP, 0: self._NOOP, 1: self._DOWN}[push]

    def _aim(self, arrival: float) -> float:
        """How far below the paddle's own position the ball should meet it, from -2 to 16.

        The ends send the ball off steeply, and only steep balls pass the opponent: found by trying,
        downwards from the upper half, upwards from the middle, and hardly at all from below.
        """
        down, up, any_ = self._aims
        return down if 66 <= arrival < 125 else up if arrival < 164 else any_


class _Paddle:
    """The player's paddle in Pong. It lags behind the pushes that actions give it."""

    _REACH = (38.0, 203.0)
    # How far one step's push has moved the paddle 0, 1, 2, ... steps after it began: measured.
    _RESPONSE = np.array([0.0, 9.5, 19.0, 21.8, 22.3, 22.3, 22.3, 22.3])
    # Pushes (-1 up, 0, 1 down) of the last three steps, oldest first, in all combinations, and the
    # moves that each would have shown in the last two steps.
    _PUSHES = np.array(list(itertools.product((0, -1, 1), repeat=3)), np.float64)
    _MOVES = _PUSHES @ np.array([[9.5, 2.8], [9.5, 9.5], [0.0, 9.5]])
    # Plans of up to four steps: enough for any position to be met within two units or so.
    _PLANS = tuple(np.array(list(itertools.product((0, -1, 1), repeat=n)), np.float64) for n in range(5))

    def __init__(self, y: float, moves: np.ndarray) -> None:
        """Infer its motion.

        Args:
            y: where it is.
            moves: (2,) how far it moved in the step before last and in the last one.
        """
        self._y = y
        self._pushes = self._PUSHES[np.square(self._MOVES - moves).sum(1).argmin()]

    def push(self, target: float, steps: float) -> int:
        """The push, -1, 0 or 1, that brings it closest to `target` in `steps` steps."""
        target = float(np.clip(target, *self._REACH))
        whole = int(min(np.ceil(steps), len(self._PLANS)))
        if whole == len(self._PLANS):
            way = target - float(self._positions(np.zeros((1, 0)), whole)[0])
            return 0 if abs(way) < self._RESPONSE[-1] / 2 else int(np.sign(way))
        plans = self._PLANS[whole]
        early = whole - steps
        positions = early * self._positions(plans, whole - 1) + (1 - early) * self._positions(plans, whole)
        return int(plans[np.abs(np.clip(positions, *self._REACH) - target).argmin(), 0])

    def _positions(self, plans: np.ndarray, steps: int) -> np.ndarray:
        """Where it is after `steps` steps of each plan: (P, n) -> (P,)."""
        ages = np.array([3, 2, 1])
        carried = self._pushes @ (self._RESPONSE[np.minimum(ages + steps, 7)] - self._RESPONSE[ages])
        pushed = plans[:, :steps] @ self._RESPONSE[steps - np.arange(min(steps, plans.shape[1]))]
        return np.asarray(self._y + carried + pushed)


def _reflect(y: float, low: float, high: float) -> float:
    """Where a ball ends between two walls that would fly on to `y` without them."""
    span = high - low
    y = (y - low) % (2 * span)
    return low + min(y, 2 * span - y)
