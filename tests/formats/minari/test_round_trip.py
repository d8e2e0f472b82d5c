import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memworld.actions import ActionSpace, restore_actions
from memworld.datasets import EpisodeDataset
from memworld.formats.minari import open_minari, write_minari
from memworld.formats.npz import open_npz
from tests.formats.minari.sets import FRAMES, SPACES, any_dataset
from tests.helpers import DISCRETE, assert_same_dataset, folder_bytes, make_dataset, make_episode, one_clear_error

GOLDEN = Path(__file__).parents[2] / "golden"


@given(
    seed=st.integers(0, 2**32 - 1),
    episodes=st.integers(0, 3),
    steps=st.integers(1, 4),
    # From 32 pixels on, minari takes a frame for an image, which it would store as lossy JPEG.
    shape=st.tuples(st.sampled_from([1, 3, 32]), st.sampled_from([1, 4, 33]), st.sampled_from([1, 3])),
    space=st.sampled_from(SPACES),
    states=st.integers(0, 2),
    storage=st.sampled_from(["hdf5", "arrow"]),
)
@example(seed=0, episodes=1, steps=2, shape=(32, 33, 3), space=DISCRETE, states=0, storage="hdf5")
@example(seed=0, episodes=2, steps=1, shape=(3, 33, 1), space=SPACES[-1], states=2, storage="arrow")
@settings(max_examples=30)
def test_a_round_trip_loses_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    episodes: int,
    steps: int,
    shape: Any,
    space: Any,
    states: int,
    storage: str,
) -> None:
    dataset = any_dataset(np.random.default_rng(seed), episodes, steps, shape, space, states)
    folder = tmp_path_factory.mktemp("minari") / "set"
    assert_same_dataset(write_minari(dataset, folder, storage=storage), dataset)
    assert_same_dataset(open_minari(folder / "data"), dataset)


def test_version_1_still_opens() -> None:
    for golden in ("minari-v1", "minari-v1-arrow"):
        assert_same_dataset(open_minari(GOLDEN / golden), open_npz(GOLDEN / "npz-v1"))


def test_any_id_and_a_long_source_survive(tmp_path: Path, rng: np.random.Generator, storage: str) -> None:
    # HDF5 limits a plain attribute to 64 KiB.
    episode = replace(make_episode(rng, id="A.b-c_9"), source={"note": "\0é" * 40_000, "nested": {"a": [1, None]}})
    dataset = EpisodeDataset.from_episodes(make_dataset(rng).info, [episode])
    assert_same_dataset(write_minari(dataset, tmp_path / "set", storage=storage), dataset)


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_plain_minari_opens_what_is_written(
    root: Path, rng: np.random.Generator, storage: str, space: ActionSpace
) -> None:
    dataset = any_dataset(rng, 3, 5, (40, 36, 3), space, states=2)
    write_minari(dataset, root / "toy/ours-v3", storage=storage)
    stored = minari.load_dataset("toy/ours-v3")
    assert (stored.id, len(stored), stored.total_steps) == ("toy/ours-v3", 3, dataset.steps)
    assert (stored.observation_space, stored.action_space) == (FRAMES, space)
    assert list(minari.list_local_datasets()) == ["toy/ours-v3"]
    for plain, ours in zip(stored, dataset, strict=True):
        np.testing.assert_array_equal(plain.observations, ours.observations)
        restored = restore_actions(ours.actions, space)
        assert isinstance(restored, dict) == isinstance(space, Dict)
        for name, array in restored.items() if isinstance(restored, dict) else [("", restored)]:
            np.testing.assert_array_equal(plain.actions[name] if name else plain.actions, array)
            assert (plain.actions[name] if name else plain.actions).dtype == array.dtype
        np.testing.assert_array_equal(plain.rewards, ours.rewards)
        np.testing.assert_array_equal(plain.infos["state"], ours.states)
        assert (len(plain), len(plain.infos["state"])) == (len(ours), len(ours) + 1)


def test_plain_minari_adds_to_what_is_written(stored: Path, rng: np.random.Generator) -> None:
    more = make_episode(rng, 4)
    plain = minari.MinariDataset(stored / "data")
    plain.update_dataset_from_buffer(
        [
            minari.data_collector.EpisodeBuffer(
                observations=more.observations,
                actions=more.actions,
                rewards=more.rewards,
                terminations=more.terminations,
                truncations=more.truncations,
                infos={"state": np.zeros((5, 1), np.float32)},
            )
        ]
    )
    dataset = open_minari(stored)
    assert dataset.ids == ("e0", "e1", "e2", "episode-00003")
    np.testing.assert_array_equal(dataset[3].observations, more.observations)


def test_the_same_data_set_gives_the_same_bytes(tmp_path: Path, rng: np.random.Generator, storage: str) -> None:
    dataset = any_dataset(rng, 3, 5, (8, 8, 3), SPACES[-1], states=1)
    for name in "ab":
        write_minari(dataset, tmp_path / name, storage=storage)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "b"]
    assert folder_bytes(tmp_path / "a") == folder_bytes(tmp_path / "b")


def test_a_relative_path_and_a_link_to_the_folder(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, storage: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_minari(make_dataset(rng), "set", storage=storage)
    assert len(open_minari("set")) == 3
    (tmp_path / "link").symlink_to("set")
    write_minari(make_dataset(rng, 2), "link", "overwrite", storage=storage)
    assert (len(open_minari("set")), (tmp_path / "link").is_symlink()) == (2, True)


def test_hdf5_compresses_frames_without_loss(tmp_path: Path, rng: np.random.Generator) -> None:
    episode = replace(make_episode(rng, shape=(64, 64, 3)), observations=np.zeros((6, 64, 64, 3), np.uint8))
    dataset = EpisodeDataset.from_episodes(replace(make_dataset(rng).info, observation_shape=(64, 64, 3)), [episode])
    write_minari(dataset, tmp_path / "set")
    assert (tmp_path / "set/data/main_data.hdf5").stat().st_size < episode.observations.nbytes / 2


def test_a_space_of_fewer_bits_keeps_what_memworld_stores(
    tmp_path: Path, rng: np.random.Generator, storage: str
) -> None:
    # 0.1 is no float16; yet it lies in this space as memworld sees it.
    info = replace(make_dataset(rng).info, action_space=Box(-1, 1, (1,), np.float16))
    episode = replace(make_episode(rng), actions=np.array([[0.1], [0.5], [0], [1], [0]], np.float32))
    dataset = EpisodeDataset.from_episodes(info, [episode])
    assert_same_dataset(write_minari(dataset, tmp_path / "set", storage=storage), dataset)


def test_names_that_hdf5_cannot_hold_go_to_arrow(tmp_path: Path, rng: np.random.Generator) -> None:
    dataset = any_dataset(rng, 1, 3, (4, 4, 1), Dict({"arm/x": Discrete(2), ".": Discrete(3)}), 0)
    with one_clear_error(
        r"called '\.': rename it, convert to npz or another format, or pass storage='arrow' to write_m"
    ):
        write_minari(dataset, tmp_path / "set")
    assert list(tmp_path.iterdir()) == []
    assert_same_dataset(write_minari(dataset, tmp_path / "set", storage="arrow"), dataset)


def test_the_metadata_say_what_minari_asks_for(stored: Path, storage: str) -> None:
    metadata = json.loads((stored / "data/metadata.json").read_text())
    assert metadata["dataset_id"] == "memworld/episodes-v0"
    assert (metadata["data_format"], metadata["jpeg_encoding"]) == (storage, False)
    assert (metadata["total_episodes"], metadata["total_steps"]) == (3, 18)
