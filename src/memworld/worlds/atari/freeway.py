"""A scripted player of Freeway, from the true state in `info["state"]` and the cars in `info["ram"]`.

All numbers are in the units of the console's RAM (see `env.STATE_ADDRESSES`), and for 4 frames a step.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from memworld.worlds.atari.env import FREEWAY_CARS


class FreewayDemonstrator:
    """Freeway: go up unless a car would come, else wait, else go back."""

    _NOOP, _UP, _DOWN = 0, 1, 2
    _LANES = 16.0 * np.arange(1, 11) + 4.0
    _HALF_LANE = 8.0
    # Cars between these hit the player, who only moves up and down.
    _CROSSING = (38.0, 54.0)
    _ROAD = 160.0
    _SPEED = 4.0
    # As long as it takes to cross a lane.
    _AHEAD = np.arange(1.0, 6.0)[:, None]

    def __init__(self) -> None:
        """Start an episode."""
        self._last: np.ndarray | None = None

    def __call__(self, observation: np.ndarray, info: Mapping[str, Any]) -> int:
        """Choose an action."""
        (player_y,) = info["state"]
        cars_x = info["ram"][FREEWAY_CARS].astype(np.float64)
        last, self._last = self._last, cars_x
        if last is None:
            return self._UP
        half = self._ROAD / 2
        speeds = (cars_x - last + half) % self._ROAD - half
        cars = (cars_x + speeds * self._AHEAD) % self._ROAD
        crossing = (cars > self._CROSSING[0]) & (cars < self._CROSSING[1])
        for action, direction in ((self._UP, 1.0), (self._NOOP, 0.0), (self._DOWN, -1.0)):
            player = player_y + direction * self._SPEED * self._AHEAD
            if not (crossing & (abs(player - self._LANES) < self._HALF_LANE)).any():
                return action
        return self._UP
