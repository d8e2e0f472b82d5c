"""Minari's Arrow storage: a folder for each episode, with its arrays in one Arrow file and its attributes beside it."""

import json
import os
import re
import shutil
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from memworld.errors import MemworldError
from memworld.formats.minari.columns import Column, decode_jpeg
from memworld.formats.minari.places import METADATA
from memworld.storage import check_file, check_no_links, read_json
from memworld.storage.files import TEMPORARY

_FILE = "part-0.arrow"
_MAGIC = b"ARROW1\0\0"


class ArrowStorage:
    """Reads the episodes of a folder; a `Storage`."""

    def __init__(self, folder: Path) -> None:
        """Read from the data folder of a set."""
        self.folder = folder

    def held(self) -> set[int]:
        """The numbers that are names of folders."""
        names = (child.name for child in self.folder.iterdir() if child.is_dir())
        return {int(name) for name in names if re.fullmatch(r"0|[1-9]\d{0,8}", name, re.ASCII)}

    def attributes(self, indices: Iterable[int]) -> list[Mapping[str, Any] | None]:
        """What is noted of each episode; None where that is missing or damaged."""
        return [self._attributes(index) for index in indices]

    def _attributes(self, index: int) -> Mapping[str, Any] | None:
        try:
            check_no_links(self.folder, str(index))
            attributes = read_json(self.folder / str(index) / METADATA, "episode of a Minari set")
        except (MemworldError, OSError):
            return None
        return attributes if isinstance(attributes, dict) else None

    def read(self, index: int, steps: int, columns: Sequence[Column]) -> dict[tuple[str, ...], np.ndarray]:
        """See `Storage`."""
        import pyarrow as pa

        check_no_links(self.folder, str(index))
        folder = self.folder / str(index)
        # Beyond a million rows Arrow begins another file.
        files = sorted(folder.glob("part-*.arrow"), key=lambda file: (len(file.name), file.name))
        if not files:
            raise MemworldError(f"{folder / _FILE} is missing: restore it or write the set again")
        batches = [batch for file in files for batch in _batches(file)]
        table = pa.Table.from_batches(batches)
        size = sum(file.stat().st_size for file in files)
        return {column.path: _read(table, column, steps, size) for column in columns}


def _batches(path: Path) -> Iterator[Any]:
    """The batches of rows of an Arrow file that may be damaged, or made to harm."""
    import pyarrow as pa

    check_file(path)
    with pa.OSFile(str(path)) as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise MemworldError(f"{path} is no Arrow file: restore it or write the set again")
        # What follows the magic is a stream of messages, whose headers can be seen before they are believed.
        messages = iter(pa.ipc.MessageReader.open_stream(file))
        schema = pa.ipc.read_schema(next(messages))
        for message in messages:
            if message.type != "record batch" or _is_compressed(message.metadata.to_pybytes()):
                raise MemworldError(
                    f"{path} is compressed or holds dictionaries, which Minari does not write: write it again without"
                )
            batch = pa.ipc.read_record_batch(message, schema)
            batch.validate(full=True)
            yield batch


def _is_compressed(metadata: bytes) -> bool:
    """Whether the header of a batch of rows says that its buffers are compressed.

    Arrow would then allocate whatever size they claim to have. pyarrow does not tell, so this follows
    the flatbuffer: in `Message` the header is field 2, in `RecordBatch` the compression field 3.
    """
    message = struct.unpack_from("<I", metadata, 0)[0]
    header = _field(metadata, message, 2)
    if header is None:
        return False
    return _field(metadata, header + struct.unpack_from("<I", metadata, header)[0], 3) is not None


def _field(buffer: bytes, table: int, number: int) -> int | None:
    """Where a field of a flatbuffer's table lies, or None if it is not set."""
    offsets = table - struct.unpack_from("<i", buffer, table)[0]
    at = 4 + 2 * number
    if at >= struct.unpack_from("<H", buffer, offsets)[0]:
        return None
    offset = struct.unpack_from("<H", buffer, offsets + at)[0]
    return table + offset if offset else None


