"""Episodes written as MineRL's folders: nothing is lost, nothing is half there, nothing of others is touched."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.actions import as_actions
from memworld.datasets import DatasetInfo, EpisodeDataset
from memworld.episodes import Episode
from memworld.formats.format import ReadOptions
from memworld.formats.minerl import MINERL, MineRLWriter, open_minerl
from memworld.formats.minerl.writer import environment_name
from memworld.formats.video_frames import read_frames
from tests.formats.minerl_folders import make_recording, navigate_arrays
from tests.helpers import assert_same_dataset, folder_bytes, make_dataset, one_clear_error

pytest.importorskip("av")

NAVIGATE = Dict({"attack": Discrete(2), "camera": Box(-180, 180, (2,), np.float32), "place": Discrete(2)})
SPACES: list[tuple[Any, tuple[str, ...]]] = [
    (Discrete(3, start=-1), ("left", "stay", "right")),
    (MultiDiscrete([2, 5], start=[0, 3]), ()),
    (Box(-1, 1, (3,), np.float32), ("x", "y", "z")),
    (NAVIGATE, ("place=none", "place=dirt")),
    (
        Dict(
            {
                "a$b": Discrete(3, start=2),
                "a.b": MultiDiscrete([3, 2]),
                "../up/é": Box(-np.inf, np.inf, (), np.float64),
                "wheel": Box(0, np.array([1, 2], np.float32), (2,), np.float32),
            }
        ),
        ("a$b=", "a$b=none", "a$b= ü "),
    ),
]


def episode_of(info: DatasetInfo, seed: int, steps: int, id: str, source: dict[str, Any]) -> Episode:
    """An episode of noise; it terminates, is truncated, both or neither by chance."""
    rng = np.random.default_rng(seed)
    info.action_space.seed(seed)
    samples: list[Any] = [info.action_space.sample() for _ in range(steps)]
    single = not isinstance(info.action_space, Dict)
    actions = np.stack(samples) if single else {key: np.stack([s[key] for s in samples]) for key in samples[0]}
    last = np.arange(steps) == steps - 1
    return Episode(
        id,
        rng.integers(0, 256, (steps + 1, *info.observation_shape), np.uint8),
        as_actions(actions, info.action_space),
        rng.normal(size=steps).astype(np.float32),
        last & bool(rng.integers(2)),
        last & bool(rng.integers(2)),
        rng.normal(size=(steps + 1, len(info.state_names))).astype(np.float32) if info.state_names else None,
        source,
    )


def write(path: Path, dataset: EpisodeDataset, **options: Any) -> EpisodeDataset:
    with MineRLWriter(path, dataset.info, **options) as writer:
        for episode in dataset:
            writer.append(episode)
    return open_minerl(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=40)
@given(
    space=st.sampled_from(SPACES),
    named=st.booleans(),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    channels=st.sampled_from([1, 3]),
    states=st.sampled_from([(), ("x",), ("twice", "twice", ""), ("../x", "pov")]),
    world=st.sampled_from(["", "minetest/navigate", "../../up", "MineRLObtainDiamond-v0", "ü"]),
    ids=st.lists(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True), unique_by=str.lower, max_size=3),
    steps=st.integers(1, 3),
    source=st.dictionaries(st.text(max_size=3), json_values, max_size=2),
    seed=st.integers(0, 2**16),
)
def test_every_data_set_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory,
    space: tuple[gymnasium.Space[Any], tuple[str, ...]],
    named: bool,
    height: int,
    width: int,
    channels: int,
    states: tuple[str, ...],
    world: str,
    ids: list[str],
    steps: int,
    source: dict[str, Any],
    seed: int,
) -> None:
    info = DatasetInfo((height, width, channels), space[0], world, states, space[1] if named else ())  # type: ignore[arg-type]
    episodes = [episode_of(info, seed + n, steps + n, id, source) for n, id in enumerate(ids)]
    dataset = EpisodeDataset.from_episodes(info, episodes)
    folder = tmp_path_factory.mktemp("minerl")
    path = folder / "root"
    assert_same_dataset(write(path, dataset), dataset)
    assert sorted(p.name for p in folder.iterdir()) == ["root"]
    assert MINERL.found(path)


def navigate_info() -> DatasetInfo:
    return DatasetInfo((8, 8, 3), NAVIGATE, "minetest/navigate", ("compass.angle",), ("place=none", "place=dirt"))


def test_what_is_written_is_minerl_s_own_form(tmp_path: Path) -> None:
    """Seen with NumPy, JSON and a video player alone, as MineRL's loader does."""
    info = navigate_info()
    episode = episode_of(info, 3, 4, "alpha", {})
    write(tmp_path / "root", EpisodeDataset.from_episodes(info, [episode]))
    assert int((tmp_path / "root" / "VERSION").read_text()) == 4
    folder = tmp_path / "root" / "MineRLNavigate-v0" / "v4_alpha"
    assert sorted(p.name for p in folder.iterdir()) == ["metadata.json", "recording.mp4", "rendered.npz"]
    with np.load(folder / "rendered.npz") as arrays:
        assert set(arrays) == {
            *("reward", "action$attack", "action$camera", "action$place", "observation$compass.angle"),
        }
        assert arrays["action$camera"].shape == (4, 2)
        assert set(arrays["action$place"].tolist()) <= {"none", "dirt"}
        np.testing.assert_array_equal(arrays["reward"], episode.rewards)
    metadata = json.loads((folder / "metadata.json").read_text())
    assert metadata["true_video_frame_count"] == metadata["duration_steps"] + 1 == 5
    assert metadata["duration_ms"] == 200
    assert metadata["stream_name"] == "v4_alpha"
    assert metadata["success"] is bool(episode.terminations[-1])
    np.testing.assert_array_equal(np.stack(list(read_frames(folder / "recording.mp4"))), episode.observations)
    # Without memworld's own entries it is a recording like any other.
    del metadata["memworld"]
    (folder / "metadata.json").write_text(json.dumps(metadata))
    read = open_minerl(folder.parent)
    assert (read.info.action_space, read.info.action_names) == (NAVIGATE, info.action_names)
    np.testing.assert_array_equal(read[0].observations, episode.observations)
    np.testing.assert_array_equal(read[0].actions, episode.actions)
    assert read[0].states is not None
    np.testing.assert_array_equal(read[0].states, episode.states)


