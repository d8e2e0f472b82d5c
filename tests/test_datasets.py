import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.datasets import DatasetInfo, EpisodeDataset, EpisodeEntry
from memworld.episodes import Episode
from tests.helpers import DISCRETE, assert_same_episode, make_dataset, make_episode, one_clear_error

BOX = gymnasium.spaces.Box(-1, 1, (2,))
DICT = gymnasium.spaces.Dict({"jump": gymnasium.spaces.Discrete(2), "camera": BOX})
# Its own text takes several lines.
WIDE = gymnasium.spaces.Box(np.linspace(-1, 0, 30, dtype=np.float32), np.ones(30, np.float32))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


SOUND = make_episode(np.random.default_rng(0), states=2)


# What episodes share


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 2), (0, 8, 3), (8, 8, 3, 1), 8, (8.0, 8, 3), None])
def test_frame_shapes_that_cannot_be(shape: Any) -> None:
    with one_clear_error(r"frames of shape .*: expected \(H, W, C\) with C of 1 or 3"):
        DatasetInfo(shape, DISCRETE)


def test_info_of_an_unsupported_action_space() -> None:
    with one_clear_error("is not supported"):
        DatasetInfo((8, 8, 3), gymnasium.spaces.Text(3))  # type: ignore[arg-type]


@pytest.mark.parametrize("space", [DISCRETE, BOX, WIDE])
def test_info_goes_through_json(space: Any) -> None:
    # Lists and NumPy's integers are what a caller may have at hand.
    names = ("a", "b", "c", "d") if space is DISCRETE else ()
    info = DatasetInfo(list(np.array([8, 9, 3])), space, "toy", ["x"], list(names))  # type: ignore[arg-type]
    assert DatasetInfo.from_json(json.loads(json.dumps(info.to_json()))) == info
    assert info == DatasetInfo((8, 9, 3), space, "toy", ("x",), names)
    assert info != replace(info, world="other")


@pytest.mark.parametrize(
    ("space", "names", "match"),
    [
        (DISCRETE, ("left", "right"), r"2 action names for Discrete\(4\), which has 4 to name: name all or none"),
        (DISCRETE, tuple("abcde"), "5 action names"),
        (BOX, ("x",), "1 action names for Box.*, which has 2 to name"),
        (DICT, ("jump", "camera"), "is not of the form part=choice"),
    ],
)
def test_actions_are_named_all_or_not_at_all(space: Any, names: tuple[str, ...], match: str) -> None:
    with one_clear_error(match):
        DatasetInfo((8, 8, 3), space, action_names=names)


@pytest.mark.parametrize("text", ["a\x1b[2Jb", "a\nb", "\x00", "\u202etxt", 7])
def test_names_that_would_reach_the_terminal_as_commands(text: Any) -> None:
    names: list[dict[str, Any]] = [
        {"world": text},
        {"state_names": ("x", text)},
        {"action_names": ("a", "b", "c", text)},
    ]
    for given_names in names:
        with one_clear_error("cannot be printed: use plain text"):
            DatasetInfo((8, 8, 3), DISCRETE, **given_names)
    assert DatasetInfo((8, 8, 3), DISCRETE, world="Höhle 2").world == "Höhle 2"


@pytest.mark.parametrize(
    ("info", "match"),
    [
        (DatasetInfo((9, 8, 3), DISCRETE), r"e0 has frames of \(8, 8, 3\), the data set of \(9, 8, 3\): resize them"),
        (DatasetInfo((8, 8, 3), DISCRETE, state_names=("x",)), r"e0 has 0 state variables, the data set 1 \(x\)"),
        (DatasetInfo((8, 8, 3), gymnasium.spaces.Discrete(2)), "episode e0: action 2 is outside"),
        (DatasetInfo((8, 8, 3), BOX), r"episode e0: actions have shape \(5,\), .* asks for"),
        (DatasetInfo((8, 8, 3), gymnasium.spaces.Box(0, 9, (5,))), r"shape \(5,\), .* asks for \(T, 5\)"),
    ],
)
def test_an_episode_that_does_not_belong(info: DatasetInfo, match: str) -> None:
    episode = replace(SOUND, states=None, actions=np.array([0, 1, 2, 3, 0]))
    with one_clear_error(match):
        info.check(episode)
    with one_clear_error(match):
        EpisodeDataset.from_episodes(info, [episode])


