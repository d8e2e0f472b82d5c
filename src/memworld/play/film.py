"""Panels as the pictures of a video: side by side, each enlarged and with its name above it."""

import functools
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE = 512
"""Pixels that the longer side of a panel has at least."""

_GAP = 24
_NAME = 44
"""Pixels of the line that a name stands on."""

_GROUND, _INK = (17, 18, 22), (235, 236, 239)


def side_by_side(frames: Sequence[np.ndarray], names: Sequence[str]) -> np.ndarray:
    """One picture of a video, uint8 (H, W, 3), whose sides are even.

    Args:
        frames: uint8 (h, w, C) of every panel, all of one shape; each of their pixels becomes a square.
        names: of the panels.
    """
    height, width, _ = frames[0].shape
    times = math.ceil(SIDE / max(height, width))
    tall, wide = _NAME + height * times, _GAP + (width * times + _GAP) * len(frames)
    picture = np.full((tall + tall % 2, wide + wide % 2, 3), _GROUND, np.uint8)
    for number, (frame, name) in enumerate(zip(frames, names, strict=True)):
        left = _GAP + number * (width * times + _GAP)
        picture[:_NAME, left : left + width * times] = _written(name, width * times)
        large = frame.repeat(times, 0).repeat(times, 1)  # of grey frames one channel serves for all three
        picture[_NAME:tall, left : left + width * times] = large
    return picture


@functools.lru_cache(16)
def _written(name: str, width: int) -> np.ndarray:
    """A line of text, uint8 (_NAME, width, 3), in the font that comes with Pillow."""
    line = Image.new("RGB", (width, _NAME), _GROUND)
    ImageDraw.Draw(line).text((0, _NAME / 2), name, _INK, ImageFont.load_default(22), anchor="lm")
    return np.asarray(line)
