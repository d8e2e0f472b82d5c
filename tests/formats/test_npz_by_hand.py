from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from memworld.datasets import DatasetInfo
from memworld.formats import ReadOptions, open_dataset
from memworld.formats.npz import open_npz
from tests.formats.arrays import arrays_of
from tests.helpers import one_clear_error


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_folder_of_files_by_hand(tmp_path: Path, rng: np.random.Generator) -> None:
    for name, actions in (("b", [0, 1, 2, 0, 1]), ("a", [0, 6, 0, 0, 0])):
        changes = {"actions": np.array(actions, np.uint8), "terminations": None, "truncations": None}
        np.savez(tmp_path / f"{name}.npz", **arrays_of(rng, **changes))
    (tmp_path / ".tmp-x.npz").write_bytes(b"left behind")
    dataset = open_npz(tmp_path)
    assert dataset.info == DatasetInfo((8, 8, 3), gymnasium.spaces.Discrete(7))
    assert [(entry.id, entry.steps) for entry in dataset.entries] == [("a", 5), ("b", 5)]
    assert dataset[1].actions.tolist() == [0, 1, 2, 0, 1]
    assert dataset[1].actions.dtype == np.int64
    assert dataset[0].truncations.tolist() == [False] * 4 + [True]
    assert not dataset[0].terminations.any()


def test_one_file_by_hand_with_floats_and_states(tmp_path: Path, rng: np.random.Generator) -> None:
    changes = {
        "actions": rng.normal(size=(5, 2)),
        "states": rng.normal(size=(6, 2)),
        "terminations": np.arange(5) == 4,
        "truncations": None,
    }
    np.savez_compressed(tmp_path / "run.npz", **arrays_of(rng, **changes))
    dataset = open_npz(tmp_path / "run.npz")
    unbounded = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    assert dataset.info == DatasetInfo((8, 8, 3), unbounded, state_names=("state_0", "state_1"))
    [episode] = dataset
    np.testing.assert_array_equal(episode.states, changes["states"].astype(np.float32))
    # An episode that terminated was not cut off.
    assert (episode.id, episode.terminations[-1], episode.truncations[-1]) == ("run", True, False)


def test_opening_by_hand_reads_the_frames_of_the_first_file_only(tmp_path: Path, rng: np.random.Generator) -> None:
    np.savez(tmp_path / "a.npz", **arrays_of(rng))
    np.savez(tmp_path / "b.npz", **arrays_of(rng, observations=np.zeros((6, 8, 8, 3), np.float32)))
    dataset = open_npz(tmp_path)
    assert dataset.steps == 10
    with one_clear_error("frames must be uint8"):
        dataset.load("b")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"rewards": None}, "no array 'rewards' among"),
        ({"actions": None}, "no array 'actions' among"),
        ({"actions": np.zeros(0, np.int64)}, "has no actions"),
        ({"actions": np.array(3)}, r"expected integers \(T,\) or \(T, A\), or floats \(T, A\)"),
        ({"actions": np.zeros((5, 0), np.int64)}, r"expected integers \(T,\) or \(T, A\), or floats \(T, A\)"),
        ({"actions": np.zeros((5, 0), np.float32)}, r"expected integers \(T,\) or \(T, A\), or floats \(T, A\)"),
        ({"actions": np.array([0, 1, -1, 0, 0])}, "number them from 0"),
        ({"actions": np.array([0, 1, 2, 2147483646, 0])}, "of 0 to 2147483646: number them .* to at most 4095"),
        ({"actions": np.array([0, 1, 2, 2**63, 0], np.uint64)}, "number them from 0"),
        ({"actions": np.full((5, 1), np.nan)}, "NaN or infinity in its actions"),
        ({"actions": np.array([{}] * 5)}, "Object arrays cannot be loaded"),
        ({"observations": np.full((6, 8, 8, 3), np.nan)}, "float64 with NaN: frames must be uint8"),
        ({"observations": np.ones((6, 8, 8, 3), np.float32)}, "float32: frames must be uint8"),
        ({"observations": np.zeros((7, 8, 8, 3), np.uint8)}, r"7 observations and 5 actions: T actions need T\+1 obs"),
        ({"observations": np.zeros((5, 8, 8, 3), np.uint8), "states": np.zeros((6, 2))}, "6 states and 5 actions"),
        ({"observations": np.zeros((1, 8, 8, 3), np.uint8), "actions": np.zeros(1, np.int64)}, "one frame for its"),
        ({"observations": np.zeros((4001, 8, 8, 3), np.uint8)}, "4001 observations and 5 actions"),
        ({"observations": np.zeros((6, 8, 8), np.uint8)}, r"expected \(T\+1, H, W, C\)"),
        ({"rewards": np.zeros(4)}, "4 rewards and 5 actions: T actions need T rewards"),
        ({"rewards": np.array([None] * 5)}, "Object arrays cannot be loaded"),
        ({"terminations": np.ones(5, bool)}, "ends before its last step"),
        ({"truncations": np.zeros(6, bool)}, "6 truncations and 5 actions"),
        ({"states": np.zeros((5, 2), np.float32)}, r"5 states and 5 actions: T actions need T\+1 states"),
    ],
)
def test_bad_arrays_by_hand(tmp_path: Path, rng: np.random.Generator, changes: dict[str, Any], match: str) -> None:
    # np.savez pickles arrays of objects without a word.
    np.savez(tmp_path / "a.npz", **arrays_of(rng, **changes))
    with one_clear_error(match):
        open_npz(tmp_path)[0]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.zeros(5, np.int64), np.zeros((5, 1))),
        (np.zeros((5, 1)), np.zeros(5, np.int64)),
        (np.zeros((5, 1)), np.zeros((5, 2))),
        (np.zeros((5, 1), np.int64), np.zeros(5, np.int64)),
        (np.zeros((5, 1), np.int64), np.zeros((5, 1))),
    ],
)
def test_files_by_hand_that_disagree(tmp_path: Path, rng: np.random.Generator, first: Any, second: Any) -> None:
    np.savez(tmp_path / "a.npz", **arrays_of(rng, actions=first))
    np.savez(tmp_path / "b.npz", **arrays_of(rng, actions=second))
    with one_clear_error(r"b.npz has actions of another kind than .*a.npz"):
        open_npz(tmp_path)


