"""Analogues as a dynamics to imagine with: where a search begins, what it is told, what is made of its answer."""

from typing import Self

import torch
from torch import Tensor

from memworld.analogues.forecast import Analogues, Step
from memworld.analogues.threads import Found
from memworld.errors import MemworldError
from memworld.gaussian import at_mean
from memworld.imagine import Mode
from memworld.rollout import History, Prediction
from memworld.search import Matches


class AnalogueDynamics:
    """Follow the threads of analogues; a `Dynamics`."""

    usual_mode: Mode = "follow"
    """One search for as many steps as are fitted: errors do not compound."""

    def __init__(self, analogues: Analogues) -> None:
        """Imagine with what is fitted to a memory."""
        self.analogues = analogues
        self.rows = analogues.panel.rows

    @property
    def context(self) -> int:
        """Moments of a history that they look at, the present among them."""
        return self.analogues.config.context

    def begin(self, history: History, mode: Mode) -> "AnalogueDream":
        """Imagine from the present of B histories on; see `Dynamics.begin`."""
        return AnalogueDream(self, history, mode)


class AnalogueDream:
    """B futures under way; a `Dream`."""

    def __init__(self, dynamics: AnalogueDynamics, history: History, mode: Mode) -> None:
        """Start where the histories end.

        Raises:
            MemworldError: the mode is one that analogues do not have.
        """
        if mode == "reanchor":
            raise MemworldError(
                "analogues weigh their threads by how well actions agree, and search again after their horizon: "
                "use follow or requery"
            )
        self._dynamics = dynamics
        self._analogues = dynamics.analogues
        self._lasts = 1 if mode == "requery" else self._analogues.horizon
        self.recent = self._analogues.complete(history.latents.mu.flip(1), history.known.flip(1))
        """(B, context, D) the latest moments, the last one first."""
        self._found: list[Found] = []
        self._asked: list[Tensor] = []

    @property
    def steps_followed(self) -> int:
        """Steps since the last search."""
        return len(self._asked)

    @property
    def phase(self) -> int:
        """Steps since the last search; 0 if the next step searches."""
        return self.steps_followed % self._lasts

    def keep(self, some: Tensor) -> None:
        """Go on with some of the futures only; see `Dream.keep`."""
        self.recent = self.recent[some]
        self._found = [found[some] for found in self._found]
        self._asked = [asked[some] for asked in self._asked]

    def join(self, other: Self) -> None:
        """Go on with the futures of another dream too; see `Dream.join`."""
        assert self.phase == other.phase == 0, (self.phase, other.phase)
        self.recent = torch.cat([self.recent, other.recent])
        self._found, self._asked = [], []

    def revise(self, mu: Tensor) -> None:
        """Take another mean (B, D) of the last prediction to go on from."""
        self.recent = torch.cat([mu[:, None], self.recent[:, 1:]], 1)

    def step(self, actions: Tensor, generator: torch.Generator) -> tuple[Prediction, Tensor]:
        """Predict the next step; see `Dream.step`. Nothing is drawn: z is the mean."""
        search = self.phase == 0
        if search:
            self._found, self._asked = self._analogues.find(self.recent), []
        self._asked.append(actions.float())
        step = self._analogues.predict(self._found, torch.stack(self._asked, 1))
        self.recent = torch.cat([step.mu[:, None], self.recent[:, :-1]], 1)
        return self._prediction(step), torch.full((len(actions),), search)

    def _prediction(self, step: Step) -> Prediction:
        rows = self._dynamics.rows
        sources = step.sources
        here = sources.rows.clamp(min=0)
        return Prediction(
            latents=at_mean(step.mu, step.sigma),
            reward=(sources.outcome * rows.rewards[here]).sum(1),
            termination=(sources.outcome * rows.terminations[here].float()).sum(1),
            matches=Matches(sources.rows, sources.distances, torch.zeros_like(sources.distances)),
            weights=sources.weights,
            support=step.doubt,
            squares=self._analogues.panel.squares,
        )
