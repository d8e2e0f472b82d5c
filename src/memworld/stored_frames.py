"""An episode's frames that stay on disk until they are asked for."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap

from memworld.errors import MemworldError
from memworld.storage import check_file, one_line


@dataclass(frozen=True)
class StoredFrames:
    """Frames in a `.npy` file, mapped and read when asked for.

    The file is mapped anew for each reading: a map holds an open file for as long as it lives, and
    a memory of thousands of episodes would pass the number that the system allows.

    Attributes:
        path: the file.
        shape: (N, H, W, C).
    """

    path: Path
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check that the file holds frames of this shape, without reading them.

        Raises:
            MemworldError: it is missing, truncated, damaged or of another shape.
        """
        self._map()

    @property
    def nbytes(self) -> int:
        """Bytes of all frames."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> np.ndarray:
        """One frame, uint8 (H, W, C)."""
        return np.array(self._map()[index])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._map(), dtype)

    def _map(self) -> np.ndarray:
        try:
            check_file(self.path)
            # Not `np.load`, which opens archives and pickles too.
            frames = open_memmap(self.path, mode="r")
        except FileNotFoundError as error:
            raise MemworldError(f"remembered frames {self.path} are missing: remember the episode again") from error
        except Exception as error:  # NumPy promises no set of errors on damaged files
            raise MemworldError(
                f"remembered frames {self.path} are truncated or damaged ({one_line(error)}): "
                "remember the episode again"
            ) from error
        whole = self.path.stat().st_size == frames.offset + frames.nbytes and frames.flags.c_contiguous
        if frames.shape != self.shape or frames.dtype != np.uint8 or not whole:
            raise MemworldError(
                f"remembered frames {self.path} are not uint8 {list(self.shape)}: remember the episode again"
            )
        return frames
