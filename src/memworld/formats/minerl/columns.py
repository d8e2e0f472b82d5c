"""The arrays of a recording, and what they are called in MineRL's versions."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from memworld.errors import MemworldError
from memworld.formats.npz_arrays import Declared, read_arrays
from memworld.storage import one_line

REWARD = "reward"

# MineRL's sets before v3 have an underscore.
_PREFIXES = {"action": ("action$", "action_"), "observation": ("observation$", "observation_")}
_RENAMED = {"compassAngle": "compass.angle"}
_MOST_NAME = 128
_ACTION, _STATE = "action ", "observation "


@dataclass(frozen=True)
class Kind:
    """What an array holds, which all recordings of a data set must have in common.

    Attributes:
        words: whether it holds words rather than numbers.
        columns: how many numbers it holds a step.
    """

    words: bool
    columns: int

    def __str__(self) -> str:
        return "words" if self.words else f"{self.columns} numbers a step"


Kinds: TypeAlias = Mapping[str, Kind]
"""The kinds of arrays by "action <name>" and "observation <name>"."""


@dataclass(frozen=True)
class Columns:
    """The arrays of one recording of N steps, by name, without what memworld does not use.

    Attributes:
        rewards: (N,) numbers.
        actions: numbers (N,) or (N, k), or strings (N,).
        states: float32 (N+1, k), of all observations that are numbers.
    """

    rewards: np.ndarray
    actions: Mapping[str, np.ndarray]
    states: Mapping[str, np.ndarray]

    @property
    def kinds(self) -> Kinds:
        """What these arrays are."""
        named = [(f"{_ACTION}{name}", array) for name, array in self.actions.items()]
        named += [(f"{_STATE}{name}", array) for name, array in self.states.items()]
        return {key: Kind(array.dtype.kind == "U", 1 if array.ndim == 1 else array.shape[1]) for key, array in named}


def read_columns(path: Path) -> Columns:
    """Read the arrays of a recording.

    Args:
        path: its `rendered.npz`.

    Raises:
        MemworldError: it is damaged, has no rewards or actions, arrays of other lengths, or ones
            that are neither numbers nor strings.
    """
    actions, observations = (_named(path, kind) for kind in ("action", "observation"))
    if not actions:
        raise MemworldError(f"{path} has no actions (action$*): restore the file or drop the recording")
    kept = {key: name for key, name in observations.items() if name != "pov"}

    def check(declared: Mapping[str, Declared]) -> None:
        if len(declared[REWARD].shape) != 1 or declared[REWARD].dtype.kind not in "biuf":
            raise MemworldError(f"{path} has rewards of {declared[REWARD]}: expected numbers (N,)")
        steps = declared[REWARD].shape[0]
        if steps == 0:
            raise MemworldError(f"{path} has no steps: drop the recording")
        for key, array in declared.items():
            rows = steps + (key in kept)
            if not array.shape or array.shape[0] != rows or array.dtype.kind not in "biufUS":
                raise MemworldError(
                    f"{path} has {key} of {array}: expected {rows} rows of numbers or strings, as there are {steps} "
                    "rewards"
                )

    arrays = read_arrays(path, [REWARD, *actions], list(kept), check)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as a state
        numbers = {key: arrays[key].astype(np.float32) for key in kept if arrays[key].dtype.kind in "biuf"}
    return Columns(
        arrays[REWARD],
        {name: _action(path, key, arrays[key]) for key, name in actions.items()},
        {
            name: numbers[key].reshape(len(numbers[key]), -1)
            for key, name in kept.items()
            if key in numbers and numbers[key].size
        },
    )


def words_observed(path: Path) -> list[str]:
    """The observations of a recording that are words, and so no states; empty if its file is damaged."""
    try:
        observations = _named(path, "observation")
        arrays = read_arrays(path, list(observations))
    except MemworldError:
        return []
    return [name for key, name in observations.items() if arrays[key].dtype.kind not in "biuf"]


def state_names(kinds: Kinds) -> tuple[str, ...]:
    """A name for each column of the states, numbered where an observation has several."""
    return tuple(
        name if kind.columns == 1 else f"{name}_{number}"
        for name, kind in ((key.removeprefix(_STATE), kind) for key, kind in kinds.items() if key.startswith(_STATE))
        for number in range(kind.columns)
    )


def _named(path: Path, kind: str) -> dict[str, str]:
    """The keys of all arrays of actions or observations, sorted by name, each with its name.

    Raises:
        MemworldError: there is no such file, or two keys have one name.
    """
    if not path.is_file():
        raise MemworldError(f"{path} is missing: restore it or drop the recording")
    try:
        with zipfile.ZipFile(path) as archive:
            keys = {name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")}
    except Exception as error:  # zipfile promises no set of errors on damaged files
        raise MemworldError(f"{path} is no .npz file, or is damaged ({one_line(error)}): replace it") from error
    names = {}
    for key in keys:
        prefix = next((prefix for prefix in _PREFIXES[kind] if key.startswith(prefix)), None)
        if prefix is not None:
            name = key.removeprefix(prefix).replace("$", ".")
            names[key] = _RENAMED.get(name, name)
    if len(set(names.values())) != len(names):
        raise MemworldError(f"{path} has two arrays of one name among {', '.join(sorted(names))}: drop one")
    for key, name in names.items():
        if not name or not name.isprintable() or "=" in name or len(name) > _MOST_NAME:
            raise MemworldError(f"{path} has an array called {key!r}: it must have a printable name without '='")
    return dict(sorted(names.items(), key=lambda item: item[1]))


def _action(path: Path, key: str, array: np.ndarray) -> np.ndarray:
    """An action as numbers (N,) or (N, k), or strings (N,)."""
    flat = array.reshape(len(array), -1)
    if flat.shape[1] == 0:
        raise MemworldError(f"{path} has {key} of shape {array.shape}, without a column: drop it")
    flat = flat[:, 0] if flat.shape[1] == 1 else flat
    if flat.dtype.kind in "biuf":
        if not np.isfinite(flat).all():
            raise MemworldError(f"{path} has NaN or infinity in {key}: repair or drop the recording")
        return flat
    try:
        text = np.char.decode(flat, "utf-8") if flat.dtype.kind == "S" else flat
        values = np.unique(text).tolist()
    except UnicodeDecodeError as error:
        raise MemworldError(f"{path} has strings in {key} that are no UTF-8: repair or drop the recording") from error
    if text.ndim != 1 or not all(value.isprintable() and len(value) <= _MOST_NAME for value in values):
        raise MemworldError(f"{path} has {key} of other than one printable word a step: drop it")
    return np.asarray(text)
