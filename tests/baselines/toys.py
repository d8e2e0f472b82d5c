"""A world of known dynamics for trained baselines: a square that actions move, in latents that are its pixels."""

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from memworld.baselines.config import BaselineTraining
from memworld.baselines.latent_gru import LatentGRUConfig
from memworld.baselines.model import TrainedBaseline
from memworld.baselines.training import train_baseline
from tests.helpers import PixelEncoder, moving_square_dataset

SHAPE = (8, 8, 1)
UNIT = 64
"""Grey levels in a latent's unit: networks want numbers around 1, as a VAE's latents are."""


class ScaledPixels(PixelEncoder):
    """An encoder without a network whose latents are pixels over `UNIT`."""

    def encode(self, frames: np.ndarray) -> tuple[Tensor, Tensor]:
        mu, sigma = super().encode(frames)
        return mu / UNIT, sigma

    def decode(self, z: Tensor) -> np.ndarray:
        return super().decode(z * UNIT)


ENCODER = ScaledPixels(SHAPE, sigma=0.1)
_EPISODES, HELD_OUT = moving_square_dataset(10, 40, SHAPE).split(2)
TRAINING, VALIDATION = _EPISODES.split(1)
TINY = LatentGRUConfig(hidden=8, context=2, horizon=3)
SHORT = BaselineTraining(steps=12, batch_size=4, validate_every=3, seed=5)


def train(output: Path, how: BaselineTraining = SHORT, config: Any = TINY, **more: Any) -> TrainedBaseline:
    name = more.pop("name", "latent_gru")
    return train_baseline(name, TRAINING, VALIDATION, ENCODER, output, config, how, **more)
