"""What memworld writes beside a video so that nothing is lost.

    memworld-video.json   marks the folder as memworld's: version, what all episodes share (`DatasetInfo`);
                          "overwriting" is true while what was there before is deleted
    ID.mp4                the frames, lossless
    ID.parquet            a row for each action, and one more for the last frame if there are states

The columns are those of `table`, of the types in which an episode has them. The table's schema holds,
as JSON under `memworld`, the version, the `DatasetInfo`, and the episode's id, place, steps and source.
An episode is there when its table is, which is written after its video.
"""

import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from memworld.actions import action_parts, column_names, stored_dtype, stored_shape
from memworld.datasets import DatasetInfo, EpisodeEntry
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.formats.tables import numbers, open_parquet, read_parquet
from memworld.formats.video.pairs import Pair
from memworld.formats.video_frames import gather_frames, read_frames
from memworld.storage import KIND_KEY, one_line, read_json, write_json

MARKER = "memworld-video.json"
KIND = "video data set"
VERSION = 1
_KEY = b"memworld"
_OVERWRITING = "overwriting"


@dataclass(frozen=True)
class Written:
    """What a table says of its episode.

    Attributes:
        table: its file.
        info: what all episodes of the data set share.
        number: the episode's place among them.
        steps: its number of actions.
        source: where it came from.
    """

    table: Path
    info: DatasetInfo
    number: int
    steps: int
    source: dict[str, Any]


def marker_of(info: DatasetInfo) -> dict[str, Any]:
    """The content of the marker of a data set."""
    return {KIND_KEY: KIND, "version": VERSION, **info.to_json()}


def mark_overwriting(folder: Path, info: DatasetInfo) -> None:
    """Say, if memworld wrote the folder, that all that is in it is to be deleted; at once it holds no episode.

    Raises:
        MemworldError: the disk refuses it.
    """
    if _marked(folder).get(KIND_KEY) == KIND:
        write_json(folder / MARKER, {**marker_of(info), _OVERWRITING: True})


def is_overwriting(folder: Path) -> bool:
    """Whether what is in the folder is to be deleted: now, or by the next writer if a kill came between."""
    return _marked(folder).get(_OVERWRITING) is True


def _marked(folder: Path) -> dict[str, Any]:
    """What the marker of a folder says; nothing if there is none, or a damaged one."""
    try:
        value = read_json(folder / MARKER, KIND)
    except MemworldError:
        return {}
    return value if isinstance(value, dict) else {}


def read_marker(folder: Path) -> DatasetInfo:
    """What all episodes of a folder that memworld wrote share.

    Raises:
        MemworldError: its marker is damaged, or of another version.
    """
    path = folder / MARKER
    return _info(path, read_json(path, f"memworld {KIND}"))


def _info(path: Path, value: Any) -> DatasetInfo:
    try:
        if value["version"] != VERSION:
            raise MemworldError(f"it has version {value['version']!r}, this memworld reads {VERSION}: update memworld")
        return DatasetInfo.from_json(value)
    except MemworldError as error:
        raise MemworldError(f"{path} cannot be used: {error}") from error
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise MemworldError(f"{path} is damaged ({type(error).__name__}: {one_line(error)}): restore it") from error


def table_columns(info: DatasetInfo) -> tuple[list[str], list[str]]:
    """The columns of an action and of a state in the tables of a data set."""
    actions = [f"action.{name}" for name in column_names(info.action_space, info.action_names)]
    if stored_shape(info.action_space) == ():
        actions = ["action"]
    elif len(set(actions)) != len(actions):
        actions = [f"action_{i}" for i in range(len(actions))]
    states = [f"state.{name}" for name in info.state_names]
    if len(set(states)) != len(states):
        states = [f"state_{i}" for i in range(len(states))]
    return actions, states