def test_states_that_do_not_belong() -> None:
    with one_clear_error(r"e0 has 2 state variables, the data set 0 \(none\)"):
        DatasetInfo((8, 8, 3), DISCRETE).check(SOUND)


def test_a_table_of_discrete_actions_does_not_belong() -> None:
    episode = replace(SOUND, states=None, actions=np.zeros((5, 1), np.int64))
    with one_clear_error(r"episode e0: actions have shape \(5, 1\), Discrete\(4\) asks for \(T\)"):
        DatasetInfo((8, 8, 3), DISCRETE).check(episode)


def test_checked_actions_take_the_stored_form() -> None:
    info = DatasetInfo((8, 8, 3), BOX)
    episode = replace(SOUND, states=None, actions=np.full((5, 2), 0.5))
    checked = info.check(episode)
    assert checked.actions.dtype == np.float32
    assert not checked.actions.flags.writeable
    assert info.check(checked) is checked


# Data sets


class Loads:
    """A loader that counts."""

    def __init__(self, dataset: EpisodeDataset) -> None:
        self.counts: Counter[str] = Counter()
        self.dataset = EpisodeDataset(dataset.info, dataset.entries, self._load)
        self._source = dataset

    def _load(self, episode_id: str) -> Episode:
        self.counts[episode_id] += 1
        return self._source.load(episode_id)


def test_episodes_are_loaded_when_asked_for_and_not_before(rng: np.random.Generator) -> None:
    loads = Loads(make_dataset(rng, 4))
    dataset = loads.dataset
    training, held_out = dataset.split(1)
    assert (len(dataset), dataset.steps, dataset.ids) == (4, 5 + 6 + 7 + 8, ("e0", "e1", "e2", "e3"))
    assert (len(training[1:]), repr(held_out)[:20], len(dataset.subset(["e3"]))) == (2, "EpisodeDataset(toy, ", 1)
    assert not loads.counts
    assert (dataset[2].id, dataset[-1].id, dataset.load("e0").id) == ("e2", "e3", "e0")
    assert loads.counts == {"e2": 1, "e3": 1, "e0": 1}
    assert [episode.id for episode in dataset] == list(dataset.ids)
    assert loads.counts == {"e0": 2, "e1": 1, "e2": 2, "e3": 2}


def test_slices_and_subsets_are_data_sets(rng: np.random.Generator) -> None:
    dataset = make_dataset(rng, 5)
    assert dataset[::2].ids == ("e0", "e2", "e4")
    assert dataset[3:0:-1].ids == ("e3", "e2", "e1")
    assert len(dataset[5:]) == 0
    assert dataset.subset(["e3", "e0"]).ids == ("e3", "e0")
    assert_same_episode(dataset.subset(["e3", "e0"])[0], dataset[3])
    assert repr(dataset[:2]) == "EpisodeDataset(toy, 2 episodes, 11 steps)"
    assert "unknown world" in repr(EpisodeDataset(replace(dataset.info, world=""), [], dataset.load))
    with pytest.raises(IndexError):
        dataset[5]


def test_unknown_and_repeated_ids(rng: np.random.Generator) -> None:
    dataset = make_dataset(rng, 7)
    for ask in (lambda: dataset.load("e7"), lambda: dataset.subset(["e0", "e7"])):
        with one_clear_error(r"no episode 'e7': it has e0, e1, e2, e3, e4, \.\.\. \(7 in all\)"):
            ask()
    same = "two episodes of the data set have the same id: rename one"
    with one_clear_error(same):
        dataset.subset(["e0", "e0"])
    with one_clear_error(same):
        EpisodeDataset.from_episodes(dataset.info, [dataset[0], replace(dataset[1], id="e0")])


def test_episodes_may_come_from_a_generator(rng: np.random.Generator) -> None:
    dataset = make_dataset(rng)
    again = EpisodeDataset.from_episodes(dataset.info, (episode for episode in dataset))  # type: ignore[arg-type]
    assert again.ids == dataset.ids


