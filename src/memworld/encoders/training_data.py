"""What a VAE is trained on: frames of recorded episodes, and the statistics by which they are centred and scaled."""

import hashlib
import json
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from memworld.datasets import EpisodeDataset

VALIDATION_FRAMES = 512
"""Most validation frames in a look."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Frames in memory.

    Attributes:
        frames: uint8 (N, H, W, C), to train on.
        validation: uint8 (M, H, W, C), to look at.
        mean: (H, W, C) float32 mean picture of `frames` in [0, 1].
        scale: (H, W, C) float32 floored per-pixel standard deviation.
    """

    frames: Tensor
    validation: Tensor
    mean: Tensor
    scale: Tensor

    @classmethod
    def load(cls, training: EpisodeDataset, validation: EpisodeDataset, most: int, floor: float) -> "TrainingData":
        """Load up to `most` frames to train on and those to look at.

        Raises:
            MemworldError: an episode cannot be loaded.
        """
        frames = load_frames(training, most)
        return cls(frames, load_frames(validation, VALIDATION_FRAMES), *pixel_statistics(frames, floor))


def load_frames(dataset: EpisodeDataset, most: int) -> Tensor:
    """Up to `most` frames of a data set, uint8 (N, H, W, C): all, or every n-th of the episodes end to end."""
    total = dataset.steps + len(dataset)
    stride = math.ceil(total / most)
    frames = torch.empty((math.ceil(total / stride), *dataset.info.observation_shape), dtype=torch.uint8)
    seen, kept = 0, 0
    # Copied one episode at a time, so that no more than the frames themselves and one episode is in memory.
    for episode in dataset:
        chosen = episode.observations[-seen % stride :: stride]
        frames[kept : kept + len(chosen)] = torch.tensor(np.ascontiguousarray(chosen))
        seen, kept = seen + len(episode) + 1, kept + len(chosen)
    assert kept == len(frames), (kept, len(frames))
    return frames


def digest(dataset: EpisodeDataset) -> str:
    """What tells one data set from another without loading it, in few characters."""
    content = [dataset.info.to_json(), [entry.to_json() for entry in dataset.entries]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def pixel_statistics(frames: Tensor, floor: float) -> tuple[Tensor, Tensor]:
    """Mean picture and floored per-pixel standard deviation of uint8 (N, H, W, C) frames in [0, 1]."""
    total = torch.zeros(frames.shape[1:], dtype=torch.float64)
    squares = torch.zeros_like(total)
    for piece in torch.split(frames, 1024):
        values = piece.double() / 255
        total += values.sum(0)
        squares += (values**2).sum(0)
    mean = total / len(frames)
    std = (squares / len(frames) - mean**2).clamp(min=0).sqrt()
    return mean.float(), std.clamp(min=floor).float()
