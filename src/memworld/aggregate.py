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
        differences: (Q, K, F) float32 what the rows differ in from what was asked: less the current latent,
            of a context all its moments, and of actions that are vectors the action; or None where a rule
            was not to be told.
    """

    latents: Latents
    costs: Tensor
    found: Tensor
    differences: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Estimate:
    """A predicted Gaussian with its sample (Q, D), and the weights (Q, K) of the rows behind it."""

    latents: Latents
    weights: Tensor


RIDGE = 0.3
"""Penalty of `local_linear`, in units of the mean variance of the directions in which its rows differ."""


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
    return _mixture(successors, _kernel(successors))


def local_linear(successors: Successors, generator: torch.Generator) -> Estimate:
    """A ridge regression of the successors on what their rows differ in, read where nothing differs; z is its mean.

    Weighted as `weighted`, with a penalty in units of the differences' own spread, so that few rows, or
    rows that are all alike, give their weighted mean. The spread is that of the errors that the rows make when each
    is predicted from the others, in closed form: for ridge regression e_i / (1 - h_i).
    """
    assert successors.differences is not None
    weights = _kernel(successors)
    roots = weights.double().sqrt()[..., None]
    inputs, outputs = successors.differences.double(), successors.latents.mu.double()
    middle = (weights.double()[..., None] * inputs).sum(1, keepdim=True)
    centre = (weights.double()[..., None] * outputs).sum(1, keepdim=True)
    # What rounding leaves between rows that are alike is no difference.
    rounding = 1e-8 * (roots * inputs).square().sum((1, 2))[:, None, None] + 1e-12
    inputs, outputs = roots * (inputs - middle), roots * (outputs - centre)
    # As many unknowns as there are rows, however many the differences are.
    gram = inputs @ inputs.transpose(1, 2)
    rank = min(inputs.shape[1:])
    penalty = RIDGE * gram.diagonal(dim1=1, dim2=2).sum(1)[:, None, None] / rank + rounding
    eye = torch.eye(gram.shape[1], dtype=gram.dtype)
    # By Cholesky, as the matrix is positive definite. In batches MKL's LU fails once the number of threads is set.
    factor = torch.linalg.cholesky(gram + penalty * eye)
    dual = torch.cholesky_solve(outputs, factor)
    mu = centre[:, 0] - (middle @ inputs.transpose(1, 2) @ dual)[:, 0]
    # What is left of a row's output is penalty times dual. Its own share in what is said of it is its weight
    # in the mean and its leverage in the regression, which is 1 less penalty times the inverse's diagonal.
    inverse = torch.cholesky_inverse(factor).diagonal(dim1=1, dim2=2)[..., None]
    errors = penalty * dual / (penalty * inverse - roots**2).clamp(min=0.01)
    own = (weights[..., None] * successors.latents.sigma**2).sum(1)
    sigma = (errors.square().sum(1).float() + own).sqrt().clamp(min=SIGMA_FLOOR)
    return Estimate(at_mean(mu.float(), sigma), weights)


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
    "local_linear": local_linear,
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


def _kernel(successors: Successors) -> Tensor:
    """(Q, K) weights that fall exponentially with distance, on the scale of the query's own distances."""
    costs = successors.costs.masked_fill(~successors.found, torch.inf)
    beyond = costs - costs.amin(1, keepdim=True)
    scale = beyond.masked_fill(~successors.found, 0).sum(1, keepdim=True) / successors.found.sum(1, keepdim=True)
    return torch.softmax(-beyond / scale.clamp(min=1e-12), 1).to(successors.latents.mu.dtype)


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
