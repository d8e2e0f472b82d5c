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

from memworld.errors import MemworldError
from memworld.gaussian import Latents, derived_seed, seeded
from memworld.search import Candidates

SAMPLE = 1 << 16
"""Rows that axes, scales and code books are taken from."""

_CHUNK = 1 << 15
"""Rows that are coded at a time."""

_ENERGY = 0.98
"""Share of the proxies' variance that the searched dimensions keep."""

_SHORT = 16
"""Dimensions below which they are kept in float32: so few codes of 4 bits would leave too many rows alike."""

_POINTS_PER_CELL = 40
"""Rows a cell that k-means trains on: more did not help."""

CELLS = 4096
"""Most cells."""

_SAMPLE = 1 << 16
"""Rows that axes, scales and code books are taken from."""

_CHUNK = 1 << 15
"""Rows that are coded at a time."""

_POINTS_PER_CELL = 40
"""Rows a cell that k-means trains on: more did not help."""

CELLS = 4096
"""Most cells."""

_SAMPLE = 1 << 16
"""Rows that axes, scales and code books are taken from."""

_CHUNK = 1 << 15
"""Rows that are coded at a time."""

CELLS = 4096
"""Most cells."""

_SAMPLE = 1 << 16
"""Rows that axes, scales and code books are taken from."""

_CHUNK = 1 << 15
"""Rows that are coded at a time."""


def import_faiss() -> Any:
    """The FAISS library.

    Raises:
        MemworldError: it is not installed.
    """
    try:
        import faiss
    except ImportError as error:
        raise MemworldError("approximate search needs FAISS: pip install 'memworld[approximate]'") from error
    return faiss


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
        kmeans.train(proxy.vectors(latents))
        return cls(metric, mean, turn, kmeans.centroids)

    def vectors(self, latents: Latents) -> np.ndarray:
        """(N, D) to (N, P) float32."""
        # NumPy, since PyTorch's products may have been turned to bfloat16 by code around the search.
        vectors: np.ndarray = ((_position(self.metric, latents) - self.mean) @ self.turn).astype(np.float32)
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
    position = _position(metric, sample)
    mean = position.mean(0)
    typical = np.ones(len(mean))
    if metric != "l2":
        typical = (1 / sample.sigma.double() ** 2).mean(0).sqrt().numpy()
        typical /= typical.max()
    centred = (position - mean) * typical
    centred /= max(float(np.abs(centred).max()), np.finfo(np.float64).tiny)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    shares = np.cumsum(values[::-1]) / max(float(values.sum()), np.finfo(np.float64).tiny)
    keep = min(len(shares), -(-(int(np.searchsorted(shares, _ENERGY)) + 1) // 8) * 8)
    turn = typical[:, None] * vectors[:, ::-1][:, :keep]
    # To numbers about 1, which are far from where float32 ends: a common factor changes no order.
    spread = float(((position - mean) @ turn).std())
    return mean, turn / (spread if spread > 0 else 1.0)


def _position(metric: str, latents: Latents) -> np.ndarray:
    position: np.ndarray = (latents.z if metric == "l2" else latents.mu).double().numpy()
    return position
