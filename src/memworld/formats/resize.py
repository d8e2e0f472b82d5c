"""Frames of another size."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from PIL import Image

from memworld.datasets import EpisodeDataset
from memworld.episodes import Episode


def resize_frame(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """One frame, uint8 (H, W, C) with C of 1 or 3, brought to `size` (H, W) by averaging over areas."""
    if frame.shape[:2] == size:
        return frame
    grey = frame.shape[2] == 1
    picture = Image.fromarray(frame[:, :, 0] if grey else frame).resize(size[::-1], Image.Resampling.BOX)
    return np.asarray(picture)[:, :, None] if grey else np.asarray(picture)


def resize_frames(frames: Iterable[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Frames (N, H, W, C) brought to `size` (H, W)."""
    return np.stack([resize_frame(frame, size) for frame in frames])


def resized(dataset: EpisodeDataset, size: tuple[int, int]) -> EpisodeDataset:
    """The same data set with frames of `size` (H, W); each episode is resized when it is loaded."""
    if dataset.info.observation_shape[:2] == size:
        return dataset

    def load(episode_id: str) -> Episode:
        episode = dataset.load(episode_id)
        return replace(episode, observations=resize_frames(episode.observations, size))

    info = replace(dataset.info, observation_shape=(*size, dataset.info.observation_shape[2]))
    return EpisodeDataset(info, dataset.entries, load, dataset.root, dataset.left_out)
