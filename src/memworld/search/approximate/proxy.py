"""Proxies: vectors whose squared L2 stands for a distance between Gaussians, and the cells that they fall into.

z itself for L2, which is no approximation; (mu - mean) / (typical sigma) for KL, whose nearest hundred
contain its nearest ten unless the sigmas differ strongly from row to row. Turned to principal
components, few dimensions carry nearly all of either.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memworld.extras import import_extra
from memworld.gaussian import Latents, derived_seed, seeded
from memworld.search import Candidates

SAMPLE = 1 << 16
"""Rows that axes, scales and code books are taken from."""

CELLS = 4096
"""Most cells."""

_POINTS_PER_CELL = 40
"""Rows a cell that k-means trains on: more did not help."""

_ENERGY = 0.98
"""Share of the proxies' variance that the searched dimensions keep."""

_LARGEST = 1e15
"""Beyond it, squares of float32 numbers come near to where float32 ends."""


def import_faiss() -> Any:
    """The FAISS library.

    Raises:
        MemworldError: it is not installed.
    """
    return import_extra("faiss", "approximate", "approximate indexes")


def faiss_seed(seed: int, name: str) -> int:
    """A seed of its own for what `name` names."""
    return derived_seed(seed, name) >> 1  # FAISS takes 31 bits


@dataclass(frozen=True, eq=False)
class Proxy:
    """The vectors (N, P) whose squared L2 stands for the distance, and the cells that they fall into.

    Attributes:
        metric: which distance.
        mean: (D,) float64 what is taken away first.
        turn: (D, P) float64 scales and turns.
        centroids: (cells, P) float32.
    """

    metric: str
    mean: np.ndarray
    turn: np.ndarray
    centroids: np.ndarray

    @classmethod
    def of(cls, metric: str, candidates: Candidates, seed: int) -> "Proxy":
        """Choose axes and cells."""
        faiss = import_faiss()
        count = len(candidates)
        cells = max(1, min(CELLS, 2 ** round(np.log2(4 * count**0.5)), count))
        order = torch.randperm(count, generator=seeded(seed))[: max(SAMPLE, cells * _POINTS_PER_CELL)]
        latents = candidates.latents[candidates.rows[order.sort().values]]
        mean, turn = _axes(metric, latents)
        proxy = cls(metric, mean, turn, np.empty((0, turn.shape[1]), np.float32))
        kmeans = faiss.Kmeans(
            turn.shape[1],
            cells,
            niter=8,
            seed=faiss_seed(seed, "cells"),
            max_points_per_centroid=_POINTS_PER_CELL,
            min_points_per_centroid=1,
        )
        kmeans.train(sound(proxy.vectors(latents)))
        return cls(metric, mean, turn, kmeans.centroids)

    def vectors(self, latents: Latents) -> np.ndarray:
        """(N, D) to (N, P) float32."""
        # NumPy, since PyTorch's products may have been turned to bfloat16 by code around the search.
        with np.errstate(over="ignore", invalid="ignore"):
            vectors: np.ndarray = ((position(self.metric, latents).numpy() - self.mean) @ self.turn).astype(np.float32)
        return vectors

    @cached_property
    def quantizer(self) -> Any:
        """A FAISS index of the centroids."""
        quantizer = import_faiss().IndexFlatL2(self.centroids.shape[1])
        quantizer.add(self.centroids)
        return quantizer

    def cells_of(self, latents: Latents) -> np.ndarray:
        """(N, D) to the cell of each, (N,) int64."""
        nearest: np.ndarray = self.quantizer.search(self.vectors(latents), 1)[1][:, 0]
        return nearest


def _axes(metric: str, sample: Latents) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and turn (D, P) of a sample's proxies."""
    places = position(metric, sample).numpy()
    mean = places.mean(0)
    typical = np.ones(len(mean))
    if metric != "l2":
        typical = (1 / sample.sigma.double() ** 2).mean(0).sqrt().numpy()
        typical /= typical.max()
    centred = (places - mean) * typical
    centred /= max(float(np.abs(centred).max()), np.finfo(np.float64).tiny)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    shares = np.cumsum(values[::-1]) / max(float(values.sum()), np.finfo(np.float64).tiny)
    keep = min(len(shares), -(-(int(np.searchsorted(shares, _ENERGY)) + 1) // 8) * 8)
    turn = typical[:, None] * vectors[:, ::-1][:, :keep]
    # To numbers about 1, which are far from where float32 ends: a common factor changes no order.
    spread = float(((places - mean) @ turn).std())
    return mean, turn / (spread if spread > 0 else 1.0)


def position(metric: str, latents: Latents) -> Tensor:
    """(N, D) float64: what the metric takes squared differences of."""
    return (latents.z if metric == "l2" else latents.mu).double()


def sound(vectors: np.ndarray) -> np.ndarray:
    """The vectors themselves, if float32 can hold squared distances between them: FAISS does not look.

    Raises:
        ValueError: it cannot.
    """
    if not bool((np.abs(vectors) < _LARGEST).all()):
        raise ValueError("coded vectors are not finite or too large")
    return vectors


def detached(latents: Latents) -> Latents:
    """The same numbers without gradients, or itself: tensors that want those refuse to become NumPy arrays."""
    if not any(x.requires_grad for x in (latents.mu, latents.sigma, latents.z)):
        return latents
    return Latents(latents.mu.detach(), latents.sigma.detach(), latents.z.detach())
