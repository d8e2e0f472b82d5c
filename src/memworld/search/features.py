"""Each distance as an inner product, so that a batch of searches is one matrix product.

For a fixed query, `distance(query, stored) = features(stored) . weights(query)`, but for a constant of
the query, which moves no row past another (METHOD section 3). Both sides are computed in float64; the
product itself may run in less.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from memworld.gaussian import Latents


@dataclass(frozen=True)
class ProductForm:
    """The two sides of one metric's inner product.

    Attributes:
        features: stored latents (N, D) to features (N, F).
        weights: query latents (Q, D) to weights (Q, F).
    """

    features: Callable[[Latents], Tensor]
    weights: Callable[[Latents], Tensor]


def squared_difference_features(vectors: Tensor) -> Tensor:
    """(N, D) to (N, 1 + D): the stored side of |v - w|^2."""
    return torch.cat([(vectors**2).sum(1, keepdim=True), vectors], 1)


def squared_difference_weights(vectors: Tensor) -> Tensor:
    """(Q, D) to (Q, 1 + D): the query's side of |v - w|^2, but for |w|^2."""
    return torch.cat([vectors.new_ones(len(vectors), 1), -2 * vectors], 1)


def _l2_features(stored: Latents) -> Tensor:
    return squared_difference_features(stored.z)


def _l2_weights(query: Latents) -> Tensor:
    return squared_difference_weights(query.z)


def _kl_stored_query_features(stored: Latents) -> Tensor:
    log_sigma = torch.log(stored.sigma).sum(1, keepdim=True)
    return torch.cat([-log_sigma, stored.sigma**2 + stored.mu**2, stored.mu], 1)


def _kl_stored_query_weights(query: Latents) -> Tensor:
    precision = query.sigma**-2
    return torch.cat([precision.new_ones(len(query), 1), precision / 2, -query.mu * precision], 1)


def _kl_query_stored_features(stored: Latents) -> Tensor:
    precision = 1 / stored.sigma**2
    first = (torch.log(stored.sigma) + stored.mu**2 * precision / 2).sum(1, keepdim=True)
    return torch.cat([first, precision / 2, -stored.mu * precision], 1)


def _kl_query_stored_weights(query: Latents) -> Tensor:
    return torch.cat([query.mu.new_ones(len(query), 1), query.sigma**2 + query.mu**2, query.mu], 1)


PRODUCT_FORMS: dict[str, ProductForm] = {
    "l2": ProductForm(_l2_features, _l2_weights),
    "kl_stored_query": ProductForm(_kl_stored_query_features, _kl_stored_query_weights),
    "kl_query_stored": ProductForm(_kl_query_stored_features, _kl_query_stored_weights),
}
"""The product form of every metric in `gaussian.DISTANCES`."""
