"""PlaNet (Hafner et al. 2019), to compare with: its RSSM, trained on memory's episodes, and CEM over its rewards."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from memworld.baselines.model import TrainedBaseline
from memworld.plan import CEM, PlanConfig, Problem
from memworld.plan.objective import discounted
from memworld.plan.policy import PolicyMaker
from memworld.plan.problem import Proposals
from memworld.plan.recent import Recent
from memworld.plan.sequences import Spread

REMEMBERED = 10
"""Moments from which the network makes up its belief, the present among them."""


class PlanetPolicy:
    """Acts for one episode: the belief is made of the latest moments anew for every decision."""

    def __init__(self, model: TrainedBaseline, config: PlanConfig, rng: np.random.Generator) -> None:
        """Begin an episode."""
        self._model, self._config, self._rng = model, config, rng
        self._planner = CEM(config.candidates, config.iterations or CEM.iterations)
        self._recent = Recent(model.action_space, REMEMBERED)
        self._plan: list[np.ndarray] = []
        self.support: list[float] = []
        self.decision_seconds: list[float] = []

    def __call__(self, observation: np.ndarray, info: Mapping[str, Any]) -> np.ndarray:
        """The action to take, in the stored form."""
        self._recent.see(observation)
        if not self._plan:
            began = time.perf_counter()
            self._plan = self._decide()
            self.decision_seconds.append(time.perf_counter() - began)
        action = self._plan.pop(0)
        self._recent.do(action)
        return action

    def _decide(self) -> list[np.ndarray]:
        config, space = self._config, self._model.action_space
        frame, past = self._recent.frame, self._recent.past
        outcomes = self._model.foretell(frame, past=past, seed=int(self._rng.integers(2**31)))

        def propose(count: int, rng: np.random.Generator) -> Proposals:
            return Proposals.alike(Spread.even(space, config.horizon).draw(count, rng))

        def score(proposed: Proposals) -> Tensor:
            rewards, termination = outcomes(proposed.actions)
            return discounted(rewards, termination, config.discount)

        problem = Problem(space, config.horizon, propose, score, unit=1.0)
        return list(self._planner.plan(problem, self._rng).actions[: config.commit])


def planet_policy(model: TrainedBaseline, config: PlanConfig) -> PolicyMaker:
    """What makes the policies of episodes.

    Args:
        model: PlaNet's RSSM, of pixels or of latents.
        config: horizon, candidates, iterations, commit and discount of the search; the rest is not PlaNet's.
    """
    return lambda rng: PlanetPolicy(model, config, rng)
