"""What a planner is asked, and what it answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from memworld.actions import ActionSpace
from memworld.plan.recall import Proposals


@dataclass(frozen=True, eq=False)
class Problem:
    """A present from which to act.

    Attributes:
        space: of the actions.
        horizon: T, steps to plan.
        propose: gives up to N sequences of actions that are worth a thought.
        score: how good such sequences are, (N,) float64, by imagining them; higher is better.
        unit: by how much scores differ that really differ.
        before: what is left of the last plan, (t,) or (t, A), t below T; empty at first.
    """

    space: ActionSpace
    horizon: int
    propose: Callable[[int, np.random.Generator], Proposals]
    score: Callable[[np.ndarray], Tensor]
    unit: float
    before: np.ndarray


@dataclass(frozen=True, eq=False)
class Decision:
    """What a planner decided.

    Attributes:
        actions: (T,) or (T, A) the sequence to begin with.
        score: its score as imagined; NaN if it was not.
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
