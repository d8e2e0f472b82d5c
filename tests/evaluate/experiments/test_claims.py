"""Verdicts on claims: what an interval on either side of a bound means, in one world and over several."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.evaluate.experiments.claims import FEWEST, Claim, Verdicts, judge
from memworld.evaluate.experiments.result import Evidence, ExperimentResult
from memworld.evaluate.results import interval
from memworld.studies import PAPER

RATIO = "long_horizon_better"
COMPARABLE = "one_step_comparable"
DIFFERENCE = "planning_acts"
RNG = np.random.default_rng(0)
EIGHT = RNG.uniform(0.9, 1.1, 8)


def judged(claim: str, **worlds: tuple[np.ndarray, np.ndarray]) -> Verdicts:
    results = [
        ExperimentResult("horizon", world, evidence=(Evidence(claim, "t = 20", tuple(a.tolist()), tuple(b.tolist())),))
        for world, (a, b) in worlds.items()
    ]
    return next(v for v in judge(PAPER.claims, results) if v.claim.id == claim)


def test_every_claim_is_told_apart_and_has_words() -> None:
    assert len({claim.id for claim in PAPER.claims}) == len(PAPER.claims)
    assert all(claim.text.endswith(".") and claim.decided_by for claim in PAPER.claims)


@pytest.mark.parametrize(
    ("factor", "verdict"), [(0.5, "holds"), (2.0, "does not hold"), (1.0, "undecided"), (1.001, "undecided")]
)
def test_a_ratio_decides_by_its_interval(factor: float, verdict: str) -> None:
    found = judged(RATIO, one=(factor * EIGHT, EIGHT[::-1].copy()))
    assert found.overall.verdict == found.worlds[0].verdict == verdict
    assert found.overall.value == pytest.approx(factor * EIGHT.mean() / EIGHT.mean())
    assert found.overall.low <= found.overall.value <= found.overall.high
    assert found.overall.episodes == 8


def test_comparable_has_room() -> None:
    a = 1.05 * EIGHT
    assert judged(COMPARABLE, one=(a, EIGHT)).overall.verdict == "holds"
    assert judged(RATIO, one=(a, EIGHT)).overall.verdict == "does not hold"


def test_a_difference_may_be_negative() -> None:
    assert judged(DIFFERENCE, one=(EIGHT - 1, EIGHT)).overall.verdict == "holds"
    found = judged(DIFFERENCE, one=(EIGHT, EIGHT - 1)).overall
    assert found.verdict == "does not hold"
    assert found.value == pytest.approx(1)


def test_worlds_count_once_each_by_the_geometric_mean() -> None:
    found = judged(RATIO, few=(2 * EIGHT, EIGHT), many=(0.25 * np.tile(EIGHT, 5), np.tile(EIGHT, 5)))
    assert found.overall.value == pytest.approx(np.sqrt(2 * 0.25))
    assert found.overall.episodes == 48


def test_a_claim_that_holds_here_and_not_there_depends_on_the_world() -> None:
    found = judged(RATIO, here=(0.1 * EIGHT, EIGHT), there=(1.5 * EIGHT, EIGHT))
    assert [w.verdict for w in found.worlds] == ["holds", "does not hold"]
    assert found.overall.high < 1
    assert found.overall.verdict == "undecided"


def test_without_evidence_nothing_is_decided() -> None:
    found = judge(PAPER.claims, [])
    assert {v.overall.verdict for v in found} == {"undecided"}
    assert all(np.isnan(v.overall.value) and v.worlds == () for v in found)


@pytest.mark.parametrize("episodes", range(1, FEWEST))
def test_few_episodes_decide_nothing(episodes: int) -> None:
    a = np.full(episodes, 0.1)
    found = judged(RATIO, few=(a, 10 * a), many=(0.1 * EIGHT, EIGHT))
    assert found.worlds[0].verdict == "undecided"
    assert found.overall.verdict == "undecided"


def test_an_episode_without_a_number_is_left_out_of_both_sides() -> None:
    a, b = EIGHT.copy(), 2 * EIGHT
    a[0] = np.nan
    assert judged(RATIO, one=(a, b)).overall.value == pytest.approx(0.5)


def test_a_ratio_of_nothing_to_something_holds() -> None:
    found = judged(RATIO, one=(np.zeros(8), EIGHT)).overall
    assert (found.value, found.low, found.high, found.verdict) == (0, 0, 0, "holds")


@given(seed=st.integers(0, 20))
@settings(max_examples=10)
def test_intervals_are_as_wide_as_those_of_the_tables(seed: int) -> None:
    """A difference's interval is that of `interval` on the paired differences, up to the resamples' luck."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=12), rng.normal(size=12)
    found = judged(DIFFERENCE, one=(a, b)).overall
    _, low, high = interval(a - b, 0)
    width = high - low
    assert found.low == pytest.approx(float(low), abs=0.1 * width)
    assert found.high == pytest.approx(float(high), abs=0.1 * width)


