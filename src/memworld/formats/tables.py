"""Numbers out of Parquet and CSV files that may be damaged, or made to harm.

A table is read only after what it declares has been checked: a small file can name a billion columns
or hold gigabytes of zeros.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from memworld.errors import MemworldError
from memworld.storage import check_file, one_line

MOST_COLUMNS = 4096
MOST_CELLS = 2**27
"""How many numbers are read from a table at once: a gigabyte of them."""

_MOST_HEADER = 2**20
_MOST_CSV = 2**30

# What ends a line: "\r\r\n" too, which programs write that end their lines twice.
_LINE_END = re.compile(rb"\r*\n|\r")
_BLANK_LINE = re.compile(rb"((?>\r*\n|\r))[ \t]*(?:\r*\n|\r)")
_WORD = re.compile(rb"\S")


def inside(root: Path, path: Path) -> Path:
    """Return `path` if it is where it seems to be: within `root`, with all links followed.

    A data set in the cache of the Hugging Face hub consists of links into the folder `blobs` beside
    its snapshots, which counts as within.

    Raises:
        MemworldError: it leads elsewhere.
    """
    home = root.resolve()
    homes = [home, home.parents[1] / "blobs"] if home.parent.name == "snapshots" else [home]
    try:
        target = path.resolve()
        target.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, or a name that none can have
        raise MemworldError(
            f"{str(path)[:200]!r} cannot be a file ({one_line(error)[:200]}): correct the path"
        ) from error
    if not any(target.is_relative_to(allowed) for allowed in homes):
        raise MemworldError(f"{path} leads out of {root}, to {target}: put the file itself there")
    return path


@contextmanager
def one_table_error(path: Path) -> Iterator[None]:
    """Say in one line, with the file's name, whatever pyarrow raises on a damaged or missing table."""
    try:
        yield
    except MemworldError:
        raise
    except FileNotFoundError as error:
        raise MemworldError(f"table {path} is missing: restore it") from error
    except (pa.ArrowException, csv.Error, OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise MemworldError(
            f"table {path} cannot be read ({one_line(error)[:300]}): it is damaged, repair or replace it"
        ) from error


def open_parquet(path: Path) -> Any:
    """Open a Parquet file; a `pyarrow.parquet.ParquetFile`, which only its footer has been read of.

    Raises:
        MemworldError: it is missing, or no Parquet file.
    """
    with one_table_error(path):
        check_file(path)
        return pq.ParquetFile(path)


def read_parquet(path: Path, file: Any, names: Sequence[str]) -> Any:
    """Read columns of an opened Parquet file whole.

    Raises:
        MemworldError: it lacks a column, has two of one name, is damaged, or too large.
    """
    _check_names(path, file.schema_arrow.names, names)
    with one_table_error(path):
        _check_cells(path, file.metadata, names, range(file.metadata.num_row_groups))
        return file.read(columns=list(names), use_threads=False)


def read_rows(
    path: Path, file: Any, names: Sequence[str], first: int, count: int, at_once: int = 4096
) -> Iterator[Any]:
    """Read some rows of columns of an opened Parquet file, and no more than the row groups that they are in.

    Args:
        path: the file.
        file: the same, opened.
        names: the columns.
        first: the first row.
        count: the number of rows, at least 1.
        at_once: how many of them are in memory at a time.

    Yields:
        `pyarrow.RecordBatch`es of `count` rows in all.

    Raises:
        MemworldError: it lacks a column or those rows, is damaged, or the row groups are too large.
    """
    _check_names(path, file.schema_arrow.names, names)
    with one_table_error(path):
        metadata = file.metadata
        if not 0 <= first <= first + count <= metadata.num_rows:
            raise MemworldError(
                f"table {path} has {metadata.num_rows} rows, the rows {first} to {first + count - 1} are asked for: it "
                "is cut off, or the list of episodes is wrong"
            )
        ends = np.cumsum([metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)])
        groups = range(int(np.searchsorted(ends, first, "right")), int(np.searchsorted(ends, first + count)) + 1)
        _check_cells(path, metadata, names, groups)
        first -= int(ends[groups[0]]) - metadata.row_group(groups[0]).num_rows
        for batch in file.iter_batches(at_once, row_groups=list(groups), columns=list(names), use_threads=False):
            part = batch.select(list(names)).slice(min(first, len(batch)), count)
            first, count = max(first - len(batch), 0), count - len(part)
            if len(part):
                yield part
            if not count:
                return


def column_range(path: Path, name: str) -> tuple[int, int]:
    """The least and the greatest of the integers in a column of a Parquet file, of numbers or lists of them.

    Raises:
        MemworldError: the file is missing or damaged, or it lacks the column or has other things in it.
    """
    column = read_parquet(path, open_parquet(path), [name]).column(name)
    values, missing = numbers(path, name, pc.list_flatten(column) if _of_lists(column) else column)
    if values.dtype.kind != "i" or missing.all():
        raise MemworldError(f"table {path} has no integers in its column {name!r}: repair it")
    return int(values[~missing].min()), int(values[~missing].max())


