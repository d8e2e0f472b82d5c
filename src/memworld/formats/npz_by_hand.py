"""Episodes as people save them with NumPy: `.npz` files without a list of them.

A file needs uint8 `observations` (T+1, H, W, C), `actions`, integers (T,) or (T, A) or floats (T, A),
and `rewards` (T,); `terminations` and `truncations`, bool (T,), default to a truncation at the last
step unless it terminated, and `states` (T+1, S) may be left out. The action space is inferred from
the actions of all files: `Discrete` or `MultiDiscrete` up to the highest one, or an unbounded `Box`.

There may also be as many observations as actions, N of each, as the paper's published code has
them. Then every row is taken as a frame and the action that was chosen in it; the last action leads
nowhere that was recorded, and is left out with its reward. The published code's recorder of
SuperTuxKart saves the frame that each action led to instead: `ReadOptions.frame_after_action` reads
that, and leaves out the first action, which was chosen in a frame that was not saved.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from memworld.actions import MAX_ACTIONS, ActionSpace, supported_space
from memworld.datasets import DatasetInfo, EpisodeDataset, EpisodeEntry
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.formats.format import ReadOptions
from memworld.formats.npz_arrays import Declared, array_names, read_arrays
from memworld.storage import check_name

_BY_HAND = ("observations", "actions", "rewards")
ARRAYS = (*_BY_HAND, "terminations", "truncations")
"""Names of the arrays that every episode has, by hand all but the last two."""


def npz_files(folder: Path) -> list[Path]:
    """The `.npz` files of a folder by name, without the temporary ones of an interrupted write."""
    files = folder.iterdir() if folder.is_dir() else ()
    return sorted(file for file in files if file.suffix.lower() == ".npz" and not file.name.startswith("."))


def open_npz_by_hand(files: Sequence[Path], root: Path, options: ReadOptions) -> EpisodeDataset:
    """Open files without a `dataset.json`: read all actions, and the frames of the first sound file only.

    A damaged file is listed with 0 steps and cannot be loaded.

    Raises:
        MemworldError: a file's name is no id, all files are damaged, or the actions of one are of
            another kind than those of the first; loading an episode raises it if its file is damaged.
    """
    paths = {_id_of(file): file for file in files}
    actions: dict[Path, np.ndarray] = {}
    steps: dict[Path, int] = {}
    left_out: set[str] = set()
    problems: list[MemworldError] = []
    for file in files:
        try:
            actions[file], steps[file], others = _survey(file, options)
            left_out.update(others)
        except MemworldError as error:
            problems.append(error)
    if not actions:
        raise problems[0]
    space = _infer_space(actions)
    first = _first_sound(list(actions), options)
    columns = 0 if first.states is None else first.states.shape[1]
    height, width, channels = first.observations.shape[1:]
    info = DatasetInfo((height, width, channels), space, state_names=tuple(f"state_{i}" for i in range(columns)))
    entries = [EpisodeEntry(episode_id, steps.get(file, 0)) for episode_id, file in paths.items()]
    return EpisodeDataset(
        info, entries, lambda episode_id: _load_by_hand(paths[episode_id], options), root, sorted(left_out)
    )


def _survey(file: Path, options: ReadOptions) -> tuple[np.ndarray, int, list[str]]:
    """A file's actions, how many transitions it holds, and what in it is not read."""
    declared: dict[str, Declared] = {}
    names = ("actions", "observations")
    actions = read_arrays(file, names, check=declared.update, load=("actions",))["actions"]
    _check_actions(file, actions)
    steps = _steps(declared)
    if not steps:
        raise MemworldError(f"{file} has one frame for its only action: an episode needs at least two")
    left_out = [f"array {name}" for name in array_names(file) if name not in (*ARRAYS, "states")]
    return actions, steps, [*left_out, options.action_left_out] if steps < len(actions) else left_out


def _first_sound(files: Sequence[Path], options: ReadOptions) -> Episode:
    """The episode of the first file that can be read; raises what is wrong with the first if none can."""
    problems = []
    for file in files:
        try:
            return _load_by_hand(file, options)
        except MemworldError as error:
            problems.append(error)
    raise problems[0]


