"""The cross-entropy method: imagine, keep the best, draw others like them, again and again (Rubinstein 1999).

Choices are drawn from categorical distributions, numbers from normal ones, one for every step.
"""

from dataclasses import dataclass

import numpy as np

from memworld.errors import MemworldError
from memworld.plan.problem import Decision, Problem, Proposals
from memworld.plan.sequences import Spread


@dataclass(frozen=True)
class CEM:
    """The cross-entropy method.

    Attributes:
        candidates: sequences to imagine, over all iterations.
        iterations: how often to draw.
        elites: share of an iteration's sequences that the next ones are drawn like.
        wander: share of an even distribution that is mixed in, so that none is ruled out early.

    Raises:
        MemworldError: fewer than 2 candidates an iteration.
    """

    candidates: int = 256
    iterations: int = 4
    elites: float = 0.125
    wander: float = 0.1

    def __post_init__(self) -> None:
        if self.candidates < 2 * self.iterations:
            raise MemworldError(
                f"{self.candidates} candidates in {self.iterations} iterations: give at least 2 for each iteration"
            )

    def plan(self, problem: Problem, rng: np.random.Generator) -> Decision:
        """Take the best sequence of all iterations."""
        count = self.candidates // self.iterations
        even = Spread.even(problem.space, problem.horizon)
        proposed, considered = problem.propose(count, rng), 0
        best, highest = proposed.actions[0], -np.inf
        for iteration in range(1, self.iterations + 1):
            actions, scores = proposed.actions, problem.score(proposed).numpy()
            considered += len(actions)
            order = np.argsort(-scores, kind="stable")
            if scores[order[0]] > highest:
                best, highest = actions[order[0]], float(scores[order[0]])
            if iteration == self.iterations:
                break
            elite = actions[order[: max(1, round(self.elites * len(actions)))]]
            alike = Spread.fitted(elite, problem.space).mixed(even, self.wander)
            # The best goes on unchanged, so that an iteration never loses it.
            proposed = Proposals.alike(np.concatenate([elite[:1], alike.draw(count - 1, rng)]))
        return Decision(best, highest, considered)
