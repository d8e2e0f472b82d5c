"""How well memory supports a query: its distance among those that memory has to itself.

The yardstick is the leave-one-episode-out distance: how far recorded moments are from the nearest
moment of any other episode (METHOD section 6).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from memworld.errors import MemworldError
from memworld.gaussian import Latents
from memworld.memory import Rows
from memworld.search import Index, Query

MOST_GROWTH = 1.25
"""Rows, as a multiple of those that something was measured on or learned from, up to which it is kept."""


@dataclass(frozen=True, eq=False)
class Support:
    """Leave-one-episode-out distances of a memory under one metric.

    Attributes:
        distances: (S,) float64, ascending; empty if the memory has a single episode.
        rows: how many rows the memory had.
    """

    distances: Tensor
    rows: int

    def still_tells(self, rows: Rows) -> bool:
        """Whether this serves for the rows of the memory after it has grown: by up to a quarter, and not from nothing.

        What is new is searched at once; only what counts as near does not move with every episode.
        """
        return len(self.distances) > 0 and len(rows) <= MOST_GROWTH * self.rows

    @property
    def typical(self) -> float:
        """The median distance above 0, the unit in which soft conditioning is measured.

        In a small world most moments are in another episode too, at distance 0; the others tell.

        Raises:
            MemworldError: there is none, so that no penalty could be measured in it.
        """
        apart = self.distances[self.distances > 0]
        if len(apart) == 0:
            raise MemworldError(
                "soft conditioning measures in distances between episodes, and this memory has a single episode, or "
                "copies of one: remember others, or use hard or none"
            )
        return float(apart.median())

    def quantile(self, distances: Tensor) -> Tensor:
        """The share of leave-one-episode-out distances below each of `distances`, same shape, float64.

        0 is closer than memory's own moments are to each other, 1 is further than any of those that
        were sampled; NaN where memory has a single episode and therefore no yardstick.
        """
        if len(self.distances) == 0:
            return torch.full_like(distances, torch.nan, dtype=torch.float64)
        below = torch.searchsorted(self.distances, distances.double().contiguous())
        return below.double() / len(self.distances)


def calibrate(
    index: Index, rows: Rows, samples: int = 512, seed: int = 0, keys: Callable[[Tensor], Latents] | None = None
) -> Support:
    """Measure leave-one-episode-out distances on `samples` random rows (all, if there are fewer).

    Args:
        index: of the rows' candidates.
        rows: the memory's.
        samples: how many.
        seed: which.
        keys: what is searched for at rows (S,); None takes their latents.
    """
    candidates = rows.candidates
    if int(rows.episodes[-1]) == 0:
        return Support(torch.empty(0, dtype=torch.float64), len(rows))
    order = torch.randperm(len(candidates), generator=torch.Generator().manual_seed(seed))
    chosen = candidates[order[:samples]]
    query = Query(rows.latents[chosen] if keys is None else keys(chosen), exclude_episode=rows.episodes[chosen])
    return Support(index.nearest(query, 1).distances[:, 0].sort().values, len(rows))
