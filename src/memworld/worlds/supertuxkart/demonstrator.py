"""A driver who keeps to the track's centre line, from `info["state"]` and `info["path"]`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from memworld.worlds.supertuxkart.env import ACTION_NAMES, PATH_AHEAD


class Demonstrator:
    """Steers to a point on the centre line, slows down if it lies far to the side, and backs out of walls.

    Distances are in metres, speeds in m/s, angles in radians.
    """

    # The point is further ahead at speed, or the kart would swing around the line.
    _SECONDS_AHEAD, _LEAST_AHEAD = 0.6, 6.0
    _STRAIGHT = 0.06
    # From which angle and speed on to do what.
    _BRAKE, _COAST = (0.5, 15.0), (0.3, 12.0)
    # Slower than this for so many steps, the kart is stuck; a way of so many steps back frees it.
    _STUCK_SPEED, _STUCK_STEPS, _BACK_STEPS = 1.0, 7, 12

    def __init__(self) -> None:
        """Start an episode."""
        self._slow_steps = 0
        self._steps_back = 0

    def __call__(self, observation: np.ndarray, info: Mapping[str, Any]) -> int:
        """Choose an action."""
        speed = float(np.linalg.norm(info["state"][3:6]))
        distance = max(self._SECONDS_AHEAD * speed, self._LEAST_AHEAD)
        right, ahead = (np.interp(distance, PATH_AHEAD, column) for column in info["path"].T)
        angle = float(np.arctan2(right, ahead))
        side = 0 if abs(angle) < self._STRAIGHT else int(np.sign(angle))
        if self._is_stuck(speed):
            # In reverse the kart's nose goes the other way.
            return _action(-side, "brake")
        if abs(angle) > self._BRAKE[0] and speed > self._BRAKE[1]:
            return _action(side, "brake")
        if abs(angle) > self._COAST[0] and speed > self._COAST[1]:
            return _action(side, "coast")
        return _action(side, "accelerate")

    def _is_stuck(self, speed: float) -> bool:
        """Whether to go back; called once a step."""
        if self._steps_back > 0:
            self._steps_back -= 1
            return True
        self._slow_steps = self._slow_steps + 1 if speed < self._STUCK_SPEED else 0
        if self._slow_steps < self._STUCK_STEPS:
            return False
        self._slow_steps = 0
        self._steps_back = self._BACK_STEPS - 1
        return True


def _action(side: int, pedal: str) -> int:
    return ACTION_NAMES.index(f"{('straight', 'right', 'left')[side]} {pedal}")
