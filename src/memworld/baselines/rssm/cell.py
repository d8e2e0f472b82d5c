"""The dynamics of PlaNet's recurrent state-space model: a deterministic and a sampled path (PlaNet section 3)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from memworld.baselines.rssm.config import RSSMConfig
from memworld.gaussian import Latents


@dataclass(frozen=True, eq=False)
class State:
    """Where B sequences are.

    Attributes:
        deterministic: float32 (..., H) the recurrent part.
        stochastic: float32 (..., S) the sample of the other part.
    """

    deterministic: Tensor
    stochastic: Tensor

    @property
    def features(self) -> Tensor:
        """(..., H + S), what the heads look at."""
        return torch.cat([self.deterministic, self.stochastic], -1)

    def repeated(self, times: int) -> "State":
        """(B * times, ...): each sequence `times` times in a row."""
        return State(self.deterministic.repeat_interleave(times, 0), self.stochastic.repeat_interleave(times, 0))


@dataclass(frozen=True, eq=False)
class Beliefs:
    """What is believed of B sequences of M moments; at moments that are not known it means nothing.

    Attributes:
        deterministic: (B, M, H) the recurrent part.
        prior: (B, M, S) of the sampled part, before the moment's observation; z is the mean.
        posterior: (B, M, S) after it; z is the sample with which the sequence went on.
    """

    deterministic: Tensor
    prior: Latents
    posterior: Latents

    @property
    def states(self) -> State:
        """(B, M, ...) the states after each observation."""
        return State(self.deterministic, self.posterior.z)


class RSSM(nn.Module):
    """h_t = GRU(relu(W [s_t-1, a_t-1]), h_t-1), prior p(s_t | h_t), posterior q(s_t | h_t, e_t).

    A layer on two inputs side by side is written as the sum of a layer on each, so that the parts
    that do not wait for the recurrence (actions and observations) are computed for all moments at once.
    """

    def __init__(self, config: RSSMConfig, embedding: int, action_features: int) -> None:
        """Build the layers.

        Args:
            config: sizes.
            embedding: E, the size of an embedded observation.
            action_features: F, the size of an action.
        """
        super().__init__()
        self.config = config
        self.from_state = nn.Linear(config.stochastic, config.hidden)
        # Without a bias: no action, as before the first moment, is an action of zeros and adds nothing.
        self.from_action = nn.Linear(action_features, config.hidden, bias=False)
        self.recurrence = nn.GRUCell(config.hidden, config.deterministic)
        self.to_prior = nn.Sequential(
            nn.Linear(config.deterministic, config.hidden), nn.ReLU(), nn.Linear(config.hidden, 2 * config.stochastic)
        )
        self.from_deterministic = nn.Linear(config.deterministic, config.hidden)
        self.from_embedding = nn.Linear(embedding, config.hidden, bias=False)
        self.to_posterior = nn.Linear(config.hidden, 2 * config.stochastic)

    def start(self, count: int) -> State:
        """The state before anything is seen: zeros."""
        zeros = self.from_state.weight.new_zeros
        return State(zeros(count, self.config.deterministic), zeros(count, self.config.stochastic))

    def gaussian(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and standard deviation, (..., S) float32 each, that (..., 2 S) numbers stand for."""
        mu, spread = raw.float().chunk(2, -1)
        return mu, nn.functional.softplus(spread) + self.config.min_std

    def prior(self, deterministic: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the sampled part, (..., S) each, of (..., H) recurrent ones."""
        return self.gaussian(self.to_prior(deterministic))

    def advance(self, state: State, pushed: Tensor) -> Tensor:
        """The next recurrent part, (N, H), of (N, ...) states and (N, hidden) actions that `from_action` took in."""
        hidden = nn.functional.relu(self.from_state(state.stochastic) + pushed)
        # In bfloat16 small changes would be rounded away step after step.
        return torch.as_tensor(self.recurrence(hidden, state.deterministic)).float()

    def believe(self, embedded: Tensor, actions: Tensor, known: Tensor, generator: torch.Generator) -> Beliefs:
        """Go through sequences with posteriors, from the zero state before the first known moment.

        Args:
            embedded: (B, M, E) embedded observations.
            actions: (B, M - 1, F); those that do not lead from a known moment to a known one are not looked at.
            known: bool (B, M), in one piece.
            generator: of the samples, on the CPU.
        """
        count, moments = known.shape
        noise = _noise((moments, count, self.config.stochastic), embedded.device, generator)
        between = known[:, :-1] & known[:, 1:]
        pushed = nn.functional.pad(self.from_action(clear(actions, between)), (0, 0, 1, 0))
        evidence = self.from_embedding(clear(embedded, known))
        state = self.start(count)
        parts: list[tuple[Tensor, ...]] = []
        # Unbound at once: slices taken one at a time would each give a gradient of the full size.
        for push, seen, here, drawn in zip(
            pushed.unbind(1), evidence.unbind(1), known.unbind(1), noise.unbind(0), strict=True
        ):
            deterministic = self.advance(state, push)
            hidden = nn.functional.relu(self.from_deterministic(deterministic) + seen)
            mu, sigma = self.gaussian(self.to_posterior(hidden))
            sample = mu + sigma * drawn
            parts.append((deterministic, mu, sigma, sample))
            keep = here[:, None]
            state = State(
                torch.where(keep, deterministic, state.deterministic), torch.where(keep, sample, state.stochastic)
            )
        deterministic, mu, sigma, sample = (torch.stack(part, 1) for part in zip(*parts, strict=True))
        prior_mu, prior_sigma = self.prior(deterministic)
        return Beliefs(deterministic, Latents(prior_mu, prior_sigma, prior_mu), Latents(mu, sigma, sample))

    def foresee(self, state: State, actions: Tensor, generator: torch.Generator | None) -> State:
        """Go on from (N, ...) states with the prior alone.

        Args:
            state: where to start.
            actions: (N, T, F).
            generator: of the samples, on the CPU; None goes on with the prior's means.

        Returns:
            The (N, T, ...) states after each action.
        """
        shape = (actions.shape[1], len(actions), self.config.stochastic)
        noise = torch.zeros(shape) if generator is None else torch.randn(shape, generator=generator)
        states = []
        for push, drawn in zip(self.from_action(actions).unbind(1), noise.to(actions.device), strict=True):
            deterministic = self.advance(state, push)
            mu, sigma = self.prior(deterministic)
            state = State(deterministic, mu + sigma * drawn)
            states.append(state)
        return State(torch.stack([s.deterministic for s in states], 1), torch.stack([s.stochastic for s in states], 1))


def clear(values: Tensor, known: Tensor) -> Tensor:
    """(..., D) values with zeros where they are not `known` (...)."""
    return torch.where(known[..., None], values, 0.0)


def _noise(shape: tuple[int, ...], device: torch.device, generator: torch.Generator) -> Tensor:
    """Standard normal numbers, the same on every device."""
    return torch.randn(shape, generator=generator).to(device)
