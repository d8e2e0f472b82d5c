import json
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.actions import (
    ActionSpace,
    action_features,
    action_parts,
    as_actions,
    choice_names,
    column_names,
    column_scales,
    describe_actions,
    discrete_features,
    restore_actions,
    space_from_json,
    space_to_json,
    stored_dtype,
    stored_shape,
    supported_space,
)
from tests.helpers import one_clear_error, sampled_actions

HALF_BOUNDED = Box(np.array([-1, -np.inf, 0], np.float32), np.array([1, 2, np.inf], np.float32))
# Its own text takes several lines.
WIDE = Box(np.linspace(-1, 0, 30, dtype=np.float32), np.ones(30, np.float32))


MINERL = Dict(
    {
        "attack": Discrete(2),
        "camera": Box(-180, 180, (2,), np.float32),
        "hotbar": MultiDiscrete([9, 3], start=[1, -1]),
        "speed": Box(0, 1, (), np.float64),
    }
)


@pytest.mark.parametrize(
    ("space", "named"),
    [
        (Tuple((Discrete(2), WIDE)), "action space Tuple"),
        (Dict({"look": Dict({"x": Discrete(2)})}), "entry 'look' of the action space, Dict"),
        (Dict({"grid": MultiDiscrete(np.array([[2, 3]]))}), "entry 'grid'"),
        (MultiDiscrete(np.array([[2, 3]])), "action space MultiDiscrete"),
        (Box(0, 1, (2, 2)), "action space Box"),
        (Box(0, 1, ()), "action space Box"),
    ],
)
def test_other_spaces_are_refused(space: gymnasium.Space[Any], named: str) -> None:
    with one_clear_error(f"{named}.* is not supported: use Discrete, a one-dimensional MultiDiscrete or Box, or a"):
        supported_space(space)


@pytest.mark.parametrize(
    ("space", "match"),
    [
        (Dict({}), "has no entries"),
        (Dict({"a=b": Discrete(2)}), "entry called 'a=b'"),
        (Dict({"a\n": Discrete(2)}), "printable names"),
        (Dict({"jump": Discrete(2, start=2**30)}), "'jump' .* starts at more than"),
        (MultiDiscrete([3000, 2000]), "has 5000 actions, memworld takes at most 4096"),
    ],
)
def test_spaces_that_cannot_be_stored(space: gymnasium.Space[Any], match: str) -> None:
    with one_clear_error(match):
        supported_space(space)


def test_several_buttons_are_several_choices() -> None:
    space = supported_space(MultiBinary(3))
    assert space == MultiDiscrete([2, 2, 2])
    assert as_actions([[0, 1, 1], [1, 0, 0]], space).tolist() == [[0, 1, 1], [1, 0, 0]]


spaces = st.one_of(
    st.builds(lambda n, start: Discrete(n, start=start), st.integers(1, 4096), st.integers(-(2**40), 2**40)),
    st.integers(1, 4).flatmap(
        lambda width: st.builds(
            lambda low, above: Box(np.float32(low), np.nextafter(np.float32(low), np.float32(np.inf)) + np.abs(above)),
            st.lists(st.floats(width=32, allow_nan=False, max_value=0), min_size=width, max_size=width),
            st.lists(st.floats(0, 2**100, width=32), min_size=width, max_size=width).map(
                lambda v: np.array(v, np.float32)
            ),
        )
    ),
    st.sampled_from(
        [
            HALF_BOUNDED,
            WIDE,
            Box(-np.inf, np.inf, (2,), np.float32),
            Box(-0.1, 0.3, (2,), np.float64),
            Box(0, 255, (3,), np.uint8),
            Box(-(2**63), 2**63 - 1, (2,), np.int64),
            MultiDiscrete([3, 1, 7], start=[0, -2, 5]),
            MINERL,
        ]
    ),
)


@given(space=spaces)
@settings(max_examples=60)
def test_json_holds_a_space_exactly(space: ActionSpace) -> None:
    text = json.dumps(space_to_json(space), allow_nan=False)
    again = space_from_json(json.loads(text))
    assert type(again) is type(space)
    assert again.dtype == space.dtype
    if isinstance(space, Box) and isinstance(again, Box):
        np.testing.assert_array_equal(again.low, space.low)
        np.testing.assert_array_equal(again.high, space.high)
    else:
        assert again == space