def episode_table(episode: Episode, info: DatasetInfo, number: int) -> pa.Table:
    """The table of an episode, with actions in the stored form, of a data set in which it has this place."""
    actions, states = table_columns(info)
    discrete = [
        part.discrete for part in action_parts(info.action_space) for _ in range(part.columns.stop - part.columns.start)
    ]
    spare = [None] * bool(states)
    columns: dict[str, pa.Array] = {}
    for name, whole, values in zip(actions, discrete, episode.actions.reshape(len(episode), -1).T, strict=True):
        kind = pa.int64() if whole else pa.float32()
        columns[name] = pa.array([*values.astype(np.int64 if whole else np.float32).tolist(), *spare], kind)
    columns["reward"] = pa.array([*episode.rewards.tolist(), *spare], pa.float32())
    columns["terminated"] = pa.array([*episode.terminations.tolist(), *spare], pa.bool_())
    columns["truncated"] = pa.array([*episode.truncations.tolist(), *spare], pa.bool_())
    if episode.states is not None:
        columns |= {name: pa.array(values) for name, values in zip(states, episode.states.T.copy(), strict=True)}
    entry = EpisodeEntry(episode.id, len(episode), episode.source).to_json()
    said = {"version": VERSION, "number": number, **entry, "info": info.to_json()}
    return pa.table(columns).replace_schema_metadata({_KEY: json.dumps(said, allow_nan=False)})


def read_written(pair: Pair) -> Written | None:
    """What the table of a pair says of its episode; None if memworld did not write it.

    Raises:
        MemworldError: it is a Parquet file that is damaged, or of another version or episode.
    """
    if len(pair.tables) != 1 or pair.tables[0].suffix != ".parquet":
        return None
    table = open_parquet(pair.table)
    said = (table.schema_arrow.metadata or {}).get(_KEY)
    if said is None:
        return None
    path = pair.table
    try:
        value = json.loads(said)
        entry = EpisodeEntry.from_json(value)
        written = Written(
            path,
            _info(path, {**value["info"], "version": value["version"]}),
            int(value["number"]),
            entry.steps,
            dict(entry.source),
        )
    except MemworldError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise MemworldError(f"table {path} is damaged ({one_line(error)[:200]}): restore it") from error
    if entry.id != pair.id:
        raise MemworldError(f"table {path} is of the episode {entry.id}: rename it, and its video, to {entry.id}")
    rows = table.metadata.num_rows
    if entry.steps < 1 or rows != entry.steps + bool(written.info.state_names):
        raise MemworldError(f"table {path} has {rows} rows for {entry.steps} actions: restore it")
    return written


def load_written(pair: Pair, written: Written, size: tuple[int, int] | None) -> Episode:
    """Load an episode that memworld wrote, its frames resized to `size` (H, W) unless that is None.

    Raises:
        MemworldError: its video or its table is missing or damaged, or they do not belong together.
    """
    info, steps, path = written.info, written.steps, pair.table
    actions, states = table_columns(info)
    file = open_parquet(path)
    table = read_parquet(path, file, [*actions, "reward", "terminated", "truncated", *states])

    def column(name: str, rows: int) -> np.ndarray:
        values, missing = numbers(path, name, table.column(name))
        if len(values) < rows or missing[:rows].any():
            raise MemworldError(f"table {path} lacks values in its column {name!r}: restore it")
        return values[:rows]

    stored = np.stack([column(name, steps) for name in actions], 1).astype(stored_dtype(info.action_space))
    # One more frame than fits, to see if there are too many; a grey one is stored as RGB of equal channels.
    stored_frames = islice(read_frames(pair.video), steps + 2)
    frames = gather_frames((frame[..., : info.observation_shape[2]] for frame in stored_frames), size)
    if len(frames) != steps + 1:
        more = "more than " * (len(frames) > steps + 1)
        found = min(len(frames), steps + 1)
        raise MemworldError(f"video {pair.video} has {more}{found} frames, its table asks for {steps + 1}: restore it")
    return Episode(
        pair.id,
        frames,
        stored.reshape(steps, *stored_shape(info.action_space)),
        column("reward", steps),
        column("terminated", steps),
        column("truncated", steps),
        states=np.stack([column(name, steps + 1) for name in states], 1) if states else None,
        source=written.source,
    )