def csv_columns(path: Path) -> list[str]:
    """The names of the columns of a CSV file, from its first line.

    Raises:
        MemworldError: it is missing, no text, or has too many columns.
    """
    with one_table_error(path):
        check_file(path)
        with path.open("rb") as stream:
            line = stream.readline(_MOST_HEADER + 1)
        if len(line) > _MOST_HEADER or line.count(b",") >= MOST_COLUMNS:
            raise MemworldError(f"table {path} has more than {MOST_COLUMNS} columns, or no lines: replace it")
        return next(csv.reader([line.decode("utf-8-sig")]), [])


def read_csv(path: Path, names: Sequence[str]) -> Any:
    """Read columns of a CSV file with a first line of names, whole.

    Raises:
        MemworldError: it lacks a column, has two of one name, rows of several lengths or a blank line
            between them, or is too large.
    """
    _check_names(path, csv_columns(path), names)
    with one_table_error(path):
        size = path.stat().st_size
        if size > _MOST_CSV:
            raise MemworldError(f"table {path} has {size} bytes, a CSV file may have {_MOST_CSV}: save it as Parquet")
        content = path.read_bytes()
        _check_no_blank_line(path, content)
        return pyarrow.csv.read_csv(
            pa.BufferReader(content),
            # Without threads, an error names the row.
            read_options=pyarrow.csv.ReadOptions(use_threads=False),
            convert_options=pyarrow.csv.ConvertOptions(include_columns=list(names)),
        )


def _check_no_blank_line(path: Path, content: bytes) -> None:
    """Raise if a CSV file has a blank line before its last row: left aside, it would shift all rows after it."""
    blank = _BLANK_LINE.search(content)
    if blank and _WORD.search(content, blank.end()):
        line = 1 + sum(1 for _ in _LINE_END.finditer(content, 0, blank.end(1)))
        raise MemworldError(
            f"table {path} has a blank line, line {line}: remove it, or fill in the values of that step if it stands "
            "for one"
        )


def _check_names(path: Path, held: Sequence[str], names: Sequence[str]) -> None:
    for name in names:
        if (times := held.count(name)) != 1:
            what = f"has no column {name!r}" if not times else f"has {times} columns called {name!r}"
            raise MemworldError(f"table {path} {what}; its columns are {shorten(held)}")


def _check_cells(path: Path, metadata: Any, names: Sequence[str], groups: Sequence[int]) -> None:
    """Raise if the row groups of a Parquet file hold too many numbers, or texts, in some columns."""
    cells = 0
    for group in groups:
        for column in map(metadata.row_group(group).column, range(metadata.num_columns)):
            # What lies in a column of lists or structures is called after it, and a dot.
            if any(column.path_in_schema == name or column.path_in_schema.startswith(f"{name}.") for name in names):
                cells += column.num_values
    if cells > MOST_CELLS:
        raise MemworldError(
            f"table {path} declares {cells} numbers to read, memworld takes {MOST_CELLS} at once: cut it into episodes"
        )


def shorten(names: Sequence[str], most: int = 8) -> str:
    """The first few names, in one line, for messages."""
    more = f", ... ({len(names)} in all)" if len(names) > most else ""
    return ", ".join(repr(name[:60]) for name in names[:most]) + more


def numbers(path: Path, name: str, column: Any) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of a column.

    Args:
        path: its file, for messages.
        name: its name, for messages.
        column: a `pyarrow.ChunkedArray`.

    Returns:
        The values, int64 (N,) of integers and truth values, else float64 (N,); and bool (N,), which of
        them are missing or NaN, and of no meaning.

    Raises:
        MemworldError: it holds text or something else that is no number.
    """
    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan), np.ones(len(column), np.bool_)
    whole = pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    if not (whole or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise MemworldError(f"table {path} holds {_what(column)} in its column {name!r}, numbers are needed there")
    with one_table_error(path):
        missing = column.is_null().to_numpy()
        values: np.ndarray = column.cast(pa.int64() if whole else pa.float64()).fill_null(0).to_numpy()
    return values, missing if whole else missing | np.isnan(values)


def _what(column: Any) -> str:
    """What a column holds that is no number, with the first of it if it is text."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        for row, scalar in enumerate(column, 1):
            try:
                float(scalar.as_py() or "0")
            except ValueError:
                return f"{scalar.as_py()[:60]!r} (row {row})"
    return str(one_line(column.type))[:100]


def vectors(path: Path, name: str, column: Any, width: int) -> np.ndarray:
    """The numbers of a column of lists of `width` numbers, or of single numbers if `width` is 1.

    Returns:
        float64 or int64 (N, width).

    Raises:
        MemworldError: a row is missing, of another length, or holds NaN or something else than numbers.
    """
    rows = len(column)
    if _of_lists(column):
        with one_table_error(path):
            lengths = pc.list_value_length(column).fill_null(0).to_numpy()
            column = pc.list_flatten(column)
    else:
        lengths = np.ones(rows, np.int64)
    if (wrong := lengths != width).any():
        row = int(np.argmax(wrong))
        raise MemworldError(
            f"table {path} has {lengths[row]} numbers in row {row + 1} of its column {name!r}, {width} are needed: "
            "repair it"
        )
    values, missing = numbers(path, name, column)
    if missing.any():
        row = int(np.argmax(missing)) // width
        raise MemworldError(f"table {path} has no number (NaN) in row {row + 1} of its column {name!r}: repair it")
    return values.reshape(rows, width)


def _of_lists(column: Any) -> bool:
    kind = column.type
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