def test_worlds_are_drawn_apart_so_that_the_order_of_episodes_says_nothing() -> None:
    """Drawn together, a world and its mirror image would cancel in every resample."""
    a = np.array([0.2, 1.7, 0.4, 1.5, 0.7, 1.2, 0.9, 1.1])
    b = np.ones(8)
    mirrored = 2 * a.mean() - a
    together = judged(RATIO, one=(a, b), other=(mirrored, b)).overall
    shuffled = judged(RATIO, one=(a, b), other=(mirrored[::-1].copy(), b)).overall
    for found in (together, shuffled):
        assert found.low < 0.9
        assert found.high > 1.02
        assert found.verdict == "undecided"


def test_only_episodes_with_both_numbers_count() -> None:
    a = np.where(np.arange(8) < 3, 0.1, np.nan)
    found = judged(RATIO, one=(a, EIGHT)).overall
    assert (found.episodes, found.verdict) == (3, "undecided")


def test_a_world_without_numbers_does_not_silence_the_others() -> None:
    found = judged(RATIO, blank=(np.full(8, np.nan), EIGHT), told=(0.3 * EIGHT, EIGHT))
    assert found.overall.value == pytest.approx(0.3)
    assert found.overall.verdict == "holds"
    assert [w.verdict for w in found.worlds] == ["undecided", "holds"]
    assert judged(RATIO, blank=(np.full(8, np.nan), EIGHT)).overall.verdict == "undecided"


SHARES = {"more than half": 0.51, "four of five": 0.8, "all": 1.0}


@pytest.mark.parametrize(
    ("share", "worlds", "needed"),
    [
        ("more than half", 5, 3),
        ("more than half", 6, 4),
        ("four of five", 5, 4),
        ("four of five", 6, 5),
        ("four of five", 10, 8),
        ("all", 5, 5),
        ("all", 6, 6),
        ("all", 1, 1),
    ],
)
def test_a_share_of_the_worlds_holds_exactly_if_so_many_do(share: str, worlds: int, needed: int) -> None:
    claim = Claim("some", "It is so.", "a / b", bound=0.9, share=SHARES[share])
    for below in range(worlds + 1):
        factors = [0.5] * below + [1.4] * (worlds - below)
        order = np.random.default_rng(below).permutation(worlds)
        results = [
            ExperimentResult("x", f"w{n}", evidence=(Evidence("some", "", tuple(factors[n] * EIGHT), tuple(EIGHT)),))
            for n in order
        ]
        (found,) = judge([claim], results)
        assert [w.verdict for w in found.worlds].count("holds") == below
        assert found.overall.verdict == ("holds" if below >= needed else "does not hold")
        assert found.overall.value == pytest.approx(0.5 if below >= needed else 1.4)


@pytest.mark.parametrize("share", SHARES.values())
def test_a_share_is_undecided_where_its_last_world_is(share: float) -> None:
    """Whose interval reaches over the bound decides nothing, unless enough others lie below."""
    claim = Claim("some", "It is so.", "a / b", share=share)
    sides = [(0.5 * EIGHT, EIGHT)] * 2 + [(EIGHT, EIGHT[::-1].copy())] * 3
    results = [
        ExperimentResult("x", f"w{n}", evidence=(Evidence("some", "", tuple(a), tuple(b)),))
        for n, (a, b) in enumerate(sides)
    ]
    assert judge([claim], results)[0].overall.verdict == "undecided"


def test_a_share_counts_a_world_without_any_error_as_below() -> None:
    """Its ratio is 0, whose logarithm is no number that means could be taken of."""
    results = [
        ExperimentResult("x", f"w{n}", evidence=(Evidence("some", "", tuple(factor * EIGHT), tuple(EIGHT)),))
        for n, factor in enumerate((0.0, 0.0, 0.0, 2.0, 2.0))
    ]
    found = judge([Claim("some", "It is so.", "a / b", share=0.51)], results)[0].overall
    assert (found.value, found.high, found.verdict) == (0, 0, "holds")
    assert judge([Claim("some", "It is so.", "a / b", share=0.8)], results)[0].overall.verdict == "does not hold"


def test_a_share_is_of_the_worlds_that_tell() -> None:
    """A world that has no such number is none that it does not hold in."""
    blank = ExperimentResult("x", "blank", evidence=(Evidence("some", "", (float("nan"),) * 8, tuple(EIGHT)),))
    told = [
        ExperimentResult("x", f"w{n}", evidence=(Evidence("some", "", tuple(0.5 * EIGHT), tuple(EIGHT)),))
        for n in range(3)
    ]
    found = judge([Claim("some", "It is so.", "a / b", share=1.0)], [blank, *told])[0]
    assert found.overall.verdict == "holds"
    assert found.overall.episodes == 24


def test_nothing_over_nothing_does_not_silence_the_other_worlds() -> None:
    nothing = np.zeros(8)
    found = judged(RATIO, one=(EIGHT / 2, EIGHT), two=(nothing, nothing))
    assert found.overall.verdict == "holds"
    assert found.overall.value == pytest.approx(0.5)
    assert found.worlds[1].verdict == "undecided"
    assert np.isnan(found.worlds[1].value)
