"""Tasks in Minetest as Gymnasium environments, played in real time at ten steps a second."""

import math
import time
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete

from memworld.actions import as_actions, restore_actions
from memworld.worlds.minetest.engine import Engine
from memworld.worlds.minetest.folder import WINDOW, Status
from memworld.worlds.minetest.terrain import LOW, Terrain

SIZE = 64
STEP_SECONDS = 0.1
# A step is late if it ends by more than this after its time.
_TOLERANCE = 0.02

_BUTTONS = ("forward", "left", "back", "right", "jump", "sneak", "sprint", "attack")
_POSE = ("x", "y", "z", "heading_cos", "heading_sin", "pitch", "speed")
# The game lets the view go no further up or down.
_STEEPEST = 89.5


@dataclass(frozen=True)
class Task:
    """What is to be done in the world.

    Attributes:
        item: what the player holds, as the game names it.
        state_names: names of the state's variables.
        action_names: names of choices, as `World.action_names`.
    """

    item: str
    state_names: tuple[str, ...]
    action_names: tuple[str, ...] = ()


TASKS = {
    "navigate": Task(
        "default:dirt 99",
        (*_POSE, "goal_distance", "compass_cos", "compass_sin"),
        ("place=none", "place=dirt"),
    ),
    "treechop": Task("default:axe_steel", (*_POSE, "logs")),
}

# In nodes. A goal is found when the player is as near as one stands beside it.
GOAL_DISTANCES = (24.0, 48.0)
_FOUND = 1.8
_GOAL_HEIGHT = 3
_GOAL_REWARD = 100.0

# As many logs end an episode, as in MineRL.
_LOGS = 64
_NEAR_TREES = 14.0


