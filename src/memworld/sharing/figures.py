"""The pictures of a card."""

import numpy as np

from memworld.encoders import Encoder
from memworld.evaluate.experiments.result import Chart, Curve
from memworld.memory import Memory
from memworld.report.looks import looks_of
from memworld.sharing.facts import Coverage

FRAMES = 8
"""Of a film strip."""

_SIDE = 112
"""Pixels that a frame of a strip has at least along its longer side; each of its own becomes a square."""

_GAP = 3
"""White pixels between frames."""


def strips(memory: Memory, encoder: Encoder, episode: int) -> list[np.ndarray]:
    """Frames of an episode at even distances, large enough to see, and below them what is decoded of their latents.

    Returns:
        Strips of uint8 (N, H, W, C), the recorded one only if the memory keeps frames.
    """
    chosen = memory.episodes[episode]
    steps = strip_steps(memory, episode)
    decoded = encoder.decode(chosen.latents.mu[steps])
    recorded = [] if chosen.frames is None else [np.stack([chosen.frames[step] for step in steps])]
    return [_enlarged(strip) for strip in (*recorded, decoded)]


def strip_steps(memory: Memory, episode: int) -> list[int]:
    """The steps of an episode that its strip shows, ascending."""
    last = memory.entries[episode].steps
    return [int(step) for step in np.unique(np.linspace(0, last, FRAMES).round())]


def _enlarged(frames: np.ndarray) -> np.ndarray:
    """Frames (N, H, W, C) with every pixel made a square, and white to the right and below."""
    times = -(-_SIDE // max(frames.shape[1:3]))
    large = frames.repeat(times, axis=1).repeat(times, axis=2)
    return np.pad(large, ((0, 0), (0, _GAP), (0, _GAP), (0, 0)), constant_values=255)


def coverage_png(coverage: Coverage) -> bytes:
    """The distances in order, beside how far the world moves in five steps, as a PNG."""
    from memworld.report.chart_pngs import chart_png  # it takes long to load

    distances = coverage.distances
    shares = 100 * np.arange(1, len(distances) + 1) / len(distances)
    curves = (
        Curve("to the nearest moment of another episode", tuple(shares.tolist()), tuple(distances.tolist())),
        Curve("typical move in 5 steps", (0.0, 100.0), (coverage.moved, coverage.moved)),
    )
    chart = Chart(
        "How near moments are to other episodes",
        f"share of {len(distances)} sampled moments, nearest first (%)",
        "Euclidean distance between latent means",
        curves,
    )
    return chart_png(chart, looks_of(curve.label for curve in curves))
