"""The arrays of a stored episode: what they should be, and how far what is found may be believed."""

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image

from memworld.errors import MemworldError
from memworld.storage import one_line

# Deflate and JPEG make nothing smaller than by about a thousand times.
_MOST_RATIO = 1032
_SPARE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Column:
    """One array of an episode, as a data set's spaces describe it.

    Attributes:
        path: the names that lead to it, as ("observations", "image").
        shape: of one row.
        more: whether it has T+1 rows, rather than T.
        image: whether it holds uint8 images, which may be stored as JPEG.
    """

    path: tuple[str, ...]
    shape: tuple[int, ...] = ()
    more: bool = False
    image: bool = False

    def __str__(self) -> str:
        return one_line("/".join(self.path))

    def rows(self, steps: int) -> int:
        """How many it has in an episode of T steps."""
        return steps + self.more

    def fitted(self, array: np.ndarray, steps: int) -> np.ndarray:
        """`array` in the shape (rows, *shape), from which it may differ by axes of one.

        Raises:
            MemworldError: it has other rows, or rows of another shape or type.
        """
        self.check(array.shape, array.dtype, steps)
        return array.reshape(self.rows(steps), *self.shape)

    def check(self, shape: tuple[int, ...], dtype: np.dtype[Any], steps: int) -> None:
        """Do nothing if an array of this shape and type is what `fitted` takes.

        Raises:
            MemworldError: it is not.
        """
        expected = (self.rows(steps), *self.shape)
        if shape[:1] != expected[:1] or math.prod(shape[1:]) != math.prod(self.shape):
            raise MemworldError(f"{self} of shape {shape}: expected {expected}")
        if dtype.kind not in "biuf" or dtype.itemsize > 8 or (self.image and dtype != np.uint8):
            raise MemworldError(f"{self} of type {dtype}: expected {'uint8 or JPEG' if self.image else 'numbers'}")


class Storage(Protocol):
    """The episodes of a set, by number, in one of Minari's storages."""

    def held(self) -> set[int]:
        """The numbers of the episodes that are there, sound or not."""

    def attributes(self, indices: Iterable[int]) -> list[Mapping[str, Any] | None]:
        """What is noted of each of these episodes; None if it cannot be read."""

    def read(self, index: int, steps: int, columns: Sequence[Column]) -> dict[tuple[str, ...], np.ndarray]:
        """Arrays (rows, *shape) of an episode, by path.

        Raises:
            MemworldError: one is missing, is other than its column says, or declares more than the
                file can hold. What the library beneath raises on a damaged file is not caught.
        """


def check_size(what: object, declared: int, stored: int) -> None:
    """Do nothing if `stored` bytes on the disk can hold `declared` ones: a small file must not ask for gigabytes.

    Raises:
        MemworldError: they cannot.
    """
    if declared > _MOST_RATIO * stored + _SPARE_BYTES:
        raise MemworldError(f"{what} declares {declared} bytes, which {stored} stored ones cannot hold")


def decode_jpeg(column: Column, images: Iterable[bytes], steps: int, stored: int) -> np.ndarray:
    """Decode a column of images.

    Args:
        column: what they should be.
        images: the JPEG file of each.
        steps: of the episode, T.
        stored: bytes of all of them.

    Returns:
        uint8 (rows, *shape).

    Raises:
        MemworldError: an image is of another size, or there are too many of them.
    """
    frames = np.empty((0, *column.shape), np.uint8)
    for row, data in enumerate(images):
        if row == 0:
            check_size(column, column.rows(steps) * math.prod(column.shape), stored)
            frames = np.empty((column.rows(steps), *column.shape), np.uint8)
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            height, width = column.shape[:2]
            # Compared before anything is decoded.
            if image.size != (width, height) or len(image.getbands()) != math.prod(column.shape[2:]):
                raise MemworldError(
                    f"{column} has a JPEG of {image.size[1]} x {image.size[0]} ({image.mode}), expected {column.shape}"
                )
            frames[row] = np.asarray(image).reshape(column.shape)
    return frames
