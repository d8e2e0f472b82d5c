from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from memworld.datasets import EpisodeDataset
from memworld.episodes import Episode
from memworld.evaluate.experiments import similarity
from memworld.evaluate.experiments.config import StudyConfig
from memworld.evaluate.experiments.distances import nearest_between, warping_between, warping_cost
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.result import ExperimentResult, Number, read_result, write_result
from memworld.evaluate.experiments.similarity import correlation
from memworld.memory import Memory
from tests.helpers import LEFT_RIGHT, PixelEncoder, one_clear_error, walk

LANES = (0, 60, 120, 180)
ACTIONS = [1] * 14 + [0] * 6


@pytest.fixture(scope="module")
def lanes() -> Laboratory:
    """One walk in each of four lanes; the held-out ones are in the same lanes, one by one further off."""
    data = [
        EpisodeDataset.from_episodes(LEFT_RIGHT, episodes)
        for episodes in (
            [walk(f"a{lane}", 20, ACTIONS, lane) for lane in LANES],
            [walk(f"h{lane}", 20, ACTIONS, lane + 4 * i) for i, lane in enumerate(LANES)],
        )
    ]
    encoder = PixelEncoder()
    memory = Memory(LEFT_RIGHT, encoder)
    memory.extend(data[0], encoder)
    return Laboratory("line", data[0], data[1], data[0], encoder, memory, {}, config=StudyConfig(horizon=20, starts=6))


@pytest.fixture(scope="module")
def result(lanes: Laboratory) -> ExperimentResult:
    return similarity.run(lanes)


def literal_warping(distances: np.ndarray) -> set[tuple[float, int]]:
    """The cost and length of every path of least cost, by trying all paths."""
    found: list[tuple[float, int]] = []

    def go(i: int, j: int, cost: float, steps: int) -> None:
        cost, steps = cost + distances[i, j], steps + 1
        if (i + 1, j + 1) == distances.shape:
            found.append((cost, steps))
        for a, b in ((i + 1, j + 1), (i + 1, j), (i, j + 1)):
            if a < distances.shape[0] and b < distances.shape[1]:
                go(a, b, cost, steps)

    go(0, 0, 0.0, 0)
    least = min(cost for cost, _ in found)
    return {(cost, steps) for cost, steps in found if cost == least}


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 5))
def test_warping_finds_the_cheapest_of_all_paths(seed: int, n: int, m: int) -> None:
    distances = np.random.default_rng(seed).random((n, m))
    ((cost, steps),) = literal_warping(distances)
    assert warping_cost(distances) == pytest.approx(cost / steps, rel=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 4))
def test_among_equally_cheap_paths_warping_still_takes_one_of_them(seed: int, n: int, m: int) -> None:
    distances = np.random.default_rng(seed).integers(0, 3, (n, m)).astype(np.float64)
    assert warping_cost(distances) in {cost / steps for cost, steps in literal_warping(distances)}


def course(*places: float) -> torch.Tensor:
    return torch.tensor(places)[:, None]


def test_only_alignment_in_time_tells_a_course_from_its_reverse() -> None:
    there, back = course(0, 1, 2, 3), course(3, 2, 1, 0)
    assert nearest_between([there, back]).tolist() == [[0, 0], [0, 0]]
    assert warping_between([there, back], 9)[0, 1] > 0.9


def test_alignment_in_time_forgives_waiting() -> None:
    assert warping_between([course(0, 1, 2, 3), course(0, 0, 1, 1, 1, 2, 3)], 9)[1, 0] == 0


def test_the_nearest_moments_are_averaged_over_both_directions() -> None:
    # From the first all moments are found in the second; back, one moment is 6 away, of three.
    assert nearest_between([course(0, 1), course(0, 1, 7)])[0, 1] == pytest.approx((0 + 6 / 3) / 2)


def test_long_courses_are_thinned_from_the_first_to_the_last_moment() -> None:
    line, shifted = torch.arange(1000.0)[:, None], torch.arange(1000.0)[:, None] + 5000
    # Far apart, the path that advances in both at once is the shortest, and every pair on it is 5000 away.
    assert warping_between([line, shifted], 2)[0, 1] == pytest.approx(5000)
    assert warping_between([line, line], 7).tolist() == [[0, 0], [0, 0]]


def test_heatmaps_hold_every_pair_in_typical_steps(result: ExperimentResult) -> None:
    for heatmap in result.heatmaps:
        assert heatmap.labels == (*(f"a{lane}" for lane in LANES), *(f"held out: h{lane}" for lane in LANES))
        np.testing.assert_array_equal(heatmap.values, heatmap.values.T)
        np.testing.assert_array_equal(np.diagonal(heatmap.values), 0)
        # A step of these walks is 10 long, and lanes are 60 apart.
        assert heatmap.values[0, :4] == pytest.approx([0, 6, 12, 18])
        assert heatmap.values[4:, :4].diagonal() == pytest.approx([0, 0.4, 0.8, 1.2])


