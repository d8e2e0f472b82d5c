"""Quality against seconds, on moving squares, with search of other settings in the place of trained baselines."""

from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from memworld.dynamics import DynamicsConfig
from memworld.evaluate.experiments.budget import REPETITIONS, run
from memworld.evaluate.experiments.fairness import FLAT, gained_by_more, last_improvement, validation_looks
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.result import Chart, ExperimentResult, Number
from memworld.rollout import Imagined, Past
from memworld.world_model import WorldModel
from tests.evaluate.experiments.laboratories import SMALL, square_laboratory

Look = dict[str, float]


class Stored:
    """A world model by search as a baseline; a blind one imagines from a black frame, whatever was seen."""

    about = "search"

    def __init__(self, lab: Laboratory, k: int, history: list[Look] | None = None, blind: bool = False) -> None:
        self._world = WorldModel(lab.encoder, lab.memory, DynamicsConfig("replay_l2", k=k, rule="mean"))
        self.encoder_fingerprint = lab.encoder.fingerprint
        self.episodes_seen = lab.memory.ids
        self._blind = blind
        if history is not None:
            self.history = history

    def imagine(
        self, observations: np.ndarray, actions: Any, *, past: Past | None = None, seed: int = 0, decode: bool = True
    ) -> Imagined:
        seen = np.zeros_like(observations) if self._blind else observations
        return self._world.imagine(seen, actions, seed=seed, decode=decode)


def falling(*losses: float) -> list[Look]:
    return [{"step": 10.0 * i, "seconds": float(i), "loss": loss} for i, loss in enumerate(losses)]


@pytest.fixture(scope="module")
def lab() -> Laboratory:
    """`rssm_latents` at two budgets and in full, flattened; `rssm_pixels` in full, cut off, without its past."""
    lab = square_laboratory(horizon=10)
    flat, steep = falling(5, 1, 1, 1, 1), falling(5, 4, 3, 2, 1)
    return replace(
        lab,
        models={"rssm_latents": Stored(lab, 1, flat), "rssm_pixels": Stored(lab, 2, steep)},
        budgets={"rssm_latents": ((2.0, Stored(lab, 1, steep, blind=True)), (5.0, Stored(lab, 10, falling(5, 1.02))))},
        seconds={"encoder": 30.0, "remember": 0.5, "rssm_latents": 40.0, "rssm_pixels": 60.0},
    )


@pytest.fixture(scope="module")
def result(lab: Laboratory) -> ExperimentResult:
    return run(lab)


def cells(result: ExperimentResult, row: str, table: int = 0) -> dict[str, Any]:
    shown = result.tables[table]
    (found,) = [r for r in shown.rows if r.label == row]
    return dict(zip(shown.columns, found.cells, strict=True))


def test_every_method_has_its_error_and_its_time(result: ExperimentResult) -> None:
    for table in result.tables:
        kinds = {row.label: row.kind for row in table.rows}
        assert {"persistence", "data_mean", "encoder_bound", "replay_kl requery", "rollout follow"} <= set(kinds)
        assert not any("oracle" in label for label in kinds)
        assert [label for label, kind in kinds.items() if kind == "trained"] == [
            "rssm_latents, 2 s",
            "rssm_latents, 5 s",
            "rssm_latents, 40 s",
            "rssm_pixels, 60 s",
        ]
        assert table.columns[4:] == ("t=1", "t=5", "t=10")
    expected = {
        "replay_kl requery": (0.5, 30.5),
        "rssm_latents, 2 s": (2, 32),
        "rssm_latents, 40 s": (40, 70),
        "rssm_pixels, 60 s": (60, 60),  # it needs no encoder but its own
    }
    for label, (given_, nothing) in expected.items():
        row = cells(result, label)
        assert row["seconds, encoder given"].value == given_
        assert row["seconds, from nothing"].value == nothing
        assert row["ms per step, single"].value > 0
        error = row["t=5"]
        assert error.low <= error.value <= error.high
    persistence = cells(result, "persistence")
    assert persistence["seconds, from nothing"] == persistence["ms per step, single"] == ""
    assert cells(result, "encoder_bound", table=1)["t=10"] == Number(0, 0, 0)  # its KL


def chart(result: ExperimentResult, title: str) -> Chart:
    (found,) = [c for c in result.charts if c.title == title]
    return found


