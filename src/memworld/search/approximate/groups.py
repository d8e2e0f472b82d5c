"""Candidates that may answer together: all, or those of one action; and which of them a query shuts out."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memworld.search import Candidates, Conditioning, Query
from memworld.search.approximate.proxy import detached, import_faiss
from memworld.search.exact import ExactIndex

_KEPT = 8
"""Groups that are kept ready; making one takes milliseconds."""

_FEW = 256
"""Rows of an action that are all measured: that takes no longer than to make them ready for search."""

_QUERIES = 256
"""Queries that are searched together."""

Pairs = tuple[Tensor, Tensor]
"""Queries and candidates, (P,) int64 each."""


@dataclass(frozen=True, eq=False)
class Group:
    """Some of the candidates.

    Attributes:
        metric: by which they are searched.
        candidates: all of them.
        members: (m,) int64 those in the group, ascending; None for all.
    """

    metric: str
    candidates: Candidates
    members: Tensor | None = None

    def __len__(self) -> int:
        return len(self.candidates) if self.members is None else len(self.members)

    @property
    def share(self) -> float:
        """The share of all candidates that is in the group."""
        return len(self) / len(self.candidates)

    @cached_property
    def exact(self) -> ExactIndex:
        """An exact index of the group alone, kept; it answers in rows of memory."""
        return self.make_exact()

    def make_exact(self) -> ExactIndex:
        """The same, not kept."""
        chosen = self.candidates
        if self.members is not None:
            rows, episodes, actions = (x[self.members] for x in (chosen.rows, chosen.episodes, chosen.actions))
            chosen = Candidates(chosen.latents, rows, episodes, actions, chosen.discrete)
        return ExactIndex(self.metric, chosen, device="cpu")

    @property
    def nbytes(self) -> int:
        """Bytes of what is kept."""
        total = 0 if self.members is None else self.members.nbytes
        if "exact" in self.__dict__:
            total += round(self.exact.bytes_per_row * len(self))
        return total

    def admitted(self, query: Query) -> Tensor:
        """(Q,) int64: how many of the group may answer each query."""
        if query.exclude_episode is None:
            return torch.full((len(query),), len(self))
        return len(self) - torch.diff(self._within(self._bounds(query.exclude_episode)), dim=0)[0]

    def _bounds(self, episodes: Tensor) -> Tensor:
        """(2, n) int64: the first candidate of each episode, and the first after it."""
        return torch.searchsorted(self.candidates.episodes, torch.stack([episodes, episodes + 1]))

    def _within(self, bounds: Tensor) -> Tensor:
        """Places among the members of places among all candidates."""
        return bounds if self.members is None else torch.searchsorted(self.members, bounds)

    def selector(self, episode: int) -> tuple[Any, int]:
        """A FAISS selector of the group but for an episode (-1 for none), None for all; and how many it admits."""
        faiss = import_faiss()
        bounds = self._bounds(torch.tensor([episode]))[:, 0]
        own = None
        if self._bits is not None:
            own = faiss.IDSelectorBitmap(self._bits)
        shut_out = int(self._within(bounds).diff())
        if not shut_out:
            return own, len(self)
        outside = faiss.IDSelectorNot(faiss.IDSelectorRange(*bounds.tolist()))
        return (outside if own is None else faiss.IDSelectorAnd(own, outside)), len(self) - shut_out

    @cached_property
    def _bits(self) -> np.ndarray | None:
        if self.members is None:
            return None
        bits = np.zeros(len(self.candidates), bool)
        bits[self.members.numpy()] = True
        return np.packbits(bits, bitorder="little")


class Actions:
    """The candidates by action."""

    def __init__(self, metric: str, candidates: Candidates, conditioning: Conditioning) -> None:
        """Sort them by what `hard` or `mixed` conditioning asks to be equal."""
        self._metric = metric
        self._candidates = candidates
        self._conditioning = conditioning
        features = candidates.must_equal(candidates.actions, conditioning)
        assert features is not None
        self._kinds, kind_of = torch.unique(features, dim=0, return_inverse=True)
        self._first_column = self._kinds[:, 0].contiguous()
        self._order = torch.argsort(kind_of, stable=True)
        self._counts = torch.bincount(kind_of)
        self._starts = self._counts.cumsum(0) - self._counts
        self._kept: dict[int, Group] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of what is sorted, and of the groups that are kept."""
        parts = (self._kinds, self._first_column, self._order, self._counts, self._starts, *self._kept.values())
        return sum(part.nbytes for part in parts)

    def split(self, query: Query) -> tuple[list[tuple[Tensor, Group]], Pairs]:
        """Who may answer queries that ask for actions.

        Returns:
            The queries (q,) int64 that ask for each action that many rows have, and those rows; and all
            pairs of the other queries and of the few rows that may answer them.
        """
        kinds = self._kinds_of(query)
        asked = torch.nonzero(kinds >= 0)[:, 0]
        kinds = kinds[asked]
        many = self._counts[kinds] > _FEW
        groups = [(asked[kinds == kind], self._group(kind)) for kind in torch.unique(kinds[many]).tolist()]
        return groups, self._all_pairs(query, asked[~many], kinds[~many])

    def _kinds_of(self, query: Query) -> Tensor:
        """(Q,) int64: which of the actions each query asks for, -1 for none."""
        assert query.actions is not None  # Query.check
        features = self._candidates.must_equal(query.actions.double(), self._conditioning)
        assert features is not None
        asked, own = torch.unique(features, dim=0, return_inverse=True)
        column = asked[:, 0].contiguous()
        starts, ends = (torch.searchsorted(self._first_column, column, right=right).tolist() for right in (False, True))
        kinds = torch.full((len(asked),), -1)
        for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
            same = torch.nonzero((self._kinds[start:end] == asked[number]).all(1))
            if len(same):
                kinds[number] = start + same[0, 0]
        return kinds[own]

    def _all_pairs(self, query: Query, asked: Tensor, kinds: Tensor) -> Pairs:
        """All pairs of queries (q,) and of the candidates of the actions (q,), but for the episodes shut out."""
        counts = self._counts[kinds]
        skipped = self._starts[kinds] - (counts.cumsum(0) - counts)
        found = self._order[torch.arange(int(counts.sum())) + skipped.repeat_interleave(counts)]
        asked = asked.repeat_interleave(counts)
        if query.exclude_episode is None:
            return asked, found
        may = self._candidates.episodes[found] != query.exclude_episode[asked]
        return asked[may], found[may]

    def _group(self, kind: int) -> Group:
        start, count = int(self._starts[kind]), int(self._counts[kind])
        group = self._kept.pop(kind, None)
        if group is None:
            group = Group(self._metric, self._candidates, self._order[start : start + count].clone())
            if len(self._kept) == _KEPT:
                del self._kept[next(iter(self._kept))]
        self._kept[kind] = group  # last, as the latest used
        return group


