"""The table of all rows, frames included, in the open format Lance: what counts, should anything else be lost.

    rows.lance/    one row a moment: episode, step, last, mu, sigma, z, action, reward, terminated,
                   truncated, source (JSON, in an episode's first row), frame

Lance writes each change as new files and a manifest that names all that belong to it. It does not
sync them, and reading a damaged file can end the process. So each change is synced here, every file
is sealed with its size and SHA-256, and none is read whose seal does not fit.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa

from memworld.errors import MemworldError
from memworld.storage import check_file, one_line
from memworld.store.arrays import Listed
from memworld.store.table_rows import BATCH, episode_from, schema, values
from memworld.store.versions import Seal, Settings, Version
from memworld.stored_frames import StoredFrames

TABLE = "rows.lance"

FILE_BYTES = 1 << 28
"""Of one file at most, so that its seal is checked in a fraction of a second before the first frame is read."""


@contextmanager
def lance_at(path: Path, doing: str) -> Iterator[ModuleType]:
    """Lance, with its errors in our words."""
    import lance

    try:
        yield lance
    except MemworldError:
        raise
    except BaseException as error:
        # Lance's panics are no `Exception`s; whatever else is neither, or is a defect of ours, is not caught.
        if not isinstance(error, OSError | RuntimeError | ValueError) and type(error).__module__ != "pyo3_runtime":
            raise
        raise MemworldError(
            f"cannot {doing} {path} ({one_line(error)[:300]}): free space, check its permissions, or see what "
            "memworld check says; what was stored before is unharmed"
        ) from error


@dataclass(eq=False)
class Table:
    """The table of one version, opened when first read; each of its files is checked before that.

    Attributes:
        path: of the table.
        version: of the memory.
    """

    path: Path
    version: Version
    _opened: Any = None
    _ends: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    _names: list[list[str]] = field(default_factory=list)
    _sound: set[str] = field(default_factory=set)

    def take(self, rows: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        """The frames of rows (n,), uint8 (n, *shape).

        Raises:
            MemworldError: a file is missing or damaged.
        """
        self._open()
        for fragment in np.unique(np.searchsorted(self._ends, rows, side="right")):
            self._check(*self._names[fragment])
        with lance_at(self.path, "read"):
            found = values(self._opened.take(rows.tolist(), columns=["frame"])["frame"])
        return found.reshape(len(rows), *shape)

    def episodes(self, settings: Settings) -> Iterator[tuple[Listed, dict[str, np.ndarray]]]:
        """Each episode and its `columns_of`, read from the table alone."""
        if not self.version.table:
            return
        self._open()
        self._check(*(name for names in self._names for name in names))
        wanted = [name for name in schema(settings).names if name != "frame"]
        waiting: list[pa.RecordBatch] = []
        with lance_at(self.path, "read"):
            scan = self._opened.scanner(columns=wanted, batch_size=BATCH, io_buffer_size=32 << 20)
            for batch in scan.to_batches():
                start = 0
                for last in np.flatnonzero(values(batch["last"])):
                    yield episode_from([*waiting, batch.slice(start, last + 1 - start)], settings)
                    waiting, start = [], int(last) + 1
                if start < len(batch):
                    waiting.append(batch.slice(start))
            if waiting:
                raise MemworldError(f"{self.path} is damaged: its last episode has no end")

    def check(self) -> None:
        """Check the seals of all files.

        Raises:
            MemworldError: a file is missing or damaged.
        """
        self._check(*self.version.files)

    def check_small(self) -> None:
        """Check the seals of the files that are written together with others, removed rows aside."""
        self._check(*(name for name, seal in self.version.files.items() if seal.bytes < FILE_BYTES))

    def _open(self) -> None:
        if self._opened is not None:
            return
        self._check(*(name for name in self.version.files if not name.startswith("data/")))
        with lance_at(self.path, "read") as lance:
            self._opened = lance.dataset(self.path, version=self.version.table)
            fragments = self._opened.get_fragments()
            self._ends = np.cumsum([fragment.count_rows() for fragment in fragments])
            self._names = [[f"data/{file.path}" for file in fragment.metadata.files] for fragment in fragments]

    def _check(self, *names: str) -> None:
        """Check the seals of files that have not been checked."""
        for name in names:
            if name in self._sound:
                continue
            if name not in self.version.files:
                raise MemworldError(f"{self.path / name} belongs to no version of the memory: see memworld check")
            check_seal(self.path / name, self.version.files[name])
            self._sound.add(name)


def check_seal(file: Path, seal: Seal) -> None:
    """Do nothing if a file is as it was written.

    Raises:
        MemworldError: it is missing or damaged.
    """
    try:
        check_file(file)
        found = Seal.of(file) if file.stat().st_size == seal.bytes else None
    except FileNotFoundError as error:
        raise MemworldError(
            f"{file} is missing: if the memory was written to since, refresh it; otherwise restore the file"
        ) from error
    except OSError as error:
        raise MemworldError(f"cannot read {file} ({error.strerror}): check the path and its permissions") from error
    if found != seal:
        raise MemworldError(f"{file} is damaged: its size or SHA-256 is not the one written; restore it")


@dataclass(frozen=True)
class TableFrames(StoredFrames):
    """An episode's frames in the table.

    Attributes:
        table: what they are read from.
        start: the first of the episode's rows.
    """

    table: Table
    start: int

    def take(self, steps: Sequence[int] | np.ndarray) -> np.ndarray:
        """The frames of these steps; see `StoredFrames`."""
        return self.table.take(np.asarray(steps, np.int64) + self.start, self.shape[1:])