def test_a_name_that_cannot_be_an_id(tmp_path: Path, rng: np.random.Generator) -> None:
    np.savez(tmp_path / "my run.npz", **arrays_of(rng))
    with one_clear_error("my run.npz must be renamed, as its name becomes the episode's id: .*use 1 to 128 letters"):
        open_npz(tmp_path)


def test_nothing_there(tmp_path: Path) -> None:
    with one_clear_error("nowhere does not exist"):
        open_npz(tmp_path / "nowhere")
    with one_clear_error("holds neither dataset.json nor .npz files"):
        open_npz(tmp_path)


def paired(rng: np.random.Generator) -> dict[str, Any]:
    """What the paper's published code saves: as many frames as actions, and nothing else."""
    return {
        "observations": rng.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8),
        "actions": np.array([3, 0, 1, 2, 0, 5]),
        "rewards": np.arange(6.0),
    }


def test_as_many_frames_as_actions(tmp_path: Path, rng: np.random.Generator) -> None:
    arrays = paired(rng)
    np.savez_compressed(tmp_path / "race_0.npz", **arrays)
    before = open_dataset(tmp_path)
    assert (before.info.action_space, before.steps) == (gymnasium.spaces.Discrete(6), 5)
    np.testing.assert_array_equal(before[0].observations, arrays["observations"])
    # An action was taken in the frame of its own row; the last one led to nothing that was saved.
    assert (before[0].actions.tolist(), before[0].rewards.tolist()) == ([3, 0, 1, 2, 0], [0, 1, 2, 3, 4])
    assert before[0].truncations.tolist() == [False] * 4 + [True]
    after = open_dataset(tmp_path, ReadOptions(frame_after_action=True))
    np.testing.assert_array_equal(after[0].observations, arrays["observations"])
    # The frame of an action's row is what it led to, so the second action was taken in the first frame.
    assert (after[0].actions.tolist(), after[0].rewards.tolist()) == ([0, 1, 2, 0, 5], [1, 2, 3, 4, 5])


def test_whole_numbers_side_by_side_are_a_choice_each(tmp_path: Path, rng: np.random.Generator) -> None:
    np.savez(tmp_path / "a.npz", **arrays_of(rng, actions=np.array([[0, 1]] * 5)))
    np.savez(tmp_path / "b.npz", **arrays_of(rng, actions=np.array([[2, 0]] * 5)))
    dataset = open_npz(tmp_path)
    assert dataset.info.action_space == gymnasium.spaces.MultiDiscrete([3, 2])
    assert dataset[1].actions.tolist() == [[2, 0]] * 5
    assert dataset[1].actions.dtype == np.int64


def test_one_broken_file_among_many_is_listed_and_not_loaded(tmp_path: Path, rng: np.random.Generator) -> None:
    for name in ("a", "b", "c"):
        np.savez(tmp_path / f"{name}.npz", **arrays_of(rng))
    for broken in ("a", "b"):
        file = tmp_path / f"{broken}.npz"
        file.write_bytes(file.read_bytes()[:100])
    dataset = open_npz(tmp_path)
    assert [(entry.id, entry.steps) for entry in dataset.entries] == [("a", 0), ("b", 0), ("c", 5)]
    assert len(dataset.load("c")) == 5
    with one_clear_error("a.npz is no .npz file of an episode, or is damaged"):
        dataset.load("a")
    (tmp_path / "c.npz").unlink()
    with one_clear_error("a.npz is no .npz file of an episode, or is damaged"):
        open_npz(tmp_path)


@pytest.mark.parametrize("name", ["terminations", "truncations"])
def test_an_end_marked_at_the_last_of_as_many_frames_is_kept(
    tmp_path: Path, rng: np.random.Generator, name: str
) -> None:
    np.savez(tmp_path / "a.npz", **paired(rng), **{name: np.arange(6) == 5})
    [episode] = open_dataset(tmp_path)
    assert getattr(episode, name).tolist() == [False] * 4 + [True]
    assert episode.terminations[-1] != episode.truncations[-1]
    [after] = open_dataset(tmp_path, ReadOptions(frame_after_action=True))
    assert getattr(after, name).tolist() == [False] * 4 + [True]


def test_an_empty_episode_among_others_and_a_loud_name(tmp_path: Path, rng: np.random.Generator) -> None:
    np.savez(tmp_path / "a.npz", **arrays_of(rng, actions=np.zeros(0, np.int64)))
    np.savez(tmp_path / "b.npz", **arrays_of(rng))
    (tmp_path / "b.npz").rename(tmp_path / "B.NPZ")
    dataset = open_npz(tmp_path)
    assert [(entry.id, entry.steps) for entry in dataset.entries] == [("B", 5), ("a", 0)]
    assert open_dataset(tmp_path / "B.NPZ").ids == ("B",)
    with one_clear_error("a.npz has 6 observations and 0 actions"):
        dataset.load("a")
