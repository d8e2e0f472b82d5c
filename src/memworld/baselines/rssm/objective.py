"""The terms of PlaNet's loss, in nats per moment."""

import torch
from torch import Tensor, nn

from memworld.baselines.rssm.cell import RSSM, Beliefs, State, clear
from memworld.baselines.rssm.config import RSSMConfig
from memworld.gaussian import Latents, at_mean, draw, kl


def mean_of(values: Tensor) -> Tensor:
    """Their mean; 0 where there are none, as rewards of sequences of one moment."""
    return values.sum() / max(values.numel(), 1)


def distortion(predicted: Tensor, observed: Tensor, config: RSSMConfig) -> Tensor:
    """Negative log-likelihood of observations under Gaussians around their prediction, up to a constant.

    With the optimal standard deviation, the root of the mean squared error, it is D/2 log(mse).

    Args:
        predicted: (N, ...) means.
        observed: (N, ...) in the same units.
        config: which standard deviation the Gaussians have.

    Returns:
        A scalar, in nats per observation.
    """
    size, error = observed[0].numel(), nn.functional.mse_loss(predicted.float(), observed)
    return 0.5 * size * (torch.log(error + 1e-8) if config.observation_sigma == "optimal" else error)


def divergence(posterior: Latents, prior: Latents, free_nats: float) -> tuple[Tensor, Tensor]:
    """KL(posterior || prior) as it is descended and as it is, each the mean over N moments.

    Args:
        posterior: (N, S).
        prior: (N, S).
        free_nats: what each moment may diverge by at no cost.
    """
    nats = kl(posterior, prior)
    return mean_of(nats.clamp(min=free_nats)), mean_of(nats)


def overshooting(cell: RSSM, beliefs: Beliefs, actions: Tensor, known: Tensor, generator: torch.Generator) -> Tensor:
    """The divergence of posteriors from priors that looked 2 to `overshooting` steps ahead (PlaNet equation 7).

    The mean over all distances and starts, as PlaNet's code takes it, beside the full weight of
    distance 1; the paper's formula divides the sum of all distances by their number. The
    posteriors' gradient is stopped, so that the far priors are drawn to them and not they to these.

    Args:
        cell: the dynamics.
        beliefs: of B sequences of M moments.
        actions: (B, M - 1, F).
        known: bool (B, M), in one piece.
        generator: of the samples, on the CPU.

    Returns:
        A scalar, in nats per moment; 0 where the sequences are too short.
    """
    target = Latents(*(part.detach() for part in (beliefs.posterior.mu, beliefs.posterior.sigma, beliefs.posterior.z)))
    pushed = cell.from_action(clear(actions, known[:, :-1] & known[:, 1:]))
    # One step ahead of each moment but the last: the recurrence is that of the beliefs, the sample the prior's.
    deterministic = beliefs.deterministic[:, 1:]
    sample = draw(beliefs.prior.mu[:, 1:], beliefs.prior.sigma[:, 1:], generator).z
    nats = []
    for distance in range(2, min(cell.config.overshooting, known.shape[1] - 1) + 1):
        state = State(deterministic[:, :-1].flatten(0, 1), sample[:, :-1].flatten(0, 1))
        ahead = cell.advance(state, pushed[:, distance - 1 :].flatten(0, 1))
        deterministic = ahead.reshape(len(known), known.shape[1] - distance, -1)
        mu, sigma = cell.prior(deterministic)
        sample = draw(mu, sigma, generator).z
        counts = known[:, :-distance] & known[:, distance:]
        reached = kl(target[:, distance:][counts], at_mean(mu, sigma)[counts])
        nats.append(reached.clamp(min=cell.config.free_nats))
    return mean_of(torch.cat(nats)) if nats else beliefs.deterministic.new_zeros(())