def _steps(declared: Mapping[str, Declared]) -> int:
    """The number of transitions in a file: one less than there are actions if it has a frame for each action only."""
    observations, actions = (declared[name].shape[:1] for name in ("observations", "actions"))
    return actions[0] - (observations == actions) if actions else 0


def _id_of(file: Path) -> str:
    try:
        return check_name(file.stem, "episode id")
    except MemworldError as error:
        raise MemworldError(f"{file} must be renamed, as its name becomes the episode's id: {error}") from error


def _load_by_hand(path: Path, options: ReadOptions) -> Episode:
    paired = False

    def check(declared: Mapping[str, Declared]) -> None:
        nonlocal paired
        rows = declared["actions"].shape[:1]
        paired = declared["observations"].shape[:1] == rows
        for name, array in declared.items():
            more = name in ("observations", "states") and not paired
            if rows and array.shape and array.shape[0] != rows[0] + more:
                raise MemworldError(
                    f"{path} has {array.shape[0]} {name} and {rows[0]} actions: T actions need T{'+1' * more} {name}"
                )

    arrays: dict[str, Any] = read_arrays(path, _BY_HAND, ("terminations", "truncations", "states"), check)
    if paired:
        kept = slice(1, None) if options.frame_after_action else slice(None, -1)
        frames = {name: arrays[name] for name in ("observations", "states") if name in arrays}
        ends = {name: arrays[name][-1:] for name in ("terminations", "truncations") if name in arrays}
        arrays = {name: array[kept] for name, array in arrays.items()} | frames
        for name, end in ends.items():
            # An end that the row left out marks is the end of what is left.
            arrays[name] = np.append(arrays[name][:-1], arrays[name][-1:] | end)
    steps = len(arrays["actions"])
    arrays.setdefault("terminations", np.zeros(steps, np.bool_))
    if "truncations" not in arrays:
        arrays["truncations"] = np.zeros(steps, np.bool_)
        arrays["truncations"][-1:] = not arrays["terminations"][-1:].any()
    return Episode(path.stem, **arrays)


def _check_actions(path: Path, actions: np.ndarray) -> None:
    """Raise unless a file's actions are integers (T,) or (T, A) or floats (T, A), and can be numbered choices."""
    integers = actions.ndim in (1, 2) and actions.dtype.kind in "iu" and 0 not in actions.shape[1:]
    if not integers and not (actions.ndim == 2 and actions.dtype.kind == "f" and actions.shape[1] > 0):
        raise MemworldError(
            f"{path} has actions of type {actions.dtype} and shape {actions.shape}: expected integers (T,) or (T, A), "
            "or floats (T, A)"
        )
    if len(actions) == 0:
        raise MemworldError(f"{path} has no actions: an episode needs at least one step")
    if integers and (actions.min() < 0 or actions.max() >= MAX_ACTIONS):
        raise MemworldError(
            f"{path} has actions of {actions.min()} to {actions.max()}: number them from 0 without gaps, to at most "
            f"{MAX_ACTIONS - 1}"
        )


def _infer_space(actions: Mapping[Path, np.ndarray]) -> ActionSpace:
    """The space that holds all `actions`, given by file, at least one.

    Raises:
        MemworldError: a file's are of another kind than the first one's.
    """
    kinds = {path: (array.dtype.kind != "f", array.shape[1:]) for path, array in actions.items()}
    first = next(iter(kinds))
    for path, kind in kinds.items():
        if kind != kinds[first]:
            raise MemworldError(f"{path} has actions of another kind than {first}: keep them apart")
    integers, shape = kinds[first]
    if not integers:
        return supported_space(gymnasium.spaces.Box(-np.inf, np.inf, shape, np.float32))
    highest = np.max([array.max(0) for array in actions.values()], axis=0).astype(np.int64)
    return (
        gymnasium.spaces.Discrete(int(highest) + 1)
        if not shape
        else supported_space(gymnasium.spaces.MultiDiscrete(highest + 1))
    )
