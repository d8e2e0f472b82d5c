"""The library's own dynamics beside the rest: what is compared with what, and what is said about it."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.analogues import AnalogueConfig
from memworld.baselines.training import train_baseline
from memworld.evaluate.config import paper_strategies
from memworld.evaluate.experiments import comparison
from memworld.evaluate.experiments.comparison import Compared, excess
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.measuring import MEAN_OVER, ratio, timed_in_turn
from memworld.evaluate.experiments.result import ExperimentResult, Number
from memworld.evaluate.results import Evaluation, Table, expanded_tail
from memworld.imagine import Mode
from memworld.retrieve import STRATEGIES
from tests.baselines.toys import SHORT
from tests.evaluate.experiments.laboratories import square_laboratory

MODES: tuple[Mode, ...] = ("requery", "follow")
SEARCHES = [*itertools.product(STRATEGIES, MODES)]


def compared(**errors: np.ndarray) -> Compared:
    """Errors on moving pixels by `name__mode`, (E, T) each."""
    found = {(*label.split("__"), "moving_pixel_l1"): values for label, values in errors.items()}
    return Compared(Evaluation(Table([]), (), (), (), (), {}, found), "follow")  # type: ignore[arg-type]


@settings(max_examples=40)
@given(seed=st.integers(0, 999), count=st.integers(1, len(SEARCHES)), gaps=st.booleans())
def test_the_papers_best_is_that_of_the_least_mean(seed: int, count: int, gaps: bool) -> None:
    rng = np.random.default_rng(seed)
    chosen = [SEARCHES[i] for i in rng.permutation(len(SEARCHES))[:count]]
    errors = {f"{name}__{mode}": rng.uniform(size=(4, 3)) for name, mode in chosen}
    if gaps:
        errors[next(iter(errors))][0] = np.nan
        errors |= {"replay_kl__follow": np.full((4, 3), np.nan)} if count > 1 else {}
    better = {"default__follow": np.zeros((4, 3)), "oracle__": np.zeros((4, 3)), "latent_gru__": np.zeros((4, 3))}
    found = compared(**errors, **better)
    for h in (1, 2, 3):
        best = found.paper("moving_pixel_l1", h)
        assert best is not None
        means = {label: np.nanmean(e[:, h - 1]) for label, e in errors.items() if not np.isnan(e).all()}
        assert best[0] == min(means, key=lambda label: means[label]).replace("__", " ")
        assert np.array_equal(best[1], errors[best[0].replace(" ", "__")][:, h - 1], equal_nan=True)
    assert found.paper("moving_pixel_l1", 4) is None
    assert found.paper("state_error", 1) is None


def test_what_is_above_the_bound_is_never_below_0() -> None:
    found = excess(np.array([0.5, 0.1, np.nan]), np.array([0.2, 0.2, 0.2]))
    assert found[:2].tolist() == pytest.approx([0.3, 0.0])
    assert np.isnan(found[2])


def naive_ratio(a: np.ndarray, b: np.ndarray, resamples: int) -> tuple[float, float]:
    """The interval, by a loop over resamples of its own."""
    rng = np.random.default_rng(1234)
    draws = []
    for _ in range(resamples):
        chosen = [int(rng.integers(len(a))) for _ in range(len(a))]
        draws.append(sum(a[i] for i in chosen) / sum(b[i] for i in chosen))
    tail = expanded_tail(len(a))
    return float(np.quantile(draws, tail)), float(np.quantile(draws, 1 - tail))


@pytest.mark.parametrize("episodes", [3, 8, 20])
def test_a_ratio_has_the_interval_of_a_naive_bootstrap(episodes: int) -> None:
    rng = np.random.default_rng(episodes)
    b = rng.uniform(0.5, 1.5, episodes)
    a = 0.6 * b + rng.uniform(0, 0.2, episodes)
    found = ratio(a, b, seed=0)
    low, high = naive_ratio(a, b, 2000)
    assert found.value == pytest.approx(a.mean() / b.mean())
    assert found.low == pytest.approx(low, abs=0.15 * (high - low))
    assert found.high == pytest.approx(high, abs=0.15 * (high - low))
    # Paired: the episodes' own difficulty does not count.
    assert found.high - found.low < 0.5 * (np.ptp(a) / b.mean())


def test_a_ratio_of_few_or_of_nothing() -> None:
    one, nan = np.array([2.0]), np.array([np.nan])
    assert ratio(one, np.array([4.0]), 0).value == 0.5
    assert np.isnan(ratio(one, np.array([4.0]), 0).low)
    assert np.isnan(ratio(nan, one, 0).value)
    found = ratio(np.array([1.0, np.nan, 3.0]), np.array([2.0, 5.0, 6.0]), 0)
    assert found.value == 0.5
    assert ratio(np.array([1.0, 2.0]), np.zeros(2), 0).value == np.inf
    same = ratio(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0]), 0)
    assert (same.value, same.low, same.high) == (0.5, 0.5, 0.5)


@pytest.mark.filterwarnings("error")
def test_a_ratio_of_nothing_to_nothing_is_no_number_and_no_alarm() -> None:
    found = ratio(np.zeros(4), np.zeros(4), 0)
    assert np.isnan([found.value, found.low, found.high]).all()


def test_each_is_timed_as_often() -> None:
    lab = square_laboratory()
    settings = (AnalogueConfig(horizon=1), paper_strategies()["replay_l2"])
    found = timed_in_turn(lab, settings, 2, 3, batch=2)
    assert [len(times) for times in found] == [3, 3]
    assert all(time > 0 for times in found for time in times)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    made = square_laboratory(horizon=20)
    folder = tmp_path_factory.mktemp("models")
    models = {
        name: train_baseline(
            name, made.training, made.further, made.encoder, folder / name, how=replace(SHORT, steps=2)
        )
        for name in ("latent_gru", "rssm_latents")
    }
    return replace(made, models=models)


@pytest.fixture(scope="module")
def result(lab: Laboratory) -> ExperimentResult:
    return comparison.run(lab)


def test_evidence_is_about_every_horizon_and_yardstick(lab: Laboratory, result: ExperimentResult) -> None:
    found = {e.claim: e for e in result.evidence}
    assert len(found) == len(result.evidence)
    assert set(found) == {
        *(f"better_than_{what}_{h}" for what in ("persistence", "latent_gru", "rssm_latents") for h in MEAN_OVER),
        *(f"better_than_paper_{h}" for h in comparison.CLAIMED),
        *(f"state_better_than_rssm_latents_{h}" for h in MEAN_OVER),
        "never_worse_than_paper",
        "state_as_good_as_paper",
        "fast_enough",
    }
    numbers = {(r.method, r.mode, r.metric, r.horizon): r.value for r in result.metrics}
    for h in MEAN_OVER:
        evidence = found[f"better_than_latent_gru_{h}"]
        assert len(evidence.a) == len(lab.held_out)
        assert np.mean(evidence.a) == pytest.approx(numbers["default", "follow", "moving_pixel_l1", h])
        assert np.mean(evidence.b) == pytest.approx(numbers["latent_gru", "", "moving_pixel_l1", h])
        assert np.mean(found[f"better_than_persistence_{h}"].b) == pytest.approx(
            numbers["persistence", "", "moving_pixel_l1", h]
        )
        state = found[f"state_better_than_rssm_latents_{h}"]
        assert np.mean(state.a) == pytest.approx(numbers["default", "follow", "state_error", h])
        assert np.mean(state.b) == pytest.approx(numbers["rssm_latents", "", "state_error", h])
        best = min(numbers[name, mode, "moving_pixel_l1", h] for name, mode in SEARCHES)
        if h in comparison.CLAIMED:
            assert np.mean(found[f"better_than_paper_{h}"].b) <= best
            assert min(*found[f"better_than_paper_{h}"].a, *found[f"better_than_paper_{h}"].b) >= 0
    assert len(found["fast_enough"].a) == comparison.REPETITIONS


@pytest.mark.parametrize(
    ("claim", "metric"), [("never_worse_than_paper", "moving_pixel_l1"), ("state_as_good_as_paper", "state_error")]
)
def test_the_worst_horizon_decides(result: ExperimentResult, claim: str, metric: str) -> None:
    numbers = {(r.method, r.mode, r.metric, r.horizon): r.value for r in result.metrics}
    ratios = {
        h: numbers["default", "follow", metric, h] / min(numbers[name, mode, metric, h] for name, mode in SEARCHES)
        for h in MEAN_OVER
    }
    worst = max(ratios, key=lambda h: ratios[h])
    (evidence,) = (e for e in result.evidence if e.claim == claim)
    assert np.mean(evidence.a) / np.mean(evidence.b) == pytest.approx(ratios[worst])
    assert evidence.compared.startswith(f"t = {worst},")


def test_the_table_is_what_the_evidence_says(result: ExperimentResult) -> None:
    table = result.tables[0]
    assert table.columns == tuple(f"t={h}" for h in MEAN_OVER)
    left, closed, names = (row.cells for row in table.rows)
    found = {e.claim: e for e in result.evidence}
    for h, share, gap, name in zip(MEAN_OVER, left, closed, names, strict=True):
        assert isinstance(share, Number)
        assert isinstance(gap, Number)
        if h in comparison.CLAIMED:
            evidence = found[f"better_than_paper_{h}"]
            assert share.value == pytest.approx(np.mean(evidence.a) / np.mean(evidence.b))
            assert evidence.compared.endswith(f"against {name}")
        paper = min(
            r.value
            for r in result.metrics
            if (r.method, r.mode) in SEARCHES and (r.metric, r.horizon) == ("moving_pixel_l1", h)
        )
        gru = found[f"better_than_latent_gru_{h}"]
        assert gap.value == pytest.approx((paper - np.mean(gru.a)) / (paper - np.mean(gru.b)), rel=1e-6)


def test_without_trained_models_and_with_a_short_horizon_there_is_less_to_say() -> None:
    found = comparison.run(square_laboratory())
    assert {e.claim for e in found.evidence} == {
        *(f"better_than_{what}_{h}" for what in ("paper", "persistence") for h in (1, 5)),
        "never_worse_than_paper",
        "state_as_good_as_paper",
        "fast_enough",
    }
    assert found.tables[0].columns == ("t=1", "t=5")
    assert found.tables[0].rows[1].cells == ("", "")
