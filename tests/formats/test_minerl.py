"""MineRL's own recordings, made by hand: what is read from them, in all versions."""

from pathlib import Path

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

from memworld.actions import restore_actions
from memworld.formats.format import ReadOptions
from memworld.formats.minerl import MINERL, open_minerl
from tests.formats.minerl_folders import BUTTONS, make_recording, navigate_arrays, video_of
from tests.helpers import one_clear_error

pytest.importorskip("av")


def navigate(tmp_path: Path, version: int = 4, episodes: int = 2) -> tuple[Path, list[np.ndarray]]:
    """ROOT with recordings `a`, `b`, ... of 5, 6, ... steps of MineRLNavigate-v0, and the frames of their videos."""
    root = tmp_path / "minerl"
    videos = []
    for number in range(episodes):
        folder = root / "MineRLNavigate-v0" / f"v{version}_{'abcdef'[number]}"
        arrays = navigate_arrays(5 + number, version, seed=number)
        success = {4: True, 3: "True"}.get(version, "true") if number % 2 == 0 else {4: False, 3: "False"}.get(version)
        videos.append(make_recording(folder, arrays, success=success))
    (root / "VERSION").write_text(f"{version}\n")
    return root, videos


@pytest.mark.parametrize("version", [2, 3, 4])
def test_navigate_in_every_version(tmp_path: Path, version: int) -> None:
    root, videos = navigate(tmp_path, version)
    dataset = open_minerl(root)
    spaces = {name: Discrete(2) for name in (*BUTTONS, "place")}
    assert dataset.info.action_space == Dict({**spaces, "camera": Box(-180, 180, (2,), np.float32)})
    assert dataset.info.action_names == ("place=none", "place=dirt")
    assert dataset.info.world == "MineRLNavigate-v0"
    assert dataset.info.observation_shape == (8, 10, 3)
    assert dataset.info.state_names == ("compass.angle", "inventory_dirt" if version == 2 else "inventory.dirt")
    assert (dataset.ids, dataset.steps) == (("a", "b"), 11)
    for number, (episode, video) in enumerate(zip(dataset, videos, strict=True)):
        arrays = {k.replace("$", "_"): v for k, v in navigate_arrays(5 + number, version, seed=number).items()}
        # The last N+1 frames, the very last one as it is.
        np.testing.assert_array_equal(episode.observations, video[3:])
        np.testing.assert_array_equal(episode.rewards, arrays["reward"])
        actions = restore_actions(episode.actions, dataset.info.action_space)
        np.testing.assert_array_equal(actions["camera"], arrays["action_camera"])
        np.testing.assert_array_equal(actions["place"] == 1, arrays["action_place"] == "dirt")
        for name in BUTTONS:
            np.testing.assert_array_equal(actions[name], arrays[f"action_{name}"])
        compass = arrays["observation_compass_angle" if version == 4 else "observation_compassAngle"]
        states = np.stack([compass, arrays["observation_inventory_dirt"]], 1)
        assert episode.states is not None
        np.testing.assert_array_equal(episode.states, states.astype(np.float32))
        assert (episode.terminations[-1], episode.truncations[-1]) == (number == 0, number == 1)
        assert not episode.terminations[:-1].any()
        assert not episode.truncations[:-1].any()
        assert episode.source["stream"] == f"v{version}_{episode.id}"


def test_a_root_an_environment_or_one_recording_can_be_named(tmp_path: Path) -> None:
    root, _ = navigate(tmp_path)
    environment = root / "MineRLNavigate-v0"
    for path, ids in [(root, ("a", "b")), (environment, ("a", "b")), (environment / "v4_b", ("b",))]:
        assert MINERL.found(path)
        dataset = MINERL.open(path, ReadOptions())
        assert (dataset.ids, dataset.info.world) == (ids, "MineRLNavigate-v0")
        assert [len(episode) for episode in dataset] == [entry.steps for entry in dataset.entries]
    assert not MINERL.found(tmp_path / "nothing")
    assert not MINERL.found(environment / "v4_b" / "metadata.json")
    (tmp_path / "empty").mkdir()
    assert not MINERL.found(tmp_path / "empty")
    with one_clear_error("no MineRL recordings at"):
        open_minerl(tmp_path / "empty")


def test_several_environments_must_be_named_one_by_one(tmp_path: Path) -> None:
    root, _ = navigate(tmp_path)
    make_recording(root / "MineRLTreechop-v0" / "v4_t", {"reward": np.zeros(3), "action$attack": np.ones(3, int)})
    with one_clear_error(r"several environments \(MineRLNavigate-v0, MineRLTreechop-v0\): name one"):
        open_minerl(root)
    treechop = open_minerl(root / "MineRLTreechop-v0")
    assert treechop.info.state_names == ()
    assert treechop[0].states is None


