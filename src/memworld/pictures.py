"""From predicted latents to pictures: decoded, recorded, or decoded where something moves and kept where nothing does.

A decoder blurs what it has seen well a thousand times. Where the decoded prediction hardly differs from
the decoded present, nothing has happened, and the last frame seen shows it better than any decoder.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from memworld.analogues import AnalogueDynamics
from memworld.encoders import Encoder
from memworld.errors import MemworldError
from memworld.gaussian import Latents
from memworld.imagine import Dynamics
from memworld.memory import Memory
from memworld.pixels import absolute_error, differs

Decoding = Literal["decoder", "blend", "frame"]
"""How a predicted latent is shown: `decoder`, what the encoder's decoder makes of it; `blend`, the same with
the last frame seen kept where nothing moves; `frame`, the recorded pictures behind it, cell by cell the
one with the largest share."""

DECODINGS = get_args(Decoding)

_STEPS = (1, 2, 3, 5, 8, 12, 16, 20)
"""Numbers of steps ahead for which the limits of a blend are chosen."""

_MOMENTS = 64
"""Recorded moments that they are chosen on, and below a quarter of which nothing is."""

LIMITS = (0.0, 5.0, 10.0, 20.0, 40.0)
"""Differences, of 255, to choose from; below one of them a pixel counts as unmoved."""


def check_decoding(decoding: str) -> None:
    """Do nothing if there is a decoding of that name.

    Raises:
        MemworldError: there is none.
    """
    if decoding not in DECODINGS:
        raise MemworldError(f"unknown decoding {decoding!r}: use one of {', '.join(DECODINGS)}")


@dataclass(frozen=True)
class Blend:
    """How much of the last frame seen to keep.

    Attributes:
        steps: ascending numbers of steps ahead for which limits were chosen; those between take the limits
            of the next lower one.
        limits: for each of them two of `LIMITS`: below the first, what the decoder had missed of the
            present is added to the prediction; below the second, the prediction gives way to the present.
    """

    steps: tuple[int, ...]
    limits: tuple[tuple[float, float], ...]

    def limits_at(self, steps: int) -> tuple[float, float]:
        """The limits for so many steps ahead."""
        return self.limits[max(0, int(np.searchsorted(self.steps, steps, side="right")) - 1)]

    def show(self, seen: np.ndarray, present: np.ndarray, predicted: np.ndarray, steps: int) -> np.ndarray:
        """Pictures `steps` ahead, uint8 (N, H, W, C).

        Args:
            seen: uint8 (N, H, W, C) the last frames seen.
            present: uint8, the same decoded.
            predicted: uint8, the predictions decoded.
            steps: how far ahead these are.
        """
        return blended(seen, present, predicted, *self.limits_at(steps))

    @classmethod
    def fit(
        cls,
        steps: Sequence[int],
        seen: np.ndarray,
        present: np.ndarray,
        predicted: np.ndarray,
        true: np.ndarray,
        median: np.ndarray,
    ) -> "Blend":
        """Choose the limits that come closest to the truth where anything moves.

        That is where the truth, the last frame seen or the prediction differs from the median picture:
        the same pixels for all limits, as a mean over those that a picture itself makes move would
        reward it for being a little wrong in many places.

        Args:
            steps: T numbers of steps ahead, ascending.
            seen: uint8 (N, H, W, C), as in `show`.
            present: uint8 (N, H, W, C).
            predicted: uint8 (T, N, H, W, C) predictions decoded.
            true: uint8 (T, N, H, W, C) what came.
            median: uint8 (H, W, C) median picture.
        """
        chosen = []
        for ahead in range(len(steps)):
            moving = differs(true[ahead], median) | differs(seen, median) | differs(predicted[ahead], median)
            truth, last, now, then = (frames[moving] for frames in (true[ahead], seen, present, predicted[ahead]))
            errors = {
                limits: float(absolute_error(truth, blended(last, now, then, *limits)).sum(dtype=np.float64))
                for limits in itertools.product(LIMITS, LIMITS)
            }
            chosen.append(min(errors, key=lambda limits: (errors[limits], limits)))
        return cls(tuple(steps), tuple(chosen))


def blended(
    seen: np.ndarray, present: np.ndarray, predicted: np.ndarray, detail_below: float, still_below: float
) -> np.ndarray:
    """Predictions with what is kept of the present; all uint8 (..., C). Limits of 0 keep nothing."""
    decoded, before = predicted.astype(np.float32), present.astype(np.float32)
    moved = np.abs(decoded - before).max(-1, keepdims=True)
    picture = decoded
    if detail_below > 0:
        picture = picture + np.exp(-((moved / detail_below) ** 2)) * (seen - before)
    if still_below > 0:
        picture = picture + np.exp(-((moved / still_below) ** 2)) * (before - decoded)
    return np.asarray(picture.round().clip(0, 255).astype(np.uint8))


def decode(encoder: Encoder, z: Tensor) -> np.ndarray:
    """Latents (..., D) to frames, uint8 (..., H, W, C)."""
    frames = encoder.decode(z.reshape(-1, z.shape[-1]))
    return frames.reshape(*z.shape[:-1], *encoder.frame_shape)


def recorded(
    frames: Callable[[list[int]], np.ndarray],
    rows: Tensor,
    weights: Tensor,
    squares: Tensor | None,
    fallback: np.ndarray,
) -> np.ndarray:
    """The recorded pictures behind predictions: of every cell, that of the row with the largest share.

    Args:
        frames: the recorded frames of rows, as `Memory.frames`.
        rows: (N, K) int64 rows whose successors were read, -1 where none.
        weights: (N, K) their shares.
        squares: (K, 4) the cells that a column speaks for (`rollout.Prediction`); None for all.
        fallback: uint8 (N, H, W, C) what to show where there is no row at all.

    Raises:
        MemworldError: the memory keeps no frames.
    """
    pictures = fallback.copy()
    if squares is None:
        squares = torch.tensor([[0, 1, 0, 1]]).expand(rows.shape[1], -1)
    top, bottom, left, right = squares.T
    height, width = int(bottom.max()), int(right.max())
    tall, wide = pictures.shape[1] // height, pictures.shape[2] // width
    cells = list(itertools.product(range(height), range(width)))
    y, x = torch.tensor(cells).T[..., None]
    speaks = (top <= y) & (y < bottom) & (left <= x) & (x < right)
    density = torch.where(rows >= 0, weights / ((bottom - top) * (right - left)), -1.0)
    for picture, here, shares in zip(pictures, rows, density, strict=True):
        chosen = here[torch.where(speaks, shares, -2.0).argmax(1)].tolist()
        there = sorted({row + 1 for row in chosen if row >= 0})
        known = dict(zip(there, frames(there), strict=True)) if there else {}
        for (cell_y, cell_x), row in zip(cells, chosen, strict=True):
            if row >= 0:
                area = slice(cell_y * tall, (cell_y + 1) * tall), slice(cell_x * wide, (cell_x + 1) * wide)
                picture[area] = known[row + 1][area]
    return pictures


class Painter:
    """Draws what a dynamics predicts of one memory."""

    def __init__(self, encoder: Encoder, memory: Memory, dynamics: Dynamics, before: "Painter | None" = None) -> None:
        """Draw with the encoder's decoder and the memory's frames; as `before`, if its dynamics learned the same."""
        self._encoder, self._memory, self._dynamics = encoder, memory, dynamics
        self._blend: Blend | None = None
        if before is not None and isinstance(dynamics, AnalogueDynamics):
            then = before._dynamics
            same = isinstance(then, AnalogueDynamics) and then.analogues.fit is dynamics.analogues.fit
            self._blend = before._blend if same else None

    def usual(self, seen: np.ndarray | None) -> Decoding:
        """How to draw unless told otherwise: `blend` for analogues, if the last frames seen are given."""
        possible = isinstance(self._dynamics, AnalogueDynamics) and self._memory.keep_frames and seen is not None
        return "blend" if possible else "decoder"

    def draw(
        self,
        decoding: Decoding,
        latents: Latents,
        seen: np.ndarray | None,
        rows: Tensor,
        weights: Tensor,
        squares: Tensor | None,
    ) -> np.ndarray:
        """Pictures of B futures of T steps, uint8 (B, T, H, W, C).

        Args:
            decoding: how.
            latents: (B, T, D).
            seen: uint8 (B, H, W, C) the frames that they start from, or None.
            rows: (B, T, K) int64 as in `rollout.Rollout`.
            weights: (B, T, K).
            squares: (K, 4), or None.

        Raises:
            MemworldError: an unknown decoding, or one that needs what is not there.
        """
        check_decoding(decoding)
        decoded = decode(self._encoder, latents.z)
        if decoding == "decoder":
            return decoded
        if not self._memory.keep_frames:
            raise MemworldError(f"the memory keeps no frames, so {decoding} has none to show: use decoder")
        if decoding == "frame":
            flat = decoded.reshape(-1, *decoded.shape[2:])
            return recorded(self._memory.frames, rows.flatten(0, 1), weights.flatten(0, 1), squares, flat).reshape(
                decoded.shape
            )
        if seen is None:
            raise MemworldError("blend keeps of the last frame seen: give observations as frames, or use decoder")
        blend = self.blend
        present = self._encoder.decode(self._encoder.encode(seen)[0])
        steps = range(1, decoded.shape[1] + 1)
        return np.stack([blend.show(seen, present, decoded[:, t - 1], t) for t in steps], 1)

    @property
    def blend(self) -> Blend:
        """The limits for this memory, chosen on predictions of its own moments from other episodes.

        Raises:
            MemworldError: the dynamics cannot leave episodes out.
        """
        if self._blend is None:
            if not isinstance(self._dynamics, AnalogueDynamics):
                raise MemworldError("blend is chosen by analogues: follow them, or use decoder or frame")
            self._blend = self._choose(self._dynamics)
        return self._blend

    def _choose(self, dynamics: AnalogueDynamics) -> Blend:
        analogues, memory = dynamics.analogues, self._memory
        steps = tuple(s for s in _STEPS if s <= analogues.horizon)
        rows, means = analogues.recall(steps, _MOMENTS)
        if len(rows) < _MOMENTS // 4:
            return Blend((1,), ((0.0, 0.0),))
        seen = memory.frames(rows.tolist())
        true = np.stack([memory.frames((rows + ahead).tolist()) for ahead in steps])
        median = np.median(np.concatenate([seen, *true]), axis=0).round().astype(np.uint8)
        present = decode(self._encoder, dynamics.rows.latents.mu[rows])
        return Blend.fit(steps, seen, present, decode(self._encoder, means), true, median)