@pytest.mark.parametrize(
    ("world", "name"),
    [
        ("minetest/navigate", "MineRLNavigate-v0"),
        ("minetest/treechop", "MineRLTreechop-v0"),
        ("atari/pong", "atari-pong"),
        ("", "episodes"),
        ("../..", "episodes"),
        ("..", "episodes"),
        ("é" * 300, "-"),
        # Files beside the folder have these names, on some disks in any case.
        ("VERSION", "world-VERSION"),
        ("/Version.", "world-Version"),
        ("memworld.json", "world-memworld.json"),
    ],
)
def test_names_of_environments_stay_in_the_folder(world: str, name: str) -> None:
    assert environment_name(world) == (name if name != "-" else "episodes")


@pytest.mark.parametrize("world", ["VERSION", "memworld.json", "recording.mp4", "v4_a", "data", "episodes"])
def test_every_name_of_a_world_can_be_written(tmp_path: Path, world: str) -> None:
    dataset = make_dataset(np.random.default_rng(0), episodes=2)
    named = EpisodeDataset.from_episodes(replace(dataset.info, world=world), dataset)
    assert_same_dataset(write(tmp_path / "root", named[:1]), named[:1])
    assert_same_dataset(write(tmp_path / "root", named[1:], on_existing="resume"), named)


def test_the_same_episodes_give_the_same_bytes_and_resized_grey_frames(tmp_path: Path) -> None:
    dataset = make_dataset(np.random.default_rng(0), shape=(8, 8, 1))
    write(tmp_path / "a", dataset)
    write(tmp_path / "b", dataset)
    assert folder_bytes(tmp_path / "a") == folder_bytes(tmp_path / "b")
    small = open_minerl(tmp_path / "a", ReadOptions(size=(4, 2)))
    assert small.info.observation_shape == (4, 2, 1)
    means = dataset[0].observations.reshape(-1, 4, 2, 2, 4, 1).astype(float).mean((2, 4))
    assert np.abs(small[0].observations - means).max() <= 1


def test_resuming_goes_on_and_keeps_the_order(tmp_path: Path) -> None:
    dataset = make_dataset(np.random.default_rng(0), episodes=3)
    order = dataset.subset(["e2", "e0", "e1"])
    root = tmp_path / "root"
    write(root, order.subset(["e2"]))
    with one_clear_error("exists and is not empty"):
        MineRLWriter(root, dataset.info)
    with MineRLWriter(root, dataset.info, "resume") as writer:
        assert [entry.id for entry in writer.entries] == ["e2"]
        with one_clear_error("already has an episode e2"):
            writer.append(dataset.load("e2"))
        writer.append(dataset.load("e0"))
        with one_clear_error("another memworld is writing"):
            MineRLWriter(root, dataset.info, "resume")
        writer.append(dataset.load("e1"))
    assert_same_dataset(open_minerl(root), order)
    with one_clear_error("was begun with world 'toy', now it is 'other'"):
        MineRLWriter(root, replace(dataset.info, world="other"), "resume")
    assert_same_dataset(write(root, dataset.subset(["e1"]), on_existing="overwrite"), dataset.subset(["e1"]))
    assert not list(root.glob(".tmp-*"))