@pytest.mark.parametrize(("id", "steps"), [("other", 5), ("e0", 6)])
def test_a_loader_that_gives_another_episode(rng: np.random.Generator, id: str, steps: int) -> None:
    dataset, other = make_dataset(rng, 1), make_episode(rng, steps, id=id)
    with one_clear_error(f"e0 of 5 steps was loaded as {id} of {steps}: the data set's list is out of date"):
        EpisodeDataset(dataset.info, dataset.entries, lambda _: other)[0]


def test_a_loaded_episode_is_checked(rng: np.random.Generator) -> None:
    dataset = make_dataset(rng, 1)
    info = replace(dataset.info, observation_shape=(9, 9, 3))
    with one_clear_error("the data set of .9, 9, 3."):
        EpisodeDataset(info, dataset.entries, dataset.load)[0]


@given(count=st.integers(2, 9), seed=st.integers(0, 2**31), data=st.data())
@settings(max_examples=40)
def test_a_split_is_disjoint_complete_and_decided_by_the_seed(count: int, seed: int, data: st.DataObject) -> None:
    held_out = data.draw(st.integers(1, count - 1))
    info = DatasetInfo((8, 8, 3), DISCRETE)
    dataset = EpisodeDataset(info, [EpisodeEntry(f"e{i}", 1) for i in range(count)], lambda _: SOUND)
    training, rest = dataset.split(held_out, seed)
    assert len(rest) == held_out
    assert sorted(training.ids + rest.ids) == sorted(dataset.ids)
    for part in (training, rest):
        assert [i for i in dataset.ids if i in part.ids] == list(part.ids)
    again = dataset.split(held_out, seed)
    assert (again[0].ids, again[1].ids) == (training.ids, rest.ids)


def test_another_seed_splits_otherwise(rng: np.random.Generator) -> None:
    dataset = make_dataset(rng, 8, steps=1)
    assert len({dataset.split(3, seed)[1].ids for seed in range(10)}) > 3


def test_an_episode_recorded_later_moves_few_others() -> None:
    def held_out(episodes: int) -> set[str]:
        entries = [EpisodeEntry(f"e{i}", 1) for i in range(episodes)]
        return set(EpisodeDataset(DatasetInfo((8, 8, 3), DISCRETE), entries, lambda _: SOUND).split(10, 0)[1].ids)

    # A newcomer takes one place at most; a shuffle by the seed alone would move most.
    for episodes in range(40, 60):
        assert len(held_out(episodes) - held_out(episodes + 1)) <= 1


@pytest.mark.parametrize("held_out", [-1, 0, 3, 4])
def test_a_split_leaves_an_episode_on_each_side(rng: np.random.Generator, held_out: int) -> None:
    with one_clear_error(f"cannot hold out {held_out} of 3 episodes: at least .* record more, or hold out none"):
        make_dataset(rng, 3).split(held_out)


def test_a_negative_seed(rng: np.random.Generator) -> None:
    with one_clear_error("seed must be 0 or above, got -1"):
        make_dataset(rng, 3).split(1, -1)


@pytest.mark.parametrize("output", ["set", "set/", "set/../set", "set/inside", "", "link", "link/deep/inside"])
def test_an_output_that_would_destroy_the_source(tmp_path: Path, rng: np.random.Generator, output: str) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "link").symlink_to("set")
    made = make_dataset(rng)
    dataset = EpisodeDataset(made.info, made.entries, made.load, tmp_path / "set")
    for part in (dataset, dataset[1:], dataset.subset(["e0"]), *dataset.split(1)):
        with one_clear_error("is, contains or lies in .*set, which the episodes are read from: name another"):
            part.check_output(tmp_path / output)
        part.check_output(tmp_path / "sets")
    made.check_output(tmp_path / output)  # is in memory alone


def test_entries_go_through_json() -> None:
    entry = EpisodeEntry("e0", 5, {"seed": 1})
    assert EpisodeEntry.from_json(json.loads(json.dumps(entry.to_json()))) == entry
    with one_clear_error("'../e0' cannot be a file name"):
        EpisodeEntry.from_json(entry.to_json() | {"id": "../e0"})
