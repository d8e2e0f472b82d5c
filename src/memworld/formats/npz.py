"""memworld's plain format: a compressed `.npz` file an episode, and one list of them.

    dataset.json        version, what all episodes share (`DatasetInfo`), the list of episodes
    episodes/<id>.npz   observations, actions, rewards, terminations, truncations, and states if any

Files made by hand open too, without a `dataset.json`: see `open_npz`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from tqdm import tqdm

from memworld.actions import MAX_ACTIONS, ActionSpace
from memworld.datasets import DatasetInfo, EpisodeDataset, EpisodeEntry
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.formats.npz_arrays import Declared, read_arrays
from memworld.storage import KIND_KEY, OnExisting, check_name, prepare_folder, read_json, write_atomic, write_json

INDEX = "dataset.json"
VERSION = 1
KIND = "data set"

_BY_HAND = ("observations", "actions", "rewards")
_REQUIRED = (*_BY_HAND, "terminations", "truncations")


def open_npz(path: str | Path) -> EpisodeDataset:
    """Open episodes stored as `.npz` files; they are loaded one at a time, when asked for.

    `path` is a folder written by `NpzWriter`, or what a user made by hand: one `.npz` file, or a
    folder of them. By hand, a file needs uint8 `observations` (T+1, H, W, C), `actions`, integers
    (T,) or floats (T, A), and `rewards` (T,); `terminations` and `truncations`, bool (T,), default
    to a truncation at the last step unless it terminated, and `states` (T+1, S) may be left out.
    The action space is then inferred from the actions of all files: `Discrete` up to the highest
    one, or an unbounded `Box`.

    Raises:
        MemworldError: nothing of the kind is there, or `dataset.json` or the actions are damaged;
            loading an episode raises it too if its file is.
    """
    path = Path(path)
    if path.is_file():
        return _open_by_hand([path], path)
    if not path.is_dir():
        raise MemworldError(f"{path} does not exist: check the path")
    if (path / INDEX).is_file():
        info, entries = _read_index(path / INDEX)
        by_id = {entry.id: entry for entry in entries}
        return EpisodeDataset(info, entries, lambda episode_id: _load(path, info, by_id[episode_id]), path)
    files = npz_files(path)
    if not files:
        raise MemworldError(f"{path} holds neither {INDEX} nor .npz files: it is no data set in the npz format")
    return _open_by_hand(files, path)


def npz_files(folder: Path) -> list[Path]:
    """The `.npz` files of a folder by name, without the temporary ones of an interrupted write."""
    return sorted(file for file in folder.glob("*.npz") if not file.name.startswith("."))


def is_data_set(folder: Path) -> bool:
    """Whether the folder is one that `NpzWriter` made, and may overwrite."""
    try:
        return bool(read_json(folder / INDEX, KIND)[KIND_KEY] == KIND)
    except (MemworldError, LookupError, TypeError):
        return False


class NpzWriter:
    """Writes episodes one at a time into a folder of the npz format.

    A kill at any moment leaves a folder that opens with every episode appended before; at most an
    unlisted file stays behind, which readers ignore and a later `append` of its id replaces. The
    same episodes give the same bytes.
    """

    def __init__(self, path: str | Path, info: DatasetInfo, on_existing: OnExisting = "error") -> None:
        """Make or reopen the folder.

        Args:
            path: the folder.
            info: what all its episodes share.
            on_existing: what to do if the folder holds something, see `storage.prepare_folder`.

        Raises:
            MemworldError: the folder exists and must not, is not a data set of the npz format,
                cannot be written, was begun with another `info`, or lacks a file that it lists.
        """
        self.path = Path(path)
        self.info = info
        self._entries: tuple[EpisodeEntry, ...] = ()
        if on_existing == "overwrite" and is_data_set(self.path):
            # Emptied first: a kill while the files go must leave no list of files that are gone.
            self._write_index(())
        prepare_folder(self.path, on_existing, INDEX, KIND)
        if (self.path / INDEX).is_file():
            stored, entries = _read_index(self.path / INDEX)
            self._check_same(stored)
            self._entries = tuple(entries)
            self._check_files()
        else:
            # Written before anything else: by this file the folder is known as ours after a kill.
            self._write_index(())
        (self.path / "episodes").mkdir(exist_ok=True)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the episodes that are stored, in order."""
        return tuple(entry.id for entry in self._entries)

    def append(self, episode: Episode) -> None:
        """Store `episode`.

        Raises:
            MemworldError: it does not fit `info`, its id is taken, or the disk refuses it.
        """
        episode = self.info.check(episode)
        if episode.id in self.ids:
            raise MemworldError(f"{self.path} already has an episode {episode.id}: give this one another id")
        arrays = {name: getattr(episode, name) for name in _REQUIRED}
        if episode.states is not None:
            arrays["states"] = episode.states
        # NumPy stores an array in the memory order it happens to have; equal content must give equal bytes.
        contiguous: dict[str, Any] = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        write_atomic(_file(self.path, episode.id), lambda temporary: np.savez_compressed(temporary, **contiguous))
        entries = (*self._entries, EpisodeEntry(episode.id, len(episode), episode.source))
        self._write_index(entries)
        self._entries = entries

    def _check_files(self) -> None:
        for entry in self._entries:
            if not (file := _file(self.path, entry.id)).is_file():
                raise MemworldError(f"{file} is missing, and {INDEX} lists it: restore it, or overwrite the data set")

    def _check_same(self, stored: DatasetInfo) -> None:
        old, new = stored.to_json(), self.info.to_json()
        for name in old:
            if old[name] != new[name]:
                raise MemworldError(
                    f"{self.path} was begun with {name} {old[name]!r}, now it is {new[name]!r}: "
                    "resume with the same settings, or write to another folder"
                )

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
    writer = NpzWriter(path, dataset.info, on_existing)
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
    discrete = isinstance(space, gymnasium.spaces.Discrete)
    expected: dict[str, tuple[tuple[int, ...], str]] = {
        "observations": ((steps + 1, *info.observation_shape), "uint8"),
        "actions": ((steps, *(space.shape or ())), "int64" if discrete else "float32"),
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


def _open_by_hand(files: Sequence[Path], root: Path) -> EpisodeDataset:
    """Open files without a `dataset.json`: read all actions, and the frames of the first file only."""
    paths = {_id_of(file): file for file in files}
    actions = {file: read_arrays(file, ("actions",))["actions"] for file in files}
    space = _infer_space(actions)
    first = _load_by_hand(files[0])
    columns = 0 if first.states is None else first.states.shape[1]
    height, width, channels = first.observations.shape[1:]
    info = DatasetInfo((height, width, channels), space, state_names=tuple(f"state_{i}" for i in range(columns)))
    entries = [EpisodeEntry(episode_id, len(actions[file])) for episode_id, file in paths.items()]
    return EpisodeDataset(info, entries, lambda episode_id: _load_by_hand(paths[episode_id]), root)


def _id_of(file: Path) -> str:
    try:
        return check_name(file.stem, "episode id")
    except MemworldError as error:
        raise MemworldError(f"{file} must be renamed, as its name becomes the episode's id: {error}") from error


def _load_by_hand(path: Path) -> Episode:
    def check(declared: Mapping[str, Declared]) -> None:
        steps = declared["actions"].shape[:1]
        for name, array in declared.items():
            more = name in ("observations", "states")
            if steps and array.shape and array.shape[0] != steps[0] + more:
                raise MemworldError(
                    f"{path} has {array.shape[0]} {name} and {steps[0]} actions: T actions need T{'+1' * more} {name}"
                )

    arrays: dict[str, Any] = read_arrays(path, _BY_HAND, ("terminations", "truncations", "states"), check)
    steps = len(arrays["actions"])
    arrays.setdefault("terminations", np.zeros(steps, np.bool_))
    if "truncations" not in arrays:
        arrays["truncations"] = np.zeros(steps, np.bool_)
        arrays["truncations"][-1:] = not arrays["terminations"][-1:].any()
    return Episode(path.stem, **arrays)


def _infer_space(actions: Mapping[Path, np.ndarray]) -> ActionSpace:
    """The space that holds all `actions`, given by file.

    Raises:
        MemworldError: a file has none, has other than integers (T,) or floats (T, A), or disagrees
            with the first file.
    """
    width: int | None = None
    highest = 0
    for position, (path, array) in enumerate(actions.items()):
        integers = array.ndim == 1 and array.dtype.kind in "iu"
        if not integers and not (array.ndim == 2 and array.dtype.kind == "f" and array.shape[1] > 0):
            raise MemworldError(
                f"{path} has actions of type {array.dtype} and shape {array.shape}: expected integers (T,) or "
                "floats (T, A)"
            )
        if len(array) == 0:
            raise MemworldError(f"{path} has no actions: an episode needs at least one step")
        if position == 0:
            width = None if integers else array.shape[1]
        if width != (None if integers else array.shape[1]):
            raise MemworldError(f"{path} has actions of another kind than {next(iter(actions))}: keep them apart")
        if integers and (array.min() < 0 or array.max() >= MAX_ACTIONS):
            raise MemworldError(
                f"{path} has actions of {array.min()} to {array.max()}: number them from 0 without gaps, to at most "
                f"{MAX_ACTIONS - 1}"
            )
        highest = max(highest, int(array.max())) if integers else 0
    if width is None:
        return gymnasium.spaces.Discrete(highest + 1)
    return gymnasium.spaces.Box(-np.inf, np.inf, (width,), np.float32)
