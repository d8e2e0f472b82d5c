"""The nearest row of every episode, coarse to fine in time.

Rows of an episode that follow each other are much alike, so a window of a few of them is known by the
mean of their vectors (`codes`). The best few windows of every episode are looked at row by row.
"""

import numpy as np
import torch
from torch import Tensor

from memworld.search import Candidates, Query
from memworld.search.approximate.codes import Codes
from memworld.search.approximate.rough import Rough, least

_WINDOW = 4
"""Rows in a window."""

_BEST = 6
"""Windows of each episode whose rows are measured."""

_LAST = 2
"""Rows of each episode that the literal formula decides between."""

_SCORES = 1 << 22
"""Scores of windows held at once: 16 MB."""


class Windows:
    """Windows of some candidates, each of one episode."""

    def __init__(self, codes: Codes, candidates: Candidates, members: Tensor | None) -> None:
        """Cut into windows.

        Args:
            codes: of all candidates; their vectors stand for the rows.
            candidates: all rows that may answer.
            members: (m,) int64 those of them to cut, ascending; None for all.
        """
        self._codes = codes
        members = torch.arange(len(candidates)) if members is None else members
        episodes = candidates.episodes[members]
        places = _cut(episodes)
        self._members = torch.where(places >= 0, members[places.clamp(min=0)], -1).int()
        self._centres = self._means(candidates)
        # Proxies are compared by |c|^2 - 2 q.c, products by q.c alone, of which the greatest is the nearest.
        self._sizes = (self._centres**2).sum(1) * (codes.name == "proxy")
        self._tables = _tables(episodes[places[:, 0]])

    @property
    def nbytes(self) -> int:
        """Bytes of all of it."""
        parts = (self._members, self._centres, self._sizes, *self._tables)
        return sum(part.nbytes for part in parts)

    def find(self, query: Query, rough: Rough) -> tuple[Tensor, Tensor]:
        """The few pairs (query, candidate) of every episode that may be its nearest, (P,) int64 each."""
        step = max(1, _SCORES // len(self._centres))
        pairs = [self._find(query[i : i + step], rough, i) for i in range(0, len(query), step)]
        asked, found = zip(*pairs, strict=True)
        return torch.cat(asked), torch.cat(found)

    def _find(self, query: Query, rough: Rough, first: int) -> tuple[Tensor, Tensor]:
        scores = torch.from_numpy(self._sizes - 2 * self._codes.asked(query.latents) @ self._centres.T)
        # One column more, where the gaps in the tables point to.
        scores = torch.cat([scores, scores.new_full((len(scores), 1), torch.inf)], 1)
        pairs = []
        for table in self._tables:
            own = scores[:, table]
            best = table.expand_as(own).gather(2, least(own, _BEST))
            found = torch.where(best[..., None] >= 0, self._members[best], -1).long().flatten(2)
            pairs.append(_shortlist(query, rough, found))
        asked, found = (torch.cat(column) for column in zip(*pairs, strict=True))
        return asked + first, found

    def _means(self, candidates: Candidates) -> np.ndarray:
        """(b, P) float32 mean vectors of the windows."""
        parts = []
        for members in torch.split(self._members, 2048):
            there = (members >= 0).numpy()
            vectors = self._codes.stored(candidates.latents[candidates.rows[members.long().clamp(min=0).flatten()]])
            total = (vectors.reshape(*there.shape, -1) * there[..., None]).sum(1)
            parts.append(total / there.sum(1, keepdims=True, dtype=np.float32))
        return np.concatenate(parts)


def _shortlist(query: Query, rough: Rough, found: Tensor) -> tuple[Tensor, Tensor]:
    """The best few of each episode's candidates, (Q, E, C) with gaps of -1, as pairs."""
    asked = torch.arange(len(query))[:, None, None].expand_as(found)
    there = found >= 0
    costs = torch.full(found.shape, torch.inf)
    costs[there] = rough.costs(query, asked[there], found[there])
    best = found.gather(2, least(costs, _LAST))
    return asked[..., : best.shape[2]][best >= 0], best[best >= 0]


def _cut(episodes: Tensor) -> Tensor:
    """(m,) int64 ascending to windows (b, W) of places in them, none across episodes; -1 where one is not full."""
    _, counts = torch.unique_consecutive(episodes, return_counts=True)
    windows = (counts + _WINDOW - 1) // _WINDOW
    ends = counts.cumsum(0)
    skipped = ends - counts - (windows.cumsum(0) - windows) * _WINDOW
    first = torch.arange(int(windows.sum())) * _WINDOW + skipped.repeat_interleave(windows)
    places = first[:, None] + torch.arange(_WINDOW)
    return torch.where(places < ends.repeat_interleave(windows)[:, None], places, -1)


def _tables(episodes: Tensor) -> list[Tensor]:
    """The windows of each episode as rows of a few tables, -1 in the gaps; as many gaps as windows at most.

    Args:
        episodes: (b,) int64 of the windows, ascending.
    """
    _, counts = torch.unique_consecutive(episodes, return_counts=True)
    first = counts.cumsum(0) - counts
    width = 2 ** torch.ceil(torch.log2(counts.double())).long()
    tables = []
    for size in torch.unique(width).tolist():
        own = width == size
        place = torch.arange(size)
        tables.append(torch.where(place < counts[own, None], first[own, None] + place, -1))
    return tables
