"""What is wanted of a future: that it gathers reward, or that it comes to look like a picture."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from memworld.gaussian import Latents
from memworld.memory import Rows
from memworld.plan.likeness import Likeness, reliability
from memworld.plan.value import EpisodicValue
from memworld.rollout import Imagined, Rollout
from memworld.world_model import WorldModel

_LEAST = 1e-3
"""Reliability that is believed of values of which nothing can be told."""


class Objective(Protocol):
    """Says how good imagined futures are."""

    @property
    def unit(self) -> float:
        """By how much scores differ that really differ."""
        ...

    @property
    def recorded(self) -> Tensor | None:
        """(N,) float64 what followed each of memory's rows came to, in standard deviations; None if it says nothing."""
        ...

    def score(self, futures: Imagined) -> Tensor:
        """(B,) float64, higher is better."""
        ...


def discounted(rewards: Tensor, termination: Tensor, discount: float) -> Tensor:
    """Discounted sums (B,) float64 of rewards (B, T), each by the chance (B, T) that no step before it was the last."""
    alive = (1 - termination.double()).cumprod(1)
    # The step that ends an episode still gives its reward.
    reached = torch.cat([torch.ones_like(alive[:, :1]), alive[:, :-1]], 1)
    steps = torch.arange(rewards.shape[1], dtype=torch.float64)
    total: Tensor = (reached * rewards.double() * discount**steps).sum(1)
    return total


@dataclass(frozen=True, eq=False)
class Return:
    """Discounted reward, up to a likely termination, and the value of where a future ends.

    Attributes:
        discount: of a step.
        spread: standard deviation of the values of recorded moments.
        value: of the end; None counts nothing beyond the horizon.
        pessimism: taken off each step's reward, times how badly memory knows the step (`Rollout.support`, 0 to 1), in
            units of `spread`.
        reliability: share of the variance of values that can be told from the moments, 0 to 1.
        recorded: see `Objective`.
    """

    discount: float
    spread: float
    value: EpisodicValue | None = None
    pessimism: float = 0.0
    reliability: float = 1.0
    recorded: Tensor | None = None

    @classmethod
    def of(
        cls,
        rows: Rows,
        discount: float = 0.98,
        with_value: bool = True,
        pessimism: float = 0.0,
        likeness: Likeness | None = None,
    ) -> "Return":
        """The return by what a memory holds.

        Args:
            rows: the memory's.
            discount: of a step.
            with_value: whether the end of a future counts.
            pessimism: see `Return`.
            likeness: of moments, by which reliability is measured; None takes it for granted.

        Raises:
            MemworldError: as `EpisodicValue`.
        """
        value = EpisodicValue(rows, discount)
        told = 1.0 if likeness is None else reliability(value.of_rows, rows, likeness)
        recorded = value.of_rows / max(value.spread, 1e-12)
        return cls(discount, value.spread, value if with_value else None, pessimism, told, recorded)

    @property
    def unit(self) -> float:
        """See `Objective`: the less can be told of values, the less a difference of scores says."""
        return self.spread / max(self.reliability, _LEAST)

    def score(self, futures: Imagined) -> Tensor:
        """(B,) float64."""
        gains = futures.rewards.double()
        if self.pessimism and isinstance(futures, Rollout):
            gains = gains - self.pessimism * self.spread * futures.support.nan_to_num(nan=0.0)
        total = discounted(gains, futures.termination, self.discount)
        if self.value is not None and isinstance(futures, Rollout):
            alive = (1 - futures.termination.double()).prod(1)
            total = total + alive * self.discount ** gains.shape[1] * self.value.at_end(futures)
        return total


@dataclass(frozen=True, eq=False)
class Goal:
    """How near a future comes to a picture, and how soon.

    Were it by the nearest step alone, coming later would do as well, and a planner that plans again would put it off
    for ever.

    Attributes:
        picture: (1, D) the encoded picture.
        unit: typical difference between recorded moments, see `Objective`.
    """

    picture: Latents
    unit: float
    recorded: None = None

    @classmethod
    def of(cls, world: WorldModel, picture: np.ndarray) -> "Goal":
        """The goal of coming to look like a picture.

        Args:
            world: whose encoder and memory say what looks like it.
            picture: uint8 (H, W, C).

        Raises:
            MemworldError: a picture of another type or size than the encoder's.
        """
        return cls(world.history(picture).present, goal_unit(world.memory.rows.latents.mu))

    def score(self, futures: Imagined) -> Tensor:
        """(B,) float64: the root mean squared difference of the means, negative: the least, and its mean over steps."""
        apart = (futures.latents.mu.double() - self.picture.mu.double()[:, None]).square().mean(2).sqrt()
        return -(apart.amin(1) + apart.mean(1)) / 2


def goal_unit(means: Tensor) -> float:
    """The standard deviation of a memory's latent means (N, D), over all their numbers."""
    return float(means.double().var(0, correction=0).mean().sqrt().clamp(min=1e-9))
