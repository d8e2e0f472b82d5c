"""What is said of returns, against numbers worked out by hand and naive resampling."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from memworld.control.compare import Finding, compare, sentence
from memworld.control.demonstrations import Demonstrations, demonstrations
from memworld.control.show import table_text
from memworld.evaluate.experiments.result import Number
from memworld.evaluate.playing import Outcome, PlayConfig, marks, play
from memworld.evaluate.results import expanded_tail
from memworld.evaluate.returns import lead
from memworld.memory import Memory
from memworld.report.result_tables import table_view
from memworld.worlds import World
from tests.control.test_control import Line
from tests.helpers import LEFT_RIGHT, PixelEncoder, one_clear_error, walk

CONFIG = PlayConfig(episodes=4, max_steps=5)
WORLD = World("line", Line)


def outcomes(*gained: float, support: float | None = None) -> list[Outcome]:
    at = len(marks(5))
    return [Outcome(i, g, 5, False, True, (g,) * at, 1.0, 0.002, 0.004, None, support) for i, g in enumerate(gained)]


PLAYED = {
    "random": outcomes(0, 1, 2, 1),
    "demonstrator": outcomes(8, 9, 10, 9),
    "mppi": outcomes(4, 5, 6, 5, support=0.25),
}
RECORDED = Demonstrations(np.array([4.0, 6.0, 5.0, 9.0]), np.array([0.5, 0.5, 1.0, 1.0]), short=1)


def test_the_table_by_hand() -> None:
    found = compare(WORLD, PLAYED, RECORDED, CONFIG)

    rows = {row.label: dict(zip(found.table.columns, row.cells, strict=True)) for row in found.table.rows}
    values: dict[str, Any] = {name: getattr(cell, "value", cell) for name, cell in rows["mppi"].items()}
    assert values == {
        "return": 5,
        "normalised return": 0.5,
        "share of the demonstrator's": pytest.approx(5 / 9),
        "over the demonstrations": -1,
        "steps survived": 5,
        "ms a decision": 2,
        "99th percentile, ms": 4,
        "support": 0.25,
    }
    assert list(rows) == [*PLAYED, "demonstrations", "demonstrations of skill 1", "best demonstration"]
    said = {label: row["return"] for label, row in rows.items()}
    assert [c.value for c in said.values() if isinstance(c, Number)] == [1, 9, 5, 6, 7, 9]
    assert rows["random"]["support"] == rows["demonstrations"]["steps survived"] == ""
    assert "1 of memory's 4 episodes were cut before 5 steps" in " ".join(found.notes)


def test_what_held_and_what_did_not() -> None:
    found = compare(WORLD, PLAYED, RECORDED, CONFIG)

    verdicts = {finding.against: finding.verdict for finding in found.findings}
    assert {finding.way for finding in found.findings} == {"mppi"}
    assert verdicts == {
        "random": "holds",
        "demonstrator": "does not hold",
        "demonstrations": "undecided",
        "demonstrations of skill 1": "undecided",
        "best demonstration": "does not hold",
    }
    said = sentence("mppi", found.table, found.findings)
    assert "more than random; no more than demonstrator, best demonstration; not shown to be more than" in said


def test_what_is_said_is_written_as_the_tables_write_it() -> None:
    lost = {way: outcomes(-1, -2, -4, -5) for way in PLAYED}

    found = compare(WORLD, lost, None, CONFIG)

    (cell,) = [line.cells[0] for line in table_view(found.table).lines if line.label == "mppi"]
    assert f"mppi: a return of {cell.value} {cell.interval}; " in sentence("mppi", found.table, found.findings)
    assert "-" not in cell.value + cell.interval


def test_verdicts_at_the_edges() -> None:
    assert Finding("a", "b", Number(0.0, 0.0, 0.0)).verdict == "does not hold"
    assert Finding("a", "b", Number(1.0)).verdict == "undecided"
    assert Finding("a", "b", Number(1.0, 0.0, 2.0)).verdict == "undecided"


def test_nothing_to_scale_by_is_said() -> None:
    equal = {way: outcomes(0, 0, 0, 0) for way in PLAYED}

    notes = compare(replace(WORLD, repeatable=False), equal, None, CONFIG).notes

    assert "gains no more than random play" in notes[0]
    assert "Every episode has the same return" in notes[1]
    assert any("pieces of episodes" in note for note in notes)
    assert any("runs by the clock" in note for note in notes)


def test_the_lead_s_interval_is_that_of_naive_resampling() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(3, 1, 12), rng.normal(1, 2, 30)

    found = lead(a, b, seed=0)

    draws = [rng.choice(a, 12).mean() - rng.choice(b, 30).mean() for _ in range(20_000)]
    tail = expanded_tail(12)
    assert found.value == pytest.approx(a.mean() - b.mean())
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, (tail, 1 - tail))), abs=0.06)
    assert np.isnan(lead(a[:1], b, 0).low)


def test_demonstrations_are_counted_as_far_as_is_played() -> None:
    encoder = PixelEncoder()
    memory = Memory(LEFT_RIGHT, encoder)
    assert demonstrations(memory, 3) is None
    memory.extend([walk("r", 0, [1] * 6), walk("l", 90, [0, 1, 0], lane=200)], encoder)

    found = demonstrations(memory, 4)

    assert found is not None
    assert found.returns.tolist() == [4, 1]
    assert found.short == 0  # the short one terminated
    assert list(found.groups) == ["demonstrations", "best demonstration"]
    piece = replace(walk("p", 0, [1] * 3), source={"piece_of": "whole", "first_step": 6})
    memory.append(piece, encoder)
    assert demonstrations(memory, 4) is None


def test_the_table_as_text_leaves_out_what_is_empty() -> None:
    text = table_text(compare(WORLD, {"mppi": outcomes(1, 2, 3, 4)}, None, CONFIG).table)

    header, line = text.splitlines()
    assert "return" in header
    assert "demonstrator" not in header
    assert line.startswith("mppi  2.50")


class Thinker:
    """A policy that says what each of its decisions took."""

    def __init__(self) -> None:
        self.support = [0.5, float("nan"), 0.1]
        self.decision_seconds = [1.0, 2.0, 3.0]

    def __call__(self, observation: np.ndarray, info: Any) -> int:
        return 1


def test_a_policy_s_own_times_and_support_count() -> None:
    played = play(Line(), WORLD, "thinker", lambda rng: Thinker(), 1, CONFIG)

    outcome = played.outcome
    assert outcome.number == 1
    assert outcome.seconds_median == 2
    assert outcome.seconds_p99 == pytest.approx(2.98)
    assert outcome.support == pytest.approx(0.3)
    assert outcome.unanimous is None
    assert outcome.seconds < 1
    assert (outcome.terminated, outcome.truncated, outcome.steps) == (False, True, 5)
    assert played.episode.id == "thinker-00001"
    with one_clear_error("policy bad returned a bad action at step 0 of episode bad-00000"):
        play(Line(), WORLD, "bad", lambda rng: lambda o, i: 7, 0, CONFIG)
