import errno
import json
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from memworld.errors import MemworldError
from memworld.storage import (
    check_name,
    make_folder,
    one_line,
    read_arrays,
    read_json,
    write_arrays,
    write_atomic,
    write_bytes,
    write_json,
    write_picture,
)
from tests.helpers import folder_bytes, one_clear_error, small_disk, unless_refused

FULL = OSError(errno.ENOSPC, "No space left on device")


# Names


@pytest.mark.parametrize("name", ["a", "0", "_", "Pong-v5.seed_7", "x" * 128])
def test_names_that_serve(name: str) -> None:
    assert check_name(name, "id") == name


@given(name=st.one_of(st.text(max_size=9), st.text("aZ9._-/\\ \n", max_size=5)))
@settings(max_examples=200)
def test_a_name_that_serves_stays_in_its_folder(name: str) -> None:
    if unless_refused(lambda: check_name(name, "id")) is None:
        return
    assert Path("/folder", name).parent == Path("/folder")
    assert Path("/folder", name).resolve() == Path("/folder", name)


# Atomic writes


def test_a_write_replaces_what_was_there(tmp_path: Path) -> None:
    write_bytes(tmp_path / "x", b"old")
    write_bytes(tmp_path / "x", b"new")
    assert folder_bytes(tmp_path) == {"x": b"new"}


def test_the_user_s_mask_decides_who_may_read(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "x", b"")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt(), MemoryError(), MemworldError("bad")])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    write_bytes(tmp_path / "x", b"old")

    def fail(temporary: Path) -> None:
        assert temporary.parent == tmp_path  # else the rename would not be one
        assert (tmp_path / "x").read_bytes() == b"old"
        temporary.write_bytes(b"half")
        raise error

    with pytest.raises(MemworldError if error is FULL else type(error)):
        write_atomic(tmp_path / "x", fail)
    assert folder_bytes(tmp_path) == {"x": b"old"}


@pytest.mark.parametrize(("owner", "call"), [(os, "fsync"), (Path, "replace")])
def test_a_disk_that_fails_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, call: str) -> None:
    def fail(*_: object) -> None:
        raise FULL

    write_bytes(tmp_path / "x", b"old")
    with monkeypatch.context() as patch:
        patch.setattr(owner, call, fail)
        with one_clear_error("cannot write .*x .No space left on device.: free space .* is unharmed"):
            write_bytes(tmp_path / "x", b"new")
    assert folder_bytes(tmp_path) == {"x": b"old"}


def test_content_is_synced_before_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    sync, replace = os.fsync, Path.replace

    def note_sync(handle: int) -> None:
        calls.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        sync(handle)

    def note_replace(path: Path, target: Path) -> Path:
        calls.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_replace)
    write_bytes(tmp_path / "x", b"new")
    assert calls == ["file", "rename", "folder"]


WRITERS: list[Callable[[Path], None]] = [
    lambda path: write_bytes(path, b"x" * 100_000),
    lambda path: write_json(path, ["x" * 100_000]),
    lambda path: write_arrays(path, {"a": np.zeros(100_000, np.uint8)}),
    lambda path: write_atomic(path, lambda temporary: np.save(temporary, np.zeros(100_000, np.uint8))),
    lambda path: write_picture(path, [np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), np.uint8)]),
]


@pytest.mark.parametrize("write", WRITERS)
def test_a_full_disk(tmp_path: Path, write: Callable[[Path], None]) -> None:
    file = tmp_path / "disk/x.npy"
    with small_disk(file.parent, 64):
        write_bytes(file, b"old")
        with one_clear_error(r"cannot write .*x\.npy .*: free space or change its permissions"):
            write(file)
        assert folder_bytes(file.parent) == {"x.npy": b"old"}


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with one_clear_error("cannot write .*none/x .No such file or directory"):
        write_bytes(tmp_path / "none/x", b"")
    (tmp_path / "file").write_bytes(b"")
    with one_clear_error("cannot write .*file/x .Not a directory"):
        write_bytes(tmp_path / "file/x", b"")
    with one_clear_error("output folder .*file/x cannot be written .Not a directory.: name another"):
        make_folder(tmp_path / "file/x")
    make_folder(tmp_path / "a/b")
    make_folder(tmp_path / "a/b")


# JSON


