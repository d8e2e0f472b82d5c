"""Strips of frames as one picture to be looked at: enlarged, with gaps, and with words beside and above."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from memworld.storage import write_atomic

SIDE = 192
"""Pixels that the longer side of an enlarged frame has at most; a frame that is longer stays as it is."""

WIDTH = 1320
"""Pixels that a picture is wide at most, unless a single frame is wider: further frames go below."""

_GAP = 6
_LETTERS = 18
_INK, _PAPER = (32, 36, 40), (255, 255, 255)


def write_strips(path: Path, strips: Mapping[str, np.ndarray], heads: Sequence[str]) -> None:
    """Write strips of frames as a PNG, atomically: those of one step one below the other.

    Args:
        path: the file to write.
        strips: by what stands at their left, uint8 (N, H, W, C) each with C of 1 or 3.
        heads: what stands above each of the N columns.
    """
    image = picture(strips, heads)
    write_atomic(path, lambda temporary: image.save(temporary, format="PNG", optimize=True))


def picture(strips: Mapping[str, np.ndarray], heads: Sequence[str]) -> Image.Image:
    """The picture that `write_strips` writes."""
    count, tall, wide, _ = next(iter(strips.values())).shape
    assert all(len(strip) == count == len(heads) for strip in strips.values())
    times = max(1, SIDE // max(tall, wide))
    tall, wide = tall * times, wide * times
    font = ImageFont.load_default(_LETTERS)
    left = _GAP + math.ceil(max(font.getlength(name) for name in strips)) + 2 * _GAP
    head = _LETTERS + 2 * _GAP
    band = head + len(strips) * (tall + _GAP) + _GAP
    fitting = max(1, (WIDTH - left) // (wide + _GAP))
    bands = math.ceil(count / fitting)
    columns = math.ceil(count / bands)  # as many in every band, but for the last

    image = Image.new("RGB", (left + columns * (wide + _GAP), bands * band), _PAPER)
    draw = ImageDraw.Draw(image)
    for step, words in enumerate(heads):
        x, y = left + step % columns * (wide + _GAP), step // columns * band
        draw.text((x + wide / 2, y + head / 2), words, _INK, font, anchor="mm")
        for row, strip in enumerate(strips.values()):
            frame = np.broadcast_to(strip[step], (*strip[step].shape[:2], 3))
            enlarged = frame.repeat(times, 0).repeat(times, 1)
            image.paste(Image.fromarray(enlarged), (x, y + head + row * (tall + _GAP)))
    for y in range(0, bands * band, band):
        for row, name in enumerate(strips):
            draw.text((_GAP, y + head + row * (tall + _GAP) + tall / 2), name, _INK, font, anchor="lm")
    return image
