"""Videos with tables as memworld writes them: nothing is lost, and nothing half-written is read."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from memworld.actions import ActionSpace, as_actions, nameable
from memworld.datasets import DatasetInfo, EpisodeDataset
from memworld.episodes import Episode
from memworld.formats.format import ReadOptions
from memworld.formats.video import VIDEO, VideoWriter, open_video
from memworld.formats.video_frames import read_frames, write_frames
from tests.helpers import assert_same_dataset, assert_same_episode, folder_bytes, make_dataset, one_clear_error

FLOATS = st.floats(-(2.0**40), 2.0**40, width=32)
SPACES: tuple[ActionSpace, ...] = (
    Discrete(5, start=-2),
    MultiDiscrete([3, 2, 7]),
    Box(np.array([-1, -np.inf], np.float32), np.array([1, np.inf], np.float32)),
    Dict(
        {
            "camera.pitch": Box(-180.0, 180.0, (2,), np.float32),
            "attack": Discrete(2),
            "keys": MultiDiscrete([2, 3]),
            "gas": Box(0.0, 1.0, (), np.float32),
        }
    ),
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


NAMES = st.text("abXY .=/0", min_size=1, max_size=5).filter(str.isprintable)


def write(dataset: EpisodeDataset, path: Path, **options: Any) -> EpisodeDataset:
    with VideoWriter(path, dataset.info, **options) as writer:
        written = {entry.id for entry in writer.entries}
        for episode in dataset:
            if episode.id not in written:
                writer.append(episode)
    return open_video(path)


@st.composite
def actions(draw: st.DrawFn, space: ActionSpace, steps: int) -> np.ndarray:
    space.seed(draw(st.integers(0, 2**31 - 1)))
    samples: list[Any] = [space.sample() for _ in range(steps)]
    if not isinstance(space, Dict):
        return as_actions(np.stack(samples), space)
    return as_actions({name: np.stack([sample[name] for sample in samples]) for name in space.spaces}, space)


@st.composite
def datasets(draw: st.DrawFn) -> EpisodeDataset:
    space = draw(st.sampled_from(SPACES))
    shape = (draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.sampled_from((1, 3))))
    state_names = tuple(draw(st.lists(NAMES, max_size=3)))
    named = nameable(space) if not isinstance(space, Dict) else 0
    names = tuple(draw(st.lists(NAMES, min_size=named, max_size=named))) if draw(st.booleans()) else ()
    info = DatasetInfo(shape, space, draw(NAMES), state_names, names)
    episodes = []
    for id in draw(
        st.lists(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,9}", fullmatch=True), max_size=3, unique=True)
    ):
        steps = draw(st.integers(1, 4))
        ends = np.arange(steps) == steps - 1
        states = arrays.arrays(np.float32, (steps + 1, len(state_names)), elements=FLOATS)
        episodes.append(
            Episode(
                id,
                draw(arrays.arrays(np.uint8, (steps + 1, *shape))),
                draw(actions(space, steps)),
                draw(arrays.arrays(np.float32, steps, elements=FLOATS)),
                ends & draw(st.booleans()),
                ends & draw(st.booleans()),
                draw(states) if state_names else None,
                draw(
                    st.dictionaries(
                        st.text(max_size=5), st.none() | st.integers() | st.text() | st.lists(st.booleans())
                    )
                ),
            )
        )
    return EpisodeDataset.from_episodes(info, episodes)


@given(dataset=datasets())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, dataset: EpisodeDataset) -> None:
    folder = tmp_path_factory.mktemp("videos")
    assert_same_dataset(write(dataset, folder / "a"), dataset)
    assert VIDEO.found(folder / "a")
    # Without the marker, and one by one, it is the same: each table says all of its episode.
    if len(dataset):
        (folder / "a" / "memworld-video.json").unlink()
        assert_same_dataset(open_video(folder / "a"), dataset)
        assert_same_episode(open_video(folder / "a" / f"{dataset.ids[-1]}.mp4")[0], dataset[len(dataset) - 1])


def test_the_same_episodes_give_the_same_bytes(tmp_path: Path, rng: np.random.Generator) -> None:
    dataset = make_dataset(rng, states=2)
    write(dataset, tmp_path / "a")
    write(dataset, tmp_path / "b")
    assert folder_bytes(tmp_path / "a") == folder_bytes(tmp_path / "b")


def test_tables_can_be_read_by_anyone(tmp_path: Path, rng: np.random.Generator) -> None:
    info = DatasetInfo((4, 4, 3), SPACES[3], "w", ("x",))
    stored = as_actions(np.array([[1, 1.5, -2, 0.5, 0, 2], [0, 0, 0, 1, 1, 1]]), info.action_space)
    zeros = np.zeros(2, np.bool_)
    episode = Episode(
        "e", rng.integers(0, 256, (3, 4, 4, 3), np.uint8), stored, np.ones(2), zeros, zeros, np.ones((3, 1))
    )
    write(EpisodeDataset.from_episodes(info, [episode]), tmp_path / "a")
    table = pq.read_table(tmp_path / "a" / "e.parquet")
    assert table.column_names[:3] == ["action.attack", "action.camera.pitch_0", "action.camera.pitch_1"]
    assert table.column_names[3:] == [
        "action.gas",
        "action.keys_0",
        "action.keys_1",
        "reward",
        "terminated",
        "truncated",
        "state.x",
    ]
    assert table.column("action.keys_1").to_pylist() == [2, 1, None]
    assert table.column("action.keys_1").type == pa.int64()
    said = json.loads(table.schema.metadata[b"memworld"])
    assert (said["id"], said["steps"], said["info"]["world"]) == ("e", 2, "w")
    # As made by hand, without what only memworld writes, it is a table like any other.
    pq.write_table(table.replace_schema_metadata(), tmp_path / "e.parquet")
    (tmp_path / "a" / "e.mp4").rename(tmp_path / "e.mp4")
    by_hand = open_video(tmp_path)
    assert by_hand.info.state_names == ("x",)
    np.testing.assert_array_equal(by_hand[0].actions, stored)
    np.testing.assert_array_equal(by_hand[0].observations, episode.observations)


def test_frames_are_resized_as_they_are_read(tmp_path: Path, rng: np.random.Generator) -> None:
    for channels in (1, 3):
        dataset = make_dataset(rng, shape=(6, 8, channels))
        write(dataset, tmp_path / str(channels))
        small = open_video(tmp_path / str(channels), ReadOptions(size=(3, 4)))
        assert small.info.observation_shape == (3, 4, channels)
        blocks = dataset[0].observations.reshape(-1, 3, 2, 4, 2, channels).astype(float).mean((2, 4))
        assert np.abs(small[0].observations - blocks).max() <= 1  # rounded twice


def test_resuming_goes_on_and_overwriting_starts_again(tmp_path: Path, rng: np.random.Generator) -> None:
    dataset = make_dataset(rng, episodes=4)
    order = dataset.subset(["e3", "e0", "e2", "e1"])
    write(order[:2], tmp_path / "a")
    with one_clear_error("exists and is not empty"):
        write(order, tmp_path / "a")
    assert_same_dataset(write(order, tmp_path / "a", on_existing="resume"), order)
    other = make_dataset(rng, episodes=1, shape=(2, 2, 1))
    with one_clear_error("was begun with observation_shape"):
        write(other, tmp_path / "a", on_existing="resume")
    assert_same_dataset(write(other, tmp_path / "a", on_existing="overwrite"), other)


def test_what_is_not_memworld_s_is_not_overwritten(tmp_path: Path, rng: np.random.Generator) -> None:
    dataset = make_dataset(rng, episodes=1)
    write_frames(tmp_path / "mine.mp4", dataset[0].observations, 10)
    for on_existing in ("overwrite", "resume"):
        with one_clear_error("holds no memworld-video.json"):
            write(dataset, tmp_path, on_existing=on_existing)
    (tmp_path / "memworld-video.json").write_text('{"memworld": "report"}')
    with one_clear_error("holds no memworld-video.json of a memworld video data set"):
        write(dataset, tmp_path, on_existing="overwrite")
    assert (tmp_path / "mine.mp4").is_file()


def test_a_second_writer_and_a_doubled_id_are_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    dataset = make_dataset(rng, episodes=1)
    with VideoWriter(tmp_path, dataset.info) as writer:
        with one_clear_error("another memworld is writing"):
            VideoWriter(tmp_path, dataset.info, "resume")
        writer.append(dataset[0])
        with one_clear_error("already has an episode e0"):
            writer.append(dataset[0])
        with one_clear_error("frames of"):
            writer.append(make_dataset(rng, shape=(1, 1, 1))[0])
        assert [entry.to_json() for entry in writer.entries] == [entry.to_json() for entry in dataset.entries]
    VideoWriter(tmp_path, dataset.info, "resume").close()


KILLED = """
import os, sys
import numpy as np
import memworld.formats.video.writer as writer
from tests.helpers import make_dataset

