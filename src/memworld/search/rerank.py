"""The last word in every search: the literal formula in float64, and the order that it gives.

Whatever found the candidates of an answer, exactly or not, they are measured and ranked here.
"""

import numpy as np
import torch
from torch import Tensor

from memworld.gaussian import Distance, Latents
from memworld.search import Candidates, Matches, Query

_NUMBERS = 1 << 17
"""Latent numbers measured at a time: 1 MB, so that the steps of a formula find them in the cache."""


def measure(distance: Distance, query: Query, candidates: Candidates, asked: Tensor, found: Tensor) -> Matches:
    """Literal distance and penalty of each pair (query `asked[p]`, candidate `found[p]`).

    Args:
        distance: of `gaussian.DISTANCES`.
        query: Q searches.
        candidates: M rows.
        asked: (P,) int64 in 0 to Q - 1.
        found: (P,) int64 in 0 to M - 1.

    Returns:
        `Matches` whose columns are (P,), not yet a table, in main memory.
    """
    rows = candidates.rows.index_select(0, found)
    step = max(1, _NUMBERS // query.latents.dim)
    if len(query) == 1:  # No need to repeat it.
        distances = [distance(query.latents.double(), _Picked(candidates.latents, r)) for r in torch.split(rows, step)]
    else:
        distances = [
            distance(_Picked(query.latents, a), _Picked(candidates.latents, r))
            for a, r in zip(torch.split(asked, step), torch.split(rows, step), strict=True)
        ]
    penalties = torch.zeros(len(asked), dtype=torch.float64)
    if query.conditioning in ("soft", "mixed") and query.actions is not None:
        # Of these pairs alone: the features of all candidates may be large.
        difference = candidates.may_differ(
            query.actions[asked].double() - candidates.actions[found], query.conditioning
        )
        assert difference is not None
        penalties = query.action_weight * (difference**2).sum(1).cpu()
    return Matches(rows.cpu(), (distances[0] if len(distances) == 1 else torch.cat(distances)).cpu(), penalties)


def nearest_of_all(asked: Tensor, matches: Matches, queries: int, k: int) -> Matches:
    """Lay measured pairs out as (queries, k), the least cost first, ties to the lower row.

    Args:
        asked: (P,) int64 the query of each pair.
        matches: (P,) columns.
        queries: number of rows of the table.
        k: number of columns; what is not filled is row -1 at an infinite distance.
    """
    query, rows, distances, penalties = asked.numpy(), *(column.numpy() for column in matches.columns)
    order = np.lexsort((rows, distances + penalties, query))
    query = query[order]
    place = np.arange(len(order)) - np.searchsorted(query, query)
    if len(order) > queries or k < len(order):
        kept = place < k
        order, query, place = order[kept], query[kept], place[kept]
    table = _empty(queries, k)
    for filled, column in zip(table.columns, (rows, distances, penalties), strict=True):
        filled.numpy()[query, place] = column[order]
    return table


def nearest_of_each(asked: Tensor, matches: Matches, queries: int, groups: Tensor, count: int) -> Matches:
    """The best pair of each group, as (queries, count), the least cost first, ties to the lower row.

    Args:
        asked: (P,) int64 the query of each pair.
        matches: (P,) columns.
        queries: number of rows of the table.
        groups: (P,) int64 in 0 to `count` - 1, ascending with the rows.
        count: number of groups; one that has no pair gives row -1 at an infinite distance.
    """
    cell = asked * count + groups
    costs = matches.costs
    least = costs.new_full((queries * count,), torch.inf).scatter_reduce_(0, cell, costs, "amin")
    best = torch.nonzero(costs == least.index_select(0, cell))[:, 0]
    cell, rows = cell.index_select(0, best), matches.rows.index_select(0, best)
    lowest = rows.new_full((queries * count,), torch.iinfo(torch.int64).max).scatter_reduce_(0, cell, rows, "amin")
    first = torch.nonzero(rows == lowest.index_select(0, cell))[:, 0]
    best, cell = best.index_select(0, first), cell.index_select(0, first)
    table = _empty(queries, count)
    for filled, column in zip(table.columns, matches.columns, strict=True):
        filled.view(-1).scatter_(0, cell, column.index_select(0, best))
    order = torch.argsort(table.costs, dim=1, stable=True)
    return Matches(*(column.gather(1, order) for column in table.columns))


def _empty(queries: int, width: int) -> Matches:
    return Matches(
        torch.full((queries, width), -1, dtype=torch.int64),
        torch.full((queries, width), torch.inf, dtype=torch.float64),
        torch.zeros((queries, width), dtype=torch.float64),
    )


class _Picked(Latents):
    """Some of many latents in float64, each part of them taken only when a formula asks for it."""

    def __init__(self, source: Latents, places: Tensor) -> None:
        self.__dict__.update(source=source, places=places)

    def __getattr__(self, name: str) -> Tensor:
        if name not in ("mu", "sigma", "z"):
            raise AttributeError(name)
        return self._part(name)

    def _part(self, name: str) -> Tensor:
        # Several times as fast as indexing.
        values: Tensor = getattr(self.__dict__["source"], name).index_select(0, self.__dict__["places"]).double()
        self.__dict__[name] = values
        return values
