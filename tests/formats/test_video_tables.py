"""Videos with tables of actions made by hand."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gymnasium.spaces import Box, Discrete

from memworld.episodes import Episode
from memworld.formats import open_dataset
from memworld.formats.format import ReadOptions
from memworld.formats.video import VIDEO, open_video
from memworld.formats.video_frames import write_frames
from tests.helpers import one_clear_error


def frames(count: int, first: int = 0) -> list[np.ndarray]:
    """Frames that are all alike but for their grey level, which is their number times 10."""
    return [np.full((4, 6, 3), 10 * (first + i), np.uint8) for i in range(count)]


def numbers_of(episode: Episode) -> list[int]:
    return [int(level) // 10 for level in episode.observations[:, 0, 0, 0]]


def pair(folder: Path, name: str, table: str | dict[str, Any], count: int, first: int = 0) -> Path:
    """A video of `count` frames, and a CSV file of the words of `table` or a Parquet file of its columns."""
    write_frames(folder / f"{name}.mp4", frames(count, first), 10)
    if isinstance(table, str):
        (folder / f"{name}.csv").write_text(table)
    else:
        pq.write_table(pa.table(table), folder / f"{name}.parquet")
    return folder / f"{name}.mp4"


def test_a_row_for_each_action(tmp_path: Path) -> None:
    pair(tmp_path, "run-1", "action,reward,terminated,truncated\n2,0.5,0,0\n0,1,0,1\n", 3)
    assert VIDEO.found(tmp_path)
    dataset = open_video(tmp_path)
    assert dataset.info.action_space == Discrete(3)
    assert dataset.info.observation_shape == (4, 6, 3)
    assert [(e.id, e.steps) for e in dataset.entries] == [("run-1", 2)]
    assert dataset.entries[0].source == {"video": "run-1.mp4", "table": "run-1.csv"}
    episode = dataset[0]
    assert numbers_of(episode) == [0, 1, 2]
    assert episode.actions.dtype == np.int64
    assert episode.actions.tolist() == [2, 0]
    assert episode.rewards.tolist() == [0.5, 1]
    assert episode.terminations.tolist() == [False, False]
    assert episode.truncations.tolist() == [False, True]
    assert episode.states is None


def test_as_many_rows_as_frames_leave_out_the_last_action(tmp_path: Path) -> None:
    pair(tmp_path, "a", "action,reward,state_x\n2,5,10\n3,6,11\n4,7,12\n", 3)
    episode = open_video(tmp_path)[0]
    assert episode.actions.tolist() == [2, 3]
    assert episode.rewards.tolist() == [5, 6]
    assert numbers_of(episode) == [0, 1, 2]
    assert episode.states is not None
    assert episode.states.tolist() == [[10], [11], [12]]
    assert episode.truncations.tolist() == [False, True]


def test_or_the_first_if_the_frame_is_the_one_that_the_action_led_to(tmp_path: Path) -> None:
    pair(tmp_path, "a", "action,reward,done\n2,5,0\n3,6,0\n4,7,1\n", 3)
    episode = open_video(tmp_path, ReadOptions(frame_after_action=True))[0]
    assert episode.actions.tolist() == [3, 4]
    assert episode.rewards.tolist() == [6, 7]
    assert episode.terminations.tolist() == [False, True]
    pair(tmp_path, "a", "action,reward\n2,5\n3,6\n,\n", 3)  # its rows are of the frames before the actions
    assert open_video(tmp_path, ReadOptions(frame_after_action=True))[0].actions.tolist() == [2, 3]


def test_a_last_row_without_an_action_is_of_the_last_frame(tmp_path: Path) -> None:
    text = "action,reward,done,state.x,state.y\n2,5,0,1,1\n0,6,1,2,4\n,,,3,9\n"
    table = {"action": [2, 0, None], "reward": [5.0, 6.0, float("nan")], "done": [False, True, None]}
    table |= {"state.x": [1, 2, 3], "state.y": [1, 4, 9]}
    for given in (text, table):
        folder = tmp_path / type(given).__name__
        folder.mkdir()
        pair(folder, "a", given, 3)
        dataset = open_video(folder)
        assert dataset.info.state_names == ("x", "y")
        episode = dataset[0]
        assert episode.actions.tolist() == [2, 0]
        assert episode.rewards.tolist() == [5, 6]
        assert episode.terminations.tolist() == [False, True]
        assert episode.states is not None
        assert episode.states.tolist() == [[1, 1], [2, 4], [3, 9]]


def test_an_end_marked_at_the_last_frame_is_that_of_the_last_step(tmp_path: Path) -> None:
    pair(tmp_path, "a", "action,done\n0,False\n1,False\n0,True\n", 3)
    episode = open_video(tmp_path)[0]
    assert episode.terminations.tolist() == [False, True]
    assert episode.truncations.tolist() == [False, False]


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("action", ()),
        ("action_0,action_1", ()),
        ("action.steer,action.gas", ("steer", "gas")),
        ("action_steer,action_gas", ("steer", "gas")),
    ],
)
def test_measured_actions(tmp_path: Path, header: str, names: tuple[str, ...]) -> None:
    width = header.count(",") + 1
    values = np.arange(2 * width).reshape(2, width) + 0.5
    pair(tmp_path, "a", "\n".join([header, *(",".join(map(str, row)) for row in values)]), 3)
    dataset = open_video(tmp_path)
    assert dataset.info.action_space == Box(-np.inf, np.inf, (width,), np.float32)
    assert dataset.info.action_names == names
    assert dataset[0].actions.dtype == np.float32
    np.testing.assert_array_equal(dataset[0].actions, values)


def test_numbered_columns_are_ordered_by_number(tmp_path: Path) -> None:
    header = ",".join(f"action_{i}" for i in reversed(range(12)))
    pair(tmp_path, "a", f"{header}\n{','.join(str(i) for i in reversed(range(12)))}\n", 2)
    assert open_video(tmp_path)[0].actions[0].tolist() == list(range(12))


def test_what_is_missing_or_left_aside_is_said(tmp_path: Path) -> None:
    pair(tmp_path, "a", "frame,action,comment\n0,1,hello\n1,0,there\n", 3)
    dataset = open_video(tmp_path)
    assert dataset.entries[0].source["rewards"] == "none recorded"
    assert dataset.entries[0].source["ignored_columns"] == "'frame', 'comment'"
    assert dataset.left_out[:2] == ("column comment", "column frame")
    assert dataset[0].source == dataset.entries[0].source
    assert dataset[0].rewards.tolist() == [0, 0]


def test_choices_are_those_of_all_tables(tmp_path: Path) -> None:
    pair(tmp_path, "b", "action\n0\n1\n", 3, first=5)
    pair(tmp_path, "a", {"action": pa.array([7, 0], pa.uint8())}, 3)
    dataset = open_video(tmp_path)
    assert dataset.info.action_space == Discrete(8)
    assert dataset.ids == ("a", "b")
    assert [numbers_of(episode) for episode in dataset] == [[0, 1, 2], [5, 6, 7]]


def test_one_video_with_its_table_beside_it(tmp_path: Path) -> None:
    pair(tmp_path, "other", "action\n0.5\n", 2)
    video = pair(tmp_path, "one.v2", "action\n3\n", 2)
    assert VIDEO.found(video)
    assert not VIDEO.found(video.with_suffix(".csv"))
    dataset = open_video(video)
    assert dataset.ids == ("one.v2",)
    assert dataset.info.action_space == Discrete(4)


def test_frames_are_resized_as_they_are_read(tmp_path: Path) -> None:
    pair(tmp_path, "a", "action\n0\n1\n", 3)
    dataset = open_video(tmp_path, ReadOptions(size=(2, 3)))
    assert dataset.info.observation_shape == (2, 3, 3)
    assert dataset[0].observations.shape == (3, 2, 3, 3)
    assert numbers_of(dataset[0]) == [0, 1, 2]


def test_nothing_is_decoded_before_it_is_asked_for(tmp_path: Path) -> None:
    pair(tmp_path, "a", "action\n0\n1\n", 3)
    pair(tmp_path, "b", "action\n0\n1\n", 3)
    content = (tmp_path / "b.mp4").read_bytes()
    # Zeros in place of the frames; the container still says how many there were.
    start, end = content.index(b"mdat") + 4, content.index(b"moov") - 4
    (tmp_path / "b.mp4").write_bytes(content[:start] + bytes(end - start) + content[end:])
    dataset = open_video(tmp_path)
    assert [entry.steps for entry in dataset.entries] == [2, 2]
    assert len(dataset[0]) == 2
    with one_clear_error("episode b .*b.mp4"):
        dataset[1]


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ("reward\n1\n", "no column 'action' nor 'action_0', ...; its columns are 'reward'"),
        ("action;reward\n1;2\n", "separated by commas"),
        ("action,action_0\n1,2\n", "keep 'action' or the others"),
        ("action,action\n1,2\n", "2 columns called 'action'"),
        ("action, reward\n1, 2\n", "a column called ' reward': call it 'reward'"),
        ("action,State_X\n1,2\n", "a column called 'State_X': call it 'state_x'"),
        ("Actions\n1\n", "no column 'action'"),
        ("action\nleft\n0\n", "'left' .row 1. in its column 'action', numbers are needed"),
        ("action,reward\n0,good\n1,2\n", "'good' .row 1. in its column 'reward'"),
        ("action\n0\nnan\n1\n", "nothing, or NaN, in row 2 of its column 'action'"),
        ("action_0,action_1\n0,1\n0,\n", "in row 2 of its column 'action_1'"),
        ("action,state_x\n0,1\n1,\n", "in row 2 of its column 'state_x'"),
        ("action,done\n0,0\n1,2\n", "2 in row 2 of its column 'done': use 0 and 1"),
        ("action,reward\n0,1\n1\n", "Expected 2 columns, got 1"),
        ("action\n-1\n0\n", "actions of -1 to 0: number them from 0"),
        ("action\n0\n4096\n", "actions of 0 to 4096"),
        ("action\n", "has no rows"),
        ("", "no column 'action'"),
        ("\0\xff" * 50, "cannot be read .'utf-8'"),
        (",".join(f"action_{i}" for i in range(5000)) + "\n", "more than 4096 columns"),
        ("action," + "x" * 2**21, "more than 4096 columns"),
        ("action," + "x" * 2**18, "cannot be read .field larger"),
    ],
    ids=itertools.count(),
)
def test_a_bad_table_breaks_its_episode_alone(tmp_path: Path, table: str, match: str) -> None:
    pair(tmp_path, "bad", "", 3)
    (tmp_path / "bad.csv").write_text(table, encoding="latin-1")
    with one_clear_error(f"bad.csv.*{match}"):
        open_video(tmp_path / "bad.mp4")
    pair(tmp_path, "good", "action\n1\n0\n", 3)
    dataset = open_video(tmp_path)
    assert [(entry.id, entry.steps) for entry in dataset.entries] == [("bad", 0), ("good", 2)]
    assert dataset.load("good").actions.tolist() == [1, 0]
    with one_clear_error(f"episode bad in .*bad.csv.*{match}"):
        dataset.load("bad")


@pytest.mark.parametrize(
    ("table", "count", "match"),
    [
        ("action\n0\n1\n2\n", 2, "3 rows and its video 2 frames, where 4, or 3 are needed"),
        ("action\n0\n1\n2\n", 9, "3 rows and its video 9 frames, where 4, or 3 are needed"),
        ('action\n0\n1\n" "\n', 3, "column 'action'"),
        ("action,reward\n0,1\n,\n", 3, "2 rows and its video 3 frames, where 2 are needed"),
        ("action,state_x\n0,1\n1,1\n", 3, "with states, every frame needs a row, the last one without an action"),
        ("action\n0\n", 1, "one row and its video one frame"),
        ("action,done\n0,1\n1,0\n", 3, "ends before its last step"),
        ("action\n0.5\ninf\n", 3, "NaN or infinity"),
        ("action,reward\n0,1\n1,\n", 3, "NaN or infinity in its rewards"),
        ("action,state_x\n0,1e300\n1,1\n", 2, "infinity in its states"),
    ],
)
def test_tables_that_do_not_fit_their_video(tmp_path: Path, table: str, count: int, match: str) -> None:
    pair(tmp_path, "good", "action\n1\n" if "." not in table.split("\n")[1] else "action\n1.5\n", 2)
    if "state" in table:
        pair(tmp_path, "good", "action,state_x\n1,1\n,1\n", 2)
    pair(tmp_path, "odd", table, count)
    dataset = open_video(tmp_path)
    assert len(dataset.load("good")) == 1
    with one_clear_error(f"episode odd.*{match}"):
        dataset.load("odd")


def test_tables_that_disagree(tmp_path: Path) -> None:
    pair(tmp_path, "a", "action\n1\n", 2)
    pair(tmp_path, "b", "action\n1.0\n", 2)
    with one_clear_error("a.csv has actions of numbered choices, .*b.csv of 1 measured numbers: keep them apart"):
        open_video(tmp_path)
    pair(tmp_path, "a", "action_x\n1\n", 2)
    with one_clear_error("a.csv has actions of 1 measured numbers .'x'., .*b.csv of 1 measured"):
        open_video(tmp_path)
    pair(tmp_path, "a", "action,state_x\n1.5,1\n,1\n", 2)
    with one_clear_error("a.csv has the states 'x', .*b.csv none"):
        open_video(tmp_path)


def test_missing_doubled_or_damaged_files(tmp_path: Path) -> None:
    pair(tmp_path, "good", "action\n1\n", 2)
    pair(tmp_path, "silent", "", 2)
    (tmp_path / "silent.csv").unlink()
    pair(tmp_path, "twice", "action\n1\n", 2)
    pair(tmp_path, "twice", {"action": [1]}, 2)
    (tmp_path / "unseen.csv").write_text("action\n1\n")
    (tmp_path / "torn.mp4").write_bytes((tmp_path / "good.mp4").read_bytes()[:600])
    (tmp_path / "torn.csv").write_text("action\n1\n")
    (tmp_path / "rotten.parquet").write_bytes(b"PAR1 rotten PAR1")
    dataset = open_video(tmp_path)
    for name, match in (
        ("silent", "no table for the episode silent"),
        ("twice", "twice.csv, twice.parquet for the episode twice"),
        ("unseen", "no video for the episode unseen"),
        ("torn", "torn.mp4 is no video"),
        ("rotten", "rotten.parquet cannot be read"),
    ):
        with one_clear_error(f"episode {name} .*{match}"):
            dataset.load(name)
    assert len(dataset.load("good")) == 1


def test_names_and_links_that_lead_astray(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    outside = pair(tmp_path, "outside", "action\n1\n", 2)
    pair(folder, "good", "action\n1\n", 2)
    pair(folder, "video", "action\n1\n", 2).unlink()
    (folder / "video.mp4").symlink_to(outside)
    pair(folder, "table", "action\n1\n", 2)
    (folder / "table.csv").unlink()
    (folder / "table.csv").symlink_to(outside.with_suffix(".csv"))
    dataset = open_video(folder)
    for name in ("video", "table"):
        with one_clear_error(f"episode {name} .*leads out of"):
            dataset.load(name)
    (folder / "a b.csv").write_text("action\n1\n")
    with one_clear_error("'a b' .*must be renamed"):
        open_video(folder)


def test_videos_of_another_size_do_not_fit(tmp_path: Path) -> None:
    pair(tmp_path, "a", "action\n1\n", 2)
    pair(tmp_path, "b", "action\n1\n", 2)
    write_frames(tmp_path / "b.mp4", [np.zeros((8, 8, 3), np.uint8)] * 2, 10)
    with one_clear_error("frames of .8, 8, 3., the data set of .4, 6, 3.: resize them"):
        open_video(tmp_path)[1]
    assert open_video(tmp_path, ReadOptions(size=(2, 2)))[1].observations.shape == (2, 2, 2, 3)


def test_nothing_there(tmp_path: Path) -> None:
    assert not VIDEO.found(tmp_path)
    with one_clear_error("holds no video with a table"):
        open_video(tmp_path)
    with one_clear_error("does not exist"):
        open_video(tmp_path / "none")


def test_a_video_without_any_table_is_told_what_it_lacks(tmp_path: Path) -> None:
    pair(tmp_path, "a", "action\n0\n1\n", 3)
    (tmp_path / "a.csv").unlink()
    for path in (tmp_path, tmp_path / "a.mp4"):
        with one_clear_error(r"a\.mp4 has no table|no table for the episode a"):
            open_dataset(path)