def test_more_actions_than_a_search_can_hold() -> None:
    assert supported_space(Discrete(4096, start=-5)).shape == ()
    with one_clear_error("has 4097 actions, .* at most 4096: number those .* without gaps, or .* Box"):
        supported_space(Discrete(4097))


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ({"type": "Discrete", "n": 10**12, "start": 0}, "has 1000000000000 actions, memworld takes at most 4096"),
        (None, "damaged action space None"),
        ([], "damaged action space"),
        ({"type": "Tuple"}, "unknown action space .*: expected Discrete, MultiDiscrete, Box or Dict"),
        ({"type": "Discrete", "n": 4}, "damaged action space .*'start'"),
        ({"type": "Discrete", "n": 0, "start": 0}, "damaged action space"),
        ({"type": "Discrete", "n": float("inf"), "start": 0}, "damaged action space"),
        ({"type": "Discrete", "n": 10**30, "start": 0}, "damaged action space"),
        ({"type": "Box", "low": [0], "high": [1]}, "damaged action space .*'dtype'"),
        ({"type": "Box", "low": [float("nan")], "high": [1], "dtype": "float32"}, "damaged action space"),
        ({"type": "Box", "low": [1], "high": [0], "dtype": "float32"}, "damaged action space"),
        ({"type": "Box", "low": [0, 0], "high": [1], "dtype": "float32"}, "damaged action space"),
        ({"type": "Box", "low": [None], "high": [1], "dtype": "int64"}, "damaged action space"),
        ({"type": "Box", "low": [0], "high": [1], "dtype": "O"}, "damaged action space"),
        ({"type": "Box", "low": [[0]], "high": [[1]], "dtype": "float32"}, "is not supported"),
        ({"type": "Dict", "spaces": []}, "damaged action space"),
        ({"type": "Dict", "spaces": {"a": {"type": "Dict", "spaces": {}}}}, "holds a Dict in a Dict"),
        ({"type": "MultiDiscrete", "nvec": [2, 0], "start": [0, 0]}, "damaged action space"),
        ({"type": "MultiDiscrete", "nvec": [2, 2], "start": [0]}, "damaged action space"),
    ],
)
def test_a_damaged_space(value: Any, match: str) -> None:
    with one_clear_error(match):
        space_from_json(value)


# Checking


def test_actions_take_the_stored_form() -> None:
    shifted = Discrete(3, start=-1)
    for given_type in (np.int8, np.int32, np.int64):
        stored = as_actions(np.array([[-1, 0], [1, 1]], given_type), shifted)
        assert (stored.dtype.name, stored.tolist()) == ("int64", [[-1, 0], [1, 1]])
    assert as_actions(2, Discrete(3)).shape == ()
    stored = as_actions([[[0, 5, 7]]], Box(0, 10, (3,)))
    assert (stored.dtype.name, stored.tolist()) == ("float32", [[[0, 5, 7]]])


def test_bounds_belong_to_the_space() -> None:
    # 0.1 and 0.3 are no float32: rounding must not put the bounds themselves outside.
    space = Box(np.array([0.1]), np.array([0.3]), dtype=np.float64)
    assert as_actions([[0.1], [0.3]], space).shape == (2, 1)
    assert as_actions([[-1, -1e30, 1e30]], HALF_BOUNDED).shape == (1, 3)
    assert as_actions([5, 7], Discrete(3, start=5)).tolist() == [5, 7]


