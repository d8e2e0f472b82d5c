"""Exact search: one matrix product in float32, then the literal formula in float64 where it matters.

The product is quick but rounds. Its rounding error has a bound that is known before the search
(`_rounding_bounds`), so every row that could belong to the answer lies within twice that bound of
the product's own k-th best. Exactly those rows are measured again with the literal formula, and
the answer is the literal formula's, ties included.
"""

import torch
from torch import Tensor

from memworld.errors import MemworldError, lookup
from memworld.gaussian import DISTANCES, Latents
from memworld.memory import Rows
from memworld.search import Matches, Query, concatenate
from memworld.search.features import (
    PRODUCT_FORMS,
    QueryWeights,
    squared_difference_features,
    squared_difference_weights,
)

_PRODUCT_CELLS = 1 << 24
"""Query-row pairs in one product: bounds the working memory to a few times 64 MB."""

_RERANK_NUMBERS = 1 << 22
"""Latent numbers measured again at a time: bounds the working memory to a few times 32 MB."""


class ExactIndex:
    """Exact nearest rows under one metric."""

    def __init__(self, metric: str, stored: Latents, rows: Tensor, episodes: Tensor, actions: Tensor) -> None:
        """Precompute the features of all candidates.

        Args:
            metric: a name in `gaussian.DISTANCES`.
            stored: (N, D) latents of the candidate rows.
            rows: (N,) int64, their row numbers in memory, ascending.
            episodes: (N,) int64, their episodes, numbered from 0.
            actions: (N, A) features of their actions (`actions.action_features`).

        Raises:
            MemworldError: unknown metric, no candidates, or latents that are not sound.
        """
        self.metric = metric
        self._distance = lookup(DISTANCES, metric, "metric")
        if len(stored) == 0:
            raise MemworldError("cannot search an empty memory: remember at least one episode first")
        # Distances do not change when everything moves by one vector, and near 0 float32 rounds least.
        stored = stored.check("memory")
        self._stored, self._rows, self._episodes = stored, rows, episodes
        self._actions = actions.double()
        self._kinds, self._kind_of = torch.unique(self._actions, dim=0, return_inverse=True)
        self._centre_mu, self._centre_z = stored.mu.double().mean(0), stored.z.double().mean(0)
        form = PRODUCT_FORMS[metric]
        features = torch.cat([form.features(self._centred(stored)), squared_difference_features(self._actions)], 1)
        self._features = features.float()
        self._largest = features.abs().amax(0)
        if not bool(torch.isfinite(self._features).all()):
            raise MemworldError(
                f"latents are too extreme for {metric} (sigma down to {float(stored.sigma.min()):g}): "
                "train the encoder again or keep its sigmas above 1e-15"
            )

    @classmethod
    def of(cls, rows: Rows, metric: str) -> "ExactIndex":
        """The index of a memory's rows that have a successor."""
        chosen = rows.candidates
        return cls(metric, rows.latents[chosen], chosen, rows.episodes[chosen], rows.actions[chosen])

    def nearest(self, query: Query, k: int) -> Matches:
        """The k nearest rows of all memory; see `Index`.

        Raises:
            MemworldError: k below 1 or above the number of candidates, or a query that does not fit.
        """
        if not 1 <= k <= len(self._rows):
            raise MemworldError(f"k={k} is outside 1 to {len(self._rows)}, the rows of memory with a successor")
        groups = torch.zeros_like(self._episodes)
        return self._search(query, groups, groups=1, per_group=k)

    def nearest_per_episode(self, query: Query) -> Matches:
        """The nearest row of each episode; see `Index`.

        Raises:
            MemworldError: a query that does not fit.
        """
        return self._search(query, self._episodes, groups=int(self._episodes.max()) + 1, per_group=1)

    def _search(self, query: Query, group_of: Tensor, groups: int, per_group: int) -> Matches:
        """The `per_group` nearest rows in each group of rows, sorted over all groups."""
        self._check(query)
        step = max(1, _PRODUCT_CELLS // len(self._rows))
        pieces = [query[start : start + step] for start in range(0, len(query.latents), step)]
        return concatenate([self._search_piece(p, group_of, groups, per_group) for p in pieces])

    def _search_piece(self, query: Query, group_of: Tensor, groups: int, per_group: int) -> Matches:
        weights = self._weights(query)
        bounds = self._rounding_bounds(weights)
        approximate = self._product(weights)
        self._forbid(approximate, query)
        threshold = _best(approximate, group_of, groups, per_group) + 2 * bounds[:, None]
        # Rounded upwards, so that float32 loses no candidate.
        threshold = torch.nextafter(threshold.float(), torch.tensor(torch.inf))
        limit = threshold if groups == 1 else threshold[:, group_of]
        asked, candidates = torch.nonzero((approximate <= limit) & torch.isfinite(approximate), as_tuple=True)
        distances, penalties = self._literal(query, asked, candidates)
        # The literal formula settles the order inside each group, then among the groups' winners.
        winners = _first_of_each(asked * groups + group_of[candidates], distances + penalties, per_group)
        found = Matches(self._rows[candidates[winners]], distances[winners], penalties[winners])
        return _table(asked[winners], found, len(query.latents), groups * per_group)

    def _product(self, weights: QueryWeights) -> Tensor:
        """(Q, N) float32 approximate distances, in float32 throughout.

        Training code around a search may have turned PyTorch's precision down, by autocast or for all
        matrix products; the bound on rounding would not hold then, and rows would be lost in silence.
        """
        with torch.autocast(self._features.device.type, enabled=False):
            if torch.get_float32_matmul_precision() == "highest":
                product = weights.weights.float() @ self._features.T
            else:
                product = (weights.weights @ self._features.T.double()).float()
            return product + weights.constants.float()[:, None]

    def _weights(self, query: Query) -> QueryWeights:
        """The query's side of the product, action columns included."""
        latent = PRODUCT_FORMS[self.metric].weights(self._centred(query.latents))
        if query.conditioning != "soft" or query.actions is None:
            zeros = latent.weights.new_zeros(len(latent.weights), self._actions.shape[1] + 1)
            return QueryWeights(torch.cat([latent.weights, zeros], 1), latent.constants)
        action = squared_difference_weights(query.actions.double(), query.action_weight)
        return QueryWeights(torch.cat([latent.weights, action.weights], 1), latent.constants + action.constants)

    def _literal(self, query: Query, asked: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """Literal distance and penalty in float64 of each pair (query asked[p], row candidates[p]), (P,) each."""
        step = max(1, _RERANK_NUMBERS // query.latents.dim)
        distances = torch.empty(len(asked), dtype=torch.float64)
        penalties = torch.zeros_like(distances)
        for start in range(0, len(asked), step):
            q, c = asked[start : start + step], candidates[start : start + step]
            distances[start : start + step] = self._distance(query.latents[q].double(), self._stored[c].double())
            if query.conditioning == "soft" and query.actions is not None:
                difference = ((query.actions[q].double() - self._actions[c]) ** 2).sum(1)
                penalties[start : start + step] = query.action_weight * difference
        return distances, penalties

    def _forbid(self, approximate: Tensor, query: Query) -> None:
        """Make rows that may not answer infinitely far, in place; approximate is (Q, N)."""
        if query.exclude_episode is not None:
            approximate.masked_fill_(query.exclude_episode[:, None] == self._episodes, torch.inf)
        if query.conditioning == "hard" and query.actions is not None:
            same = (query.actions.double()[:, None] == self._kinds).all(2)
            asked = torch.where(same.any(1), same.int().argmax(1), -1)
            approximate.masked_fill_(asked[:, None] != self._kind_of, torch.inf)

    def _rounding_bounds(self, weights: QueryWeights) -> Tensor:
        """(Q,) float64: how far the float32 product can be from the exact one, for any row.

        The usual bound on a dot product of n terms, n * u * sum |x_i| |y_i| with u = 2^-24, holds
        for every order of summation. The terms added to n are the roundings of both factors to
        float32, of the constant and of the sum with it.
        """
        terms = weights.weights.shape[1] + 6
        magnitude = weights.weights.abs() @ self._largest + weights.constants.abs()
        if not bool((magnitude < torch.finfo(torch.float32).max).all()):
            raise MemworldError(
                f"a query is too extreme for {self.metric}: its sigma is too small or its mean too far away; "
                "encode it with the memory's encoder"
            )
        return terms * 2.0**-24 * magnitude

    def _centred(self, latents: Latents) -> Latents:
        """Latents in float64, moved so that the stored ones centre on 0."""
        exact = latents.double()
        return Latents(exact.mu - self._centre_mu, exact.sigma, exact.z - self._centre_z)

    def _check(self, query: Query) -> None:
        if query.latents.dim != self._stored.dim:
            raise MemworldError(
                f"query has d={query.latents.dim}, memory has d={self._stored.dim}: encode both with one encoder"
            )
        query.latents.check("query")
        if query.conditioning not in ("none", "hard", "soft"):
            raise MemworldError(f"unknown conditioning {query.conditioning!r}: use none, hard or soft")
        if query.conditioning != "none" and query.actions is None:
            raise MemworldError(f"{query.conditioning} conditioning needs the actions asked for")


def _best(approximate: Tensor, group_of: Tensor, groups: int, per_group: int) -> Tensor:
    """(Q, groups) the per_group-th smallest value of each group (one per group, or all in one)."""
    if groups == 1:
        return torch.topk(approximate, per_group, dim=1, largest=False).values[:, -1:].double()
    least = approximate.new_full((len(approximate), groups), torch.inf)
    return least.scatter_reduce_(1, group_of.expand_as(approximate), approximate, "amin").double()


def _first_of_each(groups: Tensor, values: Tensor, count: int) -> Tensor:
    """Positions of the `count` smallest values of each group, in order of group then value.

    Equal values keep their order of position.
    """
    order = torch.argsort(values, stable=True)
    order = order[torch.argsort(groups[order], stable=True)]
    _, sizes = torch.unique_consecutive(groups[order], return_counts=True)
    firsts = torch.cumsum(sizes, 0) - sizes
    place = torch.arange(len(order)) - torch.repeat_interleave(firsts, sizes)
    return order[place < count]


def _table(asked: Tensor, found: Matches, queries: int, width: int) -> Matches:
    """Lay rows that were found, (P,) each, out as (queries, width), the least cost first, ties to the lower row."""
    by_row = torch.argsort(found.rows, stable=True)
    order = by_row[_first_of_each(asked[by_row], found.costs[by_row], width)]
    asked = asked[order]
    _, sizes = torch.unique_consecutive(asked, return_counts=True)
    place = torch.arange(len(asked)) - torch.repeat_interleave(torch.cumsum(sizes, 0) - sizes, sizes)
    table = Matches(
        torch.full((queries, width), -1, dtype=torch.int64),
        torch.full((queries, width), torch.inf, dtype=torch.float64),
        torch.zeros((queries, width), dtype=torch.float64),
    )
    table.rows[asked, place] = found.rows[order]
    table.distances[asked, place] = found.distances[order]
    table.penalties[asked, place] = found.penalties[order]
    return table
