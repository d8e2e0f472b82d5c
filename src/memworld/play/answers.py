"""What a session shows, as bytes: a length, so many bytes of JSON, and then the pictures as they are."""

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from memworld.play.panels import Neighbour, Panel

THUMB = 96
"""Pixels that the longer side of a thumbnail has at most."""


class Pictures:
    """Pictures back to back, as they will lie after the JSON."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._size = 0

    def add(self, picture: np.ndarray) -> dict[str, int]:
        """Put a picture, uint8 (H, W, C), after the others, and say where it lies."""
        content = picture.tobytes()
        where = {"offset": self._size, **dict(zip(("height", "width", "channels"), picture.shape, strict=True))}
        self.parts.append(content)
        self._size += len(content)
        return where


def packed(told: Mapping[str, Any], pictures: Pictures | None = None) -> bytes:
    """One answer: uint32 little-endian length of the JSON, the JSON in UTF-8, the pictures."""
    text = json.dumps(told, allow_nan=False, separators=(",", ":")).encode()
    return b"".join([struct.pack("<I", len(text)), text, *(pictures.parts if pictures else ())])


def panels_told(
    panels: Sequence[Panel], thumbs: Sequence[np.ndarray] | None, pictures: Pictures
) -> list[dict[str, Any]]:
    """Panels in plain JSON values.

    Args:
        panels: what is shown.
        thumbs: for each of them the frames of its neighbours, uint8 (n, H, W, C), or None if nobody wants them.
        pictures: takes the frames.
    """
    told = []
    for number, panel in enumerate(panels):
        plain: dict[str, Any] = {
            name: getattr(panel, name)
            for name in (
                *("title", "kind", "reward", "total", "termination", "over"),
                *("support", "no_support", "searched", "place"),
            )
        }
        plain["frame"] = pictures.add(panel.frame)
        plain["neighbours"] = [neighbour_told(neighbour) for neighbour in panel.neighbours]
        if thumbs is not None:
            for neighbour, frame in zip(plain["neighbours"], thumbs[number], strict=True):
                neighbour["thumb"] = pictures.add(small(frame))
        told.append(plain)
    return told


def neighbour_told(neighbour: Neighbour) -> dict[str, Any]:
    """A recorded moment in plain JSON values."""
    return dict(vars(neighbour))


def small(frame: np.ndarray) -> np.ndarray:
    """A frame, uint8 (H, W, C), as a thumbnail: every so many pixels of it."""
    every = -(-max(frame.shape[:2]) // THUMB)
    return frame[::every, ::every]
