import json
from collections import Counter
from dataclasses import FrozenInstanceError, replace
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
# Its own text takes several lines.
WIDE = gymnasium.spaces.Box(np.linspace(-1, 0, 30, dtype=np.float32), np.ones(30, np.float32))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def episode_with(**changes: Any) -> Episode:
    """A sound episode of 5 steps and 2 state variables, except for the changes."""
    sound = make_episode(np.random.default_rng(0), states=2)
    arrays = {name: np.array(getattr(sound, name)) for name in ("observations", "actions", "rewards", "states")}
    ends = {"terminations": np.arange(5) == 4, "truncations": np.zeros(5, np.bool_)}
    return Episode(**({"id": "e0", "source": {"seed": 1}} | arrays | ends | changes))


def put(array: Any, place: Any, value: Any) -> np.ndarray:
    changed = np.array(array)
    changed[place] = value
    return changed


SOUND = episode_with()


# Episodes


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"id": "../x"}, "episode id '../x' cannot be a file name: use 1 to 128 letters"),
        ({"id": ""}, "cannot be a file name"),
        ({"id": ".hidden"}, "cannot be a file name"),
        ({"id": "-rf"}, "cannot be a file name"),
        ({"id": "a/b"}, "cannot be a file name"),
        ({"id": "a\n"}, "cannot be a file name"),
        ({"id": "x" * 129}, "cannot be a file name"),
        ({"id": "café"}, "cannot be a file name"),
        ({"id": 7}, "episode id 7 cannot be a file name"),
        ({"actions": [0, 1, 2, 3, 0]}, r"e0 has actions that are no array of shape \(T,\) or \(T, A\)"),
        ({"actions": np.zeros((5, 1, 1))}, "no array of shape"),
        ({"actions": np.int64(0)}, "no array of shape"),
        ({"actions": np.array(["0"] * 5)}, "e0 has actions of type <U1: expected integers"),
        ({"actions": np.array([0, 1, 2, 3, None])}, "has actions of type object"),
        ({"actions": np.zeros(5, np.complex64)}, "has actions of type complex64"),
        ({"actions": np.array([0.5, np.nan, 0, 0, 0])}, "has NaN or infinity in its actions"),
        ({"actions": np.full((5, 2), np.inf)}, "has NaN or infinity in its actions"),
        ({"observations": SOUND.observations.tolist()}, "has frames of type list: frames must be uint8, 0 to 255"),
        ({"observations": SOUND.observations / 255}, r"frames of type float64: .* \(multiply by 255 and round"),
        ({"observations": put(SOUND.observations / 255, (2, 0, 0, 0), np.nan)}, "type float64 with NaN"),
        ({"observations": SOUND.observations.astype(np.int64)}, "has frames of type int64"),
        ({"observations": SOUND.observations[..., 0]}, r"frames of shape \(6, 8, 8\): expected \(T\+1, H, W, C\)"),
        ({"observations": SOUND.observations[..., :2]}, "C of 1 or 3"),
        ({"observations": SOUND.observations[:, :0]}, r"frames of shape \(6, 0, 8, 3\)"),
        ({"observations": SOUND.observations[:5]}, "has 5 observations and 5 actions: T actions need T[+]1"),
        ({"observations": SOUND.observations[:1], "actions": np.zeros(0, np.int64)}, "has no actions: .* at least one"),
        ({"rewards": np.zeros(4)}, r"has rewards of shape \(4,\): expected \(5,\)"),
        ({"rewards": np.zeros((5, 1))}, r"has rewards of shape \(5, 1\)"),
        ({"rewards": put(SOUND.rewards, 1, np.nan)}, "has NaN or infinity in its rewards"),
        ({"rewards": [0, 0, 0, 0, 1e39]}, "has NaN or infinity in its rewards"),
        ({"rewards": ["0"] * 5}, "has rewards of type <U1: expected numbers"),
        ({"rewards": [[0], [0, 0], 0, 0, 0]}, "has rewards that are no array"),
        ({"terminations": np.ones(6, np.bool_)}, r"has terminations of shape \(6,\)"),
        ({"terminations": [0, 0, 0, 0, 0.5]}, "has terminations other than true and false"),
        ({"terminations": np.arange(5) >= 3}, "e0 ends before its last step: cut it into one episode per ending"),
        ({"truncations": np.arange(5) == 0}, "ends before its last step"),
        ({"truncations": [None] * 5}, "has truncations of type object"),
        ({"states": np.zeros(6)}, r"has states of shape \(6,\): expected \(6, S\)"),
        ({"states": np.zeros((5, 2))}, r"has states of shape \(5, 2\): expected \(6, S\)"),
        ({"states": np.zeros((6, 2, 2))}, r"expected \(6, S\)"),
        ({"states": np.zeros((6, 0))}, r"expected \(6, S\)"),
        ({"states": put(np.zeros((6, 2)), (5, 1), -np.inf)}, "has NaN or infinity in its states"),
        ({"source": {"score": float("nan")}}, "has a source that is not plain JSON"),
        ({"source": {"tags": {1, 2}}}, "has a source that is not plain JSON"),
        ({"source": None}, "has a source that is not plain JSON"),
    ],
)
def test_an_invalid_episode_cannot_be_built(changes: dict[str, Any], match: str) -> None:
    with one_clear_error(match):
        episode_with(**changes)


