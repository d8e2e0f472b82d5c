"""Small prepared worlds for the tests of the experiments: moving squares, and a real recording of Pong."""

import functools
import tempfile
from pathlib import Path

from memworld.datasets import EpisodeDataset
from memworld.encoders import Encoder
from memworld.encoders.training import TrainingConfig, train_vae
from memworld.encoders.vae import VAEConfig
from memworld.evaluate.experiments.config import StudyConfig
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.formats import open_dataset
from memworld.memory import Memory
from tests.helpers import moving_square_dataset

RECORDED = Path(__file__).parents[2] / "recorded"

SMALL = StudyConfig(
    training=4,
    validation=1,
    held_out=3,
    further=3,
    max_steps=30,
    latent_shape=(4,),
    encoder_steps=250,
    baseline_steps={"latent_gru": 30, "rssm_latents": 30, "rssm_pixels": 10},
    horizon=6,
    shown=(1, 5),
    starts=5,
    sizes=(1, 2, 4),
    draws=2,
    play_episodes=2,
    play_steps=20,
)
"""Sizes at which an experiment takes about a second."""


@functools.cache
def square_laboratory(horizon: int = 6) -> Laboratory:
    """Moving squares with states and 4 discrete actions: 4 episodes in memory, 3 held out, 3 further.

    Its encoder is trained in a few seconds, once for all tests of a process. No test may write to it:
    `dataclasses.replace` gives another.
    """
    encoder, memory, data = _squares()
    config = StudyConfig(**{**vars(SMALL), "horizon": horizon})
    return Laboratory("square", data[:4], data[5:8], data[8:], encoder, memory, {}, config=config)


@functools.cache
def _squares() -> tuple[Encoder, Memory, EpisodeDataset]:
    data = moving_square_dataset(11)
    return *_prepare(data[:4], data[4:5], data[:4], TrainingConfig(250, 32, 5e-3, validate_every=50)), data


@functools.cache
def pong_laboratory(horizon: int = 6) -> Laboratory:
    """The real recording of Pong in `tests/recorded`: 2 episodes in memory, 1 held out, none further."""
    encoder, memory, data = _pong()
    sizes = {**vars(SMALL), "training": 2, "held_out": 1, "further": 0, "sizes": (1, 2), "horizon": horizon}
    return Laboratory("pong", data[:2], data[2:3], data[:0], encoder, memory, {}, config=StudyConfig(**sizes))


@functools.cache
def _pong() -> tuple[Encoder, Memory, EpisodeDataset]:
    data = open_dataset(RECORDED / "pong")
    return *_prepare(data[:1], data[1:2], data[:2], TrainingConfig(150, 16, 1e-2, validate_every=50)), data


def _prepare(
    training: EpisodeDataset, validation: EpisodeDataset, remembered: EpisodeDataset, how: TrainingConfig
) -> tuple[Encoder, Memory]:
    """A quick encoder, and a memory by it."""
    channels = (8, 16) if training.info.observation_shape[0] == 16 else (8, 16, 32)
    with tempfile.TemporaryDirectory() as folder:
        result = train_vae(training, validation, Path(folder) / "e", VAEConfig(SMALL.latent_shape, channels), how)
    memory = Memory(remembered.info, result.encoder)
    memory.extend(remembered, result.encoder)
    return result.encoder, memory
