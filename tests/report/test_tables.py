import math
from dataclasses import replace

import pytest

from memworld.evaluate.experiments.result import Number, ResultTable, Row
from memworld.evaluate.results import Table
from memworld.report.looks import looks
from memworld.report.result_tables import table_view
from memworld.report.tables import difference_table, headline, metric_tables, number, with_minus
from tests.report.made_up import ERRORS, make_rows


def test_marks_follow_the_paired_interval_and_spare_what_uses_the_truth() -> None:
    table = Table(make_rows())
    expected = ["", "", "worse", "", "better", "worse", ""]
    for view in metric_tables(table, [5]):
        marks = [line.cells[0].verdict for line in view.lines]
        assert marks == (expected if view.metric != "kl" else [""] * 7), view.metric
    assert [line.cells[0].verdict for line in difference_table(table, [5]).lines] == ["", *expected[2:]]


@pytest.mark.parametrize(
    ("changes", "half", "words"),
    [
        (
            {},
            0.01,
            "At t = 5, 1 of 3 search methods beats persistence on moving pixels; the best, rollout follow, has an",
        ),
        ({}, 0.01, "0.0800 against 0.100 (difference −0.0200, 95% interval [−0.0300, −0.0100])"),
        ({}, 0.05, "no search method is shown to beat persistence on moving pixels; the best, rollout follow"),
        (
            {("persistence", ""): 0.07},
            0.01,
            "no search method beats persistence on moving pixels; the closest, rollout f",
        ),
        ({("latent_gru", ""): 0.03}, 0.01, "Trained on the same episodes, latent_gru is ahead of search with 0.0300."),
        ({("latent_gru", ""): 0.09}, 0.01, "1 of 3 search methods beats"),
        ({}, 0.01, "The encoder's bound at t = 1 is 0.20 of persistence's error"),
        ({("encoder_bound", ""): 0.2}, 0.01, "2.0 times persistence's error: even the true frame"),
    ],
)
def test_the_headline_is_honest(changes: dict[tuple[str, str], float], half: float, words: str) -> None:
    said = headline(Table(make_rows(ERRORS | changes, half)))
    assert len(said) == 3
    assert any(words in sentence for sentence in said), said
    assert any("Trained" in sentence for sentence in said) == (changes.get(("latent_gru", ""), 1) < 0.08)


def test_a_frame_in_which_nothing_moves_has_no_number() -> None:
    rows = [replace(row, value=math.nan, low=math.nan, high=math.nan) for row in make_rows()]
    assert headline(Table(rows)) == []
    assert metric_tables(Table(rows), [1])[0].lines[0].cells[0].value == "–"


def test_a_small_number_among_large_ones_is_not_rounded_away() -> None:
    rows = make_rows({**dict.fromkeys(ERRORS, 512.34), ("rollout", "follow"): 0.4212})
    cells = {line.label: line.cells[0] for line in metric_tables(Table(rows), [1])[0].lines}
    assert cells["persistence"].value == "512"
    assert (cells["rollout follow"].value, cells["rollout follow"].interval) == ("0.42", "[0.41, 0.43]")


def test_a_method_keeps_its_colour_and_its_mode_its_line() -> None:
    found = looks(Table(make_rows()))
    assert found["rollout"].colour == found["rollout requery"].colour == found["rollout follow"].colour
    assert found["rollout"].colour != found["replay_kl requery"].colour
    assert found["rollout requery"].dashes == ()
    assert found["rollout follow"].dashes
    assert found["persistence"].css == "var(--text)"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.09123, "0.0912"), (0.9, "0.900"), (12.34, "12.3"), (5123.4, "5123"), (-0.5, "−0.500"), (0, "0"),
     (math.nan, "–"), (-math.inf, "−∞")],
)  # fmt: skip
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text
    assert number(-0.0001, decimals=2) == "0.00"


def test_a_sentence_s_negative_numbers_have_the_same_sign() -> None:
    assert (
        with_minus("it was -2.8 [-3, -.5] in my-world-2, e-05, 1-2") == "it was −2.8 [−3, −.5] in my-world-2, e-05, 1-2"
    )


def test_a_column_without_anything_in_it_is_left_out() -> None:
    rows = (Row("a", (Number(1.0), "", "")), Row("b", (Number(2.0), "", "random")))
    view = table_view(ResultTable("t", "", ("return", "share", "by"), rows))
    assert view.columns == (("return", False), ("by", True))
    assert [[cell.value for cell in line.cells] for line in view.lines] == [["1", ""], ["2", "random"]]
    assert table_view(ResultTable("t", "", ("return", "share"), ())).columns == (("return", False), ("share", False))
