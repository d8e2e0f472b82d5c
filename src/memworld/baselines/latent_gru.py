"""The yardstick that matters: a small recurrent network in the memory's own latents, trained open-loop.

It predicts changes: each step adds to the latent what the hidden state says. It reads a few moments,
then feeds on its own predictions, in training as in imagination, over a horizon that grows while it
learns. It has no stochastic state; the spread of its predictions is learned beside their mean.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from memworld.baselines.network import Batch, Futures
from memworld.errors import MemworldError
from memworld.gaussian import SIGMA_FLOOR, at_mean


@dataclass(frozen=True)
class LatentGRUConfig:
    """The shape of the network, and how far it is trained to see.

    Attributes:
        hidden: size of its memory.
        context: moments that it reads before it predicts on its own; some sequences start with fewer,
            as an episode does.
        horizon: steps that it predicts on its own at the end of training.
        warm_up: share of the training in which that horizon grows from 1.
    """

    hidden: int = 256
    context: int = 4
    horizon: int = 20
    warm_up: float = 0.5

    def __post_init__(self) -> None:
        for name in ("hidden", "context", "horizon"):
            if getattr(self, name) < 1:
                raise MemworldError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.warm_up <= 1:
            raise MemworldError(f"warm_up must be above 0 and at most 1, got {self.warm_up}")

    @property
    def length(self) -> int:
        """Steps of the sequences that it is trained on."""
        return self.context - 1 + self.horizon


@dataclass(frozen=True, eq=False)
class _State:
    """What the network goes on from: the latest mean (B, D) and its memory (B, H)."""

    mu: Tensor
    hidden: Tensor


@dataclass(frozen=True, eq=False)
class _Step:
    """One predicted step: mean and sigma (B, D); reward in units of `reward_std`, logit of termination (B,)."""

    mu: Tensor
    sigma: Tensor
    reward: Tensor
    termination: Tensor


class LatentGRU(nn.Module):
    """A GRU over latents and actions; a `Network`."""

    sees_pixels = False
    reward_std: Tensor

    def __init__(self, latent_dim: int, action_features: int, config: LatentGRUConfig, reward_std: float = 1.0) -> None:
        """Build the layers.

        Args:
            latent_dim: D, numbers in a latent, of a grid all its cells.
            action_features: F, numbers in an action's features.
            config: its shape.
            reward_std: standard deviation of the training data's rewards, the unit in which they are learned.
        """
        super().__init__()
        self.config = config
        hidden = config.hidden
        self.enter = nn.Sequential(nn.Linear(latent_dim + action_features, hidden), nn.SiLU())
        self.cell = nn.GRUCell(hidden, hidden)
        self.leave = nn.Sequential(nn.Linear(hidden, hidden), nn.SiLU())
        self.change = nn.Linear(hidden, latent_dim)
        self.spread = nn.Linear(hidden, latent_dim)
        self.outcome = nn.Linear(hidden, 2)
        self.register_buffer("reward_std", torch.tensor(float(reward_std)))
        # At first nothing is predicted to change: training starts from persistence.
        nn.init.zeros_(self.change.weight)
        nn.init.zeros_(self.change.bias)

    def losses(self, batch: Batch, progress: float, generator: torch.Generator) -> dict[str, Tensor]:
        """Mean squared error of the means, KL for the spread, and errors of reward and termination."""
        assert batch.sigma is not None
        config = self.config
        # Most read the whole context; the others have as little as a future at an episode's beginning.
        full = torch.rand(len(batch.known), generator=generator) < 0.75
        some = torch.randint(1, config.context + 1, (len(batch.known),), generator=generator)
        read = torch.where(full, config.context, some).to(batch.known.device)
        horizon = max(1, round(config.horizon * min(1.0, progress / config.warm_up)))
        length = min(config.context - 1 + horizon, batch.actions.shape[1])
        state = self._blank(batch.observations[:, 0])
        steps = []
        # A sample of the posterior rather than its mean: the network learns what is certain in a latent.
        noise = torch.randn(batch.observations.shape, generator=generator).to(batch.observations.device)
        seen = batch.observations + batch.sigma * noise
        for step in range(length):
            told = (step < read)[:, None]
            mu = torch.where(told, seen[:, step], state.mu)
            state, predicted = self._step(_State(mu, state.hidden), batch.actions[:, step])
            steps.append(predicted)
        known = batch.known[:, 1 : length + 1]
        count = known.sum()
        mu = torch.stack([s.mu for s in steps], 1).float()
        sigma = torch.stack([s.sigma for s in steps], 1).float()
        true, true_sigma = batch.observations[:, 1 : length + 1], batch.sigma[:, 1 : length + 1]
        squared = (mu - true) ** 2
        mean = ((squared.sum(2) * known).sum()) / count
        # The spread is fitted to the errors as they are, and no error is made larger to suit it.
        ratio = torch.log(sigma / true_sigma)
        kl = (ratio + (true_sigma**2 + squared.detach()) / (2 * sigma**2) - 0.5).sum(2)
        spread = (kl * known).sum() / count
        reward = torch.stack([s.reward for s in steps], 1).float() - batch.rewards[:, :length] / self.reward_std
        ended = nn.functional.binary_cross_entropy_with_logits(
            torch.stack([s.termination for s in steps], 1).float(), batch.terminations[:, :length], reduction="none"
        )
        outcome = ((reward**2 + ended) * known).sum() / count
        # A small share, as the norm to which all gradients together are clipped is that of the mean's.
        return {"loss": mean + 0.01 * spread + 0.1 * outcome, "mean": mean, "kl": spread, "outcome": outcome}

    def read(self, past: Batch, generator: torch.Generator) -> _State:
        """Go through what is known of the past; see `Network.read`."""
        state = self._blank(past.observations[:, 0])
        for step in range(past.actions.shape[1]):
            following, _ = self._step(_State(past.observations[:, step], state.hidden), past.actions[:, step])
            known = past.known[:, step, None]
            state = _State(following.mu, torch.where(known, following.hidden, state.hidden))
        return _State(past.observations[:, -1], state.hidden)

    def imagine(self, state: _State, actions: Tensor, generator: torch.Generator) -> Futures:
        """Feed on its own predictions; z is their mean, and nothing is drawn."""
        steps = []
        for step in range(actions.shape[1]):
            state, predicted = self._step(state, actions[:, step])
            steps.append(predicted)
        return Futures(
            rewards=torch.stack([s.reward for s in steps], 1) * self.reward_std,
            termination=torch.stack([s.termination for s in steps], 1).sigmoid(),
            latents=at_mean(torch.stack([s.mu for s in steps], 1), torch.stack([s.sigma for s in steps], 1)),
        )

    def _blank(self, like: Tensor) -> _State:
        return _State(like, like.new_zeros(len(like), self.config.hidden))

    def _step(self, state: _State, actions: Tensor) -> tuple[_State, _Step]:
        """The moment after `state` under actions (B, F)."""
        hidden = self.cell(self.enter(torch.cat([state.mu, actions], 1)), state.hidden)
        out = self.leave(hidden)
        mu = state.mu + self.change(out)
        sigma = nn.functional.softplus(self.spread(out.detach())) + SIGMA_FLOOR
        reward, termination = self.outcome(out).unbind(1)
        return _State(mu, hidden), _Step(mu, sigma, reward, termination)
