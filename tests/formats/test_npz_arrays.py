import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memworld.datasets import DatasetInfo
from memworld.formats.npz import NpzWriter, open_npz, write_npz
from tests.formats.arrays import arrays_of
from tests.helpers import DISCRETE, make_dataset, make_episode, one_clear_error


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object, **__: object) -> None:
        raise AssertionError("an array was read")

    monkeypatch.setattr(np.lib.format, "read_array", read)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("observations", np.zeros((2001, 8, 8, 3), np.uint8)),
        ("observations", np.zeros((6, 80, 80, 3), np.uint8)),
        ("observations", np.zeros((6, 8, 8, 3), np.float64)),
        ("actions", np.zeros((5, 9000), np.int64)),
        ("rewards", np.zeros(10**6, np.float32)),
        ("truncations", np.array(["x" * 1000] * 5)),
        ("states", np.zeros((6, 90_000), np.float32)),
    ],
)
def test_an_array_larger_than_listed_is_not_read(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, name: str, array: np.ndarray
) -> None:
    dataset = write_npz(make_dataset(rng, 1, states=1), tmp_path)
    arrays = arrays_of(rng, states=np.zeros((6, 1), np.float32)) | {name: array}
    arrays["rewards"] = arrays["rewards"].astype(np.float32)
    np.savez_compressed(tmp_path / "episodes/e0.npz", **arrays)
    forbid_reading(monkeypatch)
    with one_clear_error(f"e0.npz has {name} of type .*, dataset.json says type"):
        dataset[0]


def test_black_frames_that_compress_well_are_read(tmp_path: Path) -> None:
    frames = np.zeros((8001, 64, 64, 3), np.uint8)  # 98 MB in 0.1 MB
    episode = replace(make_episode(np.random.default_rng(0), 8000, (1, 1, 3)), observations=frames)
    writer = NpzWriter(tmp_path, DatasetInfo((64, 64, 3), DISCRETE))
    writer.append(episode)
    assert (tmp_path / "episodes/e0.npz").stat().st_size < 10**6
    assert open_npz(tmp_path)[0].observations.shape == frames.shape


def test_a_header_that_declares_more_than_the_file_can_hold(tmp_path: Path, rng: np.random.Generator) -> None:
    steps = 10**9
    np.savez(tmp_path / "a.npz", **arrays_of(rng))
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as new, zipfile.ZipFile(tmp_path / "a.npz") as old:
        for name in old.namelist():
            content = io.BytesIO()
            shape = (steps + 1, 8, 8, 3) if name == "observations.npy" else (steps,)
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(content, header)
            new.writestr(name, content.getvalue())
    with one_clear_error(r"b.npz .*\(actions declares 1000000000 bytes, which 128 compressed ones cannot hold\)"):
        open_npz(tmp_path / "b.npz")


def test_files_that_are_no_npz(tmp_path: Path, rng: np.random.Generator) -> None:
    np.savez(tmp_path / "whole.npz", **arrays_of(rng))
    whole = (tmp_path / "whole.npz").read_bytes()
    np.save(tmp_path / "array.npy", np.zeros(5))
    file = tmp_path / "e.npz"
    for content in (b"", b"some text", whole[: len(whole) // 2], (tmp_path / "array.npy").read_bytes()):
        file.write_bytes(content)
        with one_clear_error("no zip archive, or cut off"):
            open_npz(file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "something else")
    with one_clear_error(r"no array 'actions' among \['readme.txt'\]"):
        open_npz(file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("actions.npy", "text with the name of an array")
    with one_clear_error("e.npz is no .npz file of an episode, or is damaged"):
        open_npz(file)
