import shutil
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, Text

from memworld.actions import as_actions, restore_actions
from memworld.datasets import DatasetInfo
from memworld.formats.format import ReadOptions
from memworld.formats.minari import MINARI, datasets_root, find_minari, open_minari, write_minari
from tests.formats.minari.sets import FRAMES, SPACES, make_foreign, random_actions
from tests.helpers import DISCRETE, assert_same_episode, make_dataset, make_episode, one_clear_error


def box(*shape: int) -> Box:
    return Box(0, 255, shape, np.uint8)


def test_a_set_from_elsewhere_opens_by_id(rng: np.random.Generator, storage: str) -> None:
    episodes = [make_episode(rng, steps, (40, 36, 3)) for steps in (3, 4)]
    make_foreign("toy/frames-v0", episodes, jpeg_encoding=False, data_format=storage)
    dataset = open_minari("toy/frames-v0")
    assert dataset.info == DatasetInfo((40, 36, 3), DISCRETE)
    assert [(entry.id, entry.steps) for entry in dataset.entries] == [("episode-00000", 3), ("episode-00001", 4)]
    assert dict(dataset[1].source) == {"dataset_id": "toy/frames-v0", "episode": 1, "seed": 7}
    for stored, ours in zip(dataset, episodes, strict=True):
        assert_same_episode(stored, replace(ours, id=stored.id, source=stored.source))


def test_the_recorded_environment_is_the_world(rng: np.random.Generator) -> None:
    make_foreign("cart-v0", [make_episode(rng, 2, (40, 36, 3))], env="CartPole-v1")
    assert open_minari("cart-v0").info.world == "CartPole-v1"


@pytest.mark.parametrize("shape", [(40, 36, 3), (40, 36)], ids=str)
def test_frames_stored_as_jpeg_are_decoded(rng: np.random.Generator, storage: str, shape: tuple[int, ...]) -> None:
    smooth = np.empty((6, *shape), np.uint8)
    smooth[:] = np.arange(36).reshape(36, *[1] * (len(shape) - 2)) * 5
    # Of two images one is wild, so that the files differ in length.
    wild = smooth.copy()
    wild[3] = rng.integers(0, 256, shape)
    for name, frames in (("smooth-v0", smooth), ("wild-v0", wild)):
        episode = make_episode(rng)
        make_foreign(name, [episode], observations=frames, observation_space=box(*shape), data_format=storage)
        [stored] = open_minari(name)
        assert stored.observations.shape == (6, 40, 36, 3 if len(shape) == 3 else 1)
        found = stored.observations.reshape(frames.shape).astype(int)
        assert 0 < np.abs(found - frames)[[0, 1, 2, 4, 5]].max() <= 8
        np.testing.assert_array_equal(stored.actions, episode.actions)


@pytest.mark.parametrize(
    ("shape", "frame"),
    [
        ((3, 5, 4), (5, 4, 3)),
        ((1, 5, 4), (5, 4, 1)),
        ((5, 4), (5, 4, 1)),
        ((3, 4, 3), (3, 4, 3)),
        ((5, 4, 1), (5, 4, 1)),
    ],
    ids=str,
)
def test_channels_come_last(
    rng: np.random.Generator, storage: str, shape: tuple[int, ...], frame: tuple[int, ...]
) -> None:
    images = rng.integers(0, 256, (6, *shape), np.uint8)
    make_foreign("toy-v0", [make_episode(rng)], observations=images, observation_space=box(*shape), data_format=storage)
    dataset = open_minari("toy-v0")
    assert dataset.info.observation_shape == frame
    expected = images.transpose(0, 2, 3, 1) if shape[-2:] == frame[:2] and len(shape) == 3 else images
    np.testing.assert_array_equal(dataset[0].observations, expected.reshape(6, *frame))


DICT = Dict(
    {
        "agent": Dict({"position": Box(-9, 9, (2,), np.float64), "holds": Discrete(3), "on": MultiBinary(2)}),
        "image": FRAMES,
        "mission": Text(20),
        "wrist": Dict({"image": box(3, 5, 4)}),
    }
)


def dict_observations(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "agent": {
            "position": rng.normal(size=(6, 2)),
            "holds": rng.integers(0, 3, 6),
            "on": rng.integers(0, 2, (6, 2), np.int8),
        },
        "image": rng.integers(0, 256, (6, 40, 36, 3), np.uint8),
        "mission": ["go to the door"] * 6,
        "wrist": {"image": rng.integers(0, 256, (6, 3, 5, 4), np.uint8)},
    }


def test_a_dict_of_observations_gives_frames_and_states(rng: np.random.Generator, storage: str) -> None:
    observations = dict_observations(rng)
    episode = make_episode(rng)
    make_foreign(
        "toy/dict-v0",
        [episode],
        observation_space=DICT,
        observations=observations,
        data_format=storage,
        jpeg_encoding=False,
    )
    for camera, frames in (("image", observations["image"]), ("wrist/image", observations["wrist"]["image"])):
        dataset = MINARI.open(Path("toy/dict-v0"), ReadOptions(camera=camera))
        names = ("agent/holds", "agent/on_0", "agent/on_1", "agent/position_0", "agent/position_1")
        assert dataset.info.state_names == names
        expected = frames if frames.shape[-1] == 3 else np.moveaxis(frames, 1, -1)
        assert dataset.info.observation_shape == expected.shape[1:]
        np.testing.assert_array_equal(dataset[0].observations, expected)
        agent = observations["agent"]
        states = np.concatenate([agent["holds"][:, None], agent["on"], agent["position"]], 1)
        np.testing.assert_array_equal(dataset[0].states, states.astype(np.float32))


