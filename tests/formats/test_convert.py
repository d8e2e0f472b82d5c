"""`convert`: every format into every other, and what goes wrong on the way."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.actions import ActionSpace, as_actions
from memworld.datasets import DatasetInfo, EpisodeDataset
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.formats import FORMATS, ReadOptions, find_writer, open_dataset
from memworld.formats.convert import convert
from memworld.storage import OnExisting
from tests.helpers import assert_same_dataset, make_dataset, one_clear_error, sampled_actions

WRITABLE = [name for name, format in FORMATS.items() if format.writer]
SPACES: list[tuple[ActionSpace, tuple[str, ...]]] = [
    (gymnasium.spaces.Discrete(3, start=-1), ("left", "stay", "right")),
    (gymnasium.spaces.MultiDiscrete([2, 5]), ("gas", "gear")),
    (gymnasium.spaces.Box(np.array([-1, -np.inf], np.float32), np.array([1, np.inf], np.float32)), ("x", "y")),
    (
        gymnasium.spaces.Dict(
            {
                "attack": gymnasium.spaces.Discrete(2),
                "camera": gymnasium.spaces.Box(-180, 180, (2,), np.float32),
                "keys": gymnasium.spaces.MultiDiscrete([3, 2]),
                "place": gymnasium.spaces.Discrete(2),
            }
        ),
        ("place=none", "place=dirt"),
    ),
]


@st.composite
def datasets(draw: st.DrawFn) -> EpisodeDataset:
    """Data sets of every kind of action space, with and without states, ended in either way."""
    space, names = draw(st.sampled_from(SPACES))
    channels, columns = draw(st.sampled_from([1, 3])), draw(st.integers(0, 2))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    episodes = []
    for number in range(draw(st.integers(1, 3))):
        steps = draw(st.integers(1, 5))
        actions = as_actions(sampled_actions(space, steps, int(rng.integers(2**31))), space)
        last = np.arange(steps) == steps - 1
        terminated = draw(st.booleans())
        episodes.append(
            Episode(
                draw(st.sampled_from(["e", "A.b-c_", "seed0-"])) + str(number),
                rng.integers(0, 256, (steps + 1, 6, 10, channels), dtype=np.uint8),
                actions,
                rng.normal(size=steps).astype(np.float32),
                last & terminated,
                last & (not terminated or draw(st.booleans())),
                rng.normal(size=(steps + 1, columns)).astype(np.float32) if columns else None,
                {"skill": 0.5, "policy": "a:b", "nested": {"n": [1, None, "ö"]}},
            )
        )
    info = DatasetInfo((6, 10, channels), space, "toy/world", ("x", "speed.y")[:columns], names)
    return EpisodeDataset.from_episodes(info, episodes)


@pytest.mark.parametrize("there", WRITABLE)
@pytest.mark.parametrize("here", WRITABLE)
@settings(max_examples=8)
@given(dataset=datasets())
def test_there_and_back_nothing_is_lost(
    tmp_path_factory: pytest.TempPathFactory, here: str, there: str, dataset: EpisodeDataset
) -> None:
    folder = tmp_path_factory.mktemp("sets")
    first = convert(dataset, folder / "first", here)
    second = convert(open_dataset(folder / "first"), folder / "second", there)
    back = convert(open_dataset(folder / "second"), folder / "back", here)
    assert (first.left_out, second.left_out, back.left_out, back.skipped) == ((), (), (), {})
    for converted in (first, second, back):
        assert_same_dataset(converted.dataset, dataset)


def broken_at(dataset: EpisodeDataset, *ids: str) -> EpisodeDataset:
    """The same data set with episodes that cannot be read."""

    def load(episode_id: str) -> Episode:
        if episode_id in ids:
            raise MemworldError(f"episode {episode_id} is damaged: its file is cut off")
        return dataset.load(episode_id)

    return EpisodeDataset(dataset.info, dataset.entries, load)


@pytest.mark.parametrize("to", WRITABLE)
def test_a_broken_episode_is_named_and_skipped_only_if_asked(tmp_path: Path, to: str) -> None:
    dataset = make_dataset(np.random.default_rng(0), 4)
    broken = broken_at(dataset, "e1")
    with one_clear_error("episode e1 is damaged: its file is cut off; or leave such episodes out with --skip-broken"):
        convert(broken, tmp_path / "set", to)
    converted = convert(broken, tmp_path / "set", to, skip_broken=True, on_existing="overwrite")
    assert converted.skipped == {"e1": "episode e1 is damaged: its file is cut off"}
    assert_same_dataset(converted.dataset, dataset.subset(["e0", "e2", "e3"]))
    with one_clear_error("none of the 4 episodes can be read; the first: episode e0"):
        convert(broken_at(dataset, *dataset.ids), tmp_path / "none", to, skip_broken=True)


@pytest.mark.parametrize("to", WRITABLE)
def test_an_interrupted_conversion_goes_on(tmp_path: Path, to: str) -> None:
    dataset = make_dataset(np.random.default_rng(0), 5)
    loaded: list[str] = []

    def load(episode_id: str) -> Episode:
        if episode_id == "e3" and len(loaded) == 3:
            raise KeyboardInterrupt
        loaded.append(episode_id)
        return dataset.load(episode_id)

    watched = EpisodeDataset(dataset.info, dataset.entries, load)
    with pytest.raises(KeyboardInterrupt):
        convert(watched, tmp_path / "set", to)
    loaded.clear()
    loaded += ["elsewhere"] * 4
    convert(watched, tmp_path / "set", to, on_existing="resume")
    assert loaded[4:] == ["e3", "e4"]
    assert_same_dataset(open_dataset(tmp_path / "set"), dataset)
    # Nothing is left to do.
    loaded.clear()
    convert(watched, tmp_path / "set", to, on_existing="resume")
    assert loaded == []
    assert_same_dataset(open_dataset(tmp_path / "set"), dataset)


@pytest.mark.parametrize("to", WRITABLE)
def test_one_episode_in_memory_at_a_time(tmp_path: Path, to: str) -> None:
    dataset = make_dataset(np.random.default_rng(0), 4)
    alive: list[Any] = []

    def load(episode_id: str) -> Episode:
        import gc
        import weakref

        gc.collect()
        assert sum(reference() is not None for reference in alive) <= 1, "episodes pile up"
        episode = replace(dataset.load(episode_id))
        alive.append(weakref.ref(episode))
        return episode

    convert(EpisodeDataset(dataset.info, dataset.entries, load), tmp_path / "set", to)
    assert len(alive) == 4


@pytest.mark.parametrize("to", WRITABLE)
def test_what_is_there_stays_unless_it_is_to_go(tmp_path: Path, to: str) -> None:
    dataset = make_dataset(np.random.default_rng(0), 3)
    convert(dataset, tmp_path / "set", to)
    with one_clear_error("exists and is not empty"):
        convert(dataset, tmp_path / "set", to)
    other = EpisodeDataset.from_episodes(dataset.info, [replace(episode, source={"seed": 7}) for episode in dataset])
    with one_clear_error("holds another episode e0 than the one to write"):
        convert(other, tmp_path / "set", to, on_existing="resume")
    # What cannot be written, or read, empties nothing.
    with one_clear_error("episode e0 is damaged"):
        convert(broken_at(dataset, "e0"), tmp_path / "set", to, on_existing="overwrite")
    assert_same_dataset(open_dataset(tmp_path / "set"), dataset)
    with one_clear_error("contains or lies in"):
        convert(open_dataset(tmp_path / "set"), tmp_path / "set", to, on_existing="overwrite")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/diary.txt").write_text("dear diary")
    ways: tuple[OnExisting, ...] = ("error", "resume", "overwrite")
    for how in ways:
        with one_clear_error("diary|not empty|not memworld's"):
            convert(dataset, tmp_path / "notes", to, on_existing=how)
    assert (tmp_path / "notes/diary.txt").read_text() == "dear diary"
    assert_same_dataset(convert(other, tmp_path / "set", to, on_existing="overwrite").dataset, other)


def test_frames_of_another_size(tmp_path: Path) -> None:
    dataset = make_dataset(np.random.default_rng(0), 2)
    convert(dataset, tmp_path / "set")
    small = open_dataset(tmp_path / "set", ReadOptions(size=(4, 2)))
    assert small.info.observation_shape == (4, 2, 3)
    frames, expected = small[0].observations, dataset[0].observations.reshape(-1, 4, 2, 2, 4, 3).mean((2, 4))
    assert frames.shape == (len(dataset[0]) + 1, 4, 2, 3)
    np.testing.assert_allclose(frames, expected, atol=1)
    assert_same_dataset(open_dataset(tmp_path / "set", ReadOptions(size=(8, 8))), dataset)
    with one_clear_error("size .* is no"):
        ReadOptions(size=(0, 4))


def test_formats_that_cannot_be_written() -> None:
    with one_clear_error("unknown format to write 'zip': use one of minerl, minari, video, npz"):
        find_writer("zip")
    read_only = [name for name in FORMATS if name not in WRITABLE]
    for name in read_only:
        with one_clear_error("reads .* but does not write it: use .*npz"):
            find_writer(name)


def test_through_the_program(tmp_path: Path, call: Callable[..., Any]) -> None:
    dataset = make_dataset(np.random.default_rng(0), 3)
    convert(dataset, tmp_path / "set")
    (tmp_path / "set/episodes/e1.npz").write_bytes(b"PK")
    result = call("convert", tmp_path / "set", "--output", tmp_path / "small", "--size", "4x4")
    assert result.exit_code == 2
    assert "e1.npz" in result.stderr
    assert "--skip-broken" in result.stderr
    small = ("--output", tmp_path / "small", "--size", "4x4")
    result = call("convert", tmp_path / "set", *small, "--skip-broken", "--resume")
    assert result.exit_code == 0
    assert "skipped: " in result.stderr
    assert "e1.npz" in result.stderr
    assert open_dataset(tmp_path / "small").ids == ("e0", "e2")
    found = json.loads(call("inspect", tmp_path / "set", "--json", "--picture", tmp_path / "frames.png").stdout)
    assert any("e1.npz" in problem for problem in found["problems"])
    assert (tmp_path / "frames.png").read_bytes()[:4] == b"\x89PNG"
    for size in ("4", "axb", "4x4x4"):
        assert "is not of the form HxW" in call("inspect", tmp_path / "set", "--size", size).stderr


def test_what_has_no_place_is_said(tmp_path: Path, call: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "by-hand").mkdir()
    for name in ("a", "b"):
        np.savez(
            tmp_path / f"by-hand/{name}.npz",
            observations=rng.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8),
            actions=rng.integers(3, size=5),
            rewards=np.zeros(5),
            depth=np.zeros(5),
        )
    result = call("convert", tmp_path / "by-hand", "--output", tmp_path / "npz", "-q")
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "not kept: array depth",
        "not kept: the last action of each episode with a frame for each action: it led to a frame that is not there",
    ]
    found = json.loads(call("inspect", tmp_path / "by-hand", "--frame-after-action", "--json").stdout)
    assert found["not_read"][1].startswith("the first action of each episode")
    again = call("convert", tmp_path / "npz", "--output", tmp_path / "again", "--to", "minari", "-q")
    assert (again.exit_code, again.stderr) == (0, "")
