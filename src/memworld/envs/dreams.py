"""Imagined futures that begin and end at different times."""

from collections.abc import Iterator

import numpy as np
import torch

from memworld.imagine import Dream, Dynamics, Mode
from memworld.rollout import History, Prediction


class Dreams:
    """Futures in numbered places; those for whom the same step searches are a batch from then on.

    A future is predicted as if it were imagined alone: who else is under way, and since when, changes nothing.
    """

    def __init__(self, dynamics: Dynamics, mode: Mode | None) -> None:
        """No future yet.

        Args:
            dynamics: of all of them.
            mode: likewise; None takes the dynamics' own.
        """
        self._dynamics, self._mode = dynamics, mode or dynamics.usual_mode
        self._groups: list[tuple[np.ndarray, Dream]] = []

    @property
    def context(self) -> int:
        """Moments of a history that a future needs to begin."""
        return self._dynamics.context

    def begin(self, places: np.ndarray, history: History) -> None:
        """Begin futures where histories end, in places (B,) that are free."""
        self._groups.append((places, self._dynamics.begin(history, self._mode)))

    def keep(self, going: np.ndarray) -> None:
        """End the futures in those places where `going`, bool (places,), is false."""
        groups, self._groups = self._groups, []
        for places, dream in groups:
            some = going[places]
            if not some.all():
                dream.keep(torch.from_numpy(some))
            if some.any():
                self._groups.append((places[some], dream))

    def step(self, actions: torch.Tensor, generator: torch.Generator) -> Iterator[tuple[np.ndarray, Prediction]]:
        """Predict the next step of every future, as places (B,) and what is predicted there, batch by batch.

        Args:
            actions: (places, A) features; those of free places are not looked at.
            generator: of all sampling.
        """
        self._join()
        for places, dream in self._groups:
            yield places, dream.step(actions[places], generator)[0]

    def _join(self) -> None:
        """Make one batch of those for whom the next step searches."""
        searching = [group for group in self._groups if group[1].phase == 0]
        if len(searching) > 1:
            (_, dream), *others = searching
            for _, other in others:
                dream.join(other)
            following = [group for group in self._groups if group[1].phase > 0]
            self._groups = [*following, (np.concatenate([places for places, _ in searching]), dream)]
