"""Sequences by chance: always valid, held as they should be, and fitted as counted by hand."""

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.actions import ActionSpace, action_parts, as_actions, stored_dtype, stored_shape
from memworld.plan.sequences import Spread, held_actions, stored
from tests.plan.toys import SPACES

spaces = st.sampled_from(SPACES)
seeds = st.integers(0, 2**32 - 1)


def same(left: Spread, right: Spread) -> None:
    np.testing.assert_allclose(left.mean, right.mean, atol=1e-9)
    np.testing.assert_allclose(left.deviation, right.deviation, atol=1e-6)
    for one, other in zip(left.chances, right.chances, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            np.testing.assert_allclose(one, other, atol=1e-9)


@settings(max_examples=40)
@given(space=spaces, seed=seeds, count=st.integers(1, 9), horizon=st.integers(1, 7))
def test_whatever_is_drawn_can_be_done(space: ActionSpace, seed: int, count: int, horizon: int) -> None:
    rng = np.random.default_rng(seed)
    held = held_actions(space, count, horizon, rng)
    assert held.shape == (count, horizon, *stored_shape(space))
    assert held.dtype == stored_dtype(space)
    np.testing.assert_array_equal(as_actions(held, space), held)
    fitted = Spread.fitted(held, space)
    mixed = fitted.mixed(Spread.even(space, horizon), 0.5)
    for spread in (Spread.even(space, horizon), fitted, mixed):
        drawn = spread.draw(count, rng)
        assert (drawn.shape, drawn.dtype) == (held.shape, held.dtype)
        np.testing.assert_array_equal(as_actions(drawn, space), drawn)
        likeliest = spread.likeliest()
        np.testing.assert_array_equal(as_actions(likeliest, space), likeliest)
        assert likeliest.shape == held.shape[1:]


@settings(max_examples=40)
@given(space=spaces, seed=seeds, count=st.integers(1, 6))
def test_it_is_fitted_as_counted_by_hand(space: ActionSpace, seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    actions = held_actions(space, count, 4, rng)
    weights = rng.random(count)
    weights /= weights.sum()
    spread = Spread.fitted(actions, space, weights)
    columns = actions.reshape(count, 4, -1)
    for part in action_parts(space):
        for at in range(part.columns.start, part.columns.stop):
            for step in range(4):
                taken = columns[:, step, at].astype(np.float64)
                chances = spread.chances[at]
                if part.discrete:
                    assert chances is not None
                    start = int(part.start[at - part.columns.start])
                    for choice, chance in enumerate(chances[step]):
                        assert chance == pytest.approx(weights[taken == start + choice].sum())
                else:
                    assert chances is None
                    mean = float((weights * taken).sum())
                    assert spread.mean[step, at] == pytest.approx(mean)
                    variance = float((weights * (taken - mean) ** 2).sum())
                    assert spread.deviation[step, at] == pytest.approx(variance**0.5, abs=1e-6)


@settings(max_examples=30)
@given(space=spaces, seed=seeds)
def test_what_one_sequence_is_fitted_to_is_that_sequence(space: ActionSpace, seed: int) -> None:
    rng = np.random.default_rng(seed)
    one = held_actions(space, 1, 5, rng)
    spread = Spread.fitted(one, space)
    np.testing.assert_array_equal(spread.likeliest(), one[0])
    np.testing.assert_array_equal(spread.draw(3, rng), np.repeat(one, 3, 0))
    same(Spread.fitted(spread.draw(4, rng), space), spread)


@settings(max_examples=30)
@given(space=spaces, seed=seeds, share=st.floats(0, 1))
def test_weights_are_counts_and_mixtures_lie_between(space: ActionSpace, seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    actions = held_actions(space, 3, 4, rng)
    twice = Spread.fitted(np.concatenate([actions, actions[:1]]), space)
    same(twice, Spread.fitted(actions, space, np.array([0.5, 0.25, 0.25])))
    spread, even = Spread.fitted(actions, space), Spread.even(space, 4)
    same(spread.mixed(even, 0.0), spread)
    same(spread.mixed(spread, share), spread)
    mixed = spread.mixed(even, share)
    np.testing.assert_array_equal(mixed.mean, spread.mean)
    for at, chances in enumerate(mixed.chances):
        mine, theirs = spread.chances[at], even.chances[at]
        if chances is not None and mine is not None and theirs is not None:
            np.testing.assert_allclose(chances, (1 - share) * mine + share * theirs)
            np.testing.assert_allclose(chances.sum(1), 1)
    low, high = np.sort(np.stack([spread.deviation, even.deviation]), 0)
    assert bool(((mixed.deviation >= low - 1e-9) & (mixed.deviation <= high + 1e-9)).all())


def test_drawing_follows_the_chances() -> None:
    space = Dict({"choice": Discrete(3, start=5), "force": Box(-10, 10, (1,))})
    spread = Spread.fitted(np.array([[[5, 1.0]], [[7, 3.0]]], np.float32), space, np.array([0.2, 0.8]))
    drawn = spread.draw(20_000, np.random.default_rng(0))[:, 0]
    assert [float((drawn[:, 0] == choice).mean()) for choice in (5, 6, 7)] == pytest.approx([0.2, 0, 0.8], abs=0.01)
    assert float(drawn[:, 1].mean()) == pytest.approx(2.6, abs=0.02)
    assert float(drawn[:, 1].std()) == pytest.approx(0.8, abs=0.02)
    assert spread.likeliest()[0].tolist() == pytest.approx([7, 2.6])


def test_even_is_about_the_middle_and_keeps_within_one_bound() -> None:
    even = Spread.even(Box(np.array([2, 0]), np.array([6, np.inf]), dtype=np.float64), 1)
    assert (even.mean.tolist(), even.deviation.tolist()) == ([[4, 0]], [[2, 1]])
    beyond = Spread.even(Box(np.array([5.0]), np.array([np.inf]), dtype=np.float64), 1)
    drawn = beyond.draw(1000, np.random.default_rng(0))
    assert float(drawn.min()) == 5
    assert float(drawn.max()) > 6


def test_actions_are_held_for_one_to_eight_steps_on_average() -> None:
    held = held_actions(Discrete(1000), 4000, 40, np.random.default_rng(0))
    changes = (held[:, 1:] != held[:, :-1]).mean(1)
    # Of a sequence that is held for h steps on average, one step in h changes; h is drawn from 1 to 8.
    assert float(changes.mean()) == pytest.approx(np.mean([1 / h for h in range(1, 9)]), abs=0.02)
    assert float(changes.min()) < 0.05
    assert float(changes.max()) > 0.95
    assert len(np.unique(held)) == 1000


def test_numbers_are_stored_within_their_bounds() -> None:
    whole = stored(np.array([[-9.0, 2.4], [2.6, 99.0]]), Box(-3, 9, (2,), np.int16))
    assert whole.tolist() == [[-3, 2], [3, 9]]
    assert whole.dtype == np.float32
    assert stored(np.array([[2.0], [1.0]]), Discrete(3)).tolist() == [2, 1]