def test_a_camera_must_be_chosen_if_there_are_several(rng: np.random.Generator) -> None:
    make_foreign("dict-v0", [make_episode(rng)], observation_space=DICT, observations=dict_observations(rng))
    with one_clear_error("have several images: choose one by --camera, of image, wrist/image"):
        open_minari("dict-v0")
    with one_clear_error("have no image 'front': choose one by --camera, of image, wrist/image"):
        open_minari("dict-v0", ReadOptions(camera="front"))
    make_foreign("one-v0", [make_episode(rng, shape=(40, 36, 3))])
    with one_clear_error("are one image, there is no camera 'front'"):
        open_minari("one-v0", ReadOptions(camera="front"))


@pytest.mark.parametrize("space", [*SPACES[1:], MultiBinary(3)], ids=str)
def test_actions_of_every_kind(rng: np.random.Generator, storage: str, space: gymnasium.Space[Any]) -> None:
    actions = random_actions(rng, space, 5)
    make_foreign(
        "toy-v0", [make_episode(rng, shape=(40, 36, 3))], action_space=space, actions=actions, data_format=storage
    )
    dataset = open_minari("toy-v0")
    np.testing.assert_array_equal(dataset[0].actions, as_actions(actions, dataset.info.action_space))
    restored = restore_actions(dataset[0].actions, dataset.info.action_space)
    if isinstance(space, Dict):
        for name, array in restored.items():
            np.testing.assert_allclose(array, actions[name], rtol=1e-6)
    else:
        np.testing.assert_allclose(restored, actions, rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        (
            {
                "observation_space": Dict({"speed": Box(-1, 1, (4,)), "goal": Discrete(3)}),
                "observations": {"speed": np.zeros((6, 4), np.float32), "goal": np.zeros(6, np.int64)},
            },
            r"a Dict without an image \(goal: Discrete .*speed: Box of shape \(4,\) and type float32\)",
        ),
        (
            {"observation_space": Box(-1, 1, (4,)), "observations": np.zeros((6, 4), np.float32)},
            r"Box of shape \(4,\) and type float32, memworld needs uint8 images",
        ),
        (
            {"observation_space": box(4, 40, 36), "observations": np.zeros((6, 4, 40, 36), np.uint8)},
            r"Box of shape \(4, 40, 36\) and type uint8, memworld needs uint8 images, \(H, W, C\) with C of 1 or 3",
        ),
        (
            {"action_space": MultiBinary([2, 2]), "actions": np.zeros((5, 2, 2), np.int8)},
            "action space MultiBinary.* is not supported",
        ),
    ],
)
def test_other_spaces_get_a_clear_error(rng: np.random.Generator, settings: dict[str, Any], match: str) -> None:
    make_foreign("toy/other-v0", [make_episode(rng, shape=(40, 36, 3))], **settings)
    with one_clear_error(match):
        open_minari("toy/other-v0")


def test_the_parquet_storage_is_named(rng: np.random.Generator) -> None:
    make_foreign("toy-v0", [make_episode(rng, shape=(40, 36, 3))], data_format="parquet")
    with one_clear_error("stored as 'parquet', memworld reads hdf5 and arrow"):
        open_minari("toy-v0")


# Where sets are


def test_local_sets_by_id(root: Path, rng: np.random.Generator) -> None:
    write_minari(make_dataset(rng, 1), root / "atari/pong/expert-v0")
    assert find_minari("atari/pong/expert-v0") == datasets_root() / "atari/pong/expert-v0/data"
    assert open_minari("atari/pong/expert-v0").ids == open_minari(Path("atari/pong/expert-v0")).ids == ("e0",)
    assert MINARI.found(Path("atari/pong/expert-v0"))
    assert not MINARI.found(Path("atari/pong"))


def test_a_missing_set_says_how_to_get_it_and_touches_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("a reader of local files opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refused)
    with one_clear_error("no Minari set at toy/none-v0 nor of that id in .*minari: memworld downloads nothing"):
        open_minari("toy/none-v0")
    with one_clear_error("`minari download toy/none-v0` gets it .* cannot be reached, copy .*minari/toy/none-v0"):
        open_minari("toy/none-v0")
    assert not root.exists()


def test_an_id_does_not_lead_out_of_the_root(root: Path, rng: np.random.Generator, tmp_path: Path) -> None:
    write_minari(make_dataset(rng, 1), root.parent / "outside/x-v0")
    (root / "a").mkdir(parents=True)
    for escape in ("../outside/x-v0", "a/../../outside/x-v0"):
        assert (root / escape / "data").is_dir()
        assert find_minari(escape) is None
        with one_clear_error("no Minari set at .*: name the folder"):
            open_minari(escape)
    # A path that the user gives is another thing.
    assert len(open_minari(root / "../outside/x-v0")) == 1


def test_another_formats_metadata_are_not_taken_for_a_set(tmp_path: Path, stored: Path) -> None:
    (tmp_path / "v4_stream").mkdir()
    shutil.copy(stored / "data/metadata.json", tmp_path / "v4_stream/metadata.json")
    assert find_minari(tmp_path / "v4_stream") is None


def test_without_minari_the_extra_is_named(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "minari", None)
    with one_clear_error(r'pip install "memworld\[minari\]"'):
        open_minari(stored)
