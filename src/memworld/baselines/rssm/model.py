"""What both forms of PlaNet's model share: a network of the protocol `memworld.baselines.network.Network`."""

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from memworld.baselines.network import Batch, Futures
from memworld.baselines.rssm.cell import RSSM, State
from memworld.baselines.rssm.config import RSSMConfig
from memworld.baselines.rssm.objective import divergence, mean_of, overshooting
from memworld.errors import MemworldError


class RecurrentModel(nn.Module):
    """Observations to beliefs and back, rewards and terminations; a form says how observations go in and out.

    The heads of reward and termination look at the state after the step that they are about.
    """

    sees_pixels: bool
    observation_mean: Tensor
    observation_scale: Tensor
    reward_std: Tensor

    def __init__(
        self,
        config: RSSMConfig,
        embedding: int,
        action_features: int,
        mean: Tensor,
        scale: Tensor,
        reward_std: float,
    ) -> None:
        """Build what both forms share.

        Args:
            config: sizes and objective.
            embedding: size of an embedded observation.
            action_features: F, the size of an action.
            mean: of the training data's observations.
            scale: of the same shape: their standard deviation, with a floor.
            reward_std: standard deviation of the training data's rewards, the unit in which they are learned.

        Raises:
            MemworldError: mean and scale of different shapes, or a scale or standard deviation that is not above 0.
        """
        super().__init__()
        if mean.shape != scale.shape:
            raise MemworldError(f"mean has shape {tuple(mean.shape)}, scale {tuple(scale.shape)}: give one of each")
        if not (bool((scale > 0).all()) and 0 < reward_std < math.inf):
            raise MemworldError("scale and reward_std must be above 0: give standard deviations a floor")
        if action_features < 1:
            raise MemworldError(f"action_features must be at least 1, got {action_features}")
        self.config = config
        self.cell = RSSM(config, embedding, action_features)
        self.features = config.deterministic + config.stochastic
        self.reward = two_layers(self.features, config.hidden, 1)
        self.termination = two_layers(self.features, config.hidden, 1)
        self.register_buffer("observation_mean", mean.float().clone())
        self.register_buffer("observation_scale", scale.float().clone())
        self.register_buffer("reward_std", torch.tensor(reward_std))

    @abstractmethod
    def normalised(self, observations: Tensor) -> Tensor:
        """(N, ...) observations, centred and scaled as the network sees and predicts them."""

    @abstractmethod
    def embed(self, seen: Tensor) -> Tensor:
        """(N, ...) normalised observations to (N, E)."""

    @abstractmethod
    def observation_losses(self, features: Tensor, seen: Tensor, sigma: Tensor | None) -> dict[str, Tensor]:
        """The terms that tell how well (N, H + S) features say what was `seen`, in nats per moment."""

    @abstractmethod
    def futures(self, features: Tensor, rewards: Tensor, termination: Tensor) -> Futures:
        """The mean of (B, K, T, H + S) features of K futures as observations, beside (B, T) what goes with them."""

    def losses(self, batch: Batch, progress: float, generator: torch.Generator) -> dict[str, Tensor]:
        """PlaNet's loss and its terms, means over the known moments or steps, in nats.

        `loss` is the sum of the others: `kl` enters with its free nats, it and `overshooting` times
        `kl_scale`, and `reward`, half a squared error, times `reward_scale`.

        Args:
            batch: sequences to learn from.
            progress: makes no difference: the loss is the same throughout.
            generator: of all sampling, on the CPU.
        """
        config, known = self.config, batch.known
        seen = self.normalised(batch.observations[known])
        beliefs = self.cell.believe(self._embedded(seen, known), batch.actions, known, generator)
        features = beliefs.states.features
        sigma = None if batch.sigma is None else batch.sigma[known]
        terms = self.observation_losses(features[known], seen, sigma)
        loss = torch.stack(list(terms.values())).sum()

        descended, terms["kl"] = divergence(beliefs.posterior[known], beliefs.prior[known], config.free_nats)
        loss = loss + config.kl_scale * descended
        if config.overshooting > 1:
            terms["overshooting"] = overshooting(self.cell, beliefs, batch.actions, known, generator)
            loss = loss + config.kl_scale * terms["overshooting"]

        steps = known[:, :-1] & known[:, 1:]
        reached = features[:, 1:][steps]
        rewards = self.reward(reached).float().squeeze(-1)
        terms["reward"] = 0.5 * mean_of((rewards - batch.rewards[steps] / self.reward_std) ** 2)
        logits = self.termination(reached).float().squeeze(-1)
        terms["termination"] = mean_of(
            nn.functional.binary_cross_entropy_with_logits(logits, batch.terminations[steps], reduction="none")
        )
        loss = loss + config.reward_scale * terms["reward"] + terms["termination"]
        return {"loss": loss, **terms}

    @torch.no_grad()
    def read(self, past: Batch, generator: torch.Generator) -> State:
        """The (B, ...) states after the last moment, each known moment taken in by the posterior."""
        embedded = self._embedded(self.normalised(past.observations[past.known]), past.known)
        states = self.cell.believe(embedded, past.actions, past.known, generator).states
        return State(states.deterministic[:, -1], states.stochastic[:, -1])

    @torch.no_grad()
    def imagine(self, state: State, actions: Tensor, generator: torch.Generator) -> Futures:
        """Go on with the prior; what is given are means over the futures drawn (`RSSMConfig.samples`).

        Args:
            state: (B, ...), from `read`.
            actions: float32 (B, T, F).
            generator: of all sampling, on the CPU.
        """
        features, rewards, termination = self._foresee(state, actions, generator, self.config.samples)
        return self.futures(features, rewards, termination)

    @torch.no_grad()
    def outcomes(self, state: State, actions: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Rewards and terminations (B, T) alone, of one future drawn for each sequence of actions: enough to plan by.

        PlaNet too plans by a single one, and spends its time on more sequences (section 3); no observation is made.
        """
        _, rewards, termination = self._foresee(state, actions, generator, min(self.config.samples, 1))
        return rewards, termination

    def _foresee(
        self, state: State, actions: Tensor, generator: torch.Generator, samples: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The (B, K, T, H + S) features of K futures, and the mean (B, T) rewards and terminations in them."""
        drawn = max(samples, 1)
        states = self.cell.foresee(
            state.repeated(drawn), actions.repeat_interleave(drawn, 0), generator if samples else None
        )
        features = states.features.reshape(len(actions), drawn, actions.shape[1], self.features)
        rewards = self.reward(features).float().squeeze(-1).mean(1) * self.reward_std
        termination = torch.sigmoid(self.termination(features).float()).squeeze(-1).mean(1)
        return features, rewards, termination

    def _embedded(self, seen: Tensor, known: Tensor) -> Tensor:
        """(B, M, E) embeddings, zeros where not `known`: only what was seen, (N, ...), is worth the time."""
        given = self.embed(seen)
        if bool(known.all()):
            return given.reshape(*known.shape, -1)
        embedded = given.new_zeros((*known.shape, given.shape[-1]))
        embedded[known] = given
        return embedded


def two_layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two hidden layers, as PlaNet's heads have, and a linear one."""
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )
