"""Episodes as rows of the table, and back."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from memworld.datasets import EpisodeEntry
from memworld.memory import MemoryEpisode
from memworld.store.arrays import LATENTS, Listed, columns_of, digest, forms
from memworld.store.versions import Settings
from memworld.stored_frames import StoredFrames

BATCH = 1 << 10
"""Rows that are written or read at once."""

_BYTES = 1 << 26
"""Of frames that are written at once."""

_COMPRESSED = {"lance-encoding:compression": "lz4"}
"""Recorded frames of games are compressed to a small part, faster than most disks would take the rest."""


def schema(settings: Settings) -> pa.Schema:
    """The table's columns."""

    def column(name: str) -> pa.DataType:
        dtype, shape = forms(settings)[name]
        kind = pa.from_numpy_dtype(dtype)
        return pa.list_(kind, math.prod(shape)) if shape else kind

    columns: list[Any] = [("episode", pa.string()), ("step", pa.int64()), ("last", pa.bool_())]
    columns += [(name, column(name)) for name in LATENTS]
    if 0 not in forms(settings)["actions"][1]:  # Lance has no lists of nothing
        columns.append(("action", column("actions")))
    columns += [("reward", pa.float32()), ("terminated", pa.bool_()), ("truncated", pa.bool_())]
    columns.append(("source", pa.string()))
    if settings.frames:
        columns.append(pa.field("frame", pa.large_binary(), metadata=_COMPRESSED))
    return pa.schema(columns, {"memworld": json.dumps(settings.to_json())})


def batches_of(episode: MemoryEpisode, settings: Settings) -> Iterator[pa.RecordBatch]:
    """An episode as rows of the table, a few at a time."""
    columns, steps, form = columns_of(episode), episode.entry.steps, schema(settings)
    most = BATCH if not settings.frames else max(1, min(BATCH, _BYTES // math.prod(settings.info.observation_shape)))
    for start in range(0, steps + 1, most):
        here = slice(start, min(start + most, steps + 1))
        at = np.arange(here.start, here.stop)
        source = [json.dumps(dict(episode.entry.source)) if step == 0 else None for step in at]
        arrays = [
            pa.array([episode.entry.id] * len(at)),
            pa.array(at),
            pa.array(at == steps),
            *(_column(columns[name][here], form.field(name).type) for name in LATENTS),
            *(_column(columns["actions"][here], form.field(name).type) for name in form.names if name == "action"),
            pa.array(columns["rewards"][here]),
            pa.array((columns["ends"][here] & 1).astype(bool)),
            pa.array((columns["ends"][here] & 2).astype(bool)),
            pa.array(source, pa.string()),
        ]
        if settings.frames:
            assert episode.frames is not None
            frames = episode.frames.take(at) if isinstance(episode.frames, StoredFrames) else episode.frames[here]
            arrays.append(_bytes_of(np.ascontiguousarray(frames).reshape(len(at), -1)))
        yield pa.RecordBatch.from_arrays(arrays, schema=form)


def _column(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    if not pa.types.is_fixed_size_list(kind):
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), kind.list_size)


def _bytes_of(frames: np.ndarray) -> pa.Array:
    """Frames (n, bytes of each) as so many binary values, not copied."""
    ends = np.arange(len(frames) + 1, dtype=np.int64) * frames.shape[1]
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(frames)]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(frames), buffers)


def values(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Undo `_column`."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if not pa.types.is_fixed_size_list(column.type):
        return np.asarray(column.to_numpy(zero_copy_only=False))
    return np.asarray(column.flatten().to_numpy()).reshape(len(column), column.type.list_size)


def episode_from(parts: list[pa.RecordBatch], settings: Settings) -> tuple[Listed, dict[str, np.ndarray]]:
    """Undo `batches_of`, frames left out: the episode and its `arrays.columns_of`.

    Raises:
        MemworldError, KeyError, TypeError, ValueError: the rows are no episode's.
    """
    rows = pa.Table.from_batches(parts)
    ends = values(rows["terminated"]).astype(np.uint8) | values(rows["truncated"]).astype(np.uint8) << 1
    columns = {name: values(rows[name]) for name in LATENTS} | {
        "actions": values(rows["action"]) if "action" in rows.column_names else np.empty(0),
        "rewards": values(rows["reward"]),
        "ends": ends,
    }
    columns = {
        name: np.ascontiguousarray(columns[name]).reshape(len(rows), *shape).astype(dtype, copy=False)
        for name, (dtype, shape) in forms(settings).items()
    }
    source: Mapping[str, Any] = json.loads(rows["source"][0].as_py() or "{}")
    entry = EpisodeEntry.from_json({"id": rows["episode"][0].as_py(), "steps": len(rows) - 1, "source": source})
    return Listed(entry, digest(columns)), columns
