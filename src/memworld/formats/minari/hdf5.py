"""Minari's HDF5 storage: one file for all episodes, a group for each."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from memworld.errors import MemworldError
from memworld.formats.minari.columns import Column, check_size, decode_jpeg

MAIN = "main_data.hdf5"

_ATTRIBUTES = ("total_steps", "seed", "memworld_id", "memworld_source")
_CHUNK_BYTES = 2**20


class Hdf5Storage:
    """Reads the episodes of an HDF5 file; a `Storage`.

    Only what Minari itself writes is followed: a link or a dataset that leads into another file is
    refused, wherever it stands.
    """

    def __init__(self, file: Path) -> None:
        """Read from `file`, which is opened for each call: an open one survives neither a fork nor a thread."""
        self.file = file

    def held(self) -> set[int]:
        """The numbers of the groups of episodes."""
        with _open(self.file) as file:
            found = (re.fullmatch(r"episode_(0|[1-9]\d{0,8})", name, re.ASCII) for name in file)
            return {int(match[1]) for match in found if match}

    def attributes(self, indices: Iterable[int]) -> list[Mapping[str, Any] | None]:
        """What is noted of each episode; None where its group or one of its attributes is damaged."""
        found: list[Mapping[str, Any] | None] = []
        with _open(self.file) as file:
            for index in indices:
                try:
                    group = _follow(file, (f"episode_{index}",))
                    found.append({name: _attribute(group, name) for name in _ATTRIBUTES if name in group.attrs})
                except Exception:  # h5py promises no set of errors; each is one broken episode among sound ones
                    found.append(None)
        return found

    def read(self, index: int, steps: int, columns: Sequence[Column]) -> dict[tuple[str, ...], np.ndarray]:
        """See `Storage`."""
        with _open(self.file) as file:
            group = _follow(file, (f"episode_{index}",))
            size = self.file.stat().st_size
            return {column.path: _read(_follow(group, column.path), column, steps, size) for column in columns}


def _open(path: Path) -> Any:
    import h5py

    if not path.is_file():
        raise MemworldError(f"{path} is missing: restore it or write the set again")
    return h5py.File(path, "r")


def _follow(group: Any, path: tuple[str, ...]) -> Any:
    """What lies at the end of `path` in a group, through hard links alone.

    Raises:
        MemworldError: it is not there, or a link on the way could lead anywhere.
    """
    import h5py

    for name in path:
        # A slash would be a path of its own to h5py, and "." the group itself.
        link = group.get(name, getlink=True) if isinstance(group, h5py.Group) and _is_name(name) else None
        if link is None:
            raise MemworldError(f"{Column(path)} is missing: restore the file or write the set again")
        if not isinstance(link, h5py.HardLink):
            raise MemworldError(f"{Column(path)} is a link, which could lead anywhere: put the data in its place")
        group = group[name]
    return group


def _is_name(name: str) -> bool:
    return "/" not in name and name not in ("", ".")


def _attribute(group: Any, name: str) -> Any:
    if group.attrs.get_id(name).shape != ():
        raise MemworldError(f"attribute {name} is no single value")
    return group.attrs[name]


def _read(dataset: Any, column: Column, steps: int, file_size: int) -> np.ndarray:
    import h5py

    if not isinstance(dataset, h5py.Dataset):
        raise MemworldError(f"{column} is no array: restore the file or write the set again")
    if dataset.is_virtual or dataset.external:
        raise MemworldError(f"{column} takes its data from another file, which could lie anywhere: put it in its place")
    stored = min(dataset.id.get_storage_size(), file_size)
    chunk = math.prod(dataset.chunks or ())
    check_size(column, max(math.prod(dataset.shape), chunk) * dataset.dtype.itemsize, stored)
    if column.image and _holds_jpeg(dataset):
        if dataset.shape[0] != column.rows(steps):
            raise MemworldError(f"{column} of {dataset.shape[0]} images: expected {column.rows(steps)}")
        return decode_jpeg(column, _jpegs(dataset), steps, file_size)
    column.check(dataset.shape, dataset.dtype, steps)
    return column.fitted(dataset[()], steps)


def _holds_jpeg(dataset: Any) -> bool:
    """Whether each row is the bytes of a file: of as many in all rows, or of as many as it needs."""
    import h5py

    if dataset.ndim == 2:
        return bool(dataset.dtype == np.uint8)
    return bool(dataset.ndim == 1 and h5py.check_vlen_dtype(dataset.dtype) == np.uint8)


def _jpegs(dataset: Any) -> Iterator[bytes]:
    # One at a time: rows of their own lengths may all point at one of many megabytes.
    return (dataset[row].tobytes() for row in range(dataset.shape[0]))


def check_names(columns: Iterable[Column]) -> None:
    """Raise a MemworldError unless HDF5 can hold columns of these names."""
    for column in columns:
        if not all(map(_is_name, column.path)):
            raise MemworldError(
                f"HDF5 cannot hold an entry called {column.path[-1]!r}: rename it, convert to npz or another format, "
                "or pass storage='arrow' to write_minari"
            )


def episode_file(index: int, attributes: Mapping[str, Any], arrays: Mapping[tuple[str, ...], np.ndarray]) -> bytes:
    """An HDF5 file with the group of one episode; the same episode gives the same bytes.

    Args:
        index: the episode's number.
        attributes: of its group.
        arrays: (rows, ...) each, by path. Rows may be added to them, as to those that minari writes;
            images are compressed without loss.
    """
    import h5py

    # In memory: HDF5 does not get over a disk that is full while a file is open.
    with h5py.File("episode", "w", driver="core", backing_store=False, track_order=True) as file:
        group = file.create_group(f"episode_{index}")
        group.attrs.update(attributes)
        group.create_group("infos")
        for path, array in arrays.items():
            rows = max(1, min(len(array), _CHUNK_BYTES // max(1, array[:1].nbytes)))
            group.create_dataset(
                "/".join(path),
                data=array,
                chunks=(rows, *array.shape[1:]) if array.size else None,
                maxshape=(None, *array.shape[1:]) if array.size else None,
                **({"compression": "gzip", "compression_opts": 1} if array.ndim == 4 else {}),
            )
        file.flush()
        return bytes(file.id.get_file_image())


def merge(main: Path, parts: Mapping[int, Path]) -> None:
    """Copy the groups of files of one episode each, by number, into the file `main`, made unless it is there."""
    import h5py

    with h5py.File(main, "a", track_order=True) as file:
        for index, path in parts.items():
            with h5py.File(path, "r") as part:
                part.copy(f"episode_{index}", file)
