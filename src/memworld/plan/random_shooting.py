"""Random shooting: of many sequences, the one that is imagined to end best."""

from dataclasses import dataclass

import numpy as np

from memworld.plan.problem import Decision, Problem


@dataclass(frozen=True)
class RandomShooting:
    """Random shooting.

    Attributes:
        candidates: sequences to imagine.
    """

    candidates: int = 256

    def plan(self, problem: Problem, rng: np.random.Generator) -> Decision:
        """Propose, imagine, take the best."""
        proposed = problem.propose(self.candidates, rng)
        scores = problem.score(proposed).numpy()
        best = int(scores.argmax())
        return Decision(proposed.actions[best], float(scores[best]), len(proposed))
