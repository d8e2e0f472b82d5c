import numpy as np

from memworld.evaluate.results import MetricRow, Table
from memworld.evaluate.verdicts import misses, warnings_about
from tests.helpers import PixelEncoder


def table(difference: tuple[float, float, float], floor: float = 1.0, n: int = 8) -> Table:
    """One search method, five steps ahead, with its paired difference from persistence."""
    return Table(
        [
            MetricRow("w", "encoder_bound", "", 5, "state_error", floor, floor, floor, n),
            MetricRow("w", "persistence", "", 5, "state_error", 4.0, 4.0, 4.0, n),
            MetricRow("w", "oracle", "", 5, "moving_pixel_l1_minus_persistence", 1.0, 1.0, 1.0, n),
            MetricRow("w", "rollout", "follow", 5, "moving_pixel_l1_minus_persistence", *difference, n),
        ]
    )


def said(
    difference: tuple[float, float, float] = (-2, -3, -1),
    *,
    floor: float = 1.0,
    n: int = 8,
    support: float = 0.5,
    active: int = 9,
    probe: bool = True,
) -> list[str]:
    encoder = PixelEncoder()
    encoder.active_units = active
    quantiles = {"rollout follow": [np.full((2, 5), support)]}
    return list(warnings_about(table(difference, floor, n), encoder, quantiles, [5], object() if probe else None))  # type: ignore[arg-type]


def test_nothing_to_warn_of() -> None:
    assert said() == []


def test_each_warning_and_only_that() -> None:
    for warnings, words in (
        (said(floor=3.0), "The error of the state says little at t=5 (3.00 against 4.00)"),
        (said(support=0.99), "rollout follow: 100% of the predictions have low support"),
        (said(active=2), "close to collapse: 2 active units"),
        (said(n=1), "one held-out episode, so no interval"),
        (said(n=4), "There are 4 held-out episodes"),
    ):
        assert len(warnings) == 1, warnings
        assert words in warnings[0]


def test_the_probe_is_not_spoken_of_where_there_is_none() -> None:
    assert said(floor=3.0, probe=False) == []


def test_what_does_not_beat_persistence_is_named_once_with_its_steps() -> None:
    below, above, open_ = (-2.0, -3.0, -1.0), (0.5, 0.1, 0.9), (-0.5, -1.0, 0.1)
    differences = {
        ("rollout", "requery"): (above, above),
        ("rollout", "follow"): (open_, below),
        ("default", "follow"): (below, below),
        ("data_mean", ""): (above, above),
        ("oracle", ""): (above, above),
    }
    metric = "moving_pixel_l1_minus_persistence"
    rows = [
        MetricRow("w", *method, step, metric, *difference, 8)
        for method, found in differences.items()
        for step, difference in zip((1, 5), found, strict=True)
    ]
    assert list(misses(Table(rows), [1, 5])) == [
        "On moving pixels, these do not beat persistence, the last frame repeated: rollout requery (t = 1, 5).",
        "On moving pixels, these are not shown to beat persistence, as the interval of the difference reaches 0: "
        "rollout follow (t = 1).",
    ]
    assert list(misses(Table(rows), [7])) == []
