from pathlib import Path

import numpy as np
import pytest

from memworld.evaluate.results import MetricRow, Table, interval, read_metrics, write_metrics


def rows() -> list[MetricRow]:
    return [
        MetricRow("pong", "rollout", "follow", h, metric, h / 7, h / 8, h / 6, 5)
        for h in (5, 1)
        for metric in ("l1", "kl")
    ]


def test_metrics_survive_parquet_and_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    write_metrics(tmp_path / "a.parquet", rows())
    write_metrics(tmp_path / "b.parquet", rows())
    assert read_metrics(tmp_path / "a.parquet") == rows()
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_table_looks_up() -> None:
    table = Table(rows())
    assert table.methods == [("rollout", "follow")]
    assert table.metrics == ["l1", "kl"]
    assert table.horizons == [1, 5]
    found = table.get("rollout", "follow", "kl", 5)
    assert found is not None
    assert found.value == 5 / 7
    assert table.get("rollout", "requery", "kl", 5) is None


@pytest.mark.parametrize(("episodes", "covered"), [(5, 0.91), (8, 0.94), (40, 0.95)])
def test_the_interval_covers_the_mean_19_times_in_20(episodes: int, covered: float) -> None:
    cells = np.random.default_rng(0).normal(size=(episodes, 1500))
    mean, low, high = interval(cells, seed=0)
    np.testing.assert_allclose(mean, cells.mean(0))
    # 1,500 independent tries; a binomial's 3 standard deviations are .017 to .022. The plain percentile has .84 at 5.
    assert float(((low <= 0) & (high >= 0)).mean()) == pytest.approx(covered, abs=0.022)
    again = interval(cells, seed=0)
    assert all((a == b).all() for a, b in zip(again, (mean, low, high), strict=True))


def test_one_episode_has_no_interval() -> None:
    mean, low, high = interval(np.array([[0.5, 1.0]]), seed=0)
    assert mean.tolist() == [0.5, 1.0]
    assert np.isnan(low).all()
    assert np.isnan(high).all()


def test_an_interval_of_equal_episodes_is_a_point() -> None:
    mean, low, high = interval(np.full((4, 2), 0.25), seed=0)
    assert low.tolist() == high.tolist() == mean.tolist() == pytest.approx([0.25, 0.25])


def test_an_episode_without_a_number_leaves_the_others_theirs() -> None:
    per_episode = np.array([[0.0, np.nan, np.nan], [2.0, 1.0, np.nan]])
    mean, low, high = interval(per_episode, seed=0)
    np.testing.assert_array_equal(mean, [1.0, 1.0, np.nan])
    assert (low[0], high[0]) == (0.0, 2.0)
    assert np.isnan([low[1], high[2]]).all()