def test_arrays_take_their_stored_types() -> None:
    lists = {"rewards": [1, 0, 0, 0, 2], "truncations": [0, 0, 0, 0, 1], "states": [[1, 2]] * 6}
    episode = episode_with(**lists, source={"a": (1,)})
    assert (episode.rewards.dtype.name, episode.rewards.tolist()) == ("float32", [1, 0, 0, 0, 2])
    assert (episode.truncations.dtype.name, episode.truncations.tolist()) == ("bool", [False] * 4 + [True])
    assert episode.states is not None
    assert (episode.states.dtype.name, episode.states.shape) == ("float32", (6, 2))
    assert dict(episode.source) == {"a": [1]}  # as a file gives it back


def test_an_episode_cannot_be_changed() -> None:
    frames, actions, source = np.array(SOUND.observations), np.array(SOUND.actions), {"nested": [1]}
    episode = episode_with(observations=frames, actions=actions, source=source)
    for name in ("observations", "actions", "rewards", "terminations", "truncations", "states"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(episode, name)[0] = 0
    with pytest.raises(FrozenInstanceError):
        episode.id = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        episode.source["nested"] = 2  # type: ignore[index]
    # What the caller goes on using (as a buffer for the next episode) is the caller's own.
    frames[:], actions[:], source["nested"][0] = 0, 3, 2
    assert_same_episode(episode, episode_with(source={"nested": [1]}))


def test_a_view_of_a_buffer_is_copied_and_a_frozen_array_is_not() -> None:
    buffer = np.zeros((100, 8, 8, 3), np.uint8)
    episode = episode_with(observations=buffer[:6])
    buffer[:] = 7
    assert episode.observations.max() == 0
    assert replace(episode, id="e1").observations is episode.observations


def test_an_episode_shows_its_shapes() -> None:
    episode = episode_with(rewards=[1, 0, 0, 0, 2.5], states=None)
    assert repr(episode) == "Episode(e0, 5 steps, return 3.5, observations=uint8[6, 8, 8, 3], actions=int64[5])"
    assert "states=float32[6, 2]" in repr(SOUND)
    assert len(SOUND) == 5


# What episodes share


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 2), (0, 8, 3), (8, 8, 3, 1), 8, (8.0, 8, 3), None])
def test_frame_shapes_that_cannot_be(shape: Any) -> None:
    with one_clear_error(r"frames of shape .*: expected \(H, W, C\) with C of 1 or 3"):
        DatasetInfo(shape, DISCRETE)


def test_info_of_an_unsupported_action_space() -> None:
    with one_clear_error("is not supported"):
        DatasetInfo((8, 8, 3), gymnasium.spaces.MultiBinary(3))  # type: ignore[arg-type]


@pytest.mark.parametrize("space", [DISCRETE, BOX, WIDE])
def test_info_goes_through_json(space: Any) -> None:
    # Lists and NumPy's integers are what a caller may have at hand.
    info = DatasetInfo(list(np.array([8, 9, 3])), space, "toy", ["x"], ("a", "b"))  # type: ignore[arg-type]
    assert DatasetInfo.from_json(json.loads(json.dumps(info.to_json()))) == info
    assert info == DatasetInfo((8, 9, 3), space, "toy", ("x",), ("a", "b"))
    assert info != replace(info, world="other")


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
    episode = episode_with(states=None, actions=np.array([0, 1, 2, 3, 0]))
    with one_clear_error(match):
        info.check(episode)
    with one_clear_error(match):
        EpisodeDataset.from_episodes(info, [episode])


def test_states_that_do_not_belong() -> None:
    with one_clear_error(r"e0 has 2 state variables, the data set 0 \(none\)"):
        DatasetInfo((8, 8, 3), DISCRETE).check(SOUND)


def test_a_table_of_discrete_actions_does_not_belong() -> None:
    episode = episode_with(states=None, actions=np.zeros((5, 1), np.int64))
    with one_clear_error(r"episode e0: actions have shape \(5, 1\), Discrete\(4\) asks for \(T\)"):
        DatasetInfo((8, 8, 3), DISCRETE).check(episode)


def test_checked_actions_take_the_stored_form() -> None:
    info = DatasetInfo((8, 8, 3), BOX)
    episode = episode_with(states=None, actions=np.full((5, 2), 0.5))
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
@settings(max_examples=40, deadline=None)
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


@pytest.mark.parametrize("held_out", [-1, 0, 3, 4])
def test_a_split_leaves_an_episode_on_each_side(rng: np.random.Generator, held_out: int) -> None:
    with one_clear_error(f"cannot hold out {held_out} of 3 episodes: at least one must stay on each side"):
        make_dataset(rng, 3).split(held_out)


def test_a_negative_seed(rng: np.random.Generator) -> None:
    with one_clear_error("seed must be 0 or above, got -1"):
        make_dataset(rng, 3).split(1, -1)


def test_entries_go_through_json() -> None:
    entry = EpisodeEntry("e0", 5, {"seed": 1})
    assert EpisodeEntry.from_json(json.loads(json.dumps(entry.to_json()))) == entry
    with one_clear_error("'../e0' cannot be a file name"):
        EpisodeEntry.from_json(entry.to_json() | {"id": "../e0"})