def _read(table: Any, column: Column, steps: int, size: int) -> np.ndarray:
    import pyarrow as pa

    array = _follow(table, column)
    if len(array) != steps + 1:
        raise MemworldError(f"{column} of {len(array)} rows: expected {steps + 1}")
    # Minari fills what has a row less up to the number of observations.
    array = array.slice(0, column.rows(steps))
    if array.null_count:
        raise MemworldError(f"{column} has rows without a value: restore the file or write the set again")
    if column.image and (pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type)):
        return decode_jpeg(column, (image.as_py() for image in array), steps, size)
    shape = [len(array)]
    if pa.types.is_fixed_size_list(array.type):
        shape.append(array.type.list_size)
        array = array.flatten()
    kind = array.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)) or array.null_count:
        raise MemworldError(f"{column} of type {kind}: expected numbers{' or JPEG' if column.image else ''}")
    values = array.to_numpy(zero_copy_only=False)
    return column.fitted(values.reshape(shape), steps)


def _follow(table: Any, column: Column) -> Any:
    """The column that `path` leads to, through columns of columns.

    Raises:
        MemworldError: it is not there, or there twice.
    """
    import pyarrow as pa

    found, *inner = column.path
    if table.schema.names.count(found) != 1:
        raise MemworldError(f"{column} is missing: restore the file or write the set again")
    array = table[found].combine_chunks()
    for name in inner:
        if not pa.types.is_struct(array.type) or array.type.get_field_index(name) < 0 or array.null_count:
            raise MemworldError(f"{column} is missing: restore the file or write the set again")
        array = array.field(name)
    return array


def write_episode(
    folder: Path, attributes: Mapping[str, Any], arrays: Mapping[tuple[str, ...], np.ndarray], rows: int
) -> None:
    """Write an episode into the folder `folder`, which appears when it is complete.

    Args:
        folder: of the episode; that in which it lies is there, and nothing else writes to it.
        attributes: what is noted of it.
        arrays: (rows, ...) or (rows - 1, ...) each, by path; the same give the same bytes.
        rows: T+1.

    Raises:
        OSError: the disk refuses it.
    """
    import pyarrow as pa

    batch = pa.RecordBatch.from_struct_array(_nested(arrays, rows))
    temporary = folder.parent / f"{TEMPORARY}{folder.name}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    with (temporary / _FILE).open("wb") as file:
        with pa.ipc.new_file(file, batch.schema) as writer:
            writer.write_batch(batch)
        file.flush()
        os.fsync(file.fileno())
    with (temporary / METADATA).open("w", encoding="utf-8") as text:
        json.dump(dict(attributes), text)
        text.flush()
        os.fsync(text.fileno())
    temporary.rename(folder)


def _nested(arrays: Mapping[tuple[str, ...], np.ndarray], rows: int) -> Any:
    """Arrays by path as Arrow's struct of structs."""
    import pyarrow as pa

    groups: dict[str, dict[tuple[str, ...], np.ndarray]] = {}
    for (name, *inner), array in arrays.items():
        groups.setdefault(name, {})[tuple(inner)] = array
    values, fields = [], []
    for name, group in groups.items():
        [(path, array), *_] = group.items()
        value = _nested(group, rows) if path else _column(array, rows)
        # By this minari shapes the rows of what is in infos.
        shape = {"shape": ",".join(map(str, array.shape[1:]))} if not path and array.ndim > 1 else None
        values.append(value)
        fields.append(pa.field(name, value.type, metadata=shape))
    return pa.StructArray.from_arrays(values, fields=fields)


def _column(array: np.ndarray, rows: int) -> Any:
    import pyarrow as pa

    array = np.pad(array, [(0, rows - len(array)), *([(0, 0)] * (array.ndim - 1))])
    if array.ndim == 1:
        return pa.array(array)
    flat = pa.array(array.reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, int(np.prod(array.shape[1:])))
