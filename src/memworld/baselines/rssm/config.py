"""The size of a recurrent state-space model, and what it descends."""

import math
from dataclasses import dataclass
from typing import Literal

from memworld.errors import MemworldError


@dataclass(frozen=True)
class RSSMConfig:
    """The size of a recurrent state-space model, and what it descends. The sizes are PlaNet's, but for the widths.

    Training departs from PlaNet's, which takes 50 sequences of 50 steps, pictures of 5 bits and rewards as they
    come: for hours, on a GPU. Here sequences are fewer and shorter, frames are centred and scaled, rewards are
    over their standard deviation, and the learning rate falls along a cosine.

    Attributes:
        stochastic: size of the sampled part of the state.
        deterministic: size of the recurrent part; 256 as in the paper's comparison (PlaNet: 200).
        hidden: width of every hidden layer; 256 as in the paper's comparison (PlaNet: 200).
        min_std: smallest standard deviation of the sampled part.
        free_nats: divergence per moment that costs nothing.
        kl_scale: weight of the divergence.
        reward_scale: weight of the reward's error.
        overshooting: most steps that a prior looks ahead without an observation and is still held
            against the posterior there (latent overshooting, PlaNet section 4); below 2 there is none.
        observation_sigma: standard deviation of an observation around its prediction in the likelihood:
            `unit` as published, or `optimal`, set to the root of the mean squared error (sigma-VAE,
            Rybkin et al. 2021).
        length: steps of the sequences that it is trained on (PlaNet: 49).
        samples: futures drawn and averaged in imagination; 0 follows one without chance, at the prior's means.
    """

    stochastic: int = 30
    deterministic: int = 256
    hidden: int = 256
    min_std: float = 0.1
    free_nats: float = 3.0
    kl_scale: float = 1.0
    reward_scale: float = 10.0
    overshooting: int = 0
    observation_sigma: Literal["unit", "optimal"] = "unit"
    length: int = 24
    samples: int = 8

    def __post_init__(self) -> None:
        least = {"stochastic": 1, "deterministic": 1, "hidden": 1, "overshooting": 0, "samples": 0, "length": 1}
        for name, lowest in least.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < lowest:
                raise MemworldError(f"{name} must be a whole number of at least {lowest}, got {value!r}")
        for name in ("min_std", "kl_scale"):
            if not 0 < getattr(self, name) < math.inf:
                raise MemworldError(f"{name} must be finite and above 0, got {getattr(self, name)}")
        for name in ("free_nats", "reward_scale"):
            if not 0 <= getattr(self, name) < math.inf:
                raise MemworldError(f"{name} must be finite and at least 0, got {getattr(self, name)}")
        if self.observation_sigma not in ("unit", "optimal"):
            raise MemworldError(f"unknown observation_sigma {self.observation_sigma!r}: use unit or optimal")
