"""Real environments to record in, each with policies that play in it."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gymnasium
import numpy as np

from memworld.actions import ActionSpace, supported_space
from memworld.errors import MemworldError
from memworld.worlds import atari
from memworld.worlds.demonstrators import DEMONSTRATORS
from memworld.worlds.policies import PolicyFactory, random_policy, skilled

__all__ = ["World", "open_world", "world_names"]


@dataclass(frozen=True)
class World:
    """An environment that can be made, and what is known of it. For one of your own, name and make suffice.

    Attributes:
        name: what `open_world` knows it by.
        make: returns a new environment: observations uint8 (H, W, C), and, if `state_names` are
            given, `info["state"]` float32 (S,) from `reset` and `step`. After `reset(seed=...)` it
            must play the same whatever it played before, or recordings could not be resumed.
        state_names: names of the S state variables.
        action_names: names of discrete actions in order; empty for other actions.
        policies: policy factories by name: "random" in every world, "demonstrator" where there is one.
        frameskip: frames of the game in one step.
    """

    name: str
    make: Callable[[], gymnasium.Env[np.ndarray, Any]]
    state_names: tuple[str, ...] = ()
    action_names: tuple[str, ...] = ()
    policies: Mapping[str, PolicyFactory] = field(default_factory=lambda: {"random": skilled(random_policy)})
    frameskip: int = 1

    def action_space(self) -> ActionSpace:
        """The space of its actions.

        Raises:
            MemworldError: memworld cannot store them.
        """
        env = self.make()
        try:
            return supported_space(env.action_space)
        finally:
            env.close()


def world_names() -> list[str]:
    """The worlds that `open_world` opens: those with demonstrators first, then the other Atari games.

    Raises:
        MemworldError: a package that they need is not installed.
    """
    return [*DEMONSTRATORS, *(f"atari/{rom}" for rom in atari.rom_names() if rom not in DEMONSTRATORS)]


def open_world(name: str) -> World:
    """Look a world up.

    Args:
        name: "pong", "freeway", or any other Atari game as `atari/<rom>`, where `atari/` may be left out.

    Raises:
        MemworldError: no such world, or a package that it needs is not installed.
    """
    rom = name.removeprefix("atari/")
    if rom not in atari.rom_names():
        known = {world.removeprefix("atari/"): world for world in world_names()}
        close = [known[match] for match in difflib.get_close_matches(rom.lower(), known)]
        hint = f"did you mean {' or '.join(close)}?" if close else "no name is close to it;"
        raise MemworldError(f"unknown world {name!r}: {hint} memworld.worlds.world_names() lists all")
    policies = {"random": skilled(random_policy)}
    if rom in DEMONSTRATORS:
        policies["demonstrator"] = DEMONSTRATORS[rom]
    return World(
        name=rom if rom in DEMONSTRATORS else f"atari/{rom}",
        make=partial(atari.AtariEnv, rom),
        state_names=tuple(atari.STATE_ADDRESSES.get(rom, {})),
        action_names=atari.AtariEnv(rom).action_names,
        policies=policies,
        frameskip=atari.FRAMESKIP,
    )
