"""Search in memory: the `Index` protocol, what one asks of it, and what it answers."""

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from memworld.gaussian import Latents

Conditioning = Literal["none", "hard", "soft"]


@dataclass(frozen=True, eq=False)
class Query:
    """A batch of searches.

    Attributes:
        latents: (Q, D) what to look for.
        actions: (Q, A) features of the asked actions (`actions.action_features`), or None.
        conditioning: `none` ignores actions, `hard` admits only rows with the same action, `soft`
            adds `action_weight` times the squared difference of action features to the distance.
        action_weight: of `soft`, in units of the metric.
        exclude_episode: (Q,) int64 episode whose rows may not answer, -1 for none; or None.
    """

    latents: Latents
    actions: Tensor | None = None
    conditioning: Conditioning = "none"
    action_weight: float = 0.0
    exclude_episode: Tensor | None = None

    def __getitem__(self, index: slice) -> "Query":
        actions = None if self.actions is None else self.actions[index]
        exclude = None if self.exclude_episode is None else self.exclude_episode[index]
        return Query(self.latents[index], actions, self.conditioning, self.action_weight, exclude)


@dataclass(frozen=True, eq=False)
class Matches:
    """Rows of memory that answer a batch of queries, the least `costs` first.

    Attributes:
        rows: (Q, K) int64 memory rows; -1 where fewer than K were found.
        distances: (Q, K) float64 distances of the metric; infinite where fewer than K were found.
        penalties: (Q, K) float64 what soft conditioning adds to them; 0 otherwise.
    """

    rows: Tensor
    distances: Tensor
    penalties: Tensor

    @property
    def costs(self) -> Tensor:
        """(Q, K) float64 distance and penalty, by which rows are ranked."""
        return self.distances + self.penalties

    @property
    def found(self) -> Tensor:
        """(Q, K) bool: which places hold a row."""
        return self.rows >= 0

    @property
    def shortfall(self) -> Tensor:
        """(Q,) int64: how many of the asked rows were missing."""
        return (self.rows < 0).sum(1)


class Index(Protocol):
    """Exact or approximate search over the rows of a memory that have a successor.

    Ties go to the lower row.
    """

    def nearest(self, query: Query, k: int) -> Matches:
        """The k nearest rows of all memory, (Q, k)."""
        ...

    def nearest_per_episode(self, query: Query) -> Matches:
        """The nearest row of each of E episodes, (Q, E), nearest episode first."""
        ...


def concatenate(parts: list[Matches]) -> Matches:
    """Join the answers to consecutive pieces of a batch."""
    columns = ("rows", "distances", "penalties")
    return Matches(*(torch.cat([getattr(part, name) for part in parts]) for name in columns))
