"""A quick word before the last one: float32 distances by which most candidates are left out.

They come in difference form, which unlike a product does not cancel: two near rows stay told apart.
"""

import torch
from torch import Tensor

from memworld.search import Candidates, Query

_NUMBERS = 1 << 17
"""Latent numbers measured at a time: half a megabyte, so that each step finds them in the cache."""


class Rough:
    """Float32 costs of pairs under one metric, but for a constant of the query."""

    def __init__(self, metric: str, candidates: Candidates) -> None:
        """Precompute the sums of log sigma of all candidates, for KL."""
        self._metric = metric
        self._candidates = candidates
        self._log_sigma = torch.empty(0)
        if metric != "l2":
            chunks = torch.split(candidates.rows, _NUMBERS)
            sigma = candidates.latents.sigma
            sums = [torch.log(sigma.index_select(0, rows).double()).sum(1).float() for rows in chunks]
            self._log_sigma = torch.cat(sums)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._log_sigma.nbytes

    def costs(self, query: Query, asked: Tensor, found: Tensor) -> Tensor:
        """Cost of each pair (query `asked[p]`, candidate `found[p]`), (P,) float32, NaN if too large; see `measure`."""
        step = max(1, _NUMBERS // query.latents.dim)
        wide = _Query(self._metric, query)
        pieces = zip(torch.split(asked, step), torch.split(found, step), strict=True)
        costs = torch.cat([self._some(wide, query, a, f) for a, f in pieces])
        return costs.masked_fill_(torch.isinf(costs), torch.nan)

    def _some(self, wide: "_Query", query: Query, asked: Tensor, found: Tensor) -> Tensor:
        rows = self._candidates.rows.index_select(0, found)
        latents = self._candidates.latents
        if self._metric == "l2":
            costs = (latents.z.index_select(0, rows).float() - wide.position.index_select(0, asked)).square_().sum(1)
        else:
            squares = latents.mu.index_select(0, rows).float() - wide.position.index_select(0, asked)
            squares.square_()
            sigma = latents.sigma.index_select(0, rows).float()
            log_sigma = self._log_sigma.index_select(0, found)
            if self._metric == "kl_stored_query":
                costs = squares.addcmul_(sigma, sigma).mul_(wide.precision.index_select(0, asked)).sum(1) - log_sigma
            else:
                squares.add_(wide.variance.index_select(0, asked)).div_(sigma.square_())
                costs = squares.sum(1) / 2 + log_sigma
        if query.conditioning in ("soft", "mixed") and query.actions is not None:
            between = query.actions[asked].double() - self._candidates.actions[found]
            difference = self._candidates.may_differ(between, query.conditioning)
            assert difference is not None
            costs += (query.action_weight * (difference**2).sum(1)).float()
        return costs


class _Query:
    """The parts of a query that the formulas take, in float32, each worked out once."""

    def __init__(self, metric: str, query: Query) -> None:
        self.position = (query.latents.z if metric == "l2" else query.latents.mu).float()
        variance = query.latents.sigma.double() ** 2
        self.variance, self.precision = variance.float(), (0.5 / variance).float()


def least(costs: Tensor, count: int) -> Tensor:
    """The places of the `count` least costs along the last axis, unordered; all, if float32 could not hold them.

    Args:
        costs: (..., C) float32, infinite where there is no row.
        count: how many.
    """
    if count >= costs.shape[-1] or bool(torch.isnan(costs).any()):
        return torch.arange(costs.shape[-1]).expand_as(costs)
    return costs.topk(count, dim=-1, largest=False, sorted=False).indices
