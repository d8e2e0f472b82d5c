"""Pieces of a stored memory, so named that whoever loads one can tell whether its rows are the ones that are meant."""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memworld.errors import MemworldError
from memworld.memory import Rows
from memworld.store import Stored
from memworld.store.arrays import Listed, check_columns


@dataclass(frozen=True)
class Piece:
    """Whole episodes of a memory that follow each other, in its folder.

    Attributes:
        path: the folder, absolute.
        encoder: fingerprint of the memory's encoder.
        version: of the memory, when the piece was cut.
        rows: of the memory, the first and the end of the piece's.
        episodes: of the memory, the first and the end of the piece's.
        sha256: of their entries in the list of episodes, each with the SHA-256 of the episode.
    """

    path: str
    encoder: str
    version: int
    rows: tuple[int, int]
    episodes: tuple[int, int]
    sha256: str

    def __str__(self) -> str:
        return f"rows {self.rows[0]} to {self.rows[1] - 1}"

    def __len__(self) -> int:
        """How many rows may answer: all but the last of each episode."""
        return self.rows[1] - self.rows[0] - (self.episodes[1] - self.episodes[0])

    def read(self) -> Rows:
        """The piece's rows, as of a memory of these episodes alone; latents mapped, and of the others nothing is read.

        They are compared with their checksums, which takes little where all of them are about to be indexed.

        Raises:
            MemworldError: the folder is not to be seen here, is damaged, or does not hold these episodes: it is
                another memory's, lags behind, or has changed.
        """
        path = Path(self.path)
        if not path.is_dir():
            raise MemworldError(
                f"{path} is not to be seen there: put the memory where every machine sees it under the same path, as "
                "on a network file system"
            )
        stored = Stored.open(path)
        if stored.settings.encoder != self.encoder:
            raise MemworldError(
                f"{path} holds there a memory made by encoder {stored.settings.encoder[:12]}, and one made by "
                f"{self.encoder[:12]} is searched: put the same memory under this path on every machine"
            )
        if stored.version.number < self.version:
            raise MemworldError(
                f"{path} holds there version {stored.version.number} of the memory, and version {self.version} is "
                "searched: wait until the machine sees what was written, or put the same memory under this path on "
                "every machine"
            )
        if not self.lies_in(stored):
            raise MemworldError(
                f"{path} no longer holds the episodes that are searched: some were removed or replaced since it was "
                "opened: refresh the memory, or open it again"
            )
        arrays, starts = stored.arrays, stored.arrays.starts.tolist()
        for number in range(*self.episodes):
            own = {name: column[starts[number] : starts[number + 1]] for name, column in arrays.columns.items()}
            check_columns(arrays.listed[number], own, stored.settings, arrays.folder)
        return stored.some_rows(*self.episodes)

    def lies_in(self, stored: Stored) -> bool:
        """Whether these episodes are still in their places in what is stored."""
        return _digest(stored.arrays.listed[slice(*self.episodes)]) == self.sha256


def pieces_of(stored: Stored, first: int, parts: int) -> tuple[Piece, ...]:
    """Cut a stored memory from episode `first` on into at most so many pieces of about as many rows each."""
    starts = stored.arrays.starts
    path = str(stored.path.resolve())
    found = []
    for here, end in cut(starts[first:], parts):
        episodes = (first + here, first + end)
        rows = (int(starts[episodes[0]]), int(starts[episodes[1]]))
        own = _digest(stored.arrays.listed[slice(*episodes)])
        found.append(Piece(path, stored.settings.encoder, stored.version.number, rows, episodes, own))
    return tuple(found)


def cut(starts: np.ndarray, parts: int) -> list[tuple[int, int]]:
    """Cut between episodes, so that parts have about as many rows.

    Args:
        starts: (E+1,) int64 the first row of each episode, and the end of the last, E from 1.
        parts: at most how many.

    Returns:
        The first episode of each part and its end; there are fewer where episodes are too few or too long.
    """
    wanted = starts[0] + (starts[-1] - starts[0]) * np.arange(1, parts) / parts
    after = np.searchsorted(starts, wanted)
    nearest = np.where(wanted - starts[after - 1] <= starts[after] - wanted, after - 1, after)
    ends = np.unique([0, *nearest, len(starts) - 1]).tolist()
    return list(itertools.pairwise(ends))


def _digest(listed: Sequence[Listed]) -> str:
    found = hashlib.sha256()
    for one in listed:
        found.update(one.line())
    return found.hexdigest()
