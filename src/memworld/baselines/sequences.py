"""What a baseline is trained on: recorded episodes end to end, cut into sequences."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from memworld.actions import action_features
from memworld.baselines.network import Batch
from memworld.datasets import EpisodeDataset
from memworld.encoders import Encoder


@dataclass(frozen=True, eq=False)
class Sequences:
    """Recorded episodes end to end, N moments.

    Attributes:
        observations: float32 (N, D) posterior means, or uint8 (N, H, W, C) frames.
        sigma: float32 (N, D) the posteriors' standard deviations, or None for frames.
        actions: float32 (N, F) features of the actions taken; zeros at an episode's last moment.
        rewards: float32 (N,), 0 at an episode's last moment.
        terminations: float32 (N,), 0 at an episode's last moment.
        first: int64 (E,) first moment of each episode.
        steps: int64 (E,) steps of each episode.
    """

    observations: Tensor
    sigma: Tensor | None
    actions: Tensor
    rewards: Tensor
    terminations: Tensor
    first: Tensor
    steps: Tensor

    @classmethod
    def load(cls, dataset: EpisodeDataset, encoder: Encoder, pixels: bool, most: int) -> "Sequences":
        """Load the episodes of a data set; of more than `most` moments, every n-th episode.

        Args:
            dataset: at least one episode.
            encoder: encodes the frames, unless `pixels`.
            pixels: whether to keep frames rather than their posteriors.
            most: moments to hold in memory.

        Raises:
            MemworldError: an episode cannot be loaded.
        """
        space = dataset.info.action_space
        observations, sigmas, actions, rewards, terminations, steps = [], [], [], [], [], []
        for number in range(0, len(dataset), -(-(dataset.steps + len(dataset)) // most)):
            episode = dataset[number]
            if pixels:
                observations.append(torch.tensor(episode.observations))
            else:
                mu, sigma = encoder.encode(episode.observations)
                observations.append(mu)
                sigmas.append(sigma)
            features = torch.from_numpy(action_features(episode.actions, space)).float()
            actions.append(_with_last(features))
            rewards.append(_with_last(torch.tensor(episode.rewards)))
            terminations.append(_with_last(torch.tensor(episode.terminations).float()))
            steps.append(len(episode))
        lengths = torch.tensor(steps) + 1
        return cls(
            torch.cat(observations),
            torch.cat(sigmas) if sigmas else None,
            torch.cat(actions),
            torch.cat(rewards),
            torch.cat(terminations),
            lengths.cumsum(0) - lengths,
            torch.tensor(steps),
        )

    def sample(self, count: int, length: int, generator: torch.Generator) -> Batch:
        """`count` sequences of `length` steps, every place they can start from being as likely.

        An episode that is shorter is taken whole; what lies after its end is not `known`.
        """
        places = (self.steps - length).clamp(min=0) + 1
        drawn = torch.randint(int(places.sum()), (count,), generator=generator)
        return self._cut(drawn, places, length)

    def spread(self, count: int, length: int) -> Batch:
        """At most `count` sequences of `length` steps, evenly spread over all places they can start from."""
        places = (self.steps - length).clamp(min=0) + 1
        total = int(places.sum())
        return self._cut(torch.from_numpy(np.linspace(0, total - 1, min(count, total)).astype(int)), places, length)

    def _cut(self, drawn: Tensor, places: Tensor, length: int) -> Batch:
        """The sequences that start at the `drawn` (B,) of all places, of which episode e has `places[e]`."""
        after = places.cumsum(0)
        episode = torch.searchsorted(after, drawn, right=True)
        start = drawn - (after - places)[episode]
        step = start[:, None] + torch.arange(length + 1)
        known = step <= self.steps[episode][:, None]
        row = self.first[episode][:, None] + torch.minimum(step, self.steps[episode][:, None])
        now = row[:, :-1]
        return Batch(
            self.observations[row],
            None if self.sigma is None else self.sigma[row],
            self.actions[now],
            self.rewards[now],
            self.terminations[now],
            known,
        )


def _with_last(values: Tensor) -> Tensor:
    """One more zero, for the last moment, at which nothing was done."""
    return torch.cat([values, torch.zeros_like(values[:1])])
