"""Sets that were made to harm."""

import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import numpy as np
import pyarrow as pa
import pytest
from gymnasium.spaces import Box, Dict, Text

from memworld.errors import MemworldError
from memworld.formats.format import ReadOptions
from memworld.formats.minari import open_minari
from memworld.formats.minari.columns import Column, decode_jpeg
from tests.formats.minari.sets import FRAMES, edit, make_foreign
from tests.helpers import folder_bytes, make_episode, one_clear_error, unless_refused


def test_the_environment_that_a_set_names_is_never_made(stored: Path, tmp_path: Path) -> None:
    # Given no spaces, minari itself makes the environment, here: calls os.mkdir.
    spec = gymnasium.envs.registration.EnvSpec("Evil-v0", "os:mkdir", kwargs={"path": str(tmp_path / "evil")})
    edit(stored, env_spec=spec.to_json())
    assert len(open_minari(stored)[0])
    for missing in ("observation_space", "action_space"):
        edit(stored, **{missing: None})
        with one_clear_error("has no observation_space and action_space"):
            open_minari(stored)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    "space",
    [
        {"type": "MultiBinary", "n": 10**12},
        {"type": "MultiBinary", "n": [10**6, 10**6]},
        {"type": "Dict", "subspaces": {"x": {"type": "MultiBinary", "n": 10**12}}},
        {"type": "Box", "dtype": "S2000000000", "shape": [1], "low": [0], "high": [1]},
        {"type": "Box", "dtype": "float32", "shape": [10**6, 10**6], "low": 0, "high": 1},
        {"type": "Discrete", "n": 10**12, "start": 0},
    ],
    ids=str,
)
def test_a_space_made_to_fill_the_memory(stored: Path, space: dict[str, Any]) -> None:
    edit(stored, action_space=json.dumps(space))
    tracemalloc.start()
    try:
        assert unless_refused(lambda: open_minari(stored)) is None
        assert tracemalloc.get_traced_memory()[1] < 50 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("how", ["never written", "chunk", "rows"])
