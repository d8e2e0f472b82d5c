"""All but the frames as arrays end to end, one file each, so that a memory opens by mapping them.

    arrays/<number>/mu.bin, sigma.bin, z.bin    (N, D) float32
    arrays/<number>/actions.bin                 (N, ...) as the action space stores them, zeros in last rows
    arrays/<number>/rewards.bin                 (N,) float32, 0 in last rows
    arrays/<number>/ends.bin                    (N,) uint8: 1 terminated, 2 truncated, 0 in last rows
    arrays/<number>/episodes.jsonl              id, steps, source and SHA-256 of each episode

Files only grow: a version says how much of them belongs to it, and what a killed write left after
that is cut off by the next. To take episodes out, all are written to a folder of another number.
The table holds the same, so that this folder can be made anew from it.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from memworld.actions import as_actions, stored_dtype, stored_shape
from memworld.datasets import EpisodeEntry
from memworld.errors import MemworldError
from memworld.gaussian import Latents
from memworld.memory import MemoryEpisode
from memworld.storage import check_file, make_folder, one_line, sync_folder
from memworld.store.versions import Seal, Settings, Version

ARRAYS = "arrays"
LISTING = "episodes.jsonl"
LATENTS = ("mu", "sigma", "z")

_CHUNK = 1 << 14
"""Rows that are copied at once."""

_ANEW = "make it anew from the table: memworld check --repair"

Columns = Mapping[str, np.ndarray]
"""Arrays of as many rows each, by name, as they are stored."""


@dataclass(frozen=True)
class Listed:
    """An episode in the list.

    Attributes:
        entry: its id, steps and source.
        sha256: of its rows in all arrays.
    """

    entry: EpisodeEntry
    sha256: str

    def line(self) -> bytes:
        """The same as a line of the list."""
        return json.dumps(self.entry.to_json() | {"sha256": self.sha256}, allow_nan=False).encode() + b"\n"


def forms(settings: Settings) -> dict[str, tuple[np.dtype[np.generic], tuple[int, ...]]]:
    """Of each array its numbers and the shape of one row."""
    space = settings.info.action_space
    latent = (np.dtype("<f4"), (math.prod(settings.latent_shape),))
    return dict.fromkeys(LATENTS, latent) | {
        "actions": (np.dtype(stored_dtype(space)).newbyteorder("<"), stored_shape(space)),
        "rewards": (np.dtype("<f4"), ()),
        "ends": (np.dtype("u1"), ()),
    }


def columns_of(episode: MemoryEpisode) -> dict[str, np.ndarray]:
    """All but the frames of an episode, as it is stored: T+1 rows."""

    def padded(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values, np.zeros_like(values[:1])])

    ends = episode.terminations.astype(np.uint8) | episode.truncations.astype(np.uint8) << 1
    latents = {name: getattr(episode.latents, name).numpy() for name in LATENTS}
    return latents | {"actions": padded(episode.actions), "rewards": padded(episode.rewards), "ends": padded(ends)}


def episode_of(listed: Listed, columns: Columns) -> MemoryEpisode:
    """Undo `columns_of`; frames are left out."""
    ends = columns["ends"][:-1]
    return MemoryEpisode(
        listed.entry,
        Latents(*(torch.from_numpy(columns[name]) for name in LATENTS)),
        columns["actions"][:-1],
        columns["rewards"][:-1],
        (ends & 1).astype(bool),
        (ends & 2).astype(bool),
        frames=None,
        sha256=listed.sha256,
    )


def digest(columns: Columns) -> str:
    """SHA-256 of rows in all arrays."""
    found = hashlib.sha256()
    for name in sorted(columns):
        found.update(np.ascontiguousarray(columns[name]).data)
    return found.hexdigest()


def check_columns(listed: Listed, columns: Columns, settings: Settings, where: Path) -> None:
    """Do nothing if these are an episode's rows, to the last bit, and make sense.

    Raises:
        MemworldError: otherwise.
    """
    about = f"{where}: episode {listed.entry.id} is damaged"
    if digest(columns) != listed.sha256:
        raise MemworldError(f"{about}: its SHA-256 is not the one in the list; {_ANEW}")
    try:
        as_actions(columns["actions"][:-1], settings.info.action_space)
    except MemworldError as error:
        raise MemworldError(f"{about}: {error}") from error
    if not np.isfinite(columns["rewards"]).all():
        raise MemworldError(f"{about}: its rewards hold NaN or infinity")
    if columns["ends"][:-2].any() or columns["ends"].max() > 3:
        raise MemworldError(f"{about}: it ends before its last step")
    Latents(*(torch.from_numpy(columns[name]) for name in LATENTS)).check(f"{where}: episode {listed.entry.id}")


@dataclass(frozen=True, eq=False)
class Arrays:
    """The arrays of one version, mapped.

    Attributes:
        folder: where they lie.
        listed: the episodes, in order.
        columns: by name, (N, ...).
    """

    folder: Path
    listed: tuple[Listed, ...]
    columns: Columns

    @classmethod
    def open(cls, path: Path, settings: Settings, version: Version) -> "Arrays":
        """Map the arrays of a version of the memory in the folder `path`.

        Raises:
            MemworldError: a file is missing, too short or another than was written.
        """
        folder = path / ARRAYS / str(version.arrays)
        if not version.rows:
            return cls(folder, (), {n: np.empty((0, *shape), dtype) for n, (dtype, shape) in forms(settings).items()})
        listed = _read_listing(folder / LISTING, version)
        names = forms(settings).items()
        return cls(folder, listed, {n: _map(folder / f"{n}.bin", d, (version.rows, *s)) for n, (d, s) in names})

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.columns["ends"])

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(column.nbytes for column in self.columns.values())

    @property
    def starts(self) -> np.ndarray:
        """(E+1,) int64 the first row of each episode, and N."""
        return np.cumsum([0, *(one.entry.steps + 1 for one in self.listed)])

    def slices(self) -> Iterable[tuple[Listed, dict[str, np.ndarray]]]:
        """Each episode and its rows."""
        starts = self.starts.tolist()
        for one, start, end in zip(self.listed, starts[:-1], starts[1:], strict=True):
            yield one, {name: column[start:end] for name, column in self.columns.items()}

    def problems(self, settings: Settings) -> list[str]:
        """What is wrong with episodes, one sentence each."""
        found = []
        for listed, columns in self.slices():
            try:
                check_columns(listed, columns, settings, self.folder)
            except MemworldError as error:
                found.append(str(error))
        return found


def next_arrays(path: Path) -> int:
    """A number that no folder of arrays of the memory in the folder `path` has."""
    folder = path / ARRAYS
    names = [child.name for child in folder.iterdir()] if folder.is_dir() else []
    return 1 + max((int(name) for name in names if name.isdecimal()), default=0)


def append_arrays(
    path: Path,
    settings: Settings,
    version: Version,
    episodes: Sequence[Mapping[str, np.ndarray]],
    new: Sequence[Listed],
) -> tuple[int, Seal]:
    """Write rows of further episodes after those of a version.

    Args:
        path: the memory's folder.
        settings: of the memory.
        version: what is there; whatever lies after it is cut off.
        episodes: `columns_of` each.
        new: their entries in the list.

    Returns:
        How many rows there are now, and the seal of the list.

    Raises:
        OSError: they cannot be written.
    """
    folder = path / ARRAYS / str(version.arrays)
    make_folder(folder)
    for name, (dtype, shape) in forms(settings).items():
        row = dtype.itemsize * math.prod(shape)
        content = [np.ascontiguousarray(columns[name].astype(dtype, copy=False)) for columns in episodes]
        _write_after(folder / f"{name}.bin", version.rows * row, content)
    lines = b"".join(one.line() for one in new)
    _write_after(folder / LISTING, version.listing.bytes, [np.frombuffer(lines, np.uint8)])
    sync_folder(folder)
    sync_folder(folder.parent)
    return version.rows + sum(one.entry.steps + 1 for one in new), Seal.of(folder / LISTING)


def write_arrays_anew(
    path: Path, settings: Settings, number: int, parts: Iterable[tuple[Listed, Columns]]
) -> tuple[int, int, Seal]:
    """Write the rows of episodes into a folder of another number, a few at a time.

    Returns:
        How many episodes and rows there are, and the seal of the list.

    Raises:
        OSError: they cannot be written.
    """
    at = Version(arrays=number)
    waiting: list[tuple[Listed, Columns]] = []

    def flush() -> None:
        nonlocal at
        rows, listing = append_arrays(path, settings, at, [c for _, c in waiting], [one for one, _ in waiting])
        at = replace(at, rows=rows, episodes=at.episodes + len(waiting), listing=listing)
        waiting.clear()

    for listed, columns in parts:
        waiting.append((listed, columns))
        if sum(len(c["ends"]) for _, c in waiting) >= _CHUNK:
            flush()
    flush()
    return at.episodes, at.rows, at.listing


def _write_after(file: Path, offset: int, content: Sequence[np.ndarray]) -> None:
    """Cut a file off at `offset`, write arrays after that, and sync it."""
    handle = os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    with os.fdopen(handle, "r+b") as opened:
        opened.truncate(offset)
        opened.seek(offset)
        for array in content:
            opened.write(array.data)
        opened.flush()
        os.fsync(opened.fileno())


def _map(file: Path, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> np.ndarray:
    """An array in a file, mapped."""
    wanted = dtype.itemsize * math.prod(shape)
    if not wanted:  # as of actions without a number, which cannot be mapped
        return np.empty(shape, dtype)
    try:
        check_file(file)
        size = file.stat().st_size
        if size < wanted:
            raise EOFError
        # Copy on write, as PyTorch warns of arrays that cannot be written; nobody writes.
        return np.memmap(file, dtype, mode="c", shape=shape)
    except FileNotFoundError as error:
        raise MemworldError(f"{file} is missing: {_ANEW}") from error
    except EOFError as error:
        raise MemworldError(f"{file} is truncated: it has {size} bytes of {wanted}; {_ANEW}") from error
    except (OSError, ValueError, OverflowError) as error:
        raise MemworldError(f"cannot read {file} ({one_line(error)}): check the path and its permissions") from error


def _read_listing(file: Path, version: Version) -> tuple[Listed, ...]:
    """The part of the list that belongs to a version."""
    try:
        check_file(file)
        with file.open("rb") as opened:
            # Not by the asked number alone, which a damaged version could make huge.
            content = opened.read(min(version.listing.bytes, file.stat().st_size))
        if Seal(len(content), hashlib.sha256(content).hexdigest()) != version.listing:
            raise ValueError("it is not what was written")
        values = json.loads(b"[" + b",".join(content.splitlines()) + b"]")
        listed = tuple(Listed(EpisodeEntry.from_json(value), str(value["sha256"])) for value in values)
        rows = sum(one.entry.steps + 1 for one in listed)
        if len({one.entry.id for one in listed}) != len(listed) or any(one.entry.steps < 1 for one in listed):
            raise ValueError("an episode is listed twice, or has no step")
        if (len(listed), rows) != (version.episodes, version.rows):
            raise ValueError(f"{len(listed)} episodes of {rows} rows, not {version.episodes} of {version.rows}")
    except FileNotFoundError as error:
        raise MemworldError(f"{file} is missing: {_ANEW}") from error
    except OSError as error:
        raise MemworldError(f"cannot read {file} ({one_line(error)}): check the path and its permissions") from error
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, RecursionError, MemworldError) as error:
        raise MemworldError(f"{file} is damaged ({type(error).__name__}: {one_line(error)}): {_ANEW}") from error
    return listed
