import gc
import json
import sys
import warnings
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import minari
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from minari.data_collector import EpisodeBuffer

from memworld.datasets import DatasetInfo, EpisodeDataset
from memworld.episodes import Episode
from memworld.formats.minari import open_minari, write_minari
from memworld.formats.npz import open_npz
from tests.helpers import (
    DISCRETE,
    assert_same_dataset,
    assert_same_episode,
    make_dataset,
    make_episode,
    one_clear_error,
)

BOX = gymnasium.spaces.Box(np.array([-1, -np.inf], np.float32), np.array([1, 2], np.float32))
GOLDEN = Path(__file__).parents[1] / "golden"
FRAMES = gymnasium.spaces.Box(0, 255, (40, 36, 3), np.uint8)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def root(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has its own root of local Minari sets."""
    folder = tmp_path_factory.mktemp("root") / "minari"
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(folder))
    return folder


def make_foreign(dataset_id: str, episodes: Sequence[Episode], **settings: Any) -> None:
    """Store episodes by minari alone, the last of them with a seed; `settings` change what minari is given."""
    buffers = [
        EpisodeBuffer(
            seed=7 if episode is episodes[-1] else None,
            observations=settings.get("observations", episode.observations),
            actions=episode.actions,
            rewards=episode.rewards.tolist(),
            terminations=episode.terminations.tolist(),
            truncations=episode.truncations.tolist(),
        )
        for episode in episodes
    ]
    settings.pop("observations", None)
    settings = {"observation_space": FRAMES, "action_space": DISCRETE} | settings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # minari asks for an author, a description, ...
        minari.create_dataset_from_buffers(dataset_id, buffers, **settings)


@given(
    seed=st.integers(0, 2**32 - 1),
    episodes=st.integers(0, 3),
    steps=st.integers(1, 4),
    # From 32 pixels on, minari takes a frame for an image, which it would store as lossy JPEG.
    shape=st.tuples(st.sampled_from([1, 5, 32]), st.sampled_from([1, 4, 33]), st.sampled_from([1, 3])),
    space=st.sampled_from([DISCRETE, gymnasium.spaces.Discrete(3, start=5), BOX]),
    states=st.integers(0, 2),
)
@example(seed=0, episodes=1, steps=2, shape=(32, 33, 3), space=DISCRETE, states=0)
@settings(max_examples=15, deadline=None)
def test_a_round_trip_loses_nothing(
    tmp_path_factory: pytest.TempPathFactory, seed: int, episodes: int, steps: int, shape: Any, space: Any, states: int
) -> None:
    dataset = make_dataset(np.random.default_rng(seed), episodes, steps, shape, space, states)
    if isinstance(space, gymnasium.spaces.Discrete):
        dataset.info = replace(dataset.info, action_names=("left", "right", "up", "down")[: int(space.n)])
    folder = tmp_path_factory.mktemp("minari") / "set"
    assert_same_dataset(write_minari(dataset, folder), dataset)
    assert_same_dataset(open_minari(folder / "data"), dataset)


def test_version_1_still_opens() -> None:
    assert_same_dataset(open_minari(GOLDEN / "minari-v1"), open_npz(GOLDEN / "npz-v1"))


def test_any_id_and_a_long_source_survive(tmp_path: Path, rng: np.random.Generator) -> None:
    # HDF5 limits a plain attribute to 64 KiB.
    episode = replace(make_episode(rng, id="A.b-c_9"), source={"note": "\0é" * 40_000, "nested": {"a": [1, None]}})
    dataset = EpisodeDataset.from_episodes(make_dataset(rng).info, [episode])
    assert_same_dataset(write_minari(dataset, tmp_path / "set"), dataset)


def test_plain_minari_opens_what_is_written(root: Path, rng: np.random.Generator) -> None:
    dataset = make_dataset(rng, shape=(40, 36, 3), states=2)
    write_minari(dataset, root / "toy/ours-v3", dataset_id="toy/ours-v3")
    stored = minari.load_dataset("toy/ours-v3")
    assert (stored.id, len(stored), stored.total_steps) == ("toy/ours-v3", 3, dataset.steps)
    assert (stored.observation_space, stored.action_space) == (FRAMES, DISCRETE)
    assert list(minari.list_local_datasets()) == ["toy/ours-v3"]
    for plain, ours in zip(stored, dataset, strict=True):
        np.testing.assert_array_equal(plain.observations, ours.observations)
        np.testing.assert_array_equal(plain.actions, ours.actions)
        np.testing.assert_array_equal(plain.rewards, ours.rewards)
        assert (len(plain), len(plain.infos["state"])) == (len(ours), len(ours) + 1)


def test_the_same_data_set_gives_the_same_bytes(tmp_path: Path, rng: np.random.Generator) -> None:
    dataset = make_dataset(rng, states=1)
    for name in "ab":
        write_minari(dataset, tmp_path / name)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "b"]
    for file in ("main_data.hdf5", "metadata.json"):
        assert (tmp_path / "a/data" / file).read_bytes() == (tmp_path / "b/data" / file).read_bytes()


def test_a_relative_path(tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_minari(make_dataset(rng), "set")
    assert len(open_minari("set")) == 3


# Sets from elsewhere


def test_a_set_from_elsewhere_opens_by_id(rng: np.random.Generator) -> None:
    episodes = [make_episode(rng, steps, (40, 36, 3)) for steps in (3, 4)]
    make_foreign("toy/frames-v0", episodes, jpeg_encoding=False)
    dataset = open_minari("toy/frames-v0")
    assert dataset.info == DatasetInfo((40, 36, 3), DISCRETE)
    assert [(entry.id, entry.steps) for entry in dataset.entries] == [("episode-00000", 3), ("episode-00001", 4)]
    assert dict(dataset[1].source) == {"dataset_id": "toy/frames-v0", "episode": 1, "seed": 7}
    for stored, ours in zip(dataset, episodes, strict=True):
        assert_same_episode(stored, replace(ours, id=stored.id, source=stored.source))


def test_the_recorded_environment_is_the_world(rng: np.random.Generator) -> None:
    make_foreign("cart-v0", [make_episode(rng, 2, (40, 36, 3))], env="CartPole-v1")
    assert open_minari("cart-v0").info.world == "CartPole-v1"


@pytest.mark.parametrize("data_format", ["hdf5", "arrow"])
def test_frames_stored_as_jpeg_are_decoded(rng: np.random.Generator, data_format: str) -> None:
    smooth = np.empty((6, 40, 36, 3), np.uint8)
    smooth[:] = np.arange(36)[:, None] * 5
    episode = replace(make_episode(rng), observations=smooth)
    make_foreign("jpeg-v0", [episode], data_format=data_format)
    [stored] = open_minari("jpeg-v0")
    assert 0 < np.abs(stored.observations.astype(int) - smooth).max() <= 8
    np.testing.assert_array_equal(stored.actions, episode.actions)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        (
            {
                "observation_space": gymnasium.spaces.Dict({"image": FRAMES}),
                "observations": {"image": np.zeros((6, 40, 36, 3), np.uint8)},
            },
            "observations are a Dict .* needs uint8 images",
        ),
        (
            {
                "observation_space": gymnasium.spaces.Box(-1, 1, (4,)),
                "observations": np.zeros((6, 4), np.float32),
            },
            r"Box of shape \(4,\) and type float32, memworld needs uint8 images",
        ),
        ({"action_space": gymnasium.spaces.MultiBinary(2)}, "action space MultiBinary.2. is not supported"),
    ],
)
def test_other_spaces_get_a_clear_error(rng: np.random.Generator, settings: dict[str, Any], match: str) -> None:
    make_foreign("toy/other-v0", [make_episode(rng, shape=(40, 36, 3))], **settings)
    with one_clear_error(match):
        open_minari("toy/other-v0")


def test_a_missing_set_names_where_it_looked(root: Path) -> None:
    with one_clear_error("no Minari set at toy/none-v0 nor of that id in .*minari: .*minari download"):
        open_minari("toy/none-v0")
    assert not root.exists()


# Damage


@pytest.fixture
def stored(tmp_path: Path, rng: np.random.Generator) -> Path:
    write_minari(make_dataset(rng, states=1), tmp_path / "set")
    return tmp_path / "set"


def edit(stored: Path, **changes: Any) -> None:
    """Change entries of the set's metadata; None removes one."""
    file = stored / "data/metadata.json"
    metadata = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({name: value for name, value in metadata.items() if value is not None}))


