"""Policies for Minetest: scripted ones that play well, from what `info` tells, and one of chance."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict

from memworld.actions import ActionSpace
from memworld.worlds.minetest.paths import AROUND, Field, Paths
from memworld.worlds.minetest.terrain import LOW, Terrain
from memworld.worlds.policies import Policy, PolicyFactory, random_policy, skilled

# In degrees a step; faster turns would blur what is learned from them.
_TURN = 20.0
# Within this of its direction the player walks.
_ALIGNED = 35.0
_EYES = 1.625
# A little downwards, so that the way is in view.
_PITCH = 8.0
# Within so many nodes of a place for so many steps while walking: stuck.
_AWAY, _PATIENCE = 0.7, 6
# Leaves and corners that are not on the map may be in the way: after so many steps it cuts, and tries the sides.
_DESPERATE = 15
# How often each key is held in a random action, and the spread of the camera's turn, pitch and yaw.
_CHANCES = {"forward": 0.7, "back": 0.1, "left": 0.15, "right": 0.15, "jump": 0.25, "sprint": 0.3, "attack": 0.4}
_OTHER_CHANCE = 0.05
_CAMERA_SPREAD = (2.0, 8.0)


class Moderate(Dict):
    """The same space, but its samples are what a player might do: 180 degrees at every step would show nothing."""

    def sample(self, mask: Any = None, probability: Any = None) -> dict[str, Any]:
        """Draw an action."""
        drawn: dict[str, Any] = {}
        for name, part in self.spaces.items():
            if isinstance(part, Box):
                turn = self.np_random.normal(0.0, _CAMERA_SPREAD)
                drawn[name] = np.clip(turn, part.low, part.high).astype(np.float32)
            else:
                drawn[name] = np.int64(self.np_random.random() < _CHANCES.get(name, _OTHER_CHANCE))
        return drawn


def moderately(make: Callable[[ActionSpace, np.random.Generator], Policy]) -> PolicyFactory:
    """As `skilled`, with random actions that are moderate."""
    factory = skilled(make)

    def moderate(action_space: ActionSpace, rng: np.random.Generator, skill: float) -> Policy:
        assert isinstance(action_space, Dict)
        return factory(Moderate(action_space.spaces), rng, skill)

    return moderate


class _Walker:
    """Walks, looks and presses keys: what both demonstrators need."""

    def __init__(self, action_space: ActionSpace) -> None:
        assert isinstance(action_space, Dict)
        self._names = [name for name in action_space.spaces if name != "camera"]
        self._terrain: Terrain | None = None
        self._anchor, self._stuck = (0.0, 0.0), 0
        self._walked = False

    def _see(self, info: Mapping[str, Any]) -> None:
        """Take in where the player is."""
        state = info["state"].astype(np.float64)
        self._x, self._y, self._z = state[:3]
        self._heading = math.degrees(math.atan2(state[4], state[3]))
        self._pitch = state[5]
        if self._terrain is not info["terrain"]:
            self._terrain = info["terrain"]
            self._paths = Paths(info["terrain"])
        self._column = info["terrain"].column(self._x, self._z)
        if not self._walked or math.dist((self._x, self._z), self._anchor) > _AWAY:
            self._anchor, self._stuck = (self._x, self._z), 0
        self._stuck += 1

    def _act(self, turn: float, pitch: float, *keys: str) -> dict[str, Any]:
        """The action that holds keys, turns right by about `turn` and comes to look down by about `pitch`."""
        self._walked = "forward" in keys
        camera = np.clip((pitch - self._pitch, turn), -_TURN, _TURN).astype(np.float32)
        return {name: np.int64(name in keys) for name in self._names} | {"camera": camera}

    def _angle_to(self, x: float, z: float) -> float:
        """How far to turn right to face a place, in degrees, -180 to 180."""
        angle = math.degrees(math.atan2(x - self._x, z - self._z)) - self._heading
        return (angle + 180) % 360 - 180

    def _walk(self, way: list[tuple[int, int]], *, sprint: bool) -> dict[str, Any]:
        """The action that goes along the first columns of a way."""
        assert self._terrain is not None
        x, _, z = self._terrain.standing(*way[min(1, len(way) - 1) if self._stuck < _PATIENCE else 0])
        turn = self._angle_to(x, z)
        keys = ["forward"] if abs(turn) < _ALIGNED else []
        rises = max(self._terrain.standing(*column)[1] for column in way[:2]) > self._y + 0.6
        if keys and (rises or self._stuck > _PATIENCE or self._terrain.water[self._column]):
            keys.append("jump")
        elif keys and sprint and abs(turn) < _ALIGNED / 3:
            keys.append("sprint")
        if self._stuck > _DESPERATE:
            keys += ["attack", ("left", "right")[self._stuck // _DESPERATE % 2]]
        return self._act(turn, _PITCH, *keys)


class NavigateDemonstrator(_Walker):
    """Goes the shortest way to the goal, up and down hills and around trees and water."""

    def __init__(self, action_space: ActionSpace) -> None:
        """Start an episode."""
        super().__init__(action_space)
        self._field: Field | None = None
        self._goal = (0, 0)

    def __call__(self, observation: np.ndarray, info: Mapping[str, Any]) -> dict[str, Any]:
        """Choose an action."""
        self._see(info)
        goal = info["terrain"].column(*info["goal"])
        if self._field is None or goal != self._goal:
            self._goal, self._field = goal, self._paths.to(goal)
        way = self._field.way(self._column, 3)
        # Straight on where no way is known, such as between two columns.
        return self._walk(way or [goal], sprint=len(way) == 3)


class TreechopDemonstrator(_Walker):
    """Digs all nodes of trunks within reach, goes on to the nearest other, and so on."""

    # In nodes from the eyes; the game's own limit is 4.
    _REACH = 3.7
    # A node that has not given way after so many steps is left.
    _DIG_STEPS = 30
    # How far, in nodes of way, and how often, in steps, the next tree is looked for.
    _SEARCH, _SEARCH_STEPS = 25.0, 25

    def __init__(self, action_space: ActionSpace) -> None:
        """Start an episode."""
        super().__init__(action_space)
        self._given_up: set[tuple[int, ...]] = set()
        self._target: tuple[int, ...] | None = None
        self._steps = 0
        self._way: list[tuple[int, int]] = []

    def __call__(self, observation: np.ndarray, info: Mapping[str, Any]) -> dict[str, Any]:
        """Choose an action."""
        self._see(info)
        gone = {tuple(node) for node in info["logs"].tolist()} | self._given_up
        near = abs(info["terrain"].trunks - (self._x, self._y, self._z)).max(1) < self._SEARCH
        nodes = np.array([node for node in info["terrain"].trunks[near].tolist() if tuple(node) not in gone])
        nodes = nodes.reshape(-1, 3)
        distance = np.linalg.norm(nodes - (self._x, self._y + _EYES, self._z), axis=1)
        # What is lower than the feet is mostly hidden by the ground.
        distance[nodes[:, 1] < self._y] = np.inf
        reached = {tuple(node) for node in nodes[distance < self._REACH + 0.2].tolist()}
        if self._target is not None and self._target in reached:
            return self._dig(self._target)
        if (distance < self._REACH).any():
            return self._dig(tuple(nodes[distance.argmin()].tolist()))
        if self._target is not None or self._steps > self._SEARCH_STEPS or self._column not in self._way[:-1]:
            self._target, self._steps = None, 0
            self._way = self._way_to_any(nodes)
        self._steps += 1
        if not self._way:
            return self._act(_TURN / 4, _PITCH, "forward", "jump")
        at = self._way.index(self._column) if self._column in self._way else -1
        return self._walk(self._way[at + 1 :] or self._way[-1:], sprint=False)

    def _dig(self, node: tuple[int, ...]) -> dict[str, Any]:
        """The action that turns towards a node, and once it is in view digs."""
        self._steps = self._steps + 1 if node == self._target else 0
        self._target = node
        if self._steps > self._DIG_STEPS:
            self._given_up.add(node)
        x, y, z = node
        turn = self._angle_to(x, z)
        level = math.hypot(x - self._x, z - self._z)
        pitch = -math.degrees(math.atan2(y - self._y - _EYES, max(level, 0.1)))
        faced = abs(turn) < _TURN and abs(pitch - self._pitch) < _TURN
        return self._act(turn, pitch, *(["attack"] if faced else []))

    def _way_to_any(self, nodes: np.ndarray) -> list[tuple[int, int]]:
        """The columns from the player's own to the nearest from which one of `nodes`, (N, 3), can be dug."""
        assert self._terrain is not None
        field = self._paths.out_of(self._column, self._SEARCH)
        beside = nodes[:, None, [0, 2]] - LOW + np.array(AROUND)
        inside = ((beside >= 0) & (beside < self._terrain.height.shape)).all(-1)
        i, j = np.where(inside[..., None], beside, 0).transpose(2, 0, 1)
        above_eyes = nodes[:, 1, None] - (self._terrain.height[i, j] + 0.5 + _EYES)
        fit = inside & (above_eyes > -_EYES) & (above_eyes < self._REACH - 0.7)
        cost = np.where(fit, field.cost[i, j], np.inf)
        if not np.isfinite(cost).any():
            return []
        index = np.unravel_index(cost.argmin(), cost.shape)
        spot = (int(i[index]), int(j[index]))
        return [*reversed(field.way(spot)), spot]


DEMONSTRATORS: dict[str, PolicyFactory] = {
    "navigate": moderately(lambda action_space, rng: NavigateDemonstrator(action_space)),
    "treechop": moderately(lambda action_space, rng: TreechopDemonstrator(action_space)),
}
RANDOM: PolicyFactory = moderately(random_policy)
