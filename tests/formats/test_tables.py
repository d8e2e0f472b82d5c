"""Parts of Parquet files against the whole, and columns of numbers in all the types that hold them."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memworld.errors import MemworldError
from memworld.formats.tables import column_range, inside, numbers, open_parquet, read_csv, read_rows, vectors
from tests.helpers import one_clear_error

HERE = Path("t.parquet")


@given(data=st.data(), total=st.integers(1, 40), group=st.integers(1, 45), at_once=st.integers(1, 45))
def test_a_part_is_that_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, total: int, group: int, at_once: int
) -> None:
    path = tmp_path_factory.mktemp("tables") / "t.parquet"
    table = pa.table(
        {"a.b": range(total), "c": [[i, -i] for i in range(total)], "a": ["x"] * total, "a.b.c": range(total)}
    )
    pq.write_table(table, path, row_group_size=group)
    first = data.draw(st.integers(0, total - 1))
    count = data.draw(st.integers(1, total - first))
    batches = list(read_rows(path, open_parquet(path), ["c", "a.b"], first, count, at_once))
    assert max(map(len, batches)) <= at_once
    assert pa.Table.from_batches(batches).equals(table.select(["c", "a.b"]).slice(first, count))


def test_rows_that_are_not_there(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": range(5)}), path)
    for first, count in ((3, 3), (-1, 2), (5, 1), (0, 10**15)):
        with one_clear_error("has 5 rows, the rows"):
            list(read_rows(path, open_parquet(path), ["a"], first, count))


@pytest.mark.parametrize(
    ("column", "values", "missing"),
    [
        (pa.array([1, None, 3], pa.int8()), [1, 0, 3], [False, True, False]),
        (pa.array([2**62, 0], pa.uint64()), [2**62, 0], [False, False]),
        (pa.array([True, None]), [1, 0], [False, True]),
        (pa.array([0.5, None, float("nan")], pa.float16()), [0.5, 0, np.nan], [False, True, True]),
        (pa.array([1.5, None]).cast(pa.decimal128(5, 2)), [1.5, 0], [False, True]),
        (pa.array([None, None], pa.null()), [np.nan] * 2, [True] * 2),
    ],
    ids=str,
)
def test_numbers_of_every_type(column: Any, values: list[float], missing: list[bool]) -> None:
    for given_as in (pa.chunked_array([column]), pa.chunked_array([column[:1], column[1:]])):
        found, absent = numbers(HERE, "x", given_as)
        np.testing.assert_array_equal(found, values)
        assert absent.tolist() == missing
        assert found.dtype in (np.int64, np.float64)


@pytest.mark.parametrize(
    ("column", "match"),
    [
        (["1", "two"], "'two' .row 2."),
        ([[1.0]], "list"),
        ([b"1"], "binary"),
        ([{"a": 1}], "struct"),
        (pa.array([2**63], pa.uint64()), "cannot be read"),
    ],
    ids=str,
)
def test_what_are_no_numbers(column: Any, match: str) -> None:
    with one_clear_error(f"t.parquet .*{match}"):
        numbers(HERE, "x", pa.chunked_array([column]))


def test_lists_of_numbers() -> None:
    for kind in (pa.list_(pa.float64()), pa.large_list(pa.float64()), pa.list_(pa.float64(), 2)):
        column = pa.chunked_array([pa.array([[9.0, 9.0], [1.0, 2.0], [3.0, 4.0]], kind).slice(1)])
        assert vectors(HERE, "x", column, 2).tolist() == [[1, 2], [3, 4]]
    assert vectors(HERE, "x", pa.chunked_array([[5, 6]]), 1).tolist() == [[5], [6]]


def test_the_range_of_a_column(tmp_path: Path) -> None:
    for values in ([3, None, -2], [[3], [None], [-2]]):
        pq.write_table(pa.table({"a": values}), tmp_path / "t.parquet")
        assert column_range(tmp_path / "t.parquet", "a") == (-2, 3)
    pq.write_table(pa.table({"a": pa.array([None], pa.int64())}), tmp_path / "t.parquet")
    with one_clear_error("no integers in its column 'a'"):
        column_range(tmp_path / "t.parquet", "a")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\r\n"])
@pytest.mark.parametrize("header", ["a", "a,b"])
def test_blank_lines_in_a_csv_file(tmp_path: Path, header: str, end: str) -> None:
    """pyarrow passes over them, so that all rows after one would be shifted."""
    path = tmp_path / "t.csv"
    row = "1" + ",2" * header.count(",")
    for number in range(1, 5):
        for blank in ("", "  ", "\t"):
            lines = [header, row, row, row, row]
            lines.insert(number, blank)
            path.write_bytes(end.join(lines).encode())
            with one_clear_error(f"t.csv has a blank line, line {number + 1}: remove it"):
                read_csv(path, ["a"])
    # At the end they shift nothing.
    for blanks in range(4):
        path.write_bytes((end.join([header, row, row]) + end * blanks).encode())
        assert read_csv(path, ["a"]).column("a").to_pylist() == [1, 1]


def test_lines_that_end_as_they_did_on_old_machines(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"a\n1\r\r2\n")
    with one_clear_error("t.csv has a blank line, line 3"):
        read_csv(path, ["a"])


def test_what_a_csv_file_says_is_not_obeyed_in_errors(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n\x1b[2J\x07\n")
    with pytest.raises(MemworldError, match=r"t.csv cannot be read .*\\x1b\[2J\\x07") as caught:
        read_csv(path, ["a"])
    assert str(caught.value).isprintable()


def test_what_is_inside_a_folder(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "deep").mkdir(parents=True)
    (root / "loop").symlink_to(root / "loop")
    (root / "out").symlink_to(tmp_path)
    (root / "in").symlink_to(root / "deep")
    (tmp_path / "alias").symlink_to(root)
    for name in ("deep/file", "in/file", "deep/../x"):
        assert inside(root, root / name) == root / name
        assert inside(tmp_path / "alias", tmp_path / "alias" / name)
    for name, match in (
        ("../x", "leads out"),
        ("out/x", "leads out"),
        ("/x", "leads out"),
        ("loop", "cannot be a file"),
    ):
        with one_clear_error(match):
            inside(root, root / name)
    with one_clear_error("cannot be a file"):
        inside(root, root / "\0")
