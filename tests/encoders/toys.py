"""What the tests of the encoders share: shapes, frames, and quick runs of training on the moving square."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from memworld.encoders import training
from memworld.encoders.network import VAENetwork
from memworld.encoders.training import TrainingConfig, TrainingResult, train_vae
from memworld.encoders.vae import VAEConfig
from tests.helpers import moving_square_dataset

SHAPES: list[tuple[tuple[int, int, int], tuple[int, ...]]] = [
    ((16, 16, 3), (4,)),
    ((16, 16, 1), (1,)),
    ((16, 32, 3), (7,)),
    ((32, 16, 1), (2, 8, 4)),
    ((16, 16, 3), (3, 8, 8)),
    ((4, 4, 1), (2,)),
]


def noise(count: int, shape: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)


def assert_equal_codes(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> None:
    assert torch.equal(a[0], b[0])
    assert torch.equal(a[1], b[1])


TRAINING, HELD_OUT = moving_square_dataset(6).split(2)
TINY = VAEConfig((4,), (8, 16))
LONG = TrainingConfig(steps=250, batch_size=32, learning_rate=5e-3, validate_every=50)
# So quick that the latents vary before the warm-up ends.
SHORT = TrainingConfig(steps=30, batch_size=8, learning_rate=0.05, validate_every=10, seed=3)
FILES = ["encoder.json", "encoder.safetensors", "reconstructions.png", "training.json"]


def train(output: Path, how: TrainingConfig = SHORT, config: VAEConfig = TINY, **more: Any) -> TrainingResult:
    return train_vae(TRAINING, HELD_OUT, output, config, how, **more)


def interrupt_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: int) -> None:
    """Press Ctrl-C at the n-th call of a function, counted from 1."""
    real, count = getattr(owner, name), iter(range(1, call + 1))

    def limited(*args: Any, **kwargs: Any) -> Any:
        if next(count) == call:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, limited)


def script_losses(monkeypatch: pytest.MonkeyPatch, losses: list[float]) -> list[VAENetwork]:
    """Give the looks these losses; return copies of the networks that were looked at."""
    seen: list[VAENetwork] = []
    real, script = training._evaluate, iter(losses)

    def scripted(network: VAENetwork, *args: Any) -> dict[str, float]:
        copy = VAENetwork((16, 16, 1), (4,), (8, 16))
        copy.load_state_dict(network.state_dict())
        seen.append(copy)
        return {**real(network, *args), "loss": next(script)}

    monkeypatch.setattr(training, "_evaluate", scripted)
    return seen
