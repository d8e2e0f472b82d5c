"""A table of actions beside a video, as people make it by hand.

It is a CSV file (comma-separated, with a first line of names) or a Parquet file of one row for each
action, with the columns

    action                      integers are numbered choices (`Discrete`), other numbers a `Box` of one
    action_0, action_1, ... or  numbers of a `Box`; write `action_NAME` or `action.NAME` to name them
    reward                      what the action returned; zeros if there is none
    terminated, or done         whether it ended the episode, 0/1 or false/true
    truncated                   whether the recording stopped there; if neither is given, it stopped at the end
    state_0, ... or state.NAME  the world's true state in the frame in which the action was chosen

Other columns are left aside, and are named in the episode's source. T actions need T+1 frames, the
last of which shows where the last action led. The table then has T rows, or T+1: the last one, with
no action, is of the last frame alone, which is how states are given for all frames.

Most recordings have as many actions as frames, N of each. Then every row is of the frame in which
its action was chosen; the last action leads nowhere that was recorded, and is left out with its
reward; if it was marked as the end, the step before it is. With `ReadOptions.frame_after_action`
every row is of the frame that its action led to, and the first action is left out.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from memworld.errors import MemworldError
from memworld.formats.tables import csv_columns, numbers, open_parquet, read_csv, read_parquet, shorten

_SINGLE = ("action", "state", "reward", "terminated", "done", "truncated")
_NUMBERED = re.compile(r"[0-9]{1,6}")


@dataclass(frozen=True)
class Layout:
    """Which columns of a table hold what.

    Attributes:
        actions: the columns of an action, in order.
        action_names: their names, empty if they are numbered.
        states: the columns of a state, in order.
        state_names: their names.
        reward: the column of rewards, if any.
        terminated: the column of endings, if any.
        truncated: the column of truncations, if any.
        ignored: all other columns.
    """

    actions: tuple[str, ...]
    action_names: tuple[str, ...]
    states: tuple[str, ...]
    state_names: tuple[str, ...]
    reward: str | None
    terminated: str | None
    truncated: str | None
    ignored: tuple[str, ...]

    @property
    def used(self) -> list[str]:
        """All columns but the ignored ones."""
        single = (self.reward, self.terminated, self.truncated)
        return [*self.actions, *self.states, *(name for name in single if name)]


def find_layout(path: Path, columns: list[str]) -> Layout:
    """Find out from the names of the columns of the table `path` what they hold.

    Raises:
        MemworldError: there are no actions, or both one column and several, or a name is almost one of these.
    """
    actions, action_names = _family("action", columns)
    if not actions:
        raise MemworldError(
            f"table {path} has no column 'action' nor 'action_0', ...; its columns are {shorten(columns)}: name the "
            "columns in its first line, separated by commas"
        )
    if "action" in actions and len(actions) > 1:
        raise MemworldError(f"table {path} has the columns {shorten(actions)}: keep 'action' or the others")
    states, state_names = _family("state", columns)
    reward, terminated, truncated = (
        next((name for name in names if name in columns), None)
        for names in (("reward",), ("terminated", "done"), ("truncated",))
    )
    used = {*actions, *states, reward, terminated, truncated}
    ignored = tuple(name for name in columns if name not in used)
    for name in ignored:
        # Left aside in silence, " reward" or "Actions" would be missed.
        meant = name.strip().lower().removesuffix("s")
        if meant != name and (meant in _SINGLE or meant.startswith(("action_", "action.", "state_", "state."))):
            raise MemworldError(f"table {path} has a column called {name[:60]!r}: call it {meant[:60]!r}, or remove it")
    return Layout(
        actions,
        () if actions == ("action",) else action_names,
        states,
        state_names or tuple(f"state_{i}" for i in range(len(states))),
        reward,
        terminated,
        truncated,
        ignored,
    )


def _family(stem: str, columns: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns called `stem`, `stem_x` or `stem.x`, and the names x; sorted and without names if all are numbers."""
    found = {
        name: name[len(stem) + 1 :] for name in columns if name == stem or name.startswith((f"{stem}_", f"{stem}."))
    }
    if all(_NUMBERED.fullmatch(rest) for rest in found.values()):
        return tuple(sorted(found, key=lambda name: int(found[name]))), ()
    return tuple(found), tuple(rest or stem for rest in found.values())