@pytest.mark.parametrize(
    ("space", "actions", "match"),
    [
        (Discrete(4), [0, 4], r"action 4 is outside Discrete\(4\): use 0 to 3"),
        (Discrete(4), [-1], "action -1 is outside"),
        (Discrete(3, start=5), [5, 4], "action 4 is outside .*: use 5 to 7"),
        (Discrete(4), np.array([2**63], np.uint64), "action 9223372036854775808 is outside"),
        (Discrete(4), [1.0], "takes integers, the actions are float64: convert them first"),
        (Discrete(4), [True], "takes integers, the actions are bool"),
        (Discrete(4), "1", "takes integers, the actions are <U1"),
        (Discrete(4), [[1], [1, 2]], "actions are no array of numbers"),
        (Box(-1, 1, (2,)), [[0, 0], [0.5, 1.5]], r"action \[0.5, 1.5\] is outside .*: clip or rescale it"),
        (Box(-1, 1, (2,)), [[0, np.nan]], "actions hold NaN or infinity: repair or drop the episode"),
        (Box(-np.inf, np.inf, (1,)), [np.inf], "actions hold NaN or infinity"),
        (Box(-np.inf, np.inf, (1,)), [1e39], "actions hold NaN or infinity"),
        (Box(-1, 1, (2,)), [[0, 0, 0]], r"actions have shape \(1, 3\), .* asks for \(..., 2\)"),
        (Box(-1, 1, (2,)), 0.5, r"actions have shape \(\), "),
        (Box(-1, 1, (2,)), ["0", "1"], "takes numbers, the actions are <U1"),
        (Box(-1, 1, (2,)), [0.5, 0.5j], "takes numbers, the actions are complex128"),
        (Box(-1, 1, (2,)), [0.5, None], "takes numbers, the actions are object"),
        (Box(-1, 1, (1,)), [[1], [1, 2]], "actions are no array of numbers"),
        (WIDE, np.full(30, 2), "is outside Box"),
        (WIDE, [1], "asks for"),
        (WIDE, ["1"] * 30, "takes numbers"),
    ],
)
def test_actions_outside_are_named(space: ActionSpace, actions: Any, match: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with one_clear_error(match):
            as_actions(actions, space)


# Features


@given(n=st.integers(1, 20), start=st.integers(-5, 5), data=st.data())
@settings(max_examples=40)
def test_discrete_actions_are_0_or_1_apart(n: int, start: int, data: st.DataObject) -> None:
    one = st.integers(start, start + n - 1)
    a, b = data.draw(st.lists(one, min_size=1, max_size=5)), data.draw(one)
    space = Discrete(n, start=start)
    features = action_features(np.array([*a, b]), space)
    assert (features.shape, features.dtype.name) == ((len(a) + 1, n), "float64")
    apart = ((features[:-1] - features[-1]) ** 2).sum(1)
    np.testing.assert_allclose(apart, [float(x != b) for x in a], rtol=1e-15, atol=0)


def test_a_large_discrete_space_needs_no_square_table() -> None:
    assert action_features(np.array([0, 200_000]), Discrete(200_001)).shape == (2, 200_001)


def test_box_actions_are_measured_in_half_ranges() -> None:
    # Unbounded on either side, or of no width: as they are.
    space = Box(np.array([-2, 0, -np.inf, 3], np.float32), np.array([2, 10, 1, 3], np.float32))
    a, b = np.array([[-2, 0, -7, 3]], np.float32), np.array([[2, 5, 0.5, 3]], np.float32)
    np.testing.assert_allclose(action_features(b, space) - action_features(a, space), [[2, 1, 7.5, 0]])
    assert action_features(a, space).dtype == np.float64
    # The range of a type whose difference overflows it.
    wide = Box(-(2**63), 2**63 - 1, (1,), np.int64)
    np.testing.assert_allclose(action_features(np.array([[2.0**62]], np.float32), wide), [[0.5]])


def test_actions_are_summarised() -> None:
    assert describe_actions(np.array([5, 7, 7]), Discrete(3, start=5)) == {"5": 1, "6": 0, "7": 2}
    summary = describe_actions(np.array([[0, 1], [1, 3]], np.float32), Box(-9, 9, (2,)))
    assert summary == {"mean": [0.5, 2.0], "std": [0.5, 1.0]}
    assert json.loads(json.dumps(summary)) == summary


@given(space=spaces, seed=st.integers(0, 2**31 - 1))
@settings(max_examples=60)
def test_stored_and_restored(space: ActionSpace, seed: int) -> None:
    given_actions = sampled_actions(space, 5, seed)
    if space == Box(-(2**63), 2**63 - 1, (2,), np.int64):
        with one_clear_error("larger than 16777216, up to which float32 holds whole numbers: rescale them"):
            as_actions(given_actions, space)
        return
    stored = as_actions(given_actions, space)
    assert stored.shape == (5, *stored_shape(space))
    assert stored.dtype == stored_dtype(space)
    # Once more, from what is stored.
    np.testing.assert_array_equal(as_actions(stored, space), stored)
    restored = restore_actions(stored, space)
    if isinstance(space, Dict):
        assert set(restored) == set(given_actions)
        for name, array in given_actions.items():
            np.testing.assert_allclose(restored[name], array, rtol=1e-6, atol=1e-6)
            assert restored[name].dtype == array.dtype
    else:
        np.testing.assert_allclose(restored, given_actions, rtol=1e-6, atol=1e-30)
    one = restore_actions(stored[0], space)
    assert space.contains(one)


@pytest.mark.parametrize(
    ("actions", "match"),
    [
        ({"attack": [1]}, "camera is missing; hotbar is missing; speed is missing"),
        ({"attack": [1], "camera": [[0, 0]], "hotbar": [[1, 0]], "speed": [0.5], "fly": [1]}, "fly is unknown"),
        ({"attack": [2], "camera": [[0, 0]], "hotbar": [[1, 0]], "speed": [0.5]}, "action 2 of 'attack' is outside"),
        ({"attack": [1], "camera": [[0, 181]], "hotbar": [[1, 0]], "speed": [0.5]}, "of 'camera' is outside"),
        ({"attack": [1], "camera": [[0, 0]], "hotbar": [[0, 0]], "speed": [0.5]}, "action 0 of 'hotbar'.*use 1 to 9"),
        ({"attack": [0.5], "camera": [[0, 0]], "hotbar": [[1, 0]], "speed": [0.5]}, "takes integers.*'attack'"),
        ({"attack": [1], "camera": [[0]], "hotbar": [[1, 0]], "speed": [0.5]}, "'camera' has shape"),
        ({"attack": [1, 0], "camera": [[0, 0]], "hotbar": [[1, 0]], "speed": [0.5]}, "entries of several lengths"),
        ({"attack": [1], "camera": [[0, np.nan]], "hotbar": [[1, 0]], "speed": [0.5]}, "'camera' hold NaN"),
        ([[0.5, 0, 0, 1, 0, 0]], "action 'attack' is no whole number"),
        ([[1, 0, 0]], "asks for \\(..., 6\\)"),
    ],
)
def test_actions_of_several_entries_that_are_wrong(actions: Any, match: str) -> None:
    with one_clear_error(match):
        as_actions(actions, MINERL)


def test_features_of_a_mixed_action() -> None:
    # attack 2, camera 2, hotbar 9 + 3, speed 1
    assert discrete_features(MINERL).tolist() == [True] * 2 + [False] * 2 + [True] * 12 + [False]
    base = {"attack": 0, "camera": [0.0, 0.0], "hotbar": [1, 0], "speed": 0.0}
    changes: list[tuple[dict[str, Any], float]] = [
        ({}, 0.0),
        ({"attack": 1}, 1.0),
        ({"hotbar": [2, 1]}, 2.0),
        ({"camera": [90.0, 0.0]}, 0.25),
        ({"speed": 1.0}, 4.0),
    ]
    rows = np.stack([as_actions({**base, **change}, MINERL) for change, _ in changes])
    features = action_features(rows, MINERL)
    distances = ((features - features[0]) ** 2).sum(1)
    np.testing.assert_allclose(distances, [expected for _, expected in changes], rtol=1e-6)


def test_columns_and_choices_have_names() -> None:
    assert column_names(MINERL) == ("attack", "camera_0", "camera_1", "hotbar_0", "hotbar_1", "speed")
    assert column_names(Discrete(3)) == ("action",)
    assert column_names(MultiDiscrete([2, 2]), ("left", "right")) == ("left", "right")
    space = Dict({"place": Discrete(2), "jump": Discrete(2)})
    assert choice_names(space, ("place=none", "place=dirt")) == {"place": ("none", "dirt")}
    for names, match in (
        (("place=none",), "1 names for the 2 choices of place"),
        (("place=none", "place=none"), "each once"),
        (("dirt",), "is not of the form part=choice"),
        (("fly=yes",), "Discrete part"),
    ):
        with one_clear_error(match):
            choice_names(space, names)


def test_a_mixed_action_is_summarised_by_entry() -> None:
    rows = as_actions(
        {"attack": [0, 1], "camera": [[0, 1], [2, 3]], "hotbar": [[1, 0], [1, -1]], "speed": [0, 1]}, MINERL
    )
    found = describe_actions(rows, MINERL)
    assert found["attack"] == {"0": 1, "1": 1}
    assert found["hotbar"] == {"0": {str(i): 2 * (i == 1) for i in range(1, 10)}, "1": {"-1": 1, "0": 1, "1": 0}}
    assert (found["camera"]["mean"], found["speed"]["mean"]) == ([1.0, 2.0], [0.5])


def test_whole_numbers_of_a_box_come_back_as_they_were() -> None:
    space = Dict({"d": Box(-(2**31), 2**31 - 1, (2,), np.int32), "u": Box(0, 255, (1,), np.uint8)})
    given_actions = {"d": np.array([-(2**24), 2**24], np.int32), "u": np.array([255], np.uint8)}
    restored = restore_actions(as_actions(given_actions, space), space)
    for name, array in given_actions.items():
        np.testing.assert_array_equal(restored[name], array)
    with one_clear_error("of 'd' are larger than 16777216"):
        as_actions({**given_actions, "d": [2**31 - 1, 0]}, space)
    with one_clear_error("of 'u' are no whole numbers"):
        as_actions({**given_actions, "u": [254.9]}, space)


@pytest.mark.parametrize(
    "space", [MINERL, HALF_BOUNDED, Box(-3, 9, (2,), np.int16), Discrete(4), MultiDiscrete([2, 3])], ids=str
)
def test_scales_undo_what_features_do_to_numbers(space: ActionSpace) -> None:
    stored = as_actions(sampled_actions(space, 20, 0), space)
    columns, scales = stored.reshape(20, -1), column_scales(space)
    assert scales.shape == (columns.shape[1],)
    numbers = np.concatenate([np.full(p.columns.stop - p.columns.start, not p.discrete) for p in action_parts(space)])
    features = action_features(stored, space)[:, ~discrete_features(space)]
    np.testing.assert_allclose(features * scales[numbers], columns[:, numbers])
    assert bool((scales[~numbers] == 1).all())
