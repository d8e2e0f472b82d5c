"""What a planner is asked, and what it answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from memworld.actions import ActionSpace
from memworld.rollout import Imagined


@dataclass(frozen=True, eq=False)
class Proposals:
    """Sequences worth a thought.

    Attributes:
        actions: (N, T) or (N, T, A) in the stored form.
        chances: (N,) float64, which sum to 1: how likely each is before anything is imagined.
        futures: what comes of them, where it has been imagined on the way.
    """

    actions: np.ndarray
    chances: np.ndarray
    futures: Imagined | None = None

    @classmethod
    def alike(cls, actions: np.ndarray, futures: Imagined | None = None) -> "Proposals":
        """Sequences of which none is likelier than another."""
        return cls(actions, np.full(len(actions), 1 / len(actions)), futures)

    def __len__(self) -> int:
        """N."""
        return len(self.actions)


@dataclass(frozen=True, eq=False)
class Problem:
    """A present from which to act.

    Attributes:
        space: of the actions.
        horizon: T, steps to plan.
        propose: gives up to as many sequences of actions that are worth a thought, at least one.
        score: how good such sequences are, (N,) float64, by imagining them; higher is better.
        unit: by how much scores differ that really differ.
    """

    space: ActionSpace
    horizon: int
    propose: Callable[[int, np.random.Generator], Proposals]
    score: Callable[[Proposals], Tensor]
    unit: float


@dataclass(frozen=True, eq=False)
class Decision:
    """What a planner decided.

    Attributes:
        actions: (T,) or (T, A) the sequence to begin with.
        score: its score as imagined, or the mean of the scores of those that voted for it, as they counted.
        considered: sequences that were imagined.
    """

    actions: np.ndarray
    score: float
    considered: int


class Planner(Protocol):
    """Chooses a sequence of actions."""

    def plan(self, problem: Problem, rng: np.random.Generator) -> Decision:
        """Choose."""
        ...
