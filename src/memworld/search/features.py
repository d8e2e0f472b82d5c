"""Each distance as an inner product, so that a batch of searches is one matrix product.

For a fixed query, `distance(query, stored) = features(stored) . weights(query)`, but for a constant of
the query, which moves no row past another (METHOD section 3). Both sides are computed in float64; the
product itself may run in less.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from memworld.gaussian import Latents


class Side(Protocol):
    """One side of an inner product."""

    def __call__(self, latents: Latents, counts: Tensor | None = None, /) -> Tensor:
        """(N, D) to (N, F), where the terms of each latent count (D,) times, or once."""
        ...


@dataclass(frozen=True)
class ProductForm:
    """The two sides of one metric's inner product.

    Attributes:
        features: stored latents (N, D) to features (N, F).
        weights: query latents (Q, D) to weights (Q, F).
    """

    features: Side
    weights: Side


def squared_difference_features(vectors: Tensor, counts: Tensor | None = None) -> Tensor:
    """(N, D) to (N, 1 + D): the stored side of |v - w|^2, each of whose terms counts (D,) times."""
    return torch.cat([_sum(vectors**2, counts), vectors], 1)


def squared_difference_weights(vectors: Tensor, counts: Tensor | None = None) -> Tensor:
    """(Q, D) to (Q, 1 + D): the query's side of |v - w|^2, but for |w|^2."""
    return torch.cat([vectors.new_ones(len(vectors), 1), _times(-2 * vectors, counts)], 1)


def _l2_features(stored: Latents, counts: Tensor | None = None) -> Tensor:
    return squared_difference_features(stored.z, counts)


def _l2_weights(query: Latents, counts: Tensor | None = None) -> Tensor:
    return squared_difference_weights(query.z, counts)


def _kl_stored_query_features(stored: Latents, counts: Tensor | None = None) -> Tensor:
    log_sigma = _sum(torch.log(stored.sigma), counts)
    return torch.cat([-log_sigma, stored.sigma**2 + stored.mu**2, stored.mu], 1)


def _kl_stored_query_weights(query: Latents, counts: Tensor | None = None) -> Tensor:
    precision = _times(query.sigma**-2, counts)
    return torch.cat([precision.new_ones(len(query), 1), precision / 2, -query.mu * precision], 1)


def _kl_query_stored_features(stored: Latents, counts: Tensor | None = None) -> Tensor:
    precision = 1 / stored.sigma**2
    first = _sum(torch.log(stored.sigma) + stored.mu**2 * precision / 2, counts)
    return torch.cat([first, precision / 2, -stored.mu * precision], 1)


def _kl_query_stored_weights(query: Latents, counts: Tensor | None = None) -> Tensor:
    squares, means = _times(query.sigma**2 + query.mu**2, counts), _times(query.mu, counts)
    return torch.cat([query.mu.new_ones(len(query), 1), squares, means], 1)


def _times(terms: Tensor, counts: Tensor | None) -> Tensor:
    return terms if counts is None else terms * counts


def _sum(terms: Tensor, counts: Tensor | None) -> Tensor:
    """(N, D) to (N, 1)."""
    return _times(terms, counts).sum(1, keepdim=True)


PRODUCT_FORMS: dict[str, ProductForm] = {
    "l2": ProductForm(_l2_features, _l2_weights),
    "kl_stored_query": ProductForm(_kl_stored_query_features, _kl_stored_query_weights),
    "kl_query_stored": ProductForm(_kl_query_stored_features, _kl_query_stored_weights),
}
"""The product form of every metric in `gaussian.DISTANCES`."""
