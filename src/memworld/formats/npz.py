"""memworld's own format: a compressed `.npz` file an episode, and one list of them.

    dataset.json        version, what all episodes share (`DatasetInfo`), the list of episodes
    episodes/<id>.npz   observations, actions, rewards, terminations, truncations, and states if any

Files made by hand open too, without a `dataset.json`: see `npz_by_hand`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from memworld.actions import stored_dtype, stored_shape
from memworld.datasets import DatasetInfo, EpisodeDataset, EpisodeEntry
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.formats.folder_writer import FolderWriter
from memworld.formats.format import Format, ReadOptions
from memworld.formats.npz_arrays import Declared, read_arrays
from memworld.formats.npz_by_hand import ARRAYS, npz_files, open_npz_by_hand
from memworld.storage import (
    KIND_KEY,
    OnExisting,
    prepare_folder,
    read_json,
    remove_unfinished,
    write_atomic,
    write_json,
)

INDEX = "dataset.json"
VERSION = 1
KIND = "data set"


def open_npz(path: str | Path, options: ReadOptions | None = None) -> EpisodeDataset:
    """Open episodes stored as `.npz` files; they are loaded one at a time, when asked for.

    Args:
        path: a folder written by `NpzWriter`, or one file or a folder of files made by hand
            (`npz_by_hand.open_npz_by_hand`).
        options: `frame_after_action` applies to files made by hand.

    Raises:
        MemworldError: nothing of the kind is there, or `dataset.json` or the actions are damaged;
            loading an episode raises it too if its file is.
    """
    path, options = Path(path), options or ReadOptions()
    if path.is_file():
        return open_npz_by_hand([path], path, options)
    if not path.is_dir():
        raise MemworldError(f"{path} does not exist: check the path")
    if (path / INDEX).is_file():
        info, entries = _read_index(path / INDEX)
        by_id = {entry.id: entry for entry in entries}
        return EpisodeDataset(info, entries, lambda episode_id: _load(path, info, by_id[episode_id]), path)
    files = npz_files(path)
    if not files:
        raise MemworldError(f"{path} holds neither {INDEX} nor .npz files: it is no data set in the npz format")
    return open_npz_by_hand(files, path, options)


def is_data_set(folder: Path) -> bool:
    """Whether the folder is one that `NpzWriter` made, and may overwrite."""
    try:
        return bool(read_json(folder / INDEX, KIND)[KIND_KEY] == KIND)
    except (MemworldError, LookupError, TypeError):
        return False


class NpzWriter(FolderWriter):
    """Writes episodes one at a time into a folder of the npz format; see `FolderWriter`.

    A kill at any moment leaves a folder that opens with every episode appended before; at most an
    unlisted file stays behind, which readers ignore and a later `append` of its id replaces. The
    same episodes give the same bytes.
    """

    def _begin(self, on_existing: OnExisting) -> tuple[EpisodeEntry, ...]:
        if on_existing == "overwrite" and is_data_set(self.path):
            # Emptied first: a kill while the files go must leave no list of files that are gone.
            self._write_index(())
        prepare_folder(self.path, on_existing, INDEX, KIND)
        remove_unfinished(self.path)
        entries: list[EpisodeEntry] = []
        if (self.path / INDEX).is_file():
            stored, entries = _read_index(self.path / INDEX)
            self._check_same(stored.to_json())
            for entry in entries:
                if not (file := _file(self.path, entry.id)).is_file():
                    raise MemworldError(
                        f"{file} is missing, and {INDEX} lists it: restore it, or overwrite the data set"
                    )
        else:
            # Written before anything else: by this file the folder is known as ours after a kill.
            self._write_index(())
        (self.path / "episodes").mkdir(exist_ok=True)
        remove_unfinished(self.path / "episodes")
        return tuple(entries)

    def _store(self, episode: Episode, entry: EpisodeEntry) -> None:
        arrays = {name: getattr(episode, name) for name in ARRAYS}
        if episode.states is not None:
            arrays["states"] = episode.states
        # NumPy stores an array in the memory order it happens to have; equal content must give equal bytes.
        contiguous: dict[str, Any] = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        write_atomic(_file(self.path, episode.id), lambda temporary: np.savez_compressed(temporary, **contiguous))
        self._write_index((*self.entries, entry))

    def _write_index(self, entries: Sequence[EpisodeEntry]) -> None:
        listed = [entry.to_json() for entry in entries]
        index = {KIND_KEY: KIND, "version": VERSION, **self.info.to_json(), "episodes": listed}
        write_json(self.path / INDEX, index)


def write_npz(
    dataset: EpisodeDataset, path: str | Path, on_existing: OnExisting = "error", progress: bool = False
) -> EpisodeDataset:
    """Write a data set in the npz format, one episode in memory at a time, and open the result.

    Args:
        dataset: what to write.
        path: the folder; it must not be, contain, or lie in the one that `dataset` is read from.
        on_existing: as for `NpzWriter`; `resume` skips the episodes that are there.
        progress: show a progress bar.

    Raises:
        MemworldError: an episode cannot be loaded, or the folder or an episode is refused.
    """
    dataset.check_output(path)
    with NpzWriter(path, dataset.info, on_existing) as writer:
        stored = set(writer.ids)
        for episode_id in tqdm(dataset.ids, unit="episode", disable=not progress):
            if episode_id not in stored:
                writer.append(dataset.load(episode_id))
    return open_npz(path)


def _file(folder: Path, episode_id: str) -> Path:
    return folder / "episodes" / f"{episode_id}.npz"


def _read_index(path: Path) -> tuple[DatasetInfo, list[EpisodeEntry]]:
    """Read `dataset.json`; the ids in it are checked, as they become file names."""
    value = read_json(path, "memworld data set")
    try:
        if value["version"] != VERSION:
            raise MemworldError(f"it has version {value['version']!r}, this memworld reads {VERSION}: update memworld")
        info = DatasetInfo.from_json(value)
        entries = [EpisodeEntry.from_json(listed) for listed in value["episodes"]]
    except MemworldError as error:
        raise MemworldError(f"{path} cannot be used: {error}") from error
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise MemworldError(
            f"{path} is damaged ({type(error).__name__}: {error}): restore it or record the data set again"
        ) from error
    return info, entries


def _load(folder: Path, info: DatasetInfo, entry: EpisodeEntry) -> Episode:
    """Load one episode of a folder with a `dataset.json`."""
    path = _file(folder, entry.id)
    steps, space = entry.steps, info.action_space
    expected: dict[str, tuple[tuple[int, ...], str]] = {
        "observations": ((steps + 1, *info.observation_shape), "uint8"),
        "actions": ((steps, *stored_shape(space)), np.dtype(stored_dtype(space)).name),
        "rewards": ((steps,), "float32"),
        "terminations": ((steps,), "bool"),
        "truncations": ((steps,), "bool"),
    }
    if info.state_names:
        expected["states"] = ((steps + 1, len(info.state_names)), "float32")

    def check(declared: Mapping[str, Declared]) -> None:
        for name, (shape, dtype) in expected.items():
            listed = Declared(shape, np.dtype(dtype))
            if declared[name] != listed:
                raise MemworldError(
                    f"{path} has {name} of {declared[name]}, {INDEX} says {listed}: "
                    "restore the file or record the episode again"
                )

    arrays: dict[str, Any] = read_arrays(path, list(expected), check=check)
    return Episode(entry.id, **arrays, source=entry.source)


def _found(path: Path) -> bool:
    return (path.suffix.lower() == ".npz" and path.is_file()) or (path / INDEX).is_file() or bool(npz_files(path))


NPZ = Format(
    "npz",
    "npz folders: memworld's own, the published code's, or made by hand",
    _found,
    open_npz,
    NpzWriter,
)
