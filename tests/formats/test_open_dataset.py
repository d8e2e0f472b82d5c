import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from memworld.formats import open_dataset, write_minari, write_npz
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
