"""An episode's frames that stay on disk until they are asked for."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class StoredFrames(ABC):
    """Frames on disk, read when asked for.

    Attributes:
        path: the file or folder that they are read from.
        shape: (N, H, W, C).
    """

    path: Path
    shape: tuple[int, ...]

    @abstractmethod
    def take(self, steps: Sequence[int] | np.ndarray) -> np.ndarray:
        """The frames of these steps, uint8 (len(steps), H, W, C).

        Raises:
            MemworldError: they are missing, damaged or of another shape.
        """

    @property
    def nbytes(self) -> int:
        """Bytes of all frames."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> np.ndarray:
        """One frame, uint8 (H, W, C)."""
        frame: np.ndarray = self.take([range(len(self))[index]])[0]
        return frame

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.take(np.arange(len(self))), dtype)
