"""Model predictive path integral control: sequences count by the exponential of their imagined scores (Williams 2016).

Where proposals are what the best demonstrators might do, this is planning that stays with them unless
memory knows better (as in model-based offline planning, Argenson and Dulac-Arnold 2021).
"""

from dataclasses import dataclass

import numpy as np

from memworld.errors import MemworldError
from memworld.plan.problem import Decision, Problem, Proposals
from memworld.plan.sequences import Spread


@dataclass(frozen=True)
class MPPI:
    """Model predictive path integral control.

    Attributes:
        candidates: sequences to imagine, over all iterations.
        iterations: how often to draw.
        temperature: how far apart scores must be, in units of the problem, for one sequence to count e times as
            much as another.

    Raises:
        MemworldError: a temperature that is not above 0.
    """

    candidates: int = 256
    iterations: int = 1
    temperature: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise MemworldError(f"temperature must be above 0 and finite, got {self.temperature}")

    def plan(self, problem: Problem, rng: np.random.Generator) -> Decision:
        """Every step is what sequences vote for, each by its chances and its score; of numbers it is the mean."""
        count = max(1, self.candidates // self.iterations)
        proposed = problem.propose(count, rng)
        scores, weights = self._weigh(problem, proposed)
        considered = len(proposed)
        for _ in range(self.iterations - 1):
            proposed = Proposals.alike(Spread.fitted(proposed.actions, problem.space, weights).draw(count, rng))
            scores, weights = self._weigh(problem, proposed)
            considered += count
        elected = Spread.fitted(proposed.actions, problem.space, weights).likeliest()
        return Decision(elected, float(weights @ scores), considered)

    def _weigh(self, problem: Problem, proposed: Proposals) -> tuple[np.ndarray, np.ndarray]:
        """The scores (N,) of sequences, and what each counts, which sums to 1."""
        scores = problem.score(proposed).numpy()
        logarithms = np.log(proposed.chances + 1e-300) + scores / (self.temperature * max(problem.unit, 1e-12))
        weights = np.exp(logarithms - logarithms.max())
        return scores, weights / weights.sum()
