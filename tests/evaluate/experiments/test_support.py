"""Support against errors, and predicted intervals against the truth."""

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.evaluate.experiments import support
from memworld.evaluate.experiments.result import ExperimentResult, Number
from memworld.evaluate.experiments.support import WORST, coverage, ranks
from memworld.gaussian import Latents, at_mean
from tests.evaluate.experiments.laboratories import square_laboratory

FEW_VALUES = st.sampled_from([0.0, 0.25, 0.5, 1.0, float("nan")])


@settings(max_examples=150)
@given(st.lists(st.tuples(FEW_VALUES, FEW_VALUES | st.floats(0, 9)), min_size=2, max_size=60))
def test_the_shares_that_are_doubted_less_are_mann_and_whitneys(pairs: list[tuple[float, float]]) -> None:
    told, errors = np.array(pairs).T
    worst, above = ranks(told, errors)
    known = ~np.isnan(told) & ~np.isnan(errors)
    assert not worst[~known].any()
    assert not above[worst == 0].any()
    if known.sum() < 2:
        assert not worst.any()
        return
    bad, good = worst == 1, known & (worst == 0)
    assert bad.sum() == max(1, round(WORST * known.sum()))
    assert errors[bad].min() >= errors[good].max()
    # Without a continuity correction or a p-value, U is the number of pairs in the right order, ties half.
    expected = scipy.stats.mannwhitneyu(told[bad], told[good], method="asymptotic").statistic
    assert above.sum() * good.sum() == pytest.approx(expected)


def test_support_that_tells_all_tells_nothing_or_misleads() -> None:
    errors = np.random.default_rng(0).permutation(100).astype(float)
    for told, expected in ((errors, 1.0), (np.full(100, 0.3), 0.5), (-errors, 0.0)):
        worst, above = ranks(told, errors)
        assert worst.sum() == 10
        assert above.sum() / worst.sum() == expected


@pytest.mark.parametrize("count", [0, 1])
def test_of_one_prediction_none_is_the_worst(count: int) -> None:
    worst, above = ranks(np.ones(count), np.ones(count))
    assert (worst.sum(), above.sum()) == (0, 0)


@pytest.mark.parametrize("share", support.INTERVALS)
def test_a_right_prediction_covers_its_share_exactly(share: float) -> None:
    generator = torch.Generator().manual_seed(0)
    true = Latents(
        torch.randn(3, 5, 8, generator=generator), torch.rand(3, 5, 8, generator=generator) + 0.01, torch.zeros(3, 5, 8)
    )
    found = coverage(true, true, share)
    assert found.shape == (3, 5)
    assert found.dtype == np.float64
    assert found == pytest.approx(share, abs=1e-6)
    wide, narrow = (Latents(true.mu, true.sigma * factor, true.z) for factor in (3.0, 0.3))
    assert bool((coverage(true, wide, share) > share).all())
    assert bool((coverage(true, narrow, share) < share).all())


@pytest.mark.parametrize("share", support.INTERVALS)
def test_a_prediction_as_unsure_as_it_is_wrong_covers_its_share_on_the_mean(share: float) -> None:
    """What came lies normally around the prediction, with the posterior's variance and the prediction's error's."""
    generator = torch.Generator().manual_seed(1)
    mu = torch.randn(4000, 6, generator=generator)
    sigma, wrong = (torch.rand(1, 6, generator=generator) + 0.1 for _ in range(2))
    predicted = mu + wrong * torch.randn(4000, 6, generator=generator)
    true = at_mean(mu, sigma.expand_as(mu))
    said = at_mean(predicted, (sigma**2 + wrong**2).sqrt().expand_as(mu))
    assert coverage(true, said, share).mean() == pytest.approx(share, abs=0.01)
    sure = at_mean(predicted, sigma.expand_as(mu))
    assert coverage(true, sure, share).mean() < share - 0.02


@settings(max_examples=10)
@given(off=st.floats(-3, 3), sigma=st.floats(0.05, 3), share=st.sampled_from(support.INTERVALS))
def test_coverage_is_how_often_a_drawn_truth_lies_inside(off: float, sigma: float, share: float) -> None:
    one = torch.ones(1, 1)
    found = coverage(at_mean(0 * one, one), at_mean(off * one, sigma * one), share)
    drawn = np.random.default_rng(0).normal(size=40_000)
    low, high = scipy.stats.norm.interval(share, off, sigma)
    assert float(found[0]) == pytest.approx(((drawn > low) & (drawn < high)).mean(), abs=0.012)


@pytest.fixture(scope="module")
def result() -> ExperimentResult:
    return support.run(square_laboratory())


def test_every_search_is_judged_by_every_error_and_interval(result: ExperimentResult) -> None:
    titles = [table.title for table in result.tables]
    assert [title.startswith("Does support tell") for title in titles] == [True] * 3 + [False] * 2
    for table in result.tables:
        assert [row.label for row in table.rows] == ["replay_l2 requery", "replay_kl requery", "default follow"]
        assert table.columns == ("t=1", "t=5")
        for row in table.rows:
            for cell in row.cells:
                assert isinstance(cell, Number)
                assert 0 <= cell.value <= 1
                assert cell.low <= cell.value <= cell.high
    narrow, wide = result.tables[-2:]
    for inner, outer in zip(narrow.rows, wide.rows, strict=True):
        for few, many in zip(inner.cells, outer.cells, strict=True):
            assert isinstance(few, Number)
            assert isinstance(many, Number)
            assert few.value < many.value
    for chart in result.charts:
        for drawn in chart.curves:
            assert len(drawn.x) == support.BINS


def test_evidence_is_one_over_what_the_table_says(result: ExperimentResult) -> None:
    found = {e.claim: e for e in result.evidence}
    assert set(found) == {"support_tells_moving_pixel_l1", "support_tells_latents"}
    for error, table in zip(support.ERRORS, result.tables, strict=False):
        if f"support_tells_{error}" in found:
            own = found[f"support_tells_{error}"]
            cell = table.rows[-1].cells[1]
            assert isinstance(cell, Number)
            assert len(own.a) == 3
            assert sum(own.a) == round(WORST * 15)
            assert np.divide(sum(own.b), sum(own.a)) == pytest.approx(cell.value)


def test_what_is_asked_for_beyond_the_horizon_is_judged_as_far_as_it_goes() -> None:
    lab = square_laboratory(horizon=4)
    told = support.run(lab).evidence
    assert {e.compared for e in told} == {"t = 1"}
