"""Frames as PNGs, out of memory and out of what anybody may send."""

import io
import re
import struct

import numpy as np
from PIL import Image

from memworld.errors import MemworldError
from memworld.formats.resize import resize_frame
from memworld.storage import one_line

MOST_SIDE = 4096
"""Pixels of a side of a picture that is sent."""


def read_png(content: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """A PNG as a frame of this shape, uint8 (H, W, C).

    Raises:
        MemworldError: it is none, or its sides are longer than `MOST_SIDE`.
    """
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if max(image.size) > MOST_SIDE:  # before anything of it is decoded
                raise MemworldError(
                    f"the picture has {image.size[0]} x {image.size[1]} pixels: {MOST_SIDE} is the most"
                )
            pixels = np.asarray(image.convert("L" if shape[2] == 1 else "RGB"))
    except MemworldError:
        raise
    except Exception as error:  # Pillow names no kinds: a picture that lacks its palette fails an assertion
        # It names the object that it has read from, which tells nobody anything.
        why = re.sub(r"\s*<[^<>]*>", "", one_line(error))[:200]
        raise MemworldError(f"that is no PNG, or it is damaged ({why})") from error
    return resize_frame(pixels.reshape(*pixels.shape[:2], shape[2]), shape[:2])


def png_shape(content: bytes) -> tuple[int, int]:
    """Height and width of a PNG that `read_png` has read, whose header comes first of all."""
    width, height = struct.unpack(">II", content[16:24])
    return height, width


def write_png(frame: np.ndarray) -> bytes:
    """A frame, uint8 (H, W, C), as a PNG."""
    into = io.BytesIO()
    Image.fromarray(frame[..., 0] if frame.shape[-1] == 1 else frame).save(into, "PNG", compress_level=1)
    return into.getvalue()
