"""Every action can be reached, and no two by the same keys."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.actions import ActionSpace, as_actions, stored_shape, supported_space
from memworld.datasets import DatasetInfo
from memworld.errors import MemworldError
from memworld.play.keys import default_keys
from memworld.worlds import open_world, world_names
from tests.helpers import sampled_actions


def done(keys: dict[str, Any], held: set[str]) -> Any:
    """The action while these keys are held, as the page finds it."""

    def chosen(choices: list[dict[str, Any]], rest: Any) -> Any:
        chords = [
            (len(chord), choice["value"])
            for choice in choices
            for chord in choice["keys"]
            if set(chord) <= held and chord
        ]
        return max(chords, key=lambda chord: chord[0])[1] if chords else rest

    if keys["actions"]:
        return chosen(keys["actions"], keys["rest"])
    return [chosen(axis["choices"], axis["rest"]) for axis in keys["axes"]]


def check(info: DatasetInfo, taken: np.ndarray | None = None) -> dict[str, Any]:
    """Keys by which all can be done that keys can do."""
    keys = default_keys(info, taken)
    choices = keys["actions"] or [choice for axis in keys["axes"] for choice in axis["choices"]]
    chords = [frozenset(chord) for choice in choices for chord in choice["keys"]]
    assert len(set(chords)) == len(chords)
    assert all(len(set(chord)) == len(chord) for choice in choices for chord in choice["keys"])
    as_actions(np.array(done(keys, set())), info.action_space)
    for action in keys["actions"]:
        assert action["keys"] or action["value"] == keys["rest"]
        for chord in action["keys"]:
            assert done(keys, set(chord)) == action["value"]
    for axis in keys["axes"]:
        assert axis["low"] <= axis["rest"] <= axis["high"]
        if not axis["continuous"]:
            values = {choice["value"] for choice in axis["choices"]} | {axis["rest"]}
            assert values == set(range(axis["low"], axis["high"] + 1))
        for choice in axis["choices"]:
            assert choice["value"] != axis["rest"]
            assert choice["keys"]
            for chord in choice["keys"]:
                # This column alone, the others at rest.
                expected = [choice["value"] if other is axis else other["rest"] for other in keys["axes"]]
                assert done(keys, set(chord)) == expected
                stored = as_actions(np.array(expected), info.action_space)
                assert stored.shape == stored_shape(info.action_space)
    return keys


def of(space: ActionSpace, *names: str) -> DatasetInfo:
    return DatasetInfo((8, 8, 3), space, "keys", (), names)


@pytest.mark.parametrize("name", [*(n for n in world_names() if not n.startswith("atari/")), "atari/qbert"])
def test_every_world(name: str) -> None:
    try:
        world = open_world(name)
        space = world.action_space()
    except MemworldError as error:
        pytest.skip(str(error))
    keys = check(of(space, *world.action_names))
    assert (
        any("ArrowLeft" in chord for c in keys["actions"] or keys["axes"] for chord in _chords(c)) or name == "freeway"
    )


def _chords(choice: dict[str, Any]) -> list[list[str]]:
    return [chord for part in choice.get("choices", [choice]) for chord in part["keys"]]


def test_names_that_tell() -> None:
    world = open_world("seaquest")
    keys = check(of(world.action_space(), *world.action_names))
    by_name = {action["label"]: action["keys"] for action in keys["actions"]}
    assert by_name["NOOP"] == []
    assert by_name["UPRIGHTFIRE"] == [["ArrowUp", "ArrowRight", "Space"], ["KeyW", "KeyD", "Space"]]
    drive = check(of(Discrete(3), "left brake", "straight coast", "right accelerate"))
    assert [action["keys"][:1] for action in drive["actions"]] == [
        [["ArrowLeft", "ArrowDown"]],
        [],
        [["ArrowRight", "ArrowUp"]],
    ]
    assert drive["rest"] == 1
    maze = check(of(Discrete(3), "noop", "strafe_left", "turn_left"))
    assert [action["keys"] for action in maze["actions"]] == [[], [["KeyA"]], [["ArrowLeft"]]]


def test_names_that_do_not_tell() -> None:
    keys = check(of(Discrete(3, start=-1)))
    assert [(action["label"], action["keys"]) for action in keys["actions"]] == [
        ("action -1", [["Digit1"]]),
        ("action 0", [["Digit2"]]),
        ("action 1", [["Digit3"]]),
    ]
    assert keys["rest"] == -1
    same = check(of(Discrete(3), "go left", "left", "turn left"))  # three that mean the same
    assert same["actions"][0]["keys"] == [["ArrowLeft"], ["KeyA"]]
    assert same["actions"][1]["keys"] == [["Digit1"]]


@pytest.mark.parametrize("count", [36, 37, 630, 4096])
def test_many_actions(count: int) -> None:
    keys = default_keys(of(Discrete(count)))
    chords = {frozenset(action["keys"][0]) for action in keys["actions"]}
    assert len(chords) == count
    assert {len(chord) for chord in chords} == {1 if count <= 36 else 2 if count <= 630 else 3}


def test_numbers() -> None:
    steering = check(of(Box(-1, 1, (2,)), "steer", "gas"))
    assert [(c["label"], c["value"], c["keys"]) for c in steering["axes"][0]["choices"]] == [
        ("steer −", -1.0, [["ArrowLeft"]]),
        ("steer +", 1.0, [["ArrowRight"]]),
    ]
    one_sided = check(of(Box(np.array([0, 2], np.float32), np.array([5, 2], np.float32))))["axes"]
    assert [choice["value"] for choice in one_sided[0]["choices"]] == [5]
    assert (one_sided[1]["rest"], one_sided[1]["choices"]) == (2, [])
    endless = check(of(Box(-np.inf, np.inf, (1,))))["axes"][0]
    assert (endless["low"], endless["high"]) == (-1, 1)


def test_keys_go_as_far_as_what_was_recorded() -> None:
    taken = np.concatenate([np.linspace(0, 10, 1001), [150, -3]]).astype(np.float32)[:, None]
    axis = check(of(Box(-180, 180, (1,))), taken)["axes"][0]
    assert axis["high"] == pytest.approx(9.5, abs=0.1)
    assert axis["low"] == -3
    whole = check(of(Box(-5, 5, (1,), np.int64)), np.array([[1], [1], [2]], np.float32))["axes"][0]
    assert (whole["low"], whole["high"]) == (-5, 2)


def test_parts_that_have_names() -> None:
    parts = Dict({"attack": Discrete(2), "back": Discrete(2), "camera": Box(-180, 180, (2,)), "place": Discrete(3)})
    keys = check(of(parts, "place=none", "place=dirt", "place=stone"))
    labels = {choice["label"]: choice["keys"] for axis in keys["axes"] for choice in axis["choices"]}
    assert labels["attack"] == [["Space"]]
    assert labels["back"] == [["ArrowDown"], ["KeyS"]]
    assert set(labels) >= {"place dirt", "place stone", "camera_0 −", "camera_1 +"}
    assert len(keys["rest"]) == 5


discrete = st.builds(Discrete, st.integers(1, 50), start=st.integers(-5, 5))
multi = st.lists(st.integers(1, 9), min_size=1, max_size=8).map(MultiDiscrete)
bounds = st.tuples(st.floats(-9, 9, width=32), st.floats(-9, 9, width=32)).map(sorted)


def bounded(sides: list[list[float]]) -> Box:
    # Nothing can be drawn from 0 to -0, as NumPy says that it has less than no width.
    low, high = (np.array([side[place] for side in sides], np.float32) + np.float32(0) for place in (0, 1))
    return Box(low, high)


boxes = st.lists(bounds, min_size=0, max_size=20).map(bounded)
words = st.sampled_from(["left", "right", "up", "jump", "attack", "camera", "noop", "forward", "x", "y"])
parts = st.dictionaries(words, discrete | multi | boxes, min_size=1, max_size=5)
dicts = parts.map(lambda spaces: Dict(list(spaces.items())))


@settings(max_examples=60)
@given(discrete | multi | boxes | dicts, st.booleans(), st.integers(0, 99))
def test_any_space(space: ActionSpace, recorded: bool, seed: int) -> None:
    kept = supported_space(space)
    check(of(kept), as_actions(sampled_actions(kept, 20, seed), kept) if recorded else None)


@given(
    st.lists(
        st.lists(words | st.sampled_from(["fire", "use", "7"]), min_size=1, max_size=3).map(" ".join),
        min_size=1,
        max_size=30,
        unique=True,
    )
)
def test_any_names(names: list[str]) -> None:
    check(of(Discrete(len(names)), *names))


def test_what_is_held_beside_a_chord_does_not_change_it() -> None:
    keys = default_keys(of(Discrete(18), *open_world("seaquest").action_names))
    arrows = ("ArrowUp", "ArrowLeft", "Space")
    found = {done(keys, set(held)) for size in range(4) for held in combinations(arrows, size)}
    assert len(found) == 8  # all that three keys can say
    assert done(keys, {"ArrowUp", "KeyZ"}) == done(keys, {"ArrowUp"})
