"""Candidates that may answer together: all, or those of one action; and which of them a query shuts out."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memworld.search import Candidates, Query
from memworld.search.approximate.proxy import import_faiss
from memworld.search.exact import ExactIndex

_KEPT = 8
"""Groups that are kept ready; making one takes milliseconds."""


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
            parts = (x[self.members] for x in (chosen.rows, chosen.episodes, chosen.actions))
            chosen = Candidates(chosen.latents, *parts)
        return ExactIndex(self.metric, chosen, device="cpu")

    def selector(self, episode: int) -> tuple[Any, int]:
        """A FAISS selector of the group but for an episode (-1 for none), None for all; and how many it admits."""
        faiss = import_faiss()
        bounds = torch.searchsorted(self.candidates.episodes, torch.tensor([episode, episode + 1]))
        own = None
        if self._bits is not None:
            own = faiss.IDSelectorBitmap(self._bits)
        within = bounds if self.members is None else torch.searchsorted(self.members, bounds)
        shut_out = int(within[1] - within[0])
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

    def __init__(self, metric: str, candidates: Candidates) -> None:
        """Sort them."""
        self._metric = metric
        self._candidates = candidates
        self._kinds, kind_of = torch.unique(candidates.actions, dim=0, return_inverse=True)
        self._order = torch.argsort(kind_of, stable=True)
        self._ends = torch.bincount(kind_of).cumsum(0)
        self._group = functools.lru_cache(_KEPT)(self._make)

    @property
    def nbytes(self) -> int:
        """Bytes of what is sorted."""
        return sum(part.nbytes for part in (self._kinds, self._order, self._ends))

    def split(self, query: Query) -> Iterator[tuple[Tensor, Group]]:
        """The queries (q,) int64 that ask for each action that there is, and the candidates that took it."""
        assert query.actions is not None  # Query.check
        asked, own = torch.unique(query.actions.double(), dim=0, return_inverse=True)
        for number, action in enumerate(asked):
            same = torch.nonzero((self._kinds == action).all(1))[:, 0].tolist()
            if same:
                yield torch.nonzero(own == number)[:, 0], self._group(same[0])

    def _make(self, kind: int) -> Group:
        first = int(self._ends[kind - 1]) if kind else 0
        return Group(self._metric, self._candidates, self._order[first : int(self._ends[kind])].clone())
