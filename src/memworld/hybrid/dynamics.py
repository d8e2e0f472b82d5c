"""A hybrid as a dynamics to imagine with: what analogues predict, corrected; sources and support are theirs."""

from dataclasses import replace
from typing import Self

import torch
from torch import Tensor

from memworld.analogues import AnalogueDynamics, Analogues
from memworld.analogues.dynamics import AnalogueDream
from memworld.gaussian import SIGMA_FLOOR, at_mean
from memworld.hybrid.correction import Correction
from memworld.imagine import Mode
from memworld.rollout import History, Prediction


class HybridDynamics(AnalogueDynamics):
    """Follow the threads of analogues, and correct what they say; a `Dynamics`."""

    def __init__(self, analogues: Analogues, correction: Correction) -> None:
        """Imagine with what is fitted to a memory, and trained on it."""
        super().__init__(analogues)
        self.correction = correction

    def begin(self, history: History, mode: Mode) -> "HybridDream":
        """Imagine from the present of B histories on; see `Dynamics.begin`."""
        return HybridDream(self, history, mode)


class HybridDream(AnalogueDream):
    """B futures under way; a `Dream`."""

    def __init__(self, dynamics: HybridDynamics, history: History, mode: Mode) -> None:
        """Start where the histories end; see `AnalogueDream`."""
        super().__init__(dynamics, history, mode)
        self._correction = dynamics.correction
        self._memory: Tensor | None = None
        self._before = self.recent[:, 0]
        """(B, D) the last moment as the network takes it to be: as in its training, with all that it says."""

    def keep(self, some: Tensor) -> None:
        """Go on with some of the futures only; see `Dream.keep`."""
        super().keep(some)
        self._before = self._before[some]
        self._memory = None if self._memory is None else self._memory[some]

    def join(self, other: Self) -> None:
        """Go on with the futures of another dream too; see `Dream.join`."""
        super().join(other)
        self._memory, self._before = None, self.recent[:, 0]

    @torch.no_grad()
    def step(self, actions: Tensor, generator: torch.Generator) -> tuple[Prediction, Tensor]:
        """Predict the next step; see `Dream.step`. Nothing is drawn: z is the mean."""
        recent = self.recent
        prediction, searched = super().step(actions, generator)
        network, ahead = self._correction.network, self.steps_followed - 1
        if network is None:
            return prediction, searched
        if self._memory is None or bool(searched[0]):
            self._memory, self._before = network.start(recent), recent[:, 0]
        said = prediction.latents
        change, self._memory = network.step(self._before, said.mu, actions.float(), self._memory)
        self._before = said.mu + change
        mu = said.mu + self._correction.shares[ahead] * change
        # What is uncertain in a moment that has been seen, no correction takes away.
        own = self._analogues.own_variance
        error = (said.sigma.square() - own).clamp(min=0) * self._correction.spread[ahead] ** 2
        sigma = (error + own).sqrt().clamp(min=SIGMA_FLOOR)
        self.revise(mu)
        return replace(prediction, latents=at_mean(mu, sigma)), searched
