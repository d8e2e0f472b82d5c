"""The metrics of METHOD section 6, each from the truth and a prediction to one number a frame."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from memworld.datasets import EpisodeDataset
from memworld.errors import MemworldError
from memworld.gaussian import Latents, at_mean, kl
from memworld.memory import Memory, MemoryEpisode
from memworld.search import Candidates, Query
from memworld.search.exact import ExactIndex


def ssim(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Structural similarity of the whole frame: uint8 (N, H, W, C) twice to float64 (N,), 1 is best.

    NaN for frames smaller than its window of 11 x 11 (Wang et al. 2004).
    """
    if min(true.shape[1:3]) < 11:
        return np.full(len(true), np.nan)
    # Here and not above: this import alone takes longer than all others together.
    from torchmetrics.functional.image import structural_similarity_index_measure

    sides = [torch.tensor(f).permute(0, 3, 1, 2).float() / 255 for f in (predicted, true)]
    values = structural_similarity_index_measure(sides[0], sides[1], data_range=1.0, reduction="none")
    assert isinstance(values, Tensor)
    return np.asarray(values.reshape(-1).double().numpy())


def latent_kl(true: Latents, predicted: Latents) -> np.ndarray:
    """KL(posterior of the true frame || predicted Gaussian) in nats: (N, D) twice to float64 (N,)."""
    return np.asarray(kl(true.double(), predicted.double()).numpy())


def median_picture(dataset: EpisodeDataset, most: int = 2000) -> np.ndarray:
    """The median picture of a data set, uint8 (H, W, C), from at most about `most` of its frames."""
    stride = max(1, (dataset.steps + len(dataset)) // most)
    frames = np.concatenate([episode.observations[::stride] for episode in dataset])
    return np.asarray(np.median(frames, axis=0).round().astype(np.uint8))


@dataclass(frozen=True, eq=False)
class StateProbe:
    """Reads the world's state from a latent: the mean state of the nearest training latents.

    Attributes:
        index: over the training latents' means.
        states: (N, K) float32 their states.
        names: the K state variables.
        k: neighbours to average.
    """

    index: ExactIndex
    states: np.ndarray
    names: tuple[str, ...]
    k: int = 5

    @classmethod
    def fit(cls, dataset: EpisodeDataset, memory: Memory) -> "StateProbe":
        """Lay the remembered latents of `dataset` beside the states that it recorded.

        Args:
            dataset: episodes of which `memory` holds some, whole or in pieces.
            memory: their latents.

        Raises:
            MemworldError: the data set has no states, or memory holds none of its episodes.
        """
        if not dataset.info.state_names:
            raise MemworldError("the data set has no states to fit a probe on")
        remembered: dict[str, list[MemoryEpisode]] = {}
        for part in memory.episodes:
            remembered.setdefault(part.entry.origin[0], []).append(part)
        latents, states = [], []
        known = [episode_id for episode_id in dataset.ids if episode_id in remembered]
        if not known:
            raise MemworldError("no training episode is in the memory: remember them first")
        for episode in dataset.subset(known):
            assert episode.states is not None  # EpisodeDataset checks it against state_names
            for part in remembered[episode.id]:
                first = part.entry.origin[1]
                latents.append(part.latents.mu)
                states.append(episode.states[first : first + part.entry.steps + 1])
        mu = torch.cat(latents)
        rows = torch.arange(len(mu))
        means = at_mean(mu, torch.ones_like(mu))
        index = ExactIndex("l2", Candidates(means, rows, torch.zeros_like(rows), torch.zeros(len(mu), 1)))
        return cls(index, np.concatenate(states), dataset.info.state_names, min(cls.k, len(mu)))

    def read(self, z: Tensor) -> np.ndarray:
        """(N, D) latents to float32 (N, K) states."""
        matches = self.index.nearest(Query(at_mean(z, torch.ones_like(z))), self.k)
        return np.asarray(self.states[matches.rows.numpy()].mean(1))


def mean_of_numbers(values: np.ndarray) -> np.ndarray:
    """The mean over windows, the first axis, without those that have no number; NaN where none has."""
    has = ~np.isnan(values)
    total, count = np.where(has, values, 0).sum(0), has.sum(0)
    return np.asarray(np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0))
