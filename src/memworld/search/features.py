"""Each distance as an inner product, so that a batch of searches is one matrix product.

For a fixed query, `distance(query, stored) = features(stored) . weights(query) + constant(query)`
(METHOD section 3). Both sides are computed in float64; the product itself may run in less.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from memworld.gaussian import Latents


@dataclass(frozen=True, eq=False)
class QueryWeights:
    """One side of the product: weights (Q, F) and constants (Q,), float64."""

    weights: Tensor
    constants: Tensor


@dataclass(frozen=True)
class ProductForm:
    """The two sides of one metric's inner product.

    Attributes:
        features: stored latents (N, D) to features (N, F).
        weights: query latents (Q, D) to `QueryWeights` (Q, F).
    """

    features: Callable[[Latents], Tensor]
    weights: Callable[[Latents], QueryWeights]


def squared_difference_features(vectors: Tensor) -> Tensor:
    """(N, D) to (N, 1 + D): the stored side of |v - w|^2."""
    return torch.cat([(vectors**2).sum(1, keepdim=True), vectors], 1)


def squared_difference_weights(vectors: Tensor, factor: float = 1.0) -> QueryWeights:
    """(Q, D) to the query's side of factor * |v - w|^2."""
    ones = torch.ones(len(vectors), 1, dtype=vectors.dtype, device=vectors.device)
    return QueryWeights(factor * torch.cat([ones, -2 * vectors], 1), factor * (vectors**2).sum(1))


def _l2_features(stored: Latents) -> Tensor:
    return squared_difference_features(stored.z)


def _l2_weights(query: Latents) -> QueryWeights:
    return squared_difference_weights(query.z)


def _kl_stored_query_features(stored: Latents) -> Tensor:
    log_sigma = torch.log(stored.sigma).sum(1, keepdim=True)
    return torch.cat([-log_sigma, stored.sigma**2 + stored.mu**2, stored.mu], 1)


def _kl_stored_query_weights(query: Latents) -> QueryWeights:
    precision = 1 / query.sigma**2
    ones = torch.ones(len(query), 1, dtype=precision.dtype, device=precision.device)
    constants = (torch.log(query.sigma) + query.mu**2 * precision / 2 - 0.5).sum(1)
    return QueryWeights(torch.cat([ones, precision / 2, -query.mu * precision], 1), constants)


def _kl_query_stored_features(stored: Latents) -> Tensor:
    precision = 1 / stored.sigma**2
    first = (torch.log(stored.sigma) + stored.mu**2 * precision / 2).sum(1, keepdim=True)
    return torch.cat([first, precision / 2, -stored.mu * precision], 1)


def _kl_query_stored_weights(query: Latents) -> QueryWeights:
    ones = torch.ones(len(query), 1, dtype=query.mu.dtype, device=query.mu.device)
    constants = -(torch.log(query.sigma) + 0.5).sum(1)
    return QueryWeights(torch.cat([ones, query.sigma**2 + query.mu**2, query.mu], 1), constants)


PRODUCT_FORMS: dict[str, ProductForm] = {
    "l2": ProductForm(_l2_features, _l2_weights),
    "kl_stored_query": ProductForm(_kl_stored_query_features, _kl_stored_query_weights),
    "kl_query_stored": ProductForm(_kl_query_stored_features, _kl_query_stored_weights),
}
"""The product form of every metric in `gaussian.DISTANCES`."""
