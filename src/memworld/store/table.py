"""The table of all rows, frames included, in the open format Lance: what counts, should anything else be lost.

    rows.lance/    one row a moment: episode, step, last, mu, sigma, z, action, reward, terminated,
                   truncated, source (JSON, in an episode's first row), frame

Lance writes each change as new files and a manifest that names all that belong to it. It does not
sync them, and reading a damaged file can end the process. So each change is synced here, every file
is sealed with its size and SHA-256, and none is read whose seal does not fit; frames are read apart.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Literal

import numpy as np
import pyarrow as pa

from memworld.errors import MemworldError
from memworld.storage import check_file, one_line
from memworld.store.apart import State, reader
from memworld.store.arrays import ARRAYS, LISTING, Listed
from memworld.store.table_rows import BATCH, episode_from, schema, values
from memworld.store.versions import Seal, Settings, Version, read_index, read_version
from memworld.stored_frames import StoredFrames

TABLE = "rows.lance"

FILE_BYTES = 1 << 28
"""Of one file at most, so that its seal is checked in a fraction of a second before the first frame is read."""


_MOST_COMPRESSED = 256
"""Times its bytes that a frame can be of: LZ4 makes at most 255 of one."""


def manifest_of(table: int) -> str:
    """The file that describes a state of the table, which Lance names by what is left to the largest number."""
    return f"_versions/{(1 << 64) - 1 - table}.manifest"


@contextmanager
def lance_at(path: Path, doing: Literal["read", "write"]) -> Iterator[ModuleType]:
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
        fix = {
            "read": "if the memory was written to since, refresh it; otherwise see memworld check",
            "write": "free space, check its permissions, or see memworld check; what was stored before is unharmed",
        }
        raise MemworldError(f"cannot {doing} {path} ({one_line(error)[:300]}): {fix[doing]}") from error


@dataclass(eq=False)
class Table:
    """The table of one version, opened when first read; each of its files is checked before that.

    Attributes:
        path: of the table.
        version: of the memory.
        sound: the seals of files that were found to fit.
    """

    path: Path
    version: Version
    sound: dict[str, Seal] = field(default_factory=dict)
    _ends: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    _names: list[list[str]] = field(default_factory=list)

    def take(self, rows: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        """The frames of rows (n,), uint8 (n, *shape).

        Where the memory has grown since, and files of this version are deleted, they are read from the present one.

        Raises:
            MemworldError: a file is missing or damaged.
        """
        while True:
            try:
                return self._take(rows, shape)
            except MemworldError as error:
                now = self._now()
                if now is None or now == self.version:
                    raise
                if not self._grew_to(now):
                    raise MemworldError(
                        f"{self.path.parent} was written to since it was opened: refresh it, frames are gone ({error})"
                    ) from error

    def _take(self, rows: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        if not len(rows):
            return np.empty((0, *shape), np.uint8)
        width, size = math.prod(shape), sum(seal.bytes for seal in self.version.files.values())
        if width > _MOST_COMPRESSED * size:  # before room is made for them
            raise MemworldError(f"{self.path} is damaged: it has {size} bytes, too few for a frame of {list(shape)}")
        self._open()
        fragments = np.unique(np.searchsorted(self._ends, rows, side="right"))
        if fragments[-1] == len(self._names):
            raise MemworldError(f"{self.path} is damaged: it has no row {rows.max()}; see memworld check")
        for fragment in fragments:
            self._check(*self._names[fragment])
        return reader().frames(self._state, rows.tolist(), width).reshape(len(rows), *shape)

    def episodes(self, settings: Settings) -> Iterator[tuple[Listed, dict[str, np.ndarray]]]:
        """Each episode and its `columns_of`, read from the table alone."""
        if not self.version.table:
            return
        self.check()
        wanted = [name for name in schema(settings).names if name != "frame"]
        waiting: list[pa.RecordBatch] = []
        with lance_at(self.path, "read") as lance:
            opened = lance.dataset(self.path, version=self.version.table)
            if not opened.schema.equals(schema(settings)):
                raise MemworldError(f"{self.path} is damaged: its columns are not those of the memory")
            scan = opened.scanner(columns=wanted, batch_size=BATCH, io_buffer_size=32 << 20)
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

    @property
    def _state(self) -> State:
        """What the reader of frames must be told."""
        manifest = manifest_of(self.version.table)
        if manifest not in self.version.files:
            raise MemworldError(f"{self.path / manifest} belongs to no version of the memory: see memworld check")
        return State(self.path, self.version.table, manifest, self.version.files[manifest].sha256)

    def _now(self) -> Version | None:
        """The version that counts now; None if there is none."""
        try:
            return read_version(self.path.parent, read_index(self.path.parent)[1])
        except MemworldError:
            return None

    def _grew_to(self, now: Version) -> bool:
        """Whether another version begins with all rows of this one: then this is that from now on."""
        listing = self.path.parent / ARRAYS / str(now.arrays) / LISTING
        try:
            with listing.open("rb") as file:
                listed = file.read(min(self.version.listing.bytes, now.listing.bytes))
        except OSError:
            return False
        seal = Seal(len(listed), hashlib.sha256(listed).hexdigest())
        grew = now.number > self.version.number and now.arrays == self.version.arrays and seal == self.version.listing
        if grew:
            self.version, self._names = now, []
        return grew

    def _open(self) -> None:
        if self._names:
            return
        self._check(*(name for name in self.version.files if not name.startswith("data/")))
        fragments = reader().fragments(self._state)
        self._ends = np.cumsum([rows for rows, _ in fragments])
        self._names = [names for _, names in fragments]

    def _check(self, *names: str) -> None:
        """Check the seals of files that have not been checked."""
        for name in names:
            seal = self.version.files.get(name)
            if seal is None:
                where = self.path / one_line(name)  # which a manifest may call anything
                raise MemworldError(f"{where} belongs to no version of the memory: see memworld check")
            if self.sound.get(name) != seal:
                check_seal(self.path / name, seal)
                self.sound[name] = seal


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
