"""Arrays out of `.npz` files that may be damaged, or made to harm.

Nothing is unpickled, and an array is read only after what its header declares has been checked: a
small file can hold gigabytes of zeros.
"""

import math
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from memworld.errors import MemworldError
from memworld.storage import one_line

# Deflate makes nothing smaller than by 1,032 times, which black frames come close to.
_MOST_RATIO = 1032
_SPARE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Declared:
    """What the header of an array says of it."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def __str__(self) -> str:
        return f"type {self.dtype} and shape {self.shape}"


def read_arrays(
    path: Path,
    required: Sequence[str],
    optional: Sequence[str] = (),
    check: Callable[[Mapping[str, Declared]], None] = lambda declared: None,
    load: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
    """Read arrays of an `.npz` file, and no others.

    Args:
        path: the file.
        required: names of arrays that must be there.
        optional: names of arrays that are read if they are there.
        check: called with what all of them declare, before any is read; raises what it objects to.
        load: of these names alone the arrays are read; None reads all.

    Raises:
        MemworldError: the file is missing, truncated, damaged or no `.npz`, lacks a required array,
            holds pickled objects, which are never loaded, or declares more than it can hold.
    """
    if not path.is_file():
        raise MemworldError(f"{path} is missing: restore it or record the episode again")
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("no zip archive, or cut off")
        with zipfile.ZipFile(path) as archive:
            held = [member.removesuffix(".npy") for member in archive.namelist()]
            missing = [name for name in required if name not in held]
            if missing:
                raise ValueError(f"no array {missing[0]!r} among {held[:8]}")
            names = [name for name in (*required, *optional) if name in held]
            size = path.stat().st_size
            check({name: _read_header(archive, name, size) for name in names})
            return {name: _read_array(archive, name) for name in names if load is None or name in load}
    except MemworldError:
        raise
    except Exception as error:  # NumPy, zipfile and zlib promise no set of errors on damaged files
        raise MemworldError(
            f"{path} is no .npz file of an episode, or is damaged ({one_line(error)}): replace it"
        ) from error


def array_names(path: Path) -> list[str]:
    """Names of the arrays of an `.npz` file that `read_arrays` could read."""
    with zipfile.ZipFile(path) as archive:
        return [member.removesuffix(".npy") for member in archive.namelist() if member.endswith(".npy")]


def _read_header(archive: zipfile.ZipFile, name: str, file_size: int) -> Declared:
    """What the member `name` declares.

    Raises:
        ValueError: it is no array, one of objects, or cannot hold what it declares.
    """
    member = archive.getinfo(f"{name}.npy")
    with archive.open(member) as stream:
        version = npy.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{name} has version {version} of NumPy's format, expected 1 or 2")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError(f"{name}: Object arrays cannot be loaded")
    declared = math.prod(shape) * dtype.itemsize
    packed = min(member.compress_size, file_size)
    if min(shape, default=0) < 0 or declared > _MOST_RATIO * packed + _SPARE_BYTES:
        raise ValueError(f"{name} declares {declared} bytes, which {packed} compressed ones cannot hold")
    return Declared(shape, dtype)


def _read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as stream:
        array: np.ndarray = npy.read_array(stream, allow_pickle=False)
        return array
