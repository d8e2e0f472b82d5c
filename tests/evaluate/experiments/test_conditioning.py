"""Action conditioning, on moving squares, and on walks whose shortages can be counted by hand."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest

from memworld.datasets import EpisodeDataset
from memworld.dynamics import DynamicsConfig
from memworld.evaluate.experiments.conditioning import run, ways_of
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.measuring import evaluation_config
from memworld.evaluate.experiments.result import ExperimentResult, Number, ResultTable
from memworld.evaluate.protocol import evaluate
from memworld.evaluate.results import label_of
from memworld.memory import Memory
from memworld.search import Conditioning
from tests.evaluate.experiments.laboratories import SMALL, pong_laboratory, square_laboratory
from tests.helpers import LEFT_RIGHT, PixelEncoder, walk

SIX = [0, 1, 1, 0, 1, 0]
STARTS = 7


def walks(lefts: int, memories: int = 3) -> Laboratory:
    """Walks to the right; only the first in memory also goes left, `lefts` times; held-out ones turn about."""
    encoder = PixelEncoder()
    training = [walk("t0", 60, [0] * lefts + [1] * 8)]
    training += [walk(f"t{i}", 20 + i, [1] * 12, lane=3 * i) for i in range(1, memories)]
    held_out = [walk("h0", 80, SIX * 2, lane=1), walk("h1", 90, [1] * 12, lane=2)]
    remembered = EpisodeDataset.from_episodes(LEFT_RIGHT, training)
    memory = Memory(LEFT_RIGHT, encoder)
    memory.extend(remembered, encoder)
    unseen = EpisodeDataset.from_episodes(LEFT_RIGHT, held_out)
    sizes = replace(SMALL, horizon=6, shown=(1, 6), starts=STARTS)
    return Laboratory("walks", remembered, unseen, remembered[:0], encoder, memory, {}, config=sizes)


def table(result: ExperimentResult, title: str) -> ResultTable:
    return next(t for t in result.tables if t.title == title)


def values(found: ResultTable, label: str) -> list[float]:
    (row,) = [row for row in found.rows if row.label == label]
    return [cell.value for cell in row.cells if isinstance(cell, Number)]


@pytest.fixture(scope="module")
def squares() -> ExperimentResult:
    return run(square_laboratory())


@pytest.fixture(scope="module")
def scarce() -> ExperimentResult:
    return run(walks(lefts=4))


def test_every_error_is_that_of_the_protocol(squares: ExperimentResult) -> None:
    lab = square_laboratory()
    ways: tuple[Conditioning, ...] = ("none", "hard")
    dynamics = {f"{s} {w}": DynamicsConfig(s, conditioning=w) for s in ("rollout", "replay_kl") for w in ways}
    config = evaluation_config(lab, dynamics, ["requery"])
    expected = evaluate(lab.encoder, lab.memory, lab.training, lab.held_out, config).table
    for title, metric in (
        ("Error on moving pixels", "moving_pixel_l1"),
        ("Error of the world's state", "state_error"),
        ("KL to the true frame's posterior", "kl"),
    ):
        found = table(squares, title)
        assert found.columns == ("t=1", "t=5")
        for name, mode in expected.methods:
            if name == "oracle":
                continue
            rows = [expected.get(name, mode, metric, horizon) for horizon in (1, 5)]
            wanted = [row.value for row in rows if row is not None]
            np.testing.assert_allclose(values(found, label_of(name, mode)), wanted, rtol=1e-6)
        assert len(found.rows) == 3 + 9


def test_what_conditioning_costs_is_a_difference(squares: ExperimentResult) -> None:
    errors, costs = table(squares, "Error on moving pixels"), "What conditioning costs: error on moving pixels"
    for strategy in ("rollout", "replay_l2", "replay_kl"):
        none = values(errors, f"{strategy} none requery")
        for way in ("hard", "soft"):
            with_it = values(errors, f"{strategy} {way} requery")
            found = values(table(squares, costs), f"{strategy}: {way} - none")
            np.testing.assert_allclose(found, np.subtract(with_it, none), atol=1e-9)
    blank = [row for row in table(squares, costs).rows if row.label == "persistence"]
    assert [row.cells for row in blank] == [("", "")]
    (evidence,) = squares.evidence
    assert evidence.claim == "hard_conditioning_starves_rollout"
    assert len(evidence.a) == len(square_laboratory().held_out)
    assert {strip.episode for strip in squares.strips} <= set(square_laboratory().held_out.ids)


def test_shortages_are_counted(scarce: ExperimentResult) -> None:
    """Of 3 episodes, one went left, 4 times. One held-out walk goes left in half of its steps, the other never."""
    found = table(scarce, "How often support is missing")
    half = 1 / 4  # mean of 1/2 and 0
    # All 7 windows of 6 steps of a period of 6 steps have 3 steps to the left; their first step is one in 4 of 7.
    first = 4 / 7 / 2
    assert values(found, "rollout hard requery") == pytest.approx([first, half, half * 2, 0])
    assert values(found, "replay_l2 hard requery") == pytest.approx([first, half, half * (10 - 4), 0])
    assert values(found, "replay_kl hard requery") == pytest.approx([0, 0, 0, 0])
    for name in ("rollout", "replay_l2", "replay_kl"):
        for way in ("none", "soft"):
            assert values(found, f"{name} {way} requery") == pytest.approx([0, 0, 0, 0])
    asked = {row.label: row.cells[0] for row in found.rows}
    assert [asked[f"{name} none requery"] for name in ("rollout", "replay_l2", "replay_kl")] == ["3", "10", "1"]
    assert asked["persistence"] == ""
    assert "rollout hard in 25.0%, replay_l2 hard in 25.0%" in scarce.notes[0]
    (curves,) = [chart.curves for chart in scarce.charts if "fewer rows" in chart.title]
    assert [curve.label for curve in curves] == ["rollout hard requery", "replay_l2 hard requery"]


def test_windows_without_support_are_told_apart(scarce: ExperimentResult) -> None:
    found = table(scarce, "Errors where support is missing")
    share, *_ = values(found, "rollout hard requery")
    assert share == pytest.approx(4 / 7 / 2)
    controls = ["persistence, same windows", "data_mean, same windows", "encoder_bound, same windows"]
    assert [row.label for row in found.rows] == [
        *("rollout hard requery", "rollout none requery, same windows", *controls),
        *("replay_l2 hard requery", "replay_l2 none requery, same windows", *controls),
    ]
    # A step is 10 grey levels of one of the two pixels, to whichever side.
    persistence = next(row for row in found.rows if row.kind == "baseline")
    levels = [cell.value for cell in persistence.cells if isinstance(cell, Number)]
    assert levels == pytest.approx([10 / 255, 10 / 255, 0], abs=1e-6)
    # h1 is never short of rows, so it has no number there.
    hard = found.rows[0].cells[1]
    assert isinstance(hard, Number)
    assert np.isnan(hard.low)


def test_where_no_row_at_all_is_found() -> None:
    result = run(walks(lefts=0))
    found = table(result, "How often support is missing")
    for name, missing in (("rollout", 3), ("replay_l2", 10), ("replay_kl", 1)):
        first, short, mean, nothing = values(found, f"{name} hard requery")
        assert (first, short, mean) == pytest.approx((4 / 7 / 2, 1 / 4, missing / 4))
        assert nothing == pytest.approx(1 / 4)


def test_a_single_episode_leaves_soft_conditioning_out() -> None:
    result = run(walks(lefts=4, memories=1))
    refused = [note for note in result.notes if "left out" in note]
    assert len(refused) == 3
    assert all(" soft is left out" in note and "single episode" in note for note in refused)
    labels = [row.label for row in table(result, "Error on moving pixels").rows]
    assert "replay_kl hard requery" in labels
    assert not any("soft" in label for label in labels)


def test_a_real_recording_with_one_held_out_episode_has_no_intervals() -> None:
    result = run(pong_laboratory())
    for row in table(result, "Error on moving pixels").rows:
        for cell in row.cells:
            assert isinstance(cell, Number)
            assert 0 <= cell.value <= 1
            assert np.isnan([cell.low, cell.high]).all()


def test_mixed_conditioning_is_measured_where_actions_are_mixed() -> None:
    discrete, box = gymnasium.spaces.Discrete(3), gymnasium.spaces.Box(-1, 1, (2,))
    assert ways_of(discrete) == ways_of(box) == ("none", "hard", "soft")
    assert ways_of(gymnasium.spaces.Dict(jump=discrete, camera=box)) == ("none", "hard", "soft", "mixed")
