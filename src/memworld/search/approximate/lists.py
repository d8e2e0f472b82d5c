"""Searching the lists of cells: as many of them as asked, and more where they hold too few rows."""

from dataclasses import dataclass

import torch
from torch import Tensor

from memworld.search import Query
from memworld.search.approximate.codes import Codes
from memworld.search.approximate.groups import Group


@dataclass(frozen=True)
class Effort:
    """What a search spends.

    Attributes:
        probes: cells looked into.
        candidates: rows taken from them to be measured.
    """

    probes: int
    candidates: int

    def times(self, probes: float = 1.0, candidates: float = 1.0) -> "Effort":
        """So many times as much, rounded up."""
        return Effort(int(-(-self.probes * probes // 1)), int(-(-self.candidates * candidates // 1)))


@dataclass(frozen=True, eq=False)
class Lists:
    """Candidates by code from a group, without the episodes that queries shut out.

    Attributes:
        codes: of all candidates.
        group: those that may answer.
        least: answers that each query must get, if there are so many.
    """

    codes: Codes
    group: Group
    least: int = 0

    def __call__(self, query: Query, effort: Effort) -> Tensor:
        """(Q, C) int64, the best first, -1 where there are few."""
        if query.exclude_episode is None:
            return self._search(query, effort, -1)
        found = torch.empty(len(query), effort.candidates, dtype=torch.int64)
        for episode in torch.unique(query.exclude_episode).tolist():
            own = torch.nonzero(query.exclude_episode == episode)[:, 0]
            found[own] = self._search(query[own], effort, episode)
        return found

    def _search(self, query: Query, effort: Effort, shut_out: int) -> Tensor:
        selector, admitted = self.group.selector(shut_out)
        probes = effort.probes
        found = self.codes.search(query.latents, probes, effort.candidates, selector)
        while probes < self.codes.cells:
            short = (found >= 0).sum(1) < min(self.least, admitted)
            if not bool(short.any()):
                break
            probes = min(4 * probes, self.codes.cells)
            found[short] = self.codes.search(query.latents[short], probes, effort.candidates, selector)
        return found