class MinetestEnv(gymnasium.Env[np.ndarray, Any]):
    """One task, in a game that runs on at its own pace: what happens between two steps depends on the computer too.

    Observations are uint8 (64, 64, 3), the player's view. Actions have MineRL's names and meanings: keys that are
    held during the step, and `camera`, the degrees by which the view turns at its beginning, (pitch, yaw), downwards
    and to the right. A step lasts a tenth of a second; keys stay held until the next one, however late it comes.

    `navigate` is MineRL's dense one: the reward is the way made towards a pillar of diamond, in nodes, and 100 for
    reaching it, which ends the episode. In `treechop` it is 1 for each node of a trunk that is dug, up to 64.

    `info` holds:
        state: float32 (S,), see `TASKS`: where the feet are in nodes, x eastwards, y up, z northwards; heading,
            clockwise from north; pitch in degrees, downwards; horizontal speed in nodes a second; the goal's
            distance in the plane, and the angle to it, clockwise from the heading; logs dug so far.
        compass: that angle in degrees, -180 to 180; `navigate` only.
        goal: int64 (2,), the x and z of the goal; `navigate` only.
        terrain: the map, a `Terrain`, as the episode began.
        logs: int64 (N, 3), the nodes of trunks dug so far.
        late: how many steps of the episode ended late.
    """

    action_space: Dict

    def __init__(self, task: str) -> None:
        """Start a game.

        Args:
            task: one of `TASKS`.

        Raises:
            MemworldError: it does not start.
        """
        self._task = TASKS[task]
        buttons: dict[str, gymnasium.Space[Any]] = {name: Discrete(2) for name in _BUTTONS}
        if task == "navigate":
            buttons["place"] = Discrete(2)
        camera = Box(-180.0, 180.0, (2,), np.float32)
        self.action_space = Dict({**buttons, "camera": camera})
        self.observation_space = Box(0, 255, (SIZE, SIZE, 3), np.uint8)
        self._navigates = task == "navigate"
        self._engine = Engine(self._task.item)
        self._terrain: Terrain = self._engine.terrain()
        self._goal = np.zeros(2, np.int64)
        self._due: float | None = None
        self._late = 0
        self._owed = np.zeros(2)
        self._before = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Restore the map and put the player and the goal somewhere, as the seed has it.

        Returns:
            observation uint8 (64, 64, 3) and info.

        Raises:
            MemworldError: the game has ended.
        """
        super().reset(seed=seed)
        terrain, rng = self._terrain, self.np_random
        start = terrain.start(rng) if self._navigates else terrain.start_near_trees(rng, _NEAR_TREES, 3)
        pillar: list[tuple[int, int, int]] = []
        if self._navigates:
            i, j = terrain.goal(start, *GOAL_DISTANCES, rng)
            self._goal = np.array([LOW + i, LOW + j])
            ground = int(terrain.height[i, j])
            pillar = [(LOW + i, ground + 1 + k, LOW + j) for k in range(_GOAL_HEIGHT)]
        self._engine.begin(terrain.standing(*start), float(rng.uniform(0, 360)), pillar)
        self._due, self._late, self._owed = None, 0, np.zeros(2)
        observation, status = self._look()
        self._before = self._measure(status)
        return observation, self._info(status)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Hold keys and turn the view for a tenth of a second.

        Returns:
            observation uint8 (64, 64, 3), reward, terminated, truncated and info.

        Raises:
            MemworldError: `action` is outside the action space, or the game has ended.
        """
        chosen = restore_actions(as_actions(action, self.action_space), self.action_space)
        began = time.monotonic()
        pressed = [name for name, value in chosen.items() if name != "camera" and value]
        # What whole pixels leave over is made up for by later steps.
        wanted = self._owed + chosen["camera"]
        right, down = self._engine.act(pressed, wanted[1], wanted[0])
        self._owed = np.clip(wanted - (down, right), -1.0, 1.0)
        due = (began if self._due is None else self._due) + STEP_SECONDS
        time.sleep(max(0.0, due - time.monotonic()))
        observation, status = self._look()
        if (now := time.monotonic()) > due + _TOLERANCE:
            self._late += 1
            due = now
        self._due = due
        reached = self._measure(status)
        reward, self._before = reached - self._before, reached
        terminated = reached >= _LOGS
        if self._navigates and -reached < _FOUND:
            reward, terminated = reward + _GOAL_REWARD, True
        elif self._navigates:
            terminated = False
        return observation, float(reward), bool(terminated), False, self._info(status)

    def close(self) -> None:
        """End the game; may be called twice."""
        self._engine.close()

    def _look(self) -> tuple[np.ndarray, Status]:
        picture, status = self._engine.look()
        block = WINDOW // SIZE
        blocks = picture.reshape(SIZE, block, SIZE, block, 3)
        return np.round(blocks.mean((1, 3))).astype(np.uint8), status

    def _measure(self, status: Status) -> float:
        """What the reward is the increase of: logs, or the goal's distance, which is to shrink."""
        return -self._to_goal(status)[0] if self._navigates else float(len(status.log))

    def _to_goal(self, status: Status) -> tuple[float, float]:
        """The goal's distance, and the angle to it, in degrees clockwise from the heading, -180 to 180."""
        east, north = self._goal - (status.pos[0], status.pos[2])
        angle = math.degrees(math.atan2(east, north)) - status.heading
        return math.hypot(east, north), (angle + 180) % 360 - 180

    def _info(self, status: Status) -> dict[str, Any]:
        heading = math.radians(status.heading)
        speed = math.hypot(status.velocity[0], status.velocity[2])
        pose = (*status.pos, math.cos(heading), math.sin(heading), status.pitch, speed)
        logs = np.array(status.log, np.int64).reshape(-1, 3)
        info = {"terrain": self._terrain, "logs": logs, "late": self._late}
        if not self._navigates:
            return info | {"state": np.array([*pose, len(logs)], np.float32)}
        distance, compass = self._to_goal(status)
        angle = math.radians(compass)
        state = np.array([*pose, distance, math.cos(angle), math.sin(angle)], np.float32)
        return info | {"state": state, "compass": compass, "goal": self._goal.copy()}
