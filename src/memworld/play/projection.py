"""A map of a memory: its latents seen along the two directions in which they vary most."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from memworld.memory import Rows

MOST_POINTS = 4000
"""Rows that are drawn."""

_SAMPLE = 2000
"""Rows that the directions are found from."""


@dataclass(frozen=True, eq=False)
class Projection:
    """From latent means to places on a map.

    Attributes:
        centre: (D,) float32 mean latent.
        axes: (D, 2) float32 orthonormal directions, that of the largest variance first; zeros where there is none.
        explained: shares of the variance along each.
        rows: (P,) int64 the rows that are drawn, evenly.
        points: (P, 2) float32 their places.
    """

    centre: Tensor
    axes: Tensor
    explained: tuple[float, float]
    rows: np.ndarray
    points: np.ndarray

    @classmethod
    def fit(cls, rows: Rows) -> "Projection":
        """Principal components of the latent means of evenly drawn rows; the same memory gives the same map."""
        mu = rows.latents.mu
        sample = mu[_evenly(len(rows), _SAMPLE)].double()
        centre = sample.mean(0)
        _, lengths, directions = torch.linalg.svd(sample - centre, full_matrices=False)
        axes = torch.zeros(mu.shape[1], 2, dtype=torch.float64)
        found = directions[:2]
        # A direction and its opposite are equally good: its largest number is to be above 0.
        largest = found.gather(1, found.abs().argmax(1, keepdim=True))
        axes[:, : len(found)] = (found * largest.sign()).T
        squares = lengths.square()
        shares = [*(squares / squares.sum().clamp(min=torch.finfo(torch.float64).tiny)).tolist(), 0.0, 0.0]
        drawn = _evenly(len(rows), MOST_POINTS)
        made = cls(centre.float(), axes.float(), (shares[0], shares[1]), drawn.numpy(), np.empty((0, 2), np.float32))
        return cls(made.centre, made.axes, made.explained, made.rows, made.places(mu[drawn]).numpy())

    def places(self, mu: Tensor) -> Tensor:
        """Where latent means (..., D) lie on the map, (..., 2)."""
        return (mu - self.centre) @ self.axes


def _evenly(count: int, most: int) -> Tensor:
    """At most `most` of `count` rows, evenly spaced, int64."""
    return torch.linspace(0, count - 1, min(count, most), dtype=torch.float64).round().long()
