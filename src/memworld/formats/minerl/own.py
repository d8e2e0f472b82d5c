"""Recordings that memworld wrote: what is kept of an episode beside MineRL's own entries."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Dict, Discrete

from memworld.actions import Part, action_parts, choice_names, stored_dtype
from memworld.datasets import DatasetInfo, EpisodeEntry
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.formats.minerl.columns import REWARD
from memworld.formats.npz_arrays import Declared, read_arrays

OWN_KEY = "memworld"
VERSION = 1


@dataclass(frozen=True)
class OwnRecord:
    """The entry `memworld` of a recording's metadata.

    Attributes:
        number: the episode's place in the data set.
        entry: its id, steps and source.
        terminated: whether its last step terminates it.
        truncated: whether its last step truncates it.
        frames_sha256: digest of its frames, as a damaged video may decode without an error.
        info: what it shares with the other episodes.
    """

    number: int
    entry: EpisodeEntry
    terminated: bool
    truncated: bool
    frames_sha256: str
    info: DatasetInfo

    def to_json(self) -> dict[str, Any]:
        """The same in plain JSON values."""
        return {
            "version": VERSION,
            "number": self.number,
            **self.entry.to_json(),
            "terminated": self.terminated,
            "truncated": self.truncated,
            "frames_sha256": self.frames_sha256,
            "info": self.info.to_json(),
        }

    @classmethod
    def from_json(cls, value: Any, path: Path) -> "OwnRecord":
        """Undo `to_json`; `path` is the file that it is from.

        Raises:
            MemworldError: it is damaged, or of a newer version.
        """
        try:
            if value["version"] != VERSION:
                raise MemworldError(f"version {value['version']!r}, this memworld reads {VERSION}: update memworld")
            entry = EpisodeEntry.from_json(value)
            if entry.steps < 1:
                raise ValueError(f"{entry.steps} steps")
            return cls(
                int(value["number"]),
                entry,
                bool(value["terminated"]),
                bool(value["truncated"]),
                str(value["frames_sha256"]),
                DatasetInfo.from_json(value["info"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            reason = error if isinstance(error, MemworldError) else f"{type(error).__name__}: {error}"
            raise MemworldError(f"{path} has a damaged entry {OWN_KEY!r} ({reason}): restore it") from error


class Digest:
    """A digest of frames, taken while they pass by."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def watch(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The same frames."""
        for frame in frames:
            self._digest.update(frame.tobytes())
            yield frame

    def __str__(self) -> str:
        return self._digest.hexdigest()


def to_arrays(episode: Episode, info: DatasetInfo) -> dict[str, np.ndarray]:
    """The arrays of `rendered.npz`, by key: as in MineRL, with choices that have names written by their names."""
    arrays = {REWARD: episode.rewards}
    columns = episode.actions.reshape(len(episode), -1)
    for key, part in _action_keys(info).items():
        array = columns[:, part.columns]
        array = array.astype(np.int64) if part.discrete else array
        words = _words(part, info)
        if words:
            assert isinstance(part.space, Discrete)
            arrays[key] = np.array(words)[array[:, 0] - int(part.space.start)]
        else:
            arrays[key] = array[:, 0] if part.space.shape == () else array
    if episode.states is not None:
        arrays |= dict(zip(_state_keys(info), episode.states.T, strict=True))
    # NumPy stores an array in the memory order it happens to have; equal content must give equal bytes.
    return {key: np.ascontiguousarray(array) for key, array in arrays.items()}


def from_arrays(path: Path, record: OwnRecord) -> dict[str, np.ndarray]:
    """Undo `to_arrays`: rewards, actions and states if any, as an `Episode` has them.

    Raises:
        MemworldError: the file is damaged, or holds other arrays than the metadata say.
    """
    info, steps = record.info, record.entry.steps
    actions, states = _action_keys(info), _state_keys(info)
    numbers: dict[str, Declared] = {REWARD: Declared((steps,), np.dtype(np.float32))}
    for key, part in actions.items():
        shape = (steps,) if part.space.shape == () else (steps, part.columns.stop - part.columns.start)
        if not _words(part, info):
            numbers[key] = Declared(shape, np.dtype(np.int64 if part.discrete else np.float32))
    numbers |= {key: Declared((steps + 1,), np.dtype(np.float32)) for key in states}

    def check(declared: Mapping[str, Declared]) -> None:
        for key, found in declared.items():
            fits = found == numbers[key] if key in numbers else (found.shape, found.dtype.kind) == ((steps,), "U")
            if not fits:
                asked = numbers.get(key, f"strings ({steps},)")
                raise MemworldError(f"{path} has {key} of {found}, the metadata say {asked}: restore the recording")

    arrays = read_arrays(path, [REWARD, *actions, *states], check=check)
    columns = [_column(path, key, arrays[key], part, info) for key, part in actions.items()]
    stored = np.concatenate(columns, 1).astype(stored_dtype(info.action_space))
    read = {"rewards": arrays[REWARD], "actions": stored[:, 0] if _is_single(info) else stored}
    if states:
        read["states"] = np.stack([arrays[key] for key in states], 1)
    return read


def _column(path: Path, key: str, array: np.ndarray, part: Part, info: DatasetInfo) -> np.ndarray:
    """The columns (N, k) of one part of the actions, with words as their numbers."""
    words = _words(part, info)
    if words:
        assert isinstance(part.space, Discrete)
        numbers = {word: number + int(part.space.start) for number, word in enumerate(words)}
        unknown = sorted(set(array.tolist()) - set(numbers))
        if unknown:
            raise MemworldError(f"{path} has {key} of {unknown[0]!r}, the metadata do not: restore the recording")
        array = np.array([numbers[word] for word in array.tolist()], np.int64)
    return array.reshape(len(array), -1)


def _is_single(info: DatasetInfo) -> bool:
    return isinstance(info.action_space, Discrete)


def _action_keys(info: DatasetInfo) -> dict[str, Part]:
    """The parts of an action, by key."""
    return {f"action${part.name or 'action'}": part for part in action_parts(info.action_space)}


def _state_keys(info: DatasetInfo) -> tuple[str, ...]:
    """The keys of the states: their names, unless two have the same."""
    names: Iterable[str] = info.state_names
    if len(set(names)) != len(info.state_names):
        names = (f"state_{number}" for number in range(len(info.state_names)))
    return tuple(f"observation${name}" for name in names)


def _words(part: Part, info: DatasetInfo) -> tuple[str, ...]:
    """The names of the choices of a part of a `Dict`, if they have any."""
    if not isinstance(info.action_space, Dict):
        return ()
    return choice_names(info.action_space, info.action_names).get(part.name, ())
