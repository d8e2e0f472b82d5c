"""Differences between frames, of all pixels and of those that move (METHOD section 6)."""

import numpy as np

MOVING = 0.05
"""A pixel moves where a channel differs by more than this from the median picture, of frames in [0, 1]."""


def l1(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Mean absolute error of the whole frame in [0, 1]: uint8 (N, H, W, C) twice to float64 (N,)."""
    return np.asarray(absolute_error(true, predicted).mean((1, 2), dtype=np.float64))


def moving_pixel_l1(true: np.ndarray, predicted: np.ndarray, median: np.ndarray) -> np.ndarray:
    """Mean absolute error over the pixels where truth or prediction differs from the median picture.

    A phantom costs as much as a miss. NaN for a frame in which nothing moves.

    Args:
        true: uint8 (N, H, W, C).
        predicted: uint8 (N, H, W, C).
        median: uint8 (H, W, C) median picture of the training data.

    Returns:
        float64 (N,), in [0, 1].
    """
    moving = differs(true, median) | differs(predicted, median)
    total = (absolute_error(true, predicted) * moving).sum((1, 2), dtype=np.float64)
    count = moving.sum((1, 2))
    return np.asarray(np.divide(total, count, out=np.full(len(true), np.nan), where=count > 0))


def absolute_error(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """(...) mean over channels of the absolute difference of uint8 pixels (..., C), in [0, 1]."""
    difference = np.maximum(true, predicted) - np.minimum(true, predicted)
    return np.asarray(difference.mean(-1, dtype=np.float32) / 255)


def differs(frames: np.ndarray, median: np.ndarray) -> np.ndarray:
    """(N, H, W) bool: where any channel is further than `MOVING` from the median picture."""
    difference = np.maximum(frames, median) - np.minimum(frames, median)
    return np.asarray((difference > MOVING * 255).any(3))