def test_a_truncated_or_foreign_hdf5_file(stored: Path) -> None:
    file = stored / "data/main_data.hdf5"
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], b"some text", b""):
        file.write_bytes(content)
        with one_clear_error("set/data cannot be read by minari"):
            open_minari(stored)
    file.unlink()
    with one_clear_error("set/data cannot be read by minari"):
        open_minari(stored)


def test_an_episode_that_lacks_an_array(stored: Path) -> None:
    with h5py.File(stored / "data/main_data.hdf5", "a") as file:
        del file["episode_1/rewards"]
    dataset = open_minari(stored)
    assert dataset[0].id == "e0"
    with one_clear_error("episode e1 of Minari set .* cannot be read by minari"):
        dataset[1]


def test_an_episode_of_wrong_lengths(stored: Path) -> None:
    with h5py.File(stored / "data/main_data.hdf5", "a") as file:
        file["episode_1/rewards"].resize((2,))
    with one_clear_error(r"rewards of shape \(2,\): expected \(6,\)"):
        open_minari(stored)[1]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"total_episodes": 4}, "cannot be read by minari"),
        ({"minari_version": "99.0.0"}, "does not support the dataset generated by Minari 99.0.0"),
        ({"data_format": "stone"}, "cannot be read by minari"),
        ({"observation_space": '{"type": "Stone"}'}, "cannot be read by minari"),
        ({"memworld": {"version": 2}}, "has version 2, this memworld reads 1"),
        ({"memworld": ["x"]}, "'memworld' is no object"),
        ({"memworld": {"state_names": 3}}, "cannot be read by minari"),
    ],
)
def test_damaged_metadata(stored: Path, changes: dict[str, Any], match: str) -> None:
    edit(stored, **changes)
    with one_clear_error(match):
        open_minari(stored)