def test_every_held_out_episode_is_told_what_is_most_like_it(result: ExperimentResult) -> None:
    table = result.tables[0]
    assert [row.label for row in table.rows] == [*(f"h{lane}" for lane in LANES), "mean"]
    for i, (row, lane) in enumerate(zip(table.rows, LANES, strict=False)):
        assert row.cells[:2] == (f"a{lane}", f"a{lane}")
        assert [cell.value for cell in row.cells[2:5] if isinstance(cell, Number)] == pytest.approx([0.4 * i] * 3)
    mean = dict(zip(table.columns, table.rows[-1].cells, strict=True))
    for name in ("replay_kl", "persistence", "data_mean", "encoder_bound"):
        errors = [row.cells[table.columns.index(f"{name} t=10")] for row in table.rows[:-1]]
        last = mean[f"{name} t=10"]
        assert isinstance(last, Number)
        assert last.low <= last.value <= last.high
        assert last.value == pytest.approx(np.mean([e.value for e in errors if isinstance(e, Number)]))
    assert mean["encoder_bound t=1"] == Number(0, 0, 0)


def test_correlations_are_those_of_the_table_above(result: ExperimentResult) -> None:
    episodes, correlations = result.tables
    column = {
        name: [cell.value for row in episodes.rows[:-1] if isinstance(cell := row.cells[place], Number)]
        for place, name in enumerate(episodes.columns)
    }
    for row, name in zip(correlations.rows, ("replay_kl", "persistence", "data_mean", "encoder_bound"), strict=True):
        for place, cell in zip(correlations.columns, row.cells, strict=True):
            t, kind = place.split(": ")
            errors = column[f"{name} {t}"]
            assert isinstance(cell, Number)
            if len(set(errors)) == 1:
                assert np.isnan(cell.value)
            else:
                assert cell.value == pytest.approx(scipy.stats.spearmanr(column[kind], errors).statistic)
    search = correlations.rows[0].cells[-1]
    assert isinstance(search, Number)
    # The further off a lane is held out, the further off is what was remembered.
    assert search.value > 0.5
    assert f"a rank correlation of {search.value:+.2f}" in result.notes[-1]
    assert "4 episodes are few" in result.notes[-1]
    assert [row.kind for row in correlations.rows] == ["", "baseline", "baseline", "uses the truth"]


def test_a_perfect_order_has_no_interval() -> None:
    found = correlation(np.arange(5.0), np.arange(5.0) ** 2, 0)
    assert found.value == pytest.approx(1)
    assert np.isnan([found.low, found.high]).all()


def test_correlation_is_that_of_scipy_with_the_ends_of_its_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity, "RESAMPLES", 200)
    rng = np.random.default_rng(3)
    a = rng.normal(size=9)
    b = a + rng.normal(size=9)
    drawn = np.random.default_rng(7).integers(0, 9, (200, 9))
    literal = [scipy.stats.spearmanr(a[i], b[i]).statistic for i in drawn]
    found = correlation(np.append(a, np.nan), np.append(b, 1.0), seed=7)
    expected = [scipy.stats.spearmanr(a, b).statistic, *np.percentile(literal, [2.5, 97.5])]
    assert [found.value, found.low, found.high] == pytest.approx(expected)


@pytest.mark.parametrize("b", [np.ones(6), np.full(6, np.nan), np.array([1, 2, np.nan, np.nan, np.nan, np.nan])])
def test_without_two_things_that_vary_there_is_no_correlation(b: np.ndarray) -> None:
    found = correlation(np.arange(6.0), b, 0)
    assert np.isnan([found.value, found.low, found.high]).all()


def test_short_and_still_held_out_episodes(lanes: Laboratory) -> None:
    def still(name: str) -> Episode:
        return walk(name, 100, [1] * 12, step=0)

    held_out = EpisodeDataset.from_episodes(LEFT_RIGHT, [still("s"), walk("short", 20, [1] * 3)])
    found = similarity.run(replace(lanes, held_out=held_out))
    assert "1 held-out episodes of fewer than 10 steps are left out." in found.notes
    assert [row.label for row in found.tables[0].rows] == ["s", "mean"]
    assert "none (too few episodes, or constant)" in found.notes[-1]
    with one_clear_error("no held-out episode has 10 steps"):
        similarity.run(replace(lanes, held_out=EpisodeDataset.from_episodes(LEFT_RIGHT, [walk("h", 0, [1] * 3)])))


def test_the_result_lies_on_disk_and_can_be_made_again(
    lanes: Laboratory, result: ExperimentResult, tmp_path: Path
) -> None:
    write_result(tmp_path / "similarity", result, {})
    read = read_result(tmp_path / "similarity", result.experiment, result.world)
    again = similarity.run(lanes)
    assert read is not None
    for other in (read, again):
        for name in ("tables", "notes"):
            # As text: NaN, which stands where there is no number, equals nothing.
            assert repr(getattr(other, name)) == repr(getattr(result, name))
        for mine, theirs in zip(result.heatmaps, other.heatmaps, strict=True):
            np.testing.assert_array_equal(mine.values, theirs.values)