class ByAction:
    """The candidates by action, sorted when that is first asked for."""

    def __init__(self, metric: str, candidates: Candidates) -> None:
        """Sort nothing yet."""
        self._metric = metric
        self._candidates = candidates
        self._sorted: dict[Conditioning, Actions] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of what is sorted."""
        return sum(actions.nbytes for actions in self._sorted.values())

    def split(self, query: Query) -> tuple[list[tuple[Tensor, Query, Group]], Pairs]:
        """As `Actions.split`, with what is to be asked of each group.

        Within a group actions are the same, of `mixed` conditioning in what is discrete.
        """
        same: Conditioning = "mixed" if query.conditioning == "mixed" else "hard"
        if same not in self._sorted:
            self._sorted[same] = Actions(self._metric, self._candidates, same)
        groups, few = self._sorted[same].split(query)
        within: Conditioning = "mixed" if same == "mixed" else "none"
        return [(own, replace(query[own], conditioning=within), group) for own, group in groups], few


def pieces(query: Query) -> Iterator[Query]:
    """Parts of a batch, on the CPU and without gradients."""
    query = replace(query, latents=detached(query.latents)).to(torch.device("cpu"))
    for start in range(0, len(query), _QUERIES):
        yield query[start : start + _QUERIES]


def join(pairs: list[Pairs], count: int) -> Pairs:
    """All pairs, each once; candidates are numbered below `count`."""
    if not pairs:
        return torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64)
    if len(pairs) == 1:
        return pairs[0]
    asked, found = (torch.cat(column) for column in zip(*pairs, strict=True))
    both = torch.unique(asked * count + found)
    return both // count, both % count
