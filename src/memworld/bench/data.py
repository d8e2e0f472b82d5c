"""Made-up latents that lie in their space as those of recorded episodes do.

A world of few degrees of freedom moves smoothly, and an encoder maps it to many latents: what it
gives lies near a curved sheet of low dimension. Noise that is independent in every latent would
lie nowhere in particular: every row would be about equally far from a query, no answer would mean
anything, and no approximate index could find one. So a hidden state of 16 numbers wanders, and a
fixed random network turns it into latents.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import gymnasium
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from memworld.actions import action_features
from memworld.datasets import DatasetInfo, EpisodeEntry
from memworld.gaussian import Latents, derived_seed, seeded
from memworld.memory import MemoryEpisode
from memworld.search import Candidates
from memworld.storage import locked
from memworld.store import start
from memworld.store.versions import Settings

EPISODE_STEPS = 1000
"""Rows of an episode; the last one of a memory may be shorter."""

ACTIONS = gymnasium.spaces.Discrete(6)

_FREEDOM = 16
"""Numbers in the hidden state."""

_CORRELATION_STEPS = 30
"""Steps over which the hidden state forgets all but 1/e of where it was."""

_HIDDEN = 64
"""Width of the network from hidden state to latents."""

_TYPICAL_SIGMA = 0.15

_EPISODES = 200
"""That are stored in one change."""

_HELD_STEPS = 4
"""Steps for which an action is held."""


@dataclass(frozen=True, eq=False)
class MadeEpisode:
    """One episode: latents (T, D) float32 and actions (T,) int64, T = `EPISODE_STEPS`."""

    latents: Latents
    actions: Tensor


class MadeWorld:
    """Makes episodes, each from a seed of its own, so that none depends on how many others are made.

    The hidden state is a stationary AR(1) process of unit variance. A network of one tanh layer maps it
    to mu, scaled to zero mean and unit variance in each latent. Sigma is log-normal from latent to
    latent, and varies by about a fifth with the hidden state; z is one sample.
    """

    def __init__(self, d: int, seed: int = 0) -> None:
        """Draw the network.

        Args:
            d: number of latents.
            seed: of the network and of all episodes.
        """
        self.d, self.seed = d, seed
        generator = seeded(derived_seed(seed, "network", str(d)))

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator)

        self._inner = normal(_FREEDOM, _HIDDEN) * 1.5 / math.sqrt(_FREEDOM)
        self._shift = normal(_HIDDEN)
        self._outer = normal(_HIDDEN, d)
        self._sigma_outer = normal(_HIDDEN, d) / math.sqrt(_HIDDEN)
        self._base_sigma = _TYPICAL_SIGMA * torch.exp(0.3 * normal(d))
        # The stationary states are standard normal, so a sample of those says how far mu spreads.
        spread = self._layer(normal(20_000, _FREEDOM)) @ self._outer
        self._mean, self._scale = spread.mean(0), spread.std(0)
        # An AR(1) process is its own noise times a matrix, which is quicker than step by step.
        keep = math.exp(-1 / _CORRELATION_STEPS)
        lag = torch.arange(EPISODE_STEPS)[:, None] - torch.arange(EPISODE_STEPS)
        smooth = (keep ** lag.clamp(min=0).double()).masked_fill(lag < 0, 0.0)
        smooth[:, 1:] *= math.sqrt(1 - keep**2)
        self._smooth = smooth.float()

    def episode(self, *name: str) -> MadeEpisode:
        """The episode called `name`, the same whenever it is asked for."""
        generator = seeded(derived_seed(self.seed, "episode", *name))

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator)

        layer = self._layer(self._smooth @ normal(EPISODE_STEPS, _FREEDOM))
        mu = (layer @ self._outer - self._mean) / self._scale
        wiggle = layer @ self._sigma_outer + 0.25 * normal(EPISODE_STEPS, self.d)
        sigma = self._base_sigma * torch.exp(0.2 * wiggle)
        held = torch.randint(int(ACTIONS.n), (EPISODE_STEPS // _HELD_STEPS,), generator=generator)
        z = mu + sigma * normal(EPISODE_STEPS, self.d)
        return MadeEpisode(Latents(mu, sigma, z), held.repeat_interleave(_HELD_STEPS))

    def _layer(self, state: Tensor) -> Tensor:
        return torch.tanh(state @ self._inner + self._shift)


def make_memory(rows: int, d: int, seed: int = 0) -> Candidates:
    """A memory in which every row is a candidate.

    It is filled an episode at a time, so that beyond the result it takes a few MB.

    Args:
        rows: number of rows N.
        d: number of latents D.
        seed: of everything.

    Returns:
        latents (N, D) float32, action features (N, 6) float64; see `Candidates`.
    """
    world = MadeWorld(d, seed)
    latents = Latents(*(torch.empty(rows, d) for _ in range(3)))
    actions = torch.empty(rows, dtype=torch.int64)
    for number, first in enumerate(range(0, rows, EPISODE_STEPS)):
        here, made = slice(first, first + EPISODE_STEPS), world.episode("memory", str(number))
        for name in ("mu", "sigma", "z"):
            part = getattr(latents, name)[here]
            part.copy_(getattr(made.latents, name)[: len(part)])
        actions[here] = made.actions[: len(actions[here])]
    numbers = torch.arange(rows)
    features = torch.from_numpy(action_features(actions.numpy(), ACTIONS))
    return Candidates(latents, numbers, numbers // EPISODE_STEPS, features)


def store_memory(path: Path, rows: int, d: int, progress: bool = False) -> None:
    """Store a memory of episodes of `EPISODE_STEPS` rows, together at most so many, without frames.

    Args:
        path: the folder, empty or not there.
        rows: of the memory.
        d: number of latents D.
        progress: whether to show a bar.

    Raises:
        MemworldError: the folder cannot be written.
    """
    world, steps = MadeWorld(d), EPISODE_STEPS - 1
    rewards, ends = np.zeros(steps, np.float32), np.zeros(steps, bool)
    waiting: list[MemoryEpisode] = []
    with locked(path):
        writer = start(path, Settings(DatasetInfo((64, 64, 3), ACTIONS), "made up", (d,), 0, frames=False))
        for number in tqdm(range(rows // EPISODE_STEPS), desc=f"{rows} rows", disable=not progress):
            made, entry = world.episode("memory", str(number)), EpisodeEntry(f"e{number:06}", steps)
            waiting.append(MemoryEpisode(entry, made.latents, made.actions[:-1].numpy(), rewards, ends, ends, None))
            if len(waiting) == _EPISODES:
                writer.commit(append=waiting)
                waiting = []
        writer.commit(append=waiting)


def make_queries(count: int, d: int, seed: int = 0) -> Latents:
    """(count, D) moments of fresh episodes of the same world: near what the memory holds, and not in it."""
    world = MadeWorld(d, seed)
    per_episode = 16  # 62 steps apart, so about independent
    moments = torch.arange(per_episode) * (EPISODE_STEPS // per_episode)
    episodes = [world.episode("query", str(number)).latents[moments] for number in range(-(-count // per_episode))]
    joined = Latents(*(torch.cat([getattr(e, name) for e in episodes]) for name in ("mu", "sigma", "z")))
    return joined[:count]
