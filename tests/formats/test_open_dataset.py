import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from memworld.formats import ReadOptions, open_dataset, write_minari, write_npz
from memworld.formats.convert import convert
from tests.helpers import assert_same_dataset, make_dataset, one_clear_error


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "root"))
    return tmp_path / "root"


def test_every_format_is_known_by_what_is_there(tmp_path: Path, root: Path) -> None:
    dataset = make_dataset(np.random.default_rng(0))
    write_npz(dataset, tmp_path / "npz")
    write_minari(dataset, tmp_path / "minari")
    write_minari(dataset, root / "toy/set-v0")
    for path in (tmp_path / "npz", str(tmp_path / "minari"), tmp_path / "minari/data", "toy/set-v0"):
        assert_same_dataset(open_dataset(path), dataset)
    # The episodes alone, and one of them, open as if made by hand.
    assert open_dataset(tmp_path / "npz/episodes").ids == ("e0", "e1", "e2")
    np.testing.assert_array_equal(open_dataset(tmp_path / "npz/episodes/e1.npz")[0].rewards, dataset[1].rewards)


def test_one_error_lists_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("text")
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "nowhere", tmp_path / "nowhere.npz", tmp_path / "file.txt", tmp_path / "empty", "a/b-v0"):
        here = "nothing is there" if "nowhere" in str(path) or path == "a/b-v0" else "what is there is none of them"
        reads = "memworld reads LeRobot v3; MineRL.*; Minari.*; video.*; npz.*; and local Minari sets .*root"
        with one_clear_error(rf"no data set at .* \({here}\): {reads}"):
            open_dataset(path)


def test_a_data_set_without_episodes_is_refused(tmp_path: Path) -> None:
    dataset = make_dataset(np.random.default_rng(0), episodes=0)
    write_npz(dataset, tmp_path / "npz")
    write_minari(dataset, tmp_path / "minari")
    for name in ("npz", "minari"):
        with one_clear_error(f"no episodes in .*{name}"):
            open_dataset(tmp_path / name)


def test_minari_is_imported_only_when_needed(tmp_path: Path) -> None:
    write_npz(make_dataset(np.random.default_rng(0)), tmp_path / "npz")
    code = "import sys; from memworld.formats import open_dataset; list(open_dataset(sys.argv[1])); print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "npz")], capture_output=True, text=True, check=True
    )
    assert "memworld.formats.minari" in run.stdout.split()
    assert not {"minari", "h5py"} & set(run.stdout.split())


def test_several_data_sets_in_one_folder(tmp_path: Path) -> None:
    dataset = make_dataset(np.random.default_rng(0), 2)
    convert(dataset, tmp_path / "own")
    convert(dataset, tmp_path / "clips", "video")
    convert(dataset, tmp_path / "recordings", "minerl")
    for file in (tmp_path / "clips").glob("e0.*"):
        shutil.copy(file, tmp_path / "own")
    # memworld's own list wins over what lies beside it.
    assert_same_dataset(open_dataset(tmp_path / "own"), dataset)
    # A recording of MineRL's holds an .npz, which is no episode by hand.
    [recording] = (tmp_path / "recordings").glob("*/v4_e0")
    assert open_dataset(recording).ids == ("e0",)
    for file in (tmp_path / "own/episodes").iterdir():
        shutil.copy(file, tmp_path / "clips")
    with one_clear_error("clips holds several data sets .*video.*npz.*: give each a folder of its own"):
        open_dataset(tmp_path / "clips")


def test_options_that_would_be_ignored_are_refused(tmp_path: Path) -> None:
    convert(make_dataset(np.random.default_rng(0), 1), tmp_path / "set")
    with one_clear_error("has no cameras to choose from"):
        open_dataset(tmp_path / "set", ReadOptions(camera="top"))
    with one_clear_error("has a frame more than actions, so their order is known"):
        open_dataset(tmp_path / "set", ReadOptions(frame_after_action=True))
    for size in ((9999999, 1), (10**30, 2)):
        with one_clear_error("is no .* of 1 to 8192"):
            ReadOptions(size=size)


def test_what_was_read_in_two_ways_is_not_mixed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "set").mkdir()
    for name in ("a", "b"):
        frames = rng.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
        np.savez(tmp_path / f"set/{name}.npz", observations=frames, actions=np.arange(5), rewards=np.zeros(5))
    before, after = (open_dataset(tmp_path / "set", ReadOptions(frame_after_action=late)) for late in (False, True))
    convert(before.subset(["a"]), tmp_path / "out")
    with one_clear_error("holds another episode a than the one to write"):
        convert(after, tmp_path / "out", on_existing="resume")
    assert after[0].source == after.entries[0].source == {"frame_after_action": True}
