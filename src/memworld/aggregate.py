"""From retrieved rows to a predicted Gaussian and its sample (METHOD section 2).

Every rule turns the successors of Q x K rows into one Gaussian per query, and says with which
weights, so that reward, termination and provenance are read with the same ones.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from memworld.gaussian import SIGMA_FLOOR, Latents, at_mean, draw


@dataclass(frozen=True, eq=False)
class Successors:
    """What followed the retrieved rows.

    Attributes:
        latents: (Q, K, D) the rows' successors, or the current latent plus the rows' changes.
        costs: (Q, K) float64 by which the rows were ranked: distance and penalty.
        found: (Q, K) bool, at least one true per query; the others are to be ignored.
    """

    latents: Latents
    costs: Tensor
    found: Tensor


@dataclass(frozen=True, eq=False)
class Estimate:
    """A predicted Gaussian with its sample (Q, D), and the weights (Q, K) of the rows behind it."""

    latents: Latents
    weights: Tensor


def gaussian(successors: Successors, generator: torch.Generator) -> Estimate:
    """The paper's rule for Rollout and Replay-L2: mean and standard deviation of the z, then one sample.

    Where a single row was found there is no spread, and its own Gaussian stands in: its z is a sample
    already, and another one around it would have twice the variance.
    """
    weights = _uniform(successors.found)
    centre = _average(weights, successors.latents.z)
    count = successors.found.sum(1, keepdim=True)
    squares = _average(weights, (successors.latents.z - centre[:, None]) ** 2)
    spread = torch.sqrt(squares * count / (count - 1).clamp(min=1))
    several = count > 1
    mu = torch.where(several, centre, _average(weights, successors.latents.mu))
    sigma = torch.where(several, spread, _average(weights, successors.latents.sigma))
    return Estimate(draw(mu, sigma.clamp(min=SIGMA_FLOOR), generator), weights)


def sample(successors: Successors, generator: torch.Generator) -> Estimate:
    """The paper's rule for Replay-KL: a sample of the successor's own N(mu, sigma); of several, one at random."""
    picked = torch.multinomial(successors.found.double(), 1, generator=generator)[:, 0]
    latents, weights = _only(successors, picked)
    return Estimate(draw(latents.mu, latents.sigma, generator), weights)


def mean(successors: Successors, generator: torch.Generator) -> Estimate:
    """Mean and spread of the successors' posteriors taken as one mixture; z is the mean."""
    return _mixture(successors, _uniform(successors.found))


def weighted(successors: Successors, generator: torch.Generator) -> Estimate:
    """As `mean`, with weights that fall exponentially with distance, on the scale of the query's own distances."""
    costs = successors.costs.masked_fill(~successors.found, torch.inf)
    beyond = costs - costs.amin(1, keepdim=True)
    scale = beyond.masked_fill(~successors.found, 0).sum(1, keepdim=True) / successors.found.sum(1, keepdim=True)
    weights = torch.softmax(-beyond / scale.clamp(min=1e-12), 1)
    return _mixture(successors, weights.to(successors.latents.mu.dtype))


def nearest(successors: Successors, generator: torch.Generator) -> Estimate:
    """The nearest row's successor; z is its mean."""
    costs = successors.costs.masked_fill(~successors.found, torch.inf)
    latents, weights = _only(successors, costs.argmin(1))
    return Estimate(at_mean(latents.mu, latents.sigma), weights)


def medoid(successors: Successors, generator: torch.Generator) -> Estimate:
    """The successor whose mean is closest to all others'; z is its mean."""
    between = torch.cdist(successors.latents.mu.double(), successors.latents.mu.double())
    total = (between * successors.found[:, None]).sum(2).masked_fill(~successors.found, torch.inf)
    latents, weights = _only(successors, total.argmin(1))
    return Estimate(at_mean(latents.mu, latents.sigma), weights)


Rule = Callable[[Successors, torch.Generator], Estimate]

RULES: dict[str, Rule] = {
    "gaussian": gaussian,
    "sample": sample,
    "mean": mean,
    "weighted": weighted,
    "nearest": nearest,
    "medoid": medoid,
}
"""The rules by name."""


def as_changes(successors: Successors, before: Latents, current: Latents) -> Successors:
    """Successors moved to where the current latent would be after each row's change (the rule `delta`).

    Args:
        successors: (Q, K, D) the rows' own successors.
        before: (Q, K, D) the rows themselves.
        current: (Q, D) where the prediction starts.
    """
    change = successors.latents.mu - before.mu
    moved = Latents(current.mu[:, None] + change, successors.latents.sigma, current.z[:, None] + change)
    return replace(successors, latents=moved)


def _uniform(found: Tensor) -> Tensor:
    """(Q, K) equal weights over the rows found."""
    weights = found.float()
    return weights / weights.sum(1, keepdim=True)


def _average(weights: Tensor, values: Tensor) -> Tensor:
    """(Q, K) weights and (Q, K, D) values to (Q, D)."""
    return (weights[..., None] * values).sum(1)


def _only(successors: Successors, picked: Tensor) -> tuple[Latents, Tensor]:
    """The picked (Q,) successor of each query, and one-hot weights."""
    rows = torch.arange(len(picked))
    weights = torch.zeros_like(successors.found, dtype=successors.latents.mu.dtype)
    weights[rows, picked] = 1
    return successors.latents[rows, picked], weights


def _mixture(successors: Successors, weights: Tensor) -> Estimate:
    """The Gaussian with the mean and the variance of the weighted mixture of posteriors."""
    latents = successors.latents
    mu = _average(weights, latents.mu)
    variance = _average(weights, latents.sigma**2 + (latents.mu - mu[:, None]) ** 2)
    return Estimate(at_mean(mu, variance.sqrt().clamp(min=SIGMA_FLOOR)), weights)
