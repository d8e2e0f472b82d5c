"""The survival game Crafter as a Gymnasium environment."""

from collections import defaultdict
from typing import Any

import gymnasium
import numpy as np

from memworld.actions import as_actions
from memworld.errors import MemworldError
from memworld.extras import import_extra

SIZE = 64
LENGTH = 10_000

ACTION_NAMES = (
    "noop",
    "move_left",
    "move_right",
    "move_up",
    "move_down",
    "do",
    "sleep",
    "place_stone",
    "place_table",
    "place_furnace",
    "place_plant",
    "make_wood_pickaxe",
    "make_stone_pickaxe",
    "make_iron_pickaxe",
    "make_wood_sword",
    "make_stone_sword",
    "make_iron_sword",
)

_COUNTED = ("health", "food", "drink", "energy", "sapling", "wood", "stone", "coal", "iron")

STATE_NAMES = ("x", "y", *_COUNTED, "daylight")


class CrafterEnv(gymnasium.Env[np.ndarray, Any]):
    """The game, in a new land of 64 x 64 cells in each episode.

    Observations are uint8 (64, 64, 3): 9 x 7 cells around the player and below them what it has.
    Actions are `ACTION_NAMES`, as `Discrete`. The reward is the game's own: 1 when something is achieved
    for the first time in the episode, and a tenth of the change of health. An episode is terminated by
    death and truncated at its limit of steps.

    Info has

    - `state`: float32 (12,), `STATE_NAMES`: cell, counts of 0 to 9, and daylight in [0, 1];
    - `semantic`: uint8 (64, 64), what is in each cell, indexed by x and y, as `cells.Cell`;
    - `player_pos` and `facing`: int64 (2,), the player's cell and the step to the cell in front of it;
    - `sleeping`: bool; `inventory` and `achievements`: counts by name;
    - `ripe`: int64 (N, 2), cells of the plants that can be eaten.

    The seed decides the land and all chance in it: the same seed and actions give the same frames and states.
    """

    action_space: gymnasium.spaces.Discrete

    def __init__(self, length: int = LENGTH) -> None:
        """Prepare the game.

        Args:
            length: limit of steps of an episode.

        Raises:
            MemworldError: `length` is below 1, or crafter is not installed.
        """
        if length < 1:
            raise MemworldError(f"length is {length}: use at least 1")
        crafter = import_extra("crafter", "crafter", "worlds of Crafter")
        # With no seed here it would take one from NumPy's global generator.
        self._game = crafter.Env(size=(SIZE, SIZE), length=length, seed=0)
        _keep_order(self._game._world)
        self._playing = False
        self.action_names = ACTION_NAMES
        self.action_space = gymnasium.spaces.Discrete(len(ACTION_NAMES))
        self.observation_space = gymnasium.spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Make a land and start in its middle.

        Returns:
            observation uint8 (64, 64, 3) and info, see the class.
        """
        super().reset(seed=seed)
        # The game seeds an episode by these two.
        self._game._seed = int(self.np_random.integers(2**31))
        self._game._episode = 0
        observation = self._game.reset()
        self._playing = True
        return np.ascontiguousarray(observation), self._info(self._game._sem_view())

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take a step.

        Returns:
            observation uint8 (64, 64, 3), reward, terminated, truncated and info, see the class.

        Raises:
            MemworldError: `action` is outside the action space, or the episode has ended or none was begun.
        """
        index = int(as_actions(action, self.action_space))
        if not self._playing:
            raise MemworldError("no episode is under way: call reset before step")
        observation, reward, done, info = self._game.step(index)
        self._playing = not done
        dead = bool(self._game._player.health <= 0)
        return (
            np.ascontiguousarray(observation),
            float(reward),
            dead,
            bool(done) and not dead,
            self._info(info["semantic"]),
        )

    def _info(self, semantic: np.ndarray) -> dict[str, Any]:
        player, world = self._game._player, self._game._world
        counts = [player.inventory[name] for name in _COUNTED]
        ripe = [thing.pos for thing in world.objects if getattr(thing, "ripe", False)]
        return {
            "state": np.array([*player.pos, *counts, world.daylight], np.float32),
            "semantic": semantic,
            "player_pos": np.array(player.pos, np.int64),
            "facing": np.array(player.facing, np.int64),
            "sleeping": bool(player.sleeping),
            "inventory": dict(player.inventory),
            "achievements": dict(player.achievements),
            "ripe": np.array(ripe, np.int64).reshape(-1, 2),
        }


class _OrderedSet(dict[Any, None]):
    """As much of a set as the game needs, in the order in which its members were added."""

    def add(self, member: Any) -> None:
        self[member] = None

    def remove(self, member: Any) -> None:
        del self[member]


def _keep_order(world: Any) -> None:
    """Make chance fall alike in all runs.

    The game keeps the creatures of each part of the land in sets and draws from these by position. The
    order of such a set follows from where in memory its members are, which differs between runs.
    """
    reset = world.reset

    def reset_in_order(seed: int | None = None) -> None:
        reset(seed)
        world._chunks = defaultdict(_OrderedSet)

    world.reset = reset_in_order
