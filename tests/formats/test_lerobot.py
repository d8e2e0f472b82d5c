"""LeRobot v3: rows, frames and their alignment, read from sets written by hand with AV1 videos."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gymnasium.spaces import Box, Discrete

from memworld.formats.format import ReadOptions
from memworld.formats.lerobot import LEROBOT, open_lerobot
from tests.formats.lerobot_files import (
    DATA,
    LENGTHS,
    LIST,
    SIDE,
    TOP,
    WRIST,
    bars,
    camera_feature,
    edit_features,
    edit_table,
    feature,
    index_of,
    png,
    write_set,
)
from tests.helpers import one_clear_error

STARTS = np.cumsum([0, *LENGTHS[:-1]])


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("lerobot") / "cubes")


@pytest.fixture
def root(pristine: Path, tmp_path: Path) -> Path:
    """A set of its own for each test, to be damaged or changed."""
    return Path(shutil.copytree(pristine, tmp_path / "cubes"))


def top(root: Path, **options: Any) -> Any:
    return open_lerobot(root, ReadOptions(camera="top", **options))


def test_info_and_entries_are_known_without_decoding(root: Path) -> None:
    shutil.rmtree(root / "videos")
    assert LEROBOT.found(root)
    assert not LEROBOT.found(root / "meta")
    dataset = top(root)
    assert dataset.info.observation_shape == (SIDE, SIDE, 3)
    assert dataset.info.action_space == Box(-np.inf, np.inf, (3,), np.float32)
    assert dataset.info.action_names == ("x", "y", "grip")
    assert dataset.info.state_names == ("shoulder", "elbow")
    assert f"feature {WRIST}" in dataset.left_out
    assert dataset.left_out[-1] == ReadOptions().action_left_out
    assert dataset.ids == ("episode-000000", "episode-000001", "episode-000002")
    assert [entry.steps for entry in dataset.entries] == [length - 1 for length in LENGTHS]
    assert dataset.entries[2].source == {
        "dataset": "cubes",
        "episode_index": 2,
        "camera": TOP,
        "fps": 10.0,
        "robot_type": "so101",
        "tasks": ["rest", "wave"],
    }


@pytest.mark.parametrize("camera", ["top", TOP, "wrist"])
@pytest.mark.parametrize("size", [None, (8, 16)])
def test_every_frame_action_reward_and_state_is_its_own_row(
    pristine: Path, camera: str, size: tuple[int, int] | None
) -> None:
    dataset = open_lerobot(pristine, ReadOptions(camera=camera, size=size))
    for episode, start, length in zip(dataset, STARTS, LENGTHS, strict=True):
        index = np.arange(start, start + length)
        assert [index_of(frame, camera == "wrist") for frame in episode.observations] == index.tolist()
        assert episode.observations.shape[1:] == (*(size or (SIDE, SIDE)), 3)
        np.testing.assert_array_equal(episode.actions, np.stack([index, -index, index / 4], 1)[:-1])
        np.testing.assert_array_equal(episode.rewards, index[:-1])
        assert episode.states is not None
        np.testing.assert_array_equal(episode.states, np.stack([index * 10, index * 100], 1))
        # Only the first episode's last row has next.done.
        assert episode.terminations.tolist() == [False] * (length - 2) + [bool(start == 0)]
        assert episode.truncations.tolist() == [False] * (length - 2) + [bool(start != 0)]


@pytest.mark.parametrize(("gop", "group"), [(1, 1), (50, 100)])
def test_wherever_keyframes_and_row_groups_begin(tmp_path: Path, gop: int, group: int) -> None:
    dataset = top(write_set(tmp_path / "set", codec="libx264", gop=gop, group=group))
    for episode, start, length in zip(dataset, STARTS, LENGTHS, strict=True):
        assert [index_of(frame) for frame in episode.observations] == list(range(start, start + length))
        assert episode.rewards.tolist() == list(range(start, start + length - 1))


def test_a_frame_may_be_the_one_that_its_action_led_to(pristine: Path) -> None:
    for episode, start, length in zip(top(pristine, frame_after_action=True), STARTS, LENGTHS, strict=True):
        index = np.arange(start, start + length)
        assert [index_of(frame) for frame in episode.observations] == index.tolist()
        np.testing.assert_array_equal(episode.actions[:, 0], index[1:])
        np.testing.assert_array_equal(episode.rewards, index[1:])
        assert bool(episode.terminations[-1]) == (start == 0)


def test_several_files_of_rows(root: Path) -> None:
    table = pq.read_table(root / DATA)
    pq.write_table(table.slice(0, LENGTHS[0]), root / DATA)
    pq.write_table(table.slice(LENGTHS[0]), (root / DATA).with_name("file-001.parquet"))
    edit_table(root / LIST, data__file_index=[0, 1, 1])
    for episode, start, length in zip(top(root), STARTS, LENGTHS, strict=True):
        assert episode.rewards.tolist() == list(range(start, start + length - 1))


def test_one_camera_needs_no_name_and_several_do(root: Path) -> None:
    with one_clear_error(f"2 cameras: choose one of '{TOP}', '{WRIST}' with --camera"):
        open_lerobot(root)
    with one_clear_error(f"no camera 'side': choose one of '{TOP}'"):
        open_lerobot(root, ReadOptions(camera="side"))
    edit_features(root, observation_images_wrist=None)
    assert open_lerobot(root).entries[0].source["camera"] == TOP
    edit_features(root, observation_images_top=None)
    with one_clear_error("no camera images"):
        open_lerobot(root)


def test_depth_maps_are_no_cameras(root: Path) -> None:
    edit_features(root, observation_images_wrist=feature("video", [SIDE, SIDE, 1], **{"video.is_depth_map": True}))
    assert open_lerobot(root).entries[0].source["camera"] == TOP


@pytest.mark.parametrize("listed", [True, False])
def test_images_in_the_rows(root: Path, listed: bool) -> None:
    shutil.rmtree(root / "videos")
    shape, names = ([3, SIDE, SIDE], ["channels", "height", "width"]) if listed else ([SIDE, SIDE, 3], None)
    edit_features(root, observation_images_top=feature("image", shape, names), observation_images_wrist=None)
    content = [{"bytes": png(bars(i)), "path": f"frame-{i}.png"} for i in range(sum(LENGTHS))]
    edit_table(root / DATA, **{"observationDOTimagesDOTtop": content})
    for dataset, size in ((open_lerobot(root), SIDE), (open_lerobot(root, ReadOptions(size=(16, 16))), 16)):
        for episode, start, length in zip(dataset, STARTS, LENGTHS, strict=True):
            assert episode.observations.shape == (length, size, size, 3)
            assert [index_of(frame) for frame in episode.observations] == list(range(start, start + length))
    np.testing.assert_array_equal(open_lerobot(root)[1].observations[0], bars(LENGTHS[0]))  # PNG loses nothing


def test_single_integers_are_choices(root: Path) -> None:
    edit_features(root, action=feature("int64", [1]))
    choices = np.arange(sum(LENGTHS)) % 5
    for column in (pa.array(choices), pa.FixedSizeListArray.from_arrays(pa.array(choices), 1)):
        edit_table(root / DATA, action=column)
        dataset = top(root)
        assert dataset.info.action_space == Discrete(5)
        assert dataset[1].actions.dtype == np.int64
        np.testing.assert_array_equal(dataset[1].actions, choices[LENGTHS[0] :][: LENGTHS[1] - 1])
    edit_table(root / DATA, action=-choices)
    with one_clear_error("actions of -4 to 0: number them from 0"):
        top(root)


def test_without_rewards_states_or_endings(root: Path) -> None:
    edit_features(root, next_reward=None, next_done=None, observation_state=None)
    edit_table(root / DATA, **{"nextDOTreward": None, "nextDOTdone": None, "observationDOTstate": None})
    dataset = top(root)
    assert dataset.info.state_names == ()
    assert dataset.entries[0].source["rewards"] == "none recorded"
    episode = dataset[0]
    assert episode.states is None
    assert not episode.rewards.any()
    assert not episode.terminations.any()
    assert episode.truncations[-1]


def test_success_terminates_and_may_hold_before_the_end(root: Path) -> None:
    edit_features(root, next_success=feature("bool", [1]))
    edit_table(root / DATA, **{"nextDOTsuccess": np.arange(sum(LENGTHS)) >= sum(LENGTHS) - 4})
    assert [bool(episode.terminations[-1]) for episode in top(root)] == [True, False, True]


def test_names_of_columns_in_all_their_forms(root: Path) -> None:
    for names, read in (({"dx": 1, "dy": 0, "dz": 2}, ("dy", "dx", "dz")), (None, ()), (["only", "two"], ())):
        edit_features(root, action=feature("float32", [3], names))
        assert top(root).info.action_names == read
    edit_features(root, observation_state=feature("float32", [2]))
    assert top(root).info.state_names == ("state_0", "state_1")


def test_the_cache_of_the_hub_is_read_through_its_links(pristine: Path, tmp_path: Path) -> None:
    cache = tmp_path / "datasets--lerobot--cubes"
    snapshot = cache / "snapshots" / "0123abcd"
    (cache / "blobs").mkdir(parents=True)
    for number, file in enumerate(file for file in pristine.rglob("*") if file.is_file()):
        shutil.copy(file, cache / "blobs" / str(number))
        link = snapshot / file.relative_to(pristine)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(cache / "blobs" / str(number))
    dataset = top(snapshot)
    assert dataset.entries[0].source["dataset"] == "lerobot/cubes"
    assert [index_of(frame) for frame in dataset[0].observations] == list(range(LENGTHS[0]))


def test_grey_cameras_have_one_channel(root: Path) -> None:
    edit_features(root, observation_images_top=camera_feature() | {"shape": [SIDE, SIDE, 1]})
    assert top(root).info.observation_shape == (SIDE, SIDE, 1)
    assert [index_of(frame) for frame in top(root)[1].observations] == list(range(7, 12))
