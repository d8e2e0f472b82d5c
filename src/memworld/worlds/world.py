"""What a world is, and what a family of worlds is: all that one simulator offers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np

from memworld.actions import ActionSpace, supported_space
from memworld.worlds.policies import PolicyFactory, random_policy, skilled


@dataclass(frozen=True)
class World:
    """An environment that can be made, and what is known of it. For one of your own, name and make suffice.

    Attributes:
        name: what `open_world` knows it by.
        make: returns a new environment: observations uint8 (H, W, C), and, if `state_names` are
            given, `info["state"]` float32 (S,) from `reset` and `step`. After `reset(seed=...)` it
            must play the same whatever it played before, or recordings could not be resumed, unless
            the world is not `repeatable`.
        state_names: names of the S state variables.
        action_names: names of actions, as `DatasetInfo.action_names`.
        policies: policy factories by name: "random" in every world, "demonstrator" where there is one.
        frameskip: frames of the game in one step.
        repeatable: whether the same seed and actions give the same episode; not so in real time.
    """

    name: str
    make: Callable[[], gymnasium.Env[np.ndarray, Any]]
    state_names: tuple[str, ...] = ()
    action_names: tuple[str, ...] = ()
    policies: Mapping[str, PolicyFactory] = field(default_factory=lambda: {"random": skilled(random_policy)})
    frameskip: int = 1
    repeatable: bool = True

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


@dataclass(frozen=True)
class Family:
    """The worlds of one simulator. Nothing that may not be installed is imported before it is needed.

    Attributes:
        title: what the simulator is, in a few words.
        names: the worlds' names; asked for also where they cannot run.
        missing: what is not installed and must be, each as "WHAT: COMMAND THAT INSTALLS IT"; empty
            where the worlds can run.
        open: returns the world of a name, one of `names`; called where nothing is missing.
    """

    title: str
    names: Callable[[], Sequence[str]]
    missing: Callable[[], Sequence[str]]
    open: Callable[[str], World]
