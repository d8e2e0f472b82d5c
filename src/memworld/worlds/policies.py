"""What a policy is, and how chance enters its play.

A policy is called once a step as `policy(observation, info) -> action`, with the observation, uint8
(H, W, C), and the info that the environment returned last. A policy factory makes one for an
episode from the action space, a generator, and a skill in [0, 1].
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, TypeAlias

import numpy as np

from memworld.actions import ActionSpace
from memworld.errors import MemworldError

Policy: TypeAlias = Callable[[np.ndarray, Mapping[str, Any]], Any]
PolicyFactory: TypeAlias = Callable[[ActionSpace, np.random.Generator, float], Policy]

# A stretch of play lasts from the first to the second number of steps. Random actions that change at
# every step cancel out and lead nowhere new.
_STRETCH = (4, 16)


def skilled(make: Callable[[ActionSpace, np.random.Generator], Policy]) -> PolicyFactory:
    """The factory of policies that follow one of `make`'s for a share `skill` of the time.

    Each stretch of play, of 4 to 16 steps, is by chance either that policy's or one random action
    that is held; the rest of the time, `1 - skill`, goes to the latter.

    The factory raises a MemworldError if `skill` is outside [0, 1].
    """

    def factory(action_space: ActionSpace, rng: np.random.Generator, skill: float) -> Policy:
        own, chance = rng.spawn(2)
        return _Skilled(make(action_space, own), action_space, chance, skill)

    return factory


def random_policy(action_space: ActionSpace, rng: np.random.Generator) -> Policy:
    """A policy that takes a new random action at every step."""
    sample = _sampler(action_space, rng)
    return lambda observation, info: sample()


def check_skill(skill: float) -> float:
    """Return `skill` if it is in [0, 1].

    Raises:
        MemworldError: it is not.
    """
    if not 0.0 <= skill <= 1.0:
        raise MemworldError(f"skill is {skill}: use 0 (all random) to 1 (as good as it can)")
    return skill


class _Skilled:
    """See `skilled`."""

    def __init__(self, policy: Policy, action_space: ActionSpace, rng: np.random.Generator, skill: float) -> None:
        self._policy = policy
        self._sample = _sampler(action_space, rng)
        self._rng = rng
        self._skill = check_skill(skill)
        self._steps_left = 0
        self._held: Any = None

    def __call__(self, observation: np.ndarray, info: Mapping[str, Any]) -> Any:
        # Asked even when it is not followed, so that what it remembers of the game stays true.
        action = self._policy(observation, info)
        if self._steps_left == 0:
            self._steps_left = int(self._rng.integers(*_STRETCH, endpoint=True))
            self._held = None if self._rng.random() < self._skill else self._sample()
        self._steps_left -= 1
        return action if self._held is None else self._held


def _sampler(action_space: ActionSpace, rng: np.random.Generator) -> Callable[[], Any]:
    """A function that draws actions; the space is copied, as drawing changes its generator."""
    space = deepcopy(action_space)
    space.seed(int(rng.integers(2**31)))
    return space.sample
