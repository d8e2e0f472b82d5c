"""What is said of an evaluation in a sentence and in a terminal's table: hits and misses alike."""

from dataclasses import replace

import numpy as np
import pytest

from memworld.evaluate.results import Evaluation
from memworld.report.summary import held_text, result
from memworld.report.tables import MAIN
from tests.report.made_up import ERRORS, make_evaluation, make_rows

DEFAULT = ("default", "follow")


def measured(better_until: int) -> Evaluation:
    """The default errs 0.03 less than any other search up to a step, and as much as the best of them from there on."""
    errors = {**ERRORS, DEFAULT: 0.05}
    noise = np.random.default_rng(0).normal(0, 1e-4, (6, 20))
    found = {(*key, MAIN): np.full((6, 20), error) for key, error in errors.items()}
    found[*DEFAULT, MAIN] += noise
    found[*DEFAULT, MAIN][:, better_until:] = 0.08 + noise[:, better_until:]
    return replace(make_evaluation(rows=make_rows(errors)), per_episode=found)


@pytest.mark.parametrize(
    ("better_until", "words"),
    [
        (20, "The default dynamics, analogues, errs less than every other search at t = 1, 5, 10 and 20. On moving"),
        (10, "errs less than every other search at t = 1, 5 and 10, which is not shown at t = 20. On"),
        (0, "analogues, is not shown to err less than every other search at t = 1, 5, 10 and 20. On"),
    ],
)
def test_where_the_default_is_ahead_and_where_that_is_not_shown(better_until: int, words: str) -> None:
    said = result(measured(better_until))
    assert words in said
    assert "at t = 20 is 0.0500; the best of the others, rollout follow, has 0.0800, and the last frame" in said


def test_without_the_default_the_headline_speaks() -> None:
    assert result(make_evaluation()).startswith("At t = 5, 1 of 3 search methods beats persistence")


def test_the_table_says_of_every_search_whether_it_beats_the_last_frame() -> None:
    rows = [
        replace(row, high=0.001) if row.metric == f"{MAIN}_minus_persistence" and row.horizon == 20 else row
        for row in make_rows()
    ]
    lines = {line[:18].strip(): line[18:].split("  ") for line in held_text(make_evaluation(rows=rows)).splitlines()}
    assert list(lines) == ["", "persistence", "rollout requery", "rollout follow", "replay_kl requery"]
    cells = {name: [cell.strip() for cell in line if cell.strip()] for name, line in lines.items()}
    assert cells[""] == ["t = 1", "t = 5", "t = 10", "t = 20"]
    assert cells["persistence"] == ["0.100"] * 4
    assert cells["rollout requery"] == ["0.101 no"] * 4
    assert cells["rollout follow"] == [*["0.080 yes"] * 3, "0.080 not shown"]