@dataclass(frozen=True, eq=False)
class ActionTable:
    """What a table of N rows holds.

    Attributes:
        path: its file.
        layout: which columns hold what.
        actions: int64 (N,) if they are numbered choices, else float32 (N, A).
        rewards: float64 (N,), or None.
        terminated: bool (N,), or None.
        truncated: bool (N,), or None.
        states: float64 (N, S), or None.
        ends_bare: whether the last row has no action.
    """

    path: Path
    layout: Layout
    actions: np.ndarray
    rewards: np.ndarray | None
    terminated: np.ndarray | None
    truncated: np.ndarray | None
    states: np.ndarray | None
    ends_bare: bool

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def actions_given(self) -> int:
        """How many rows have an action."""
        return len(self) - self.ends_bare

    def steps(self, frames: int) -> int:
        """The number of transitions that the table and a video of so many frames make.

        Raises:
            MemworldError: they do not belong together.
        """
        rows = len(self)
        paired = self.ends_bare or self.states is not None
        if frames not in ((rows,) if paired else (rows, rows + 1)):
            needed = f"{rows}" if paired else f"{rows + 1}, or {rows}"
            why = "with states, every frame needs a row, the last one without an action" * (self.states is not None)
            raise MemworldError(
                f"table {self.path} has {rows} rows and its video {frames} frames, where {needed} are needed: "
                f"{why or 'record one more frame than actions'}"
            )
        if frames == 1:
            raise MemworldError(f"table {self.path} has one row and its video one frame: an episode needs a next frame")
        return frames - 1

    def arrays(self, frames: int, frame_after_action: bool) -> dict[str, Any]:
        """The actions, rewards, terminations, truncations and states of an episode of so many frames.

        Raises:
            MemworldError: the video and the table do not belong together.
        """
        steps = self.steps(frames)
        left_out = len(self) - steps
        after = frame_after_action and not self.ends_bare and left_out == 1
        kept = slice(1, None) if after else slice(None, steps)
        terminations, truncations = (self._flags(flags, kept, after) for flags in (self.terminated, self.truncated))
        if self.truncated is None:
            truncations[-1:] = not terminations[-1:].any()
        return {
            "actions": self.actions[kept],
            "rewards": np.zeros(steps, np.float32) if self.rewards is None else self.rewards[kept],
            "terminations": terminations,
            "truncations": truncations,
            "states": self.states,
        }

    def _flags(self, flags: np.ndarray | None, kept: slice, after: bool) -> np.ndarray:
        if flags is None:
            return np.zeros(len(self.actions[kept]), np.bool_)
        cut = flags[kept].copy()
        if not after and len(cut):
            # Many mark the last frame rather than the last action.
            cut[-1] |= flags[len(cut) :].any()
        return cut


def read_table(path: Path) -> ActionTable:
    """Read a table of actions.

    Raises:
        MemworldError: it is missing, damaged, has no rows or no actions, or something else than numbers
            where they are needed.
    """
    if path.suffix.lower() == ".csv":
        layout = find_layout(path, csv_columns(path))
        table = read_csv(path, layout.used)
    else:
        file = open_parquet(path)
        layout = find_layout(path, list(file.schema_arrow.names))
        table = read_parquet(path, file, layout.used)
    if not table.num_rows:
        raise MemworldError(f"table {path} has no rows: an episode needs at least one action")
    columns = [numbers(path, name, table.column(name)) for name in layout.actions]
    absent = np.stack([missing for _, missing in columns], 1)
    ends_bare = bool(absent[-1].all())
    for name, (_, missing) in zip(layout.actions, columns, strict=True):
        _check_present(path, name, missing[:-1] if ends_bare else missing)
    if layout.actions == ("action",) and columns[0][0].dtype.kind == "i":
        actions = columns[0][0]
    else:
        with np.errstate(over="ignore"):  # becomes infinite, which is refused as it is in any episode
            actions = np.stack([values for values, _ in columns], 1).astype(np.float32)
    return ActionTable(
        path,
        layout,
        actions,
        _optional(path, layout.reward, table),
        _flag_column(path, layout.terminated, table),
        _flag_column(path, layout.truncated, table),
        _states(path, layout, table),
        ends_bare,
    )


def _check_present(path: Path, name: str, missing: np.ndarray) -> None:
    if missing.any():
        row = int(np.argmax(missing)) + 1
        raise MemworldError(f"table {path} has nothing, or NaN, in row {row} of its column {name!r}: fill it in")


def _optional(path: Path, name: str | None, table: Any) -> np.ndarray | None:
    """A column of numbers, which may miss the last."""
    if name is None:
        return None
    values, missing = numbers(path, name, table.column(name))
    _check_present(path, name, missing[:-1])
    return np.where(missing, np.nan, values)


def _flag_column(path: Path, name: str | None, table: Any) -> np.ndarray | None:
    values = _optional(path, name, table)
    if values is None:
        return None
    values = np.nan_to_num(values, nan=0.0)
    if (other := (values != 0) & (values != 1)).any():
        row = int(np.argmax(other))
        raise MemworldError(f"table {path} has {values[row]:g} in row {row + 1} of its column {name!r}: use 0 and 1")
    flags: np.ndarray = values.astype(np.bool_)
    return flags


def _states(path: Path, layout: Layout, table: Any) -> np.ndarray | None:
    if not layout.states:
        return None
    columns = []
    for name in layout.states:
        values, missing = numbers(path, name, table.column(name))
        _check_present(path, name, missing)
        columns.append(values)
    return np.stack(columns, 1)