def test_an_hdf5_bomb_is_refused(hdf5: Path, how: str) -> None:
    path = hdf5 / "data/main_data.hdf5"
    steps = 10**9
    with h5py.File(path, "a") as file:
        group = file["episode_1"]
        for name, more in (("observations", 1), ("rewards", 0)):
            shape, dtype = group[name].shape, group[name].dtype
            del group[name]
            if how == "chunk":
                group.create_dataset(
                    name, shape, dtype, chunks=(2**30 // dtype.itemsize, *shape[1:]), maxshape=(None, *shape[1:])
                ) if len(shape) == 1 else group.create_dataset(name, shape, dtype)
            else:
                group.create_dataset(name, (steps + more, *shape[1:]), dtype, chunks=(1, *shape[1:]))
        if how == "rows":
            group.attrs["total_steps"] = steps
    assert path.stat().st_size < 2**20
    with one_clear_error("declares .* bytes, which .* stored ones cannot hold"):
        open_minari(hdf5).load("e1")


OBEYED, SHOWN = "\x1b]0;owned\x07", r"\\x1b\]0;owned\\x07"


def one_printable_error(match: str, name: str, camera: str | None = None) -> None:
    """Loading the first episode of a set must fail in words that a terminal does not obey."""
    with pytest.raises(MemworldError, match=match) as caught:
        open_minari(name, ReadOptions(camera=camera)).load("episode-00000")
    assert str(caught.value).isprintable()


def test_what_a_set_calls_its_parts_is_not_obeyed_by_the_terminal(rng: np.random.Generator, root: Path) -> None:
    image, episode = Box(0, 255, (40, 36, 3), np.uint8), make_episode(rng, 2, (40, 36, 3))
    frames, words = episode.observations, ["a"] * 3
    sets: dict[str, tuple[dict[str, Any], Dict]] = {
        "two-v0": ({OBEYED: frames, "image": frames}, Dict({OBEYED: image, "image": image})),
        "words-v0": ({OBEYED: words, "image": frames}, Dict({OBEYED: Text(5), "image": image})),
        "none-v0": ({OBEYED: words}, Dict({OBEYED: Text(5)})),
    }
    for name, (observations, space) in sets.items():
        make_foreign(name, [episode], observations=observations, observation_space=space)
    one_printable_error(f"by --camera, of {SHOWN}, image", "two-v0")
    one_printable_error(rf"without an image \({SHOWN}: Text", "none-v0")
    assert open_minari("words-v0").left_out[0] == r"observation \x1b]0;owned\x07"
    with h5py.File(root / "two-v0" / "data" / "main_data.hdf5", "a") as file:
        del file["episode_0/observations"][OBEYED]
    one_printable_error(f"observations/{SHOWN} is missing", "two-v0", OBEYED)
    edit(root / "two-v0", minari_version=OBEYED)
    one_printable_error(f"written by Minari {SHOWN}, the installed one", "two-v0")


def test_data_of_other_files_are_not_followed(hdf5: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(range(256)) * 6)
    with h5py.File(tmp_path / "other.hdf5", "w") as other:
        other["rewards"] = np.ones(6, np.float32)
    path = hdf5 / "data/main_data.hdf5"
    with h5py.File(path, "a") as file:
        group = file["episode_1"]
        del group["rewards"]
        group["rewards"] = h5py.ExternalLink(str(tmp_path / "other.hdf5"), "/rewards")
    with one_clear_error("rewards is a link, which could lead anywhere"):
        open_minari(hdf5).load("e1")
    with h5py.File(path, "a") as file:
        group = file["episode_1"]
        del group["rewards"]
        group["rewards"] = h5py.SoftLink("/episode_0/rewards")
    with one_clear_error("rewards is a link, which could lead anywhere"):
        open_minari(hdf5).load("e1")
    with h5py.File(path, "a") as file:
        group = file["episode_1"]
        del group["rewards"]
        group.create_dataset("rewards", (6,), np.float32, external=[(str(secret), 0, 24)])
    with one_clear_error("rewards takes its data from another file"):
        open_minari(hdf5).load("e1")
    with h5py.File(path, "a") as file:
        group = file["episode_1"]
        del group["rewards"]
        layout = h5py.VirtualLayout((6,), np.float32)
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.hdf5"), "rewards", (6,))
        group.create_virtual_dataset("rewards", layout)
    with one_clear_error("rewards takes its data from another file"):
        open_minari(hdf5).load("e1")


def test_links_in_a_set_are_not_followed(stored: Path, tmp_path: Path, storage: str) -> None:
    name = "data/main_data.hdf5" if storage == "hdf5" else "data/1/part-0.arrow"
    (tmp_path / "outside").mkdir()
    moved = (stored / name).rename(tmp_path / "outside/file")
    (stored / name).symlink_to(moved)
    with one_clear_error("is a link, which could lead outside"):
        open_minari(stored)[1]
    (stored / name).unlink()
    moved.rename(stored / name)
    (stored / "data").rename(tmp_path / "outside/data")
    (stored / "data").symlink_to(tmp_path / "outside/data")
    with one_clear_error("data is a link, which could lead outside"):
        open_minari(stored)


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(arrow: Path) -> None:
    (arrow / "data/1/part-0.arrow").unlink()
    os.mkfifo(arrow / "data/1/part-0.arrow")
    with one_clear_error("episode e1 .*Not a regular file"):
        open_minari(arrow).load("e1")


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compressed_arrow_buffers_are_refused(arrow: Path, codec: str) -> None:
    # Arrow allocates whatever size a compressed buffer claims: 4 GB of zeros are 400 KB of zstd.
    file = arrow / "data/1/part-0.arrow"
    with pa.OSFile(str(file)) as source:
        table = pa.ipc.open_file(source).read_all()
    options = pa.ipc.IpcWriteOptions(compression=codec)
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    with one_clear_error("is compressed or holds dictionaries, which Minari does not write"):
        open_minari(arrow).load("e1")


@pytest.mark.parametrize(
    ("column", "match"),
    [
        (pa.nulls(7), "rewards has rows without a value"),
        (pa.array(["1"] * 7), "rewards of type string: expected numbers"),
        (pa.array([1.0] * 6 + [None]), None),
        (pa.array([1.0, None] + [2.0] * 5), "rewards has rows without a value"),
        (pa.array([[1.0, 2.0]] * 7, pa.list_(pa.float32(), 2)), r"rewards of shape \(6, 2\): expected \(6,\)"),
        (pa.array([[1.0]] * 7), "rewards of type list.*: expected numbers"),
    ],
    ids=str,
)
def test_an_arrow_column_of_another_kind(arrow: Path, column: Any, match: str | None) -> None:
    file = arrow / "data/1/part-0.arrow"
    with pa.OSFile(str(file)) as source:
        table = pa.ipc.open_file(source).read_all()
    table = table.set_column(table.schema.names.index("rewards"), "rewards", column)
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=3)
    if match is None:
        assert open_minari(arrow).load("e1").rewards.tolist() == [1.0] * 6
        return
    with one_clear_error(match):
        open_minari(arrow).load("e1")


def test_a_jpeg_of_another_size_is_not_decoded(rng: np.random.Generator, storage: str, root: Path) -> None:
    make_foreign("toy-v0", [make_episode(rng, shape=(40, 36, 3))], data_format=storage)
    small = gymnasium.spaces.Box(0, 255, (32, 36, 3), np.uint8)
    from minari.serialization import serialize_space

    edit(root / "toy-v0", observation_space=serialize_space(small))
    with one_clear_error(r"a JPEG of 40 x 36 \(RGB\), expected \(32, 36, 3\)"):
        open_minari("toy-v0")[0]


def test_only_jpegs_are_decoded_and_few_bytes_hold_few_frames() -> None:
    column = Column(("observations",), FRAMES.shape or (), True, True)
    with one_clear_error("declares 4320004320 bytes, which 1000 stored ones cannot hold"):
        decode_jpeg(column, iter([b"x"]), 10**6, 1000)


def test_reading_changes_nothing(stored: Path) -> None:
    before = folder_bytes(stored)
    assert len(list(open_minari(stored))) == 3
    assert folder_bytes(stored) == before