def test_metadata_that_are_no_json(stored: Path) -> None:
    (stored / "data/metadata.json").write_text("{")
    with one_clear_error("metadata.json is damaged or not a Minari set"):
        open_minari(stored)


def test_the_environment_that_a_set_names_is_never_made(stored: Path, tmp_path: Path) -> None:
    # Given no spaces, minari itself makes the environment, here: calls os.mkdir.
    spec = gymnasium.envs.registration.EnvSpec("Evil-v0", "os:mkdir", kwargs={"path": str(tmp_path / "evil")})
    for missing in ("observation_space", "action_space"):
        edit(stored, env_spec=spec.to_json(), **{missing: None})
        with one_clear_error("has no observation_space and action_space"):
            open_minari(stored)
    assert not (tmp_path / "evil").exists()


def test_without_minari_the_extra_is_named(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "minari", None)
    with one_clear_error(r'pip install "memworld\[minari\]"'):
        open_minari(stored)


# Writing


def test_an_existing_folder_is_refused_and_overwritten_on_request(stored: Path, rng: np.random.Generator) -> None:
    with one_clear_error("exists and is not empty"):
        write_minari(make_dataset(rng), stored)
    with one_clear_error("nothing to resume"):
        write_minari(make_dataset(rng), stored, "resume")
    assert len(open_minari(stored)) == 3
    assert write_minari(make_dataset(rng, 1), stored, "overwrite").ids == ("e0",)
    with one_clear_error("holds no data/metadata.json, .* name another folder"):
        write_minari(make_dataset(rng), stored.parent, "overwrite")


def test_a_set_is_not_written_over_itself(stored: Path, rng: np.random.Generator) -> None:
    for output in (stored, stored.parent, stored / "data"):
        with one_clear_error("which the episodes are read from: name another"):
            write_minari(open_minari(stored), output, "overwrite")
    assert_same_dataset(open_minari(stored), make_dataset(np.random.default_rng(0), states=1))


@pytest.mark.parametrize("moment", ["load", "rename"])
def test_an_interrupted_overwrite_keeps_the_old_set(
    stored: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    new = make_dataset(rng, 2)

    def interrupted(episode_id: str) -> Episode:
        if moment == "load" and episode_id == "e1":
            raise KeyboardInterrupt
        return new.load(episode_id)

    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path.name == "set" and path.parent.name.startswith(".tmp-"):
            raise KeyboardInterrupt
        return rename(path, target)

    before = {file: file.read_bytes() for file in stored.rglob("*") if file.is_file()}
    with monkeypatch.context() as patch:
        if moment == "rename":
            patch.setattr(Path, "rename", failing)
        with pytest.raises(KeyboardInterrupt):
            write_minari(EpisodeDataset(new.info, new.entries, interrupted), stored, "overwrite")
    assert {file: file.read_bytes() for file in stored.parent.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("dataset_id", ["no version", "toy/none", ""])
def test_a_malformed_id_is_refused(tmp_path: Path, rng: np.random.Generator, dataset_id: str) -> None:
    with one_clear_error("is no Minari id"):
        write_minari(make_dataset(rng), tmp_path / "set", dataset_id=dataset_id)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("No space left on device")])
def test_an_interrupt_leaves_nothing(tmp_path: Path, rng: np.random.Generator, error: BaseException) -> None:
    dataset = make_dataset(rng)

    def load(episode_id: str) -> Episode:
        if episode_id == "e2":
            raise error
        return dataset.load(episode_id)

    broken = EpisodeDataset(dataset.info, dataset.entries, load)
    if isinstance(error, OSError):
        with one_clear_error("cannot write the Minari set .*No space left"):
            write_minari(broken, tmp_path / "set")
    else:
        with pytest.raises(KeyboardInterrupt):
            write_minari(broken, tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


def test_writing_does_not_collect_the_episodes_in_memory(tmp_path: Path, rng: np.random.Generator) -> None:
    dataset = make_dataset(rng, 5)
    alive: list[weakref.ref[Episode]] = []
    most = 0

    def load(episode_id: str) -> Episode:
        nonlocal most
        episode = replace(dataset.load(episode_id))
        alive.append(weakref.ref(episode))
        gc.collect()
        most = max(most, sum(reference() is not None for reference in alive))
        return episode

    write_minari(EpisodeDataset(dataset.info, dataset.entries, load), tmp_path / "set")
    # The one that is loaded and the one before, which the loop still names.
    assert len(alive) == 5
    assert most <= 2