def test_recordings_of_others_are_neither_resumed_nor_overwritten(tmp_path: Path) -> None:
    make_recording(tmp_path / "MineRLNavigate-v0" / "v4_a", navigate_arrays(3))
    (tmp_path / "VERSION").write_text("4")
    before = folder_bytes(tmp_path)
    for on_existing in ("resume", "overwrite"):
        with one_clear_error("so it is not memworld's to"):
            MineRLWriter(tmp_path, navigate_info(), on_existing)
    assert folder_bytes(tmp_path) == before


def test_links_are_not_followed_when_writing(tmp_path: Path) -> None:
    dataset = make_dataset(np.random.default_rng(0), episodes=1)
    root, outside = tmp_path / "root", tmp_path / "outside"
    with MineRLWriter(root, dataset.info):
        pass
    outside.mkdir()
    (outside / "precious").write_text("x")
    (root / "toy").rmdir()
    (root / "toy").symlink_to(outside)
    with one_clear_error("toy is a link"):
        MineRLWriter(root, dataset.info, "resume")
    assert_same_dataset(write(root, dataset, on_existing="overwrite"), dataset)
    assert (outside / "precious").read_text() == "x"


def test_a_damaged_recording_of_memworld_s(tmp_path: Path) -> None:
    dataset = make_dataset(np.random.default_rng(0), episodes=3)
    root = tmp_path / "root"
    write(root, dataset)
    video = root / "toy" / "v4_e1" / "recording.mp4"
    content = bytearray(video.read_bytes())
    middle = content.index(b"mdat") + 900
    content[middle : middle + 40] = bytes(40)
    video.write_bytes(content)
    (root / "toy" / "v4_e0" / "metadata.json").write_text("{}")
    read = open_minerl(root)
    assert read.ids == ("e1", "e2", "e0")
    with one_clear_error("episode e1 .*recording.mp4"):
        read.load("e1")
    with one_clear_error("episode e0 .*memworld did not write it"):
        read.load("e0")
    assert len(read.load("e2")) == 7
    with one_clear_error("v4_e0/metadata.json has a damaged entry"):
        MineRLWriter(root, dataset.info, "resume")


def test_other_arrays_than_the_metadata_say(tmp_path: Path) -> None:
    info = navigate_info()
    write(tmp_path, EpisodeDataset.from_episodes(info, [episode_of(info, 0, 3, "a", {})]))
    path = tmp_path / "MineRLNavigate-v0" / "v4_a" / "rendered.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    for key, array, match in [
        ("reward", np.zeros(4, np.float32), "reward of type float32 and shape .4,., the metadata say"),
        ("action$place", np.array(["none", "sand", "none"]), "'sand', the metadata do not"),
        ("action$place", np.zeros(3, int), r"action\$place of type int64"),
    ]:
        np.savez_compressed(path, **(arrays | {key: array}))
        with one_clear_error(f"episode a .*{match}"):
            open_minerl(tmp_path)[0]


WRITE_SLOWLY = """
import sys, numpy as np
from memworld.formats.minerl import MineRLWriter
from tests.helpers import make_dataset
dataset = make_dataset(np.random.default_rng(0), episodes=60)
with MineRLWriter(sys.argv[1], dataset.info) as writer:
    for episode in dataset:
        writer.append(episode)
        print(episode.id, flush=True)
"""


@pytest.mark.parametrize("after", [0.0, 0.013, 0.03])
def test_a_kill_leaves_what_was_complete(tmp_path: Path, after: float) -> None:
    root = tmp_path / "root"
    process = subprocess.Popen([sys.executable, "-c", WRITE_SLOWLY, str(root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    written = [process.stdout.readline().strip() for _ in range(3)]
    time.sleep(after)
    os.kill(process.pid, signal.SIGKILL)
    written += process.stdout.read().split()
    process.wait()
    process.stdout.close()
    dataset = make_dataset(np.random.default_rng(0), episodes=60)
    read = open_minerl(root)
    assert read.ids[: len(written)] == tuple(written)
    assert len(read) <= len(written) + 1
    assert_same_dataset(read, dataset.subset(read.ids))
    with MineRLWriter(root, dataset.info, "resume") as writer:
        writer.append(dataset[len(read)])
    assert_same_dataset(open_minerl(root), dataset[: len(read) + 1])
    assert not list(root.glob(".tmp-*"))
