"""Scripted policies that play well, from the state and the map in `info`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from memworld.worlds.policies import PolicyFactory, skilled
from memworld.worlds.vizdoom.navigation import Navigation
from memworld.worlds.vizdoom.scenarios import SCENARIOS

# Angles in degrees: a step turns by 7 to 14.
_AHEAD = 7.0
_WALK_AND_TURN = 40.0
_NOTHING = np.zeros((0, 2), np.float32)


class FindVest:
    """My way home: walk through the rooms to the green vest by the shortest way."""

    def __init__(self) -> None:
        """Start an episode."""
        self._navigation: Navigation | None = None

    def __call__(self, observation: np.ndarray, info: Mapping[str, Any]) -> int:
        """Choose an action."""
        if self._navigation is None:
            vests = info["objects"].get("GreenArmor", _NOTHING)
            if not len(vests):  # it has just been taken
                return _index("vizdoom/my_way_home", "noop")
            self._navigation = Navigation(info["walls"], vests[0])
        return _steer("vizdoom/my_way_home", info["state"], self._navigation.waypoint(info["state"][:2]))


class GatherHealth:
    """Health gathering: walk to the medikit that is reached soonest."""

    # What a full turn costs, in map units of walking.
    _TURN = 500.0

    def __call__(self, observation: np.ndarray, info: Mapping[str, Any]) -> int:
        """Choose an action."""
        state = info["state"]
        medikits = info["objects"].get("Medikit", _NOTHING)
        if not len(medikits):
            return _index("vizdoom/health_gathering", "noop")
        costs = np.linalg.norm(medikits - state[:2], axis=1) + self._TURN / 360 * abs(_bearings(state, medikits))
        return _steer("vizdoom/health_gathering", state, medikits[costs.argmin()])


def _steer(world: str, state: np.ndarray, target: np.ndarray) -> int:
    """The action that leads towards `target`, (2,)."""
    bearing = float(_bearings(state, target[None])[0])
    if abs(bearing) < _AHEAD:
        return _index(world, "forward")
    side = "left" if bearing > 0 else "right"
    return _index(world, f"forward_{side}" if abs(bearing) < _WALK_AND_TURN else f"turn_{side}")


def _bearings(state: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """By how many degrees targets (N, 2) lie to the left of the heading: (N,) in -180 to 180."""
    cos, sin = state[2:4]
    x, y = (targets - state[:2]).T
    return np.asarray(np.rad2deg(np.arctan2(cos * y - sin * x, cos * x + sin * y)))


def _index(world: str, action: str) -> int:
    return list(SCENARIOS[world].actions).index(action)


DEMONSTRATORS: dict[str, PolicyFactory] = {
    "vizdoom/my_way_home": skilled(lambda action_space, rng: FindVest()),
    "vizdoom/health_gathering": skilled(lambda action_space, rng: GatherHealth()),
}
"""The demonstrator of each world."""
