"""Stretches of long videos."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from memworld.errors import MemworldError
from memworld.formats.video_frames import gather_frames, read_frames


class Reel:
    """Reads stretches of videos; one that begins where the last one ended is decoded on, not from the start."""

    def __init__(self) -> None:
        """Hold no video."""
        self._path = Path()
        self._next = 0
        self._frames: Iterator[np.ndarray] = iter(())
        self._last: np.ndarray | None = None

    def read(self, path: Path, first: int, count: int, size: tuple[int, int] | None = None) -> np.ndarray:
        """`count` frames from the one numbered `first`, uint8 (count, H, W, 3); see `read_frames`.

        The next stretch may begin with the last frame of this one.
        """
        shared = self._last is not None and (path, first) == (self._path, self._next - 1)
        if not shared:
            self._path, self._next, self._last = path, first, None
            self._frames = read_frames(path, first=first, size=size)
        before = [self._last] if shared and self._last is not None else []
        stretch = gather_frames(itertools.chain(before, itertools.islice(self._frames, count - len(before))))
        if len(stretch) < count:
            raise MemworldError(
                f"{path} holds {first + len(stretch)} frames, {first + count} were expected: it is cut off"
            )
        self._next, self._last = first + count, stretch[-1].copy()
        return stretch
