"""Model predictive path integral control: sequences count by the exponential of their imagined scores (Williams 2016).

Where proposals are what the best demonstrators might do, this is planning that stays with them unless
memory knows better (as in model-based offline planning, Argenson and Dulac-Arnold 2021).
"""

from dataclasses import dataclass

import numpy as np

from memworld.actions import action_parts
from memworld.errors import MemworldError
from memworld.plan.problem import Decision, Problem
from memworld.plan.sequences import Spread, stored


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
    temperature: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise MemworldError(f"temperature must be above 0 and finite, got {self.temperature}")

    def plan(self, problem: Problem, rng: np.random.Generator) -> Decision:
        """Choices are those of one sequence, drawn by what each counts; numbers are the weighted mean of all."""
        count = max(1, self.candidates // self.iterations)
        actions = problem.propose(count, rng)
        scores, weights = self._weigh(problem, actions)
        for _ in range(self.iterations - 1):
            actions = Spread.fitted(actions, problem.space, weights).draw(count, rng)
            scores, weights = self._weigh(problem, actions)
        drawn = int(rng.choice(len(actions), p=weights))
        columns = actions[drawn].reshape(problem.horizon, -1).astype(np.float64)
        mean = np.einsum("n,nta->ta", weights, actions.reshape(len(actions), problem.horizon, -1))
        for part in action_parts(problem.space):
            if not part.discrete:
                columns[:, part.columns] = mean[:, part.columns]
        return Decision(stored(columns, problem.space), float(scores[drawn]), self.iterations * count)

    def _weigh(self, problem: Problem, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The scores (N,) of sequences, and what each counts, which sums to 1."""
        scores = problem.score(actions).numpy()
        weights = np.exp((scores - scores.max()) / (self.temperature * max(problem.unit, 1e-12)))
        return scores, weights / weights.sum()