def kill_at_second(call):
    calls = []
    def counted(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            os.kill(os.getpid(), 9)
        return call(*arguments)
    return counted

for name in sys.argv[2:]:
    if os.fork() == 0:
        setattr(writer, name, kill_at_second(getattr(writer, name)))
        dataset = make_dataset(np.random.default_rng(0))
        with writer.VideoWriter(os.path.join(sys.argv[1], name), dataset.info) as written:
            for episode in dataset:
                written.append(episode)
    _, status = os.wait()
    assert os.waitstatus_to_exitcode(status) == -9
"""


def test_a_kill_keeps_every_episode_written_before(tmp_path: Path) -> None:
    """Killed before the second video is written, and between it and its table."""
    places = ("write_frames", "write_atomic")
    command = [sys.executable, "-c", KILLED, str(tmp_path), *places]
    subprocess.run(command, env=os.environ | {"PYTHONPATH": "."}, check=True)
    dataset = make_dataset(np.random.default_rng(0))
    for place in places:
        folder = tmp_path / place
        assert (folder / "e1.mp4").is_file() == (place == "write_atomic")
        (folder / ".tmp-left.mp4").write_bytes(b"half")
        assert_same_dataset(open_video(folder), dataset[:1])
        assert_same_dataset(write(dataset, folder, on_existing="resume"), dataset)
        assert not list(folder.glob(".tmp*"))


def spoil(table: Path, **changes: Any) -> None:
    """Change what a table says of its episode."""
    held = pq.read_table(table)
    said = json.loads(held.schema.metadata[b"memworld"]) | changes
    pq.write_table(held.replace_schema_metadata({b"memworld": json.dumps(said)}), table)


def test_one_damaged_episode_is_listed_and_harms_no_other(tmp_path: Path, rng: np.random.Generator) -> None:
    dataset = make_dataset(rng, episodes=8, states=1)
    write(dataset, tmp_path)
    files = {name: (tmp_path / f"{name}.mp4", tmp_path / f"{name}.parquet") for name in dataset.ids}
    files["e1"][0].unlink()
    files["e2"][1].write_bytes(b"PAR1")
    spoil(files["e3"][1], version=2)
    files["e4"][1].rename(tmp_path / "other.parquet")
    write_frames(files["e5"][0], list(read_frames(files["e5"][0]))[:-1], 30)
    held = pq.read_table(files["e6"][1])
    pq.write_table(held.slice(1), files["e6"][1])
    pq.write_table(pq.read_table(files["e7"][1]).drop_columns(["reward"]), files["e7"][1])
    (tmp_path / "guest.csv").write_text("action\n1\n")
    dataset_read = open_video(tmp_path)
    assert_same_episode(dataset_read.load("e0"), dataset[0])
    for name, match in (
        ("e1", "holds no video for the episode e1"),
        ("e2", "e2.parquet cannot be read"),
        ("e3", "has version 2, this memworld reads 1"),
        ("other", "is of the episode e4: rename it"),
        ("e5", "has 10 frames, its table asks for 11"),
        ("e6", "has 11 rows for 11 actions"),
        ("e7", "no column 'reward'"),
        ("guest", "guest.csv was not written by memworld"),
    ):
        with one_clear_error(f"episode {name} .*{match}"):
            dataset_read.load(name)
    assert set(dataset_read.ids) == {"e0", "e1", "e2", "e3", "e5", "e6", "e7", "guest", "other"}


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"steps": 10**12}, "rows for 1000000000000 actions"),
        ({"steps": -1}, "rows for -1 actions"),
        ({"number": "first"}, "damaged"),
        ({"info": {}}, "damaged"),
        ({"source": 5}, "damaged"),
        ({"id": "../e0"}, "cannot be a file name"),
    ],
)
def test_what_a_table_says_is_checked(tmp_path: Path, rng: np.random.Generator, changes: Any, match: str) -> None:
    write(make_dataset(rng, episodes=2), tmp_path)
    spoil(tmp_path / "e0.parquet", **changes)
    dataset = open_video(tmp_path)
    assert dataset.ids == ("e1", "e0")
    with one_clear_error(f"episode e0 .*{match}"):
        dataset.load("e0")


def test_tables_of_two_data_sets_do_not_mix(tmp_path: Path, rng: np.random.Generator) -> None:
    write(make_dataset(rng, episodes=1), tmp_path / "a")
    write(make_dataset(rng, episodes=2, states=1), tmp_path / "b")
    for name in ("e1.mp4", "e1.parquet"):
        (tmp_path / "b" / name).rename(tmp_path / "a" / name)
    with one_clear_error("e1.parquet is of another data set than .*memworld-video.json"):
        open_video(tmp_path / "a")
    with one_clear_error("e1.parquet is not of the data set"):
        VideoWriter(tmp_path / "a", make_dataset(rng, episodes=1).info, "resume")
    (tmp_path / "a" / "memworld-video.json").write_text("{}")
    with one_clear_error("memworld-video.json is damaged"):
        open_video(tmp_path / "a")


def test_version_1_still_opens() -> None:
    dataset = open_video(Path(__file__).parents[1] / "golden" / "video-v1")
    assert (dataset.info.world, dataset.info.state_names, dataset.ids) == ("golden", ("x",), ("first",))
    assert dataset.info.action_space == Dict({"jump": Discrete(2), "turn": Box(-1.0, 1.0, (1,), np.float32)})
    zeros = np.zeros(2, np.bool_)
    frames = np.arange(18, dtype=np.uint8).reshape(3, 2, 3, 1) * 14
    stored = np.array([[1, -0.5], [0, 1]], np.float32)
    states = np.array([[1], [2], [3]])
    episode = Episode(
        "first", frames, stored, np.array([0.5, -1]), ~zeros & [False, True], zeros, states, {"policy": "by hand"}
    )
    assert_same_episode(dataset[0], episode)
