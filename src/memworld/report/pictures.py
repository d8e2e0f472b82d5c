"""Frames as the page shows them."""

import base64
import io

import numpy as np
from PIL import Image

from memworld.errors import MemworldError


def png(frame: np.ndarray) -> str:
    """A frame as a PNG data URI, in its own size: the page enlarges it.

    Args:
        frame: uint8 (H, W, C) with C of 1 or 3.

    Raises:
        MemworldError: another shape or dtype.
    """
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] not in (1, 3):
        raise MemworldError(
            f"a frame of {frame.dtype}{list(frame.shape)} cannot be shown: give uint8 (H, W, C) with C of 1 or 3"
        )
    return data_uri(frame[..., 0] if frame.shape[2] == 1 else frame)


def data_uri(pixels: np.ndarray) -> str:
    """Pixels as a PNG data URI.

    Args:
        pixels: uint8 (H, W), or (H, W, C) with C of 3 or, with how opaque they are, 4.
    """
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