def test_all_methods_are_on_one_plot(result: ExperimentResult) -> None:
    given_, nothing = (
        {c.label: c for c in chart(result, f"error on moving pixels at t = 5, {situation}").curves}
        for situation in ("encoder given", "from nothing")
    )
    at = [{label: list(curve.x) for label, curve in curves.items()} for curves in (given_, nothing)]

    assert list(given_) == list(nothing)
    assert [x["rssm_latents"] for x in at] == [[2, 5, 40], [32, 35, 70]]
    assert [x["rssm_pixels"] for x in at] == [[60], [60]]
    assert [x["replay_kl requery"][0] for x in at] == [0.5, 30.5]
    for label in ("persistence", "data_mean", "encoder_bound"):
        assert given_[label].x[0] < 0.5
        assert given_[label].x[1] > 60
        assert given_[label].y == (cells(result, label)["t=5"].value,) * 2
    assert given_["rssm_latents"].y == tuple(cells(result, f"rssm_latents, {s} s")["t=5"].value for s in (2, 5, 40))


def test_training_s_past_is_drawn_and_judged(result: ExperimentResult) -> None:
    assert [c.label for c in chart(result, "rssm_latents: validation loss").curves] == [
        "rssm_latents",
        "rssm_latents, 2 s",
        "rssm_latents, 5 s",
    ]
    latents = next(n for n in result.notes if n.startswith("rssm_latents:"))
    pixels = next(n for n in result.notes if n.startswith("rssm_pixels:"))
    assert (
        "fell from 5 to 1, 0.0% of that in the last quarter of its steps, and 0.5% of it is what it has over" in latents
    )
    assert "40 s of training are 80 times the memory's 0.5 s, below 100. A fair chance." in latents
    assert "fell from 5 to 1, 25.0% of that in the last quarter" in pixels
    assert "120 times the memory's 0.5 s, at least 100. A fair chance." in pixels


def test_a_baseline_without_past_and_time_is_not_called_fair(lab: Laboratory) -> None:
    poor = replace(lab, models={"latent_gru": Stored(lab, 1)}, budgets={}, seconds={}, config=SMALL)

    result = run(poor)

    assert any(n.startswith("latent_gru: how its validation loss went is not known") for n in result.notes)
    assert any("Not shown to be a fair chance" in n for n in result.notes)
    assert any("missing in charts over time: encoder, remember, latent_gru" in n for n in result.notes)
    assert [e.claim for e in result.evidence] == ["kl_slower"]
    assert {c.label for c in result.charts[0].curves} == {"persistence", "data_mean", "encoder_bound"}
    assert cells(result, "replay_kl requery")["seconds, encoder given"] == ""


def test_evidence_pairs_what_was_measured_together(lab: Laboratory, result: ExperimentResult) -> None:
    zero_shot, slower = result.evidence

    assert (zero_shot.claim, slower.claim) == ("zero_shot_time", "kl_slower")
    assert len(zero_shot.a) == len(lab.held_out)
    assert np.mean(zero_shot.a) == pytest.approx(cells(result, "replay_kl requery")["t=10"].value)
    assert np.mean(zero_shot.b) == pytest.approx(cells(result, "rssm_latents, 2 s")["t=10"].value)
    assert len(slower.a) == len(slower.b) == REPETITIONS
    assert min(slower.a + slower.b) > 0


def test_who_overtakes_is_said_by_paired_intervals(result: ExperimentResult) -> None:
    (said,) = [n for n in result.notes if n.startswith("On moving pixels at t = 5") and "rssm_latents" in n]

    assert "rssm_latents, 2 s: behind" in said


@settings(max_examples=60)
@given(st.lists(st.floats(0.1, 100), min_size=5, max_size=30), st.floats(0.1, 10), st.floats(-50, 50))
def test_the_last_improvement_is_a_share_whatever_the_unit(losses: list[float], scale: float, shift: float) -> None:
    share = last_improvement(falling(*losses))
    scaled = last_improvement(falling(*(scale * loss + shift for loss in losses)))

    assert share is not None
    assert scaled is not None
    assert 0 <= share <= 1
    if losses[0] - min(losses) > 0.01:
        assert scaled == pytest.approx(share, abs=1e-6)
    # A training that goes on as long again without a better look has flattened.
    later = last_improvement(falling(*losses, *[max(losses)] * (len(losses) + 1)))
    assert later is not None
    assert later <= FLAT


def test_what_a_longer_training_gained() -> None:
    assert gained_by_more(falling(5, 2, 1), falling(5, 3)) == pytest.approx((3 - 1) / (5 - 1))
    assert gained_by_more(falling(5, 2, 1), falling(5, 0.5)) == 0
    assert gained_by_more(falling(1, 2), falling(1, 2)) == 0
    assert gained_by_more(falling(5, 1), []) is None
    assert gained_by_more([], falling(5, 1)) is None


def test_too_few_looks_tell_nothing() -> None:
    assert last_improvement(falling(3, 1)) is None
    assert last_improvement(falling(1, 2, 3, 4, 5)) == 0


def test_looks_without_a_time_are_left_out(lab: Laboratory) -> None:
    assert validation_looks(Stored(lab, 1)) == []
    assert validation_looks(Stored(lab, 1, [{"step": 1.0, "loss": 2.0}, *falling(1)])) == falling(1)
