"""LeRobot sets that are damaged, of another version, or made to harm: one clear error each, and no more is lost."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from memworld.formats.format import ReadOptions
from memworld.formats.lerobot import open_lerobot
from tests.formats.lerobot_files import (
    DATA,
    FPS,
    LENGTHS,
    LIST,
    SIDE,
    TOP,
    bars,
    edit_features,
    edit_info,
    edit_table,
    encode,
    feature,
    index_of,
    png,
    video_of,
    write_set,
)
from tests.helpers import one_clear_error

TOTAL = sum(LENGTHS)
PART = f"videos__{TOP.replace('.', 'DOT')}__"


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("lerobot") / "cubes", codec="libx264")


@pytest.fixture
def root(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "cubes"))


def top(root: Path) -> Any:
    return open_lerobot(root, ReadOptions(camera="top"))


def broken(root: Path, index: int, match: str, sound: tuple[int, ...] = ()) -> None:
    """Loading the episode `index` fails with its name; those of `sound` still load."""
    dataset = top(root)
    assert len(dataset) == len(LENGTHS)
    with one_clear_error(f"episode-{index:06d} of .*{match}"):
        dataset[index]
    for other in sound:
        assert index_of(dataset[other].observations[0]) == sum(LENGTHS[:other])


@pytest.mark.parametrize(
    ("version", "match"),
    [
        ("v2.1", r"version 2.1, memworld reads 3: .*python -m lerobot.datasets.v30.convert_dataset_v21_to_v30"),
        ("v2.0", r"version 2.0.*v21.convert_dataset_v20_to_v21.*v30.convert_dataset_v21_to_v30"),
        ("v1.6", r"version 1.6"),
        ("v4.0", r"version 4.0, memworld reads 3: update memworld"),
        ("new", r"version 'new', which is none"),
    ],
)
def test_other_versions_say_what_to_do(root: Path, version: str, match: str) -> None:
    edit_info(root, codebase_version=version)
    with one_clear_error(match):
        top(root)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"fps": 0}, "fps 0"),
        ({"fps": "fast"}, "damaged"),
        ({"features": []}, "damaged"),
        ({"features": {"action": {"dtype": "float32"}}}, "damaged .*shape"),
        ({"data_path": None}, "None"),
        (
            {"features": {TOP: feature("video", [SIDE, SIDE, 3], ["height", "width", "channels"])}},
            "no feature 'action'",
        ),
        ({"features": {TOP: feature("video", [10**9, 10**9, 3])}}, "8192 pixels"),
    ],
)
def test_metadata(root: Path, changes: dict[str, Any], match: str) -> None:
    edit_info(root, **changes)
    with one_clear_error(match):
        top(root)[0]


def test_actions_that_are_no_numbers(root: Path) -> None:
    for described in (feature("string", [1]), feature("float32", [2, 3]), feature("float32", [10**9])):
        edit_features(root, action=described)
        with one_clear_error("memworld takes rows of 1 to"):
            top(root)


def test_no_list_of_episodes(root: Path) -> None:
    edit_table(root / LIST, **{f"{PART}from_timestamp": None})
    with one_clear_error(f"has no column 'videos/{TOP}/from_timestamp'"):
        top(root)
    (root / LIST).write_bytes(b"PAR1")
    with one_clear_error("file-000.parquet cannot be read"):
        top(root)
    (root / LIST).unlink()
    with one_clear_error("no list of episodes"):
        top(root)


def test_an_episode_listed_twice(root: Path) -> None:
    edit_table(root / LIST, episode_index=[0, 1, 1])
    with one_clear_error("lists the episode 1 again"):
        top(root)


def test_fewer_episodes_than_announced_are_read_with_a_warning(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    edit_info(root, total_episodes=10**12)
    assert len(top(root)) == 3
    assert "should have 1000000000000 episodes, and lists 3" in caplog.text


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        ({"length": [7, 4, 9]}, "5 rows and length 4"),
        ({"length": [7, None, 9]}, "length (nan|None)"),
        ({"length": [7, -5, 9]}, "length -5"),
        ({"data__chunk_index": [0, 10**15, 0]}, "chunk_index 1000000000000000"),
        ({"length": [7, 1, 9], "dataset_to_index": [7, 8, 21]}, "1 frames: an episode needs two"),
        ({"dataset_from_index": [0, 8, 12], "dataset_to_index": [7, 13, 21]}, "rows of the episodes 1 to 2"),
        ({f"{PART}from_timestamp": [0.0, float("nan"), 1.2]}, "from_timestamp nan"),
        ({f"{PART}to_timestamp": [0.7, 1.0, 2.1]}, "0.3 s of the video"),
        ({f"{PART}file_index": [0, 9, 0]}, "file-009.mp4 is missing"),
        ({"data__file_index": [0, 9, 0]}, "file-009.parquet is missing"),
    ],
)
def test_one_wrong_row_of_the_list_breaks_one_episode(root: Path, columns: dict[str, Any], match: str) -> None:
    edit_table(root / LIST, **columns)
    broken(root, 1, match, sound=(0, 2))


@pytest.mark.parametrize(
    ("column", "value", "match"),
    [
        ("frame_index", 5, "does not number its frames"),
        ("next.reward", float("nan"), "NaN.* in row 2 of its column 'next.reward'"),
        ("next.done", True, "next.done before the end"),
    ],
)
def test_one_wrong_row_breaks_one_episode(root: Path, column: str, value: Any, match: str) -> None:
    values = pq.read_table(root / DATA).column(column).to_pylist()
    edit_table(root / DATA, **{column.replace(".", "DOT"): [*values[:8], value, *values[9:]]})
    broken(root, 1, match, sound=(0, 2))


def test_actions_of_wrong_length_missing_or_infinite(root: Path) -> None:
    right = pq.read_table(root / DATA).column("action").to_pylist()
    for wrong, match in (
        ([1.0, 2.0], "2 numbers in row 3 of its column 'action', 3 are needed"),
        (None, "0 numbers in row 3"),
        ([1.0, None, 2.0], "NaN.* in row 3"),
        ([1.0, float("inf"), 2.0], "NaN or infinity in its actions"),
    ):
        actions = pa.array([*right[:9], wrong, *right[10:]], pa.list_(pa.float32()))
        edit_table(root / DATA, action=actions)
        broken(root, 1, match, sound=(0, 2))
    edit_table(root / DATA, action=["left"] * TOTAL)
    broken(root, 1, "'action'")
    edit_table(root / DATA, action=None)
    broken(root, 1, "file-000.parquet has no column 'action'")


def test_rows_are_cut_off(root: Path) -> None:
    pq.write_table(pq.read_table(root / DATA).slice(0, 15), root / DATA)
    broken(root, 2, "has 15 rows, the rows 12 to 20 are asked for", sound=(0, 1))
    (root / DATA).write_bytes((root / DATA).read_bytes()[:-20])
    broken(root, 0, "file-000.parquet cannot be read")
    (root / DATA).unlink()
    broken(root, 0, "file-000.parquet is missing")


def test_a_missing_short_or_damaged_video(root: Path) -> None:
    encode(video_of(root), [bars(i) for i in range(15)], "libx264")
    broken(root, 2, "file-000.mp4 has 3 frames from 1.2 s on for 9 rows", sound=(0, 1))
    video_of(root).write_bytes(b"no video at all")
    broken(root, 0, "file-000.mp4 is no video")
    video_of(root).unlink()
    broken(root, 1, "file-000.mp4 is missing")


def test_a_video_of_another_rate_is_not_taken_for_the_rows(root: Path) -> None:
    encode(video_of(root), [bars(i // 2) for i in range(2 * TOTAL)], "libx264", fps=2 * FPS)
    broken(root, 1, "more than 5 frames in the 0.5 s from 0.7 s on")
    times = pq.read_table(root / DATA).column("timestamp").to_numpy()
    edit_table(root / DATA, timestamp=times * 2)
    broken(root, 1, "has its frame 1 at 0.2 s")


def test_frames_of_another_size_than_announced(root: Path) -> None:
    edit_features(root, observation_images_top=feature("video", [32, 32, 3]))
    broken(root, 0, r"images of \(64, 64\), meta/info.json says \(32, 32\)")


def test_damaged_images_in_the_rows(root: Path) -> None:
    edit_features(root, observation_images_top=feature("image", [SIDE, SIDE, 3]))
    good = {"bytes": png(bars(0)), "path": "x.png"}
    huge = {"bytes": png(np.zeros((SIDE, 2 * SIDE, 3), np.uint8)), "path": None}
    for wrong, match in (
        ({"bytes": None, "path": "/etc/passwd"}, "lacks an image"),
        ({"bytes": good["bytes"][:60], "path": None}, "damaged image"),
        ({"bytes": b"GIF89a", "path": None}, "damaged image"),
        (huge, r"images of \(64, 128\)"),
    ):
        edit_table(root / DATA, **{"observationDOTimagesDOTtop": [*[good] * 8, wrong, *[good] * (TOTAL - 9)]})
        dataset = top(root)
        with one_clear_error(f"episode-000001 of .*{match}"):
            dataset[1]
        assert len(dataset[0]) == LENGTHS[0] - 1


@pytest.mark.parametrize(
    "template",
    [
        "../../{chunk_index}/{file_index}",
        "/etc/passwd",
        "{chunk_index.__class__}/{file_index!r:>1000000000}",
        "{chunk_index:0999999999d}",
        "x" * 5000,
        "\0",
    ],
)
def test_paths_that_lead_outside_or_format_too_much(root: Path, template: str) -> None:
    edit_info(root, video_path=template)
    broken(root, 0, "")
    edit_info(root, data_path=template)
    broken(root, 0, "")


def test_names_and_links_that_lead_outside(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.mp4"
    shutil.move(video_of(root), outside)
    video_of(root).symlink_to(outside)
    broken(root, 0, "leads out of")
    edit_info(root, video_path="../outside.mp4")
    broken(root, 0, "leads out of")


def test_a_small_file_cannot_ask_for_gigabytes(root: Path) -> None:
    """Millions of equal numbers take little room in Parquet: they are refused before they are unpacked."""
    names = ("episode_index", "frame_index", "timestamp", "action", "observation.state", "next.reward", "next.done")
    part = pa.table({name: np.zeros(2**20, np.int8) for name in names})
    with pq.ParquetWriter(root / DATA, part.schema) as writer:
        for _ in range(20):
            writer.write_table(part)
    length = 20 * 2**20
    assert (root / DATA).stat().st_size < 2**20
    edit_table(root / LIST, length=[length, 5, 9], dataset_to_index=[length, 12, 21])
    with one_clear_error("numbers to read, memworld takes"):
        top(root)[0]