def test_json_is_readable_and_keeps_its_order(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None, True], "a": "é"}
    write_json(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json", "thing") == value
    text = (tmp_path / "x.json").read_text()
    assert text.index('"b"') < text.index('"a"')
    assert text.endswith("}\n")


def test_json_that_no_reader_would_take_is_not_written(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", 1)
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        write_json(tmp_path / "x.json", float("nan"))
    assert folder_bytes(tmp_path) == {"x.json": b"1\n"}


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 1,}', b"\xff\xfe", b"[" * 100_000, b"1" * 5000])
def test_damaged_json(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with one_clear_error("x.json is damaged or not a thing: not valid JSON"):
        read_json(tmp_path / "x.json", "thing")


def test_json_that_cannot_be_read(tmp_path: Path) -> None:
    with one_clear_error("is no thing: it has no x.json"):
        read_json(tmp_path / "x.json", "thing")
    (tmp_path / "x.json").mkdir()
    with one_clear_error("cannot read .*x.json .Is a directory.: check the path"):
        read_json(tmp_path / "x.json", "thing")
    (tmp_path / "file").write_bytes(b"")
    with one_clear_error("cannot read .*x.json .Not a directory"):
        read_json(tmp_path / "file/x.json", "thing")


# Arrays


ARRAYS: dict[str, np.ndarray] = {
    "floats": np.arange(6, dtype=np.float32).reshape(2, 3),
    "ints": np.array([-1, 2**62], np.int64),
    "bools": np.array([True, False]),
    "none": np.zeros((0, 3), np.float32),
    "single": np.array(7.5, np.float32),
}


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    write_arrays(tmp_path / "x.safetensors", ARRAYS, {"note": "kept"})
    again = read_arrays(tmp_path / "x.safetensors", "thing")
    assert again.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (again[name].dtype, again[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(again[name], array)


def test_equal_arrays_give_equal_bytes(tmp_path: Path) -> None:
    strided = {
        name: np.asfortranarray(np.repeat(array, 2, 0))[::2] if array.ndim else array
        for name, array in reversed(ARRAYS.items())
    }
    write_arrays(tmp_path / "a", ARRAYS)
    write_arrays(tmp_path / "b", strided)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_truncated_arrays(tmp_path: Path) -> None:
    write_arrays(tmp_path / "whole", ARRAYS)
    content = (tmp_path / "whole").read_bytes()
    for length in (0, 1, 7, 8, 9, 50, len(content) // 2, len(content) - 1):
        (tmp_path / "cut").write_bytes(content[:length])
        with one_clear_error("thing .*cut is truncated or damaged .*: restore it or make it again"):
            read_arrays(tmp_path / "cut", "thing")


def test_arrays_that_cannot_be_read(tmp_path: Path) -> None:
    with one_clear_error("thing .*none is missing: restore it or make it again"):
        read_arrays(tmp_path / "none", "thing")
    with one_clear_error("cannot read "):
        read_arrays(tmp_path, "thing")


@pytest.mark.parametrize("kind", ["BF16", "F8_E4M3", "F8_E5M2", "X1"])
def test_number_formats_that_numpy_does_not_have(tmp_path: Path, kind: str) -> None:
    size = 2 if kind == "BF16" else 1
    header = json.dumps({"a": {"dtype": kind, "shape": [1], "data_offsets": [0, size]}}).encode()
    (tmp_path / "x").write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))
    with one_clear_error("thing .*x is truncated or damaged"):
        read_arrays(tmp_path / "x", "thing")


@given(data=st.data())
@settings(max_examples=150)
def test_any_damage_gives_one_error_or_arrays(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "x"
    write_arrays(path, ARRAYS)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    arrays = unless_refused(lambda: read_arrays(path, "thing"))
    assert arrays is None or all(isinstance(array, np.ndarray) for array in arrays.values())


# Pictures


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_a_picture_of_strips(tmp_path: Path, channels: int, mode: str) -> None:
    strips = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5, channels), np.uint8)
    write_picture(tmp_path / "x.png", list(strips))
    with Image.open(tmp_path / "x.png") as image:
        assert (image.size, image.mode) == ((15, 8), mode)
        pixels = np.asarray(image).reshape(8, 15, channels)
    np.testing.assert_array_equal(pixels[4:, 5:10], strips[1, 1])


def test_one_line_holds_nothing_that_a_terminal_obeys() -> None:
    assert one_line("two\n  lines\tand ö, 漢") == "two lines and ö, 漢"
    assert one_line("a\x1b[2Jb\x00\u202e\udcff") == r"a\x1b[2Jb\x00\u202e\udcff"
