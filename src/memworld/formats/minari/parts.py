"""The episodes of a Minari set that grows: each whole or not there, until they become one set."""

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from memworld.datasets import EpisodeEntry
from memworld.errors import MemworldError
from memworld.formats.minari.arrow import ArrowStorage, write_episode
from memworld.formats.minari.columns import Column, Storage
from memworld.formats.minari.hdf5 import MAIN, Hdf5Storage, check_names, episode_file, merge
from memworld.formats.minari.places import DATA
from memworld.formats.minari.reading import entry_of
from memworld.formats.minari.target import NEW
from memworld.storage import delete, write_bytes
from memworld.storage.files import TEMPORARY

_log = logging.getLogger(__name__)

_METADATA_BYTES = 2**20
"""How much more than its episodes a file may take."""


class Parts(Protocol):
    """The episodes of a set that grows. The numbers below that of the first are those of the set it goes on from."""

    def entries(self, first: int) -> list[EpisodeEntry]:
        """The episodes from number `first` on that are whole; what a kill left behind them is removed."""

    def write(
        self, index: int, attributes: Mapping[str, Any], arrays: Mapping[tuple[str, ...], np.ndarray], base: Path | None
    ) -> None:
        """Write an episode whole or not at all; `base` is the data folder of the set that this one goes on from."""

    def complete(self, first: int, count: int, base: Path | None) -> None:
        """Make the data folder hold `count` episodes, those below `first` from `base`.

        Raises:
            MemworldError: the disk is too full; it can be called again, as after a kill.
        """


class Hdf5Parts:
    """Episodes in files of their own, which are put into one at the end; a `Parts`."""

    def __init__(self, work: Path, columns: tuple[Column, ...]) -> None:
        """Keep them in the folder `work`.

        Raises:
            MemworldError: HDF5 cannot hold actions of these names.
        """
        check_names(columns)
        self._episodes = work / "episodes"
        self._data = work / NEW / DATA

    def _file(self, index: int) -> Path:
        return self._episodes / f"{index}.hdf5"

    def entries(self, first: int) -> list[EpisodeEntry]:
        """See `Parts`."""
        return _whole_entries(first, self._file, lambda index: Hdf5Storage(self._file(index)))

    def write(
        self, index: int, attributes: Mapping[str, Any], arrays: Mapping[tuple[str, ...], np.ndarray], base: Path | None
    ) -> None:
        """See `Parts`."""
        self._episodes.mkdir(exist_ok=True)
        write_bytes(self._file(index), episode_file(index, attributes, arrays))

    def complete(self, first: int, count: int, base: Path | None) -> None:
        """See `Parts`."""
        self._data.mkdir(parents=True, exist_ok=True)
        parts = {index: self._file(index) for index in range(first, count)}
        # HDF5 does not get over a disk that fills up while a file is open.
        needed = sum(file.stat().st_size for file in [*parts.values(), *([base / MAIN] if base else [])])
        free = shutil.disk_usage(self._data).free
        if needed + _METADATA_BYTES > free:
            raise MemworldError(
                f"{self._data} needs {needed >> 20} MiB to put the episodes into one file, {free >> 20} MiB are free: "
                "free space, then go on with --resume"
            )
        temporary = self._data / f"{TEMPORARY}{MAIN}"
        temporary.unlink(missing_ok=True)
        if base is not None:
            shutil.copyfile(base / MAIN, temporary)
        merge(temporary, parts)
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(self._data / MAIN)


class ArrowParts:
    """Episodes in folders of their own, as they stay; a `Parts`."""

    def __init__(self, work: Path, columns: tuple[Column, ...]) -> None:
        """Keep them in the folder `work`."""
        self._data = work / NEW / DATA

    def entries(self, first: int) -> list[EpisodeEntry]:
        """See `Parts`."""
        for unfinished in self._data.glob(f"{TEMPORARY}*"):
            delete(unfinished)
        return _whole_entries(first, lambda i: self._data / str(i), lambda _: ArrowStorage(self._data))

    def write(
        self, index: int, attributes: Mapping[str, Any], arrays: Mapping[tuple[str, ...], np.ndarray], base: Path | None
    ) -> None:
        """See `Parts`."""
        self._begin(base)
        write_episode(self._data / str(index), attributes, arrays, len(arrays[("observations",)]))

    def _begin(self, base: Path | None) -> None:
        if self._data.exists():
            return
        self._data.parent.mkdir(exist_ok=True)
        if base is None:
            self._data.mkdir()
            return
        temporary = self._data.parent / f"{TEMPORARY}data"
        delete(temporary)
        shutil.copytree(base, temporary, symlinks=True)
        temporary.rename(self._data)

    def complete(self, first: int, count: int, base: Path | None) -> None:
        """See `Parts`."""
        self._begin(base)


def make_parts(storage: str, work: Path, columns: tuple[Column, ...]) -> Parts:
    """What a set in this storage grows in.

    Raises:
        MemworldError: memworld does not write this storage, or it cannot hold actions of these names.
    """
    if storage == "hdf5":
        return Hdf5Parts(work, columns)
    if storage == "arrow":
        return ArrowParts(work, columns)
    raise MemworldError(f"unknown Minari storage {storage!r}: use hdf5 or arrow")


def _whole_entries(first: int, place: Callable[[int], Path], storage: Callable[[int], Storage]) -> list[EpisodeEntry]:
    """The entries of the episodes from number `first` on, up to the first that is not there or damaged."""
    entries: list[EpisodeEntry] = []
    while (path := place(first + len(entries))).exists():
        entry = _entry(storage, first + len(entries))
        if entry is None:
            _log.warning("%s is damaged: the episodes from it on are written again", path)
            break
        entries.append(entry)
    index = first + len(entries)
    while place(index).exists():
        delete(place(index))
        index += 1
    return entries


def _entry(storage: Callable[[int], Storage], index: int) -> EpisodeEntry | None:
    try:
        [attributes] = storage(index).attributes([index])
        return None if attributes is None else entry_of(attributes)
    except Exception:  # a damaged file, of which the libraries beneath promise no set of errors
        return None
