"""Random shooting: of many sequences, the one that is imagined to end best."""

from dataclasses import dataclass

import numpy as np

from memworld.plan.problem import Decision, Problem


@dataclass(frozen=True)
class RandomShooting:
    """Attributes: candidates: sequences to imagine."""

    candidates: int = 256

    def plan(self, problem: Problem, rng: np.random.Generator) -> Decision:
        """Propose, imagine, take the best."""
        actions = problem.propose(self.candidates, rng).actions
        scores = problem.score(actions).numpy()
        best = int(scores.argmax())
        return Decision(actions[best], float(scores[best]), len(actions))