def test_frames_are_resized_as_they_are_read(tmp_path: Path) -> None:
    root, videos = navigate(tmp_path, episodes=1)
    dataset = open_minerl(root, ReadOptions(size=(4, 5)))
    assert dataset.info.observation_shape == (4, 5, 3)
    means = videos[0][3:].reshape(6, 4, 2, 5, 2, 3).astype(float).mean((2, 4))
    assert np.abs(dataset[0].observations - means).max() <= 1


def obtain(words: dict[str, list[str] | list[int]]) -> dict[str, np.ndarray]:
    steps = len(next(iter(words.values())))
    return {"reward": np.zeros(steps, np.float32)} | {f"action${name}": np.array(w) for name, w in words.items()}


def test_words_are_numbered_as_in_minerl_or_by_the_alphabet(tmp_path: Path) -> None:
    root = tmp_path / "MineRLObtainDiamond-v0"
    first = {"place": ["none", "torch"], "craft": ["none", "none"], "wear": ["hat", "none"], "nearbySmelt": [0, 2]}
    second = {"place": ["none", "dirt"], "craft": ["stick", "none"], "wear": ["cape", "hat"], "nearbySmelt": [0, 1]}
    make_recording(root / "v4_a", obtain(first))  # type: ignore[arg-type]
    make_recording(root / "v4_b", obtain(second))  # type: ignore[arg-type]
    dataset = open_minerl(root)
    names = dataset.info.action_names
    place = ["none", "dirt", "stone", "cobblestone", "crafting_table", "furnace", "torch"]
    assert [n for n in names if n.startswith("place=")] == [f"place={word}" for word in place]
    assert [n for n in names if n.startswith("craft=")] == [
        f"craft={word}" for word in ("none", "torch", "stick", "planks", "crafting_table")
    ]
    assert [n for n in names if n.startswith("wear=")] == ["wear=none", "wear=cape", "wear=hat"]
    assert [n for n in names if n.startswith("nearbySmelt=")] == [
        f"nearbySmelt={word}" for word in ("none", "iron_ingot", "coal")
    ]
    actions = restore_actions(dataset[0].actions, dataset.info.action_space)
    assert {name: array.tolist() for name, array in actions.items()} == {
        "place": [0, 6],
        "craft": [0, 0],
        "wear": [2, 0],
        "nearbySmelt": [0, 2],
    }


def test_other_numbers_words_of_observations_and_vectors(tmp_path: Path) -> None:
    """Amounts become a Box, several columns get numbers, words in observations and a `pov` are left out."""
    arrays = {
        "reward": np.zeros(2),
        "action$vector": np.array([[0.5, -0.5], [2, 3]]),
        "action$strength": np.array([0.25, 1.5]),
        "action$hotbar": np.array([8, 0]),
        "action$use": np.array([[1], [0]]),
        "observation$vector": np.arange(6.0).reshape(3, 2),
        "observation$equipped_items$mainhand$type": np.array(["air", "axe", "air"]),
        "observation$equipped_items$mainhand$damage": np.array([0, 1, 2]),
        "observation$pov": np.zeros((3, 8, 10, 3), np.uint8),
    }
    make_recording(tmp_path / "MineRL" / "v4_a", arrays)
    dataset = open_minerl(tmp_path)
    assert dataset.info.action_space == Dict(
        {
            "hotbar": Discrete(9),
            "strength": Box(-np.inf, np.inf, (), np.float32),
            "use": Discrete(2),
            "vector": Box(-np.inf, np.inf, (2,), np.float32),
        }
    )
    assert dataset.info.state_names == ("equipped_items.mainhand.damage", "vector_0", "vector_1")
    assert "observation equipped_items.mainhand.type, which is in words" in dataset.left_out
    states = dataset[0].states
    assert states is not None
    np.testing.assert_array_equal(states, [[0, 0, 1], [1, 2, 3], [2, 4, 5]])


def test_the_video_may_have_no_frames_before_the_first_or_no_count(tmp_path: Path) -> None:
    arrays = navigate_arrays(4)
    exact = make_recording(tmp_path / "MineRL" / "v4_exact", arrays, video_of(5))
    counted = make_recording(tmp_path / "MineRL" / "v4_none", arrays, video_of(9), true_video_frame_count=None)
    longer = make_recording(tmp_path / "MineRL" / "v4_other", arrays, video_of(9), true_video_frame_count=7)
    dataset = open_minerl(tmp_path)
    np.testing.assert_array_equal(dataset.load("exact").observations, exact)
    np.testing.assert_array_equal(dataset.load("none").observations, counted[4:])
    np.testing.assert_array_equal(dataset.load("other").observations, longer[2:7])
