from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest

from memworld.episodes import Episode
from tests.helpers import assert_same_episode, make_episode, one_clear_error


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
