import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memworld.report.scales import TICKS, Scale, around, tick_words

SIZES = st.floats(-1e9, 1e9).filter(lambda value: value == 0 or abs(value) > 1e-9)


@given(st.lists(SIZES, min_size=1, max_size=5), st.booleans())
def test_an_axis_has_room_for_all_values_and_ticks_within(values: list[float], log: bool) -> None:
    found = np.array([abs(value) or 1.0 for value in values] if log else values)
    scale = around(found, 400.0, 20.0, log=log)
    places = scale.at(found)
    assert ((places <= 400) & (places >= 20)).all()
    assert (np.argsort(-places, kind="stable") == np.argsort(-scale.at(found), kind="stable")).all()
    ticks = scale.ticks()
    assert 1 <= len(ticks) <= 2 * TICKS + 8
    assert ticks == sorted(ticks)
    assert all(scale.low * (1 - 1e-6) - 1e-6 <= tick <= scale.high * (1 + 1e-6) + 1e-6 for tick in ticks) or not log
    assert len(tick_words(ticks, log)) == len(ticks)


def test_values_lie_where_they_should() -> None:
    linear, log = Scale(0, 10, 0, 100), Scale(1, 100, 0, 100, log=True)
    np.testing.assert_allclose(linear.at(np.array([0, 5, 10, -3, 12, math.nan])), [0, 50, 100, 0, 100, math.nan])
    np.testing.assert_allclose(log.at(np.array([1, 10, 100, 0])), [0, 50, 100, 0])
    assert float(linear.at(2.5)) == 25


@pytest.mark.parametrize(
    ("scale", "whole", "words"),
    [
        (Scale(0.3, 20.2, 0, 1), True, ["5", "10", "15", "20"]),
        (Scale(0, 0.13, 0, 1), False, ["0.00", "0.05", "0.10"]),
        (Scale(-3, 1, 0, 1), False, ["−3", "−2", "−1", "0", "1"]),
        (Scale(0, 2, 0, 1), True, ["0", "1", "2"]),
        (Scale(0, 1.6e6, 0, 1), False, ["0", "5e5", "1e6", "1.5e6"]),
        (Scale(0, 3e-6, 0, 1), False, ["0", "5e−7", "1e−6", "1.5e−6", "2e−6", "2.5e−6", "3e−6"]),
        (Scale(0.4, 60, 0, 1, log=True), False, ["0.5", "1", "2", "5", "10", "20", "50"]),
        (Scale(300, 3e6, 0, 1, log=True), False, ["1e3", "1e4", "1e5", "1e6"]),
        (Scale(1.05, 1.45, 0, 1, log=True), False, ["1.1", "1.2", "1.3", "1.4"]),
    ],
)
def test_ticks_are_round_and_few(scale: Scale, whole: bool, words: list[str]) -> None:
    assert tick_words(scale.ticks(whole), scale.log) == words


def test_what_does_not_vary_has_an_axis_too() -> None:
    for value in (0.0, 3.0, -3.0):
        scale = around(np.array([value]), 0, 1)
        assert scale.low < value < scale.high
    assert around(np.array([5.0]), 0, 1, log=True).low < 5
    assert around(np.array([0.0, 0.0]), 0, 1, from_zero=True).low == 0
    assert around(np.array([2.0, 4.0]), 0, 1, from_zero=True).low == 0
