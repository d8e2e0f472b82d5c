"""The hybrid beside a GRU that trained for as long."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memworld.baselines import Baseline
from memworld.baselines.training import train_baseline
from memworld.evaluate.experiments import hybrid
from memworld.evaluate.experiments.hybrid import _trained_as_long
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.result import ExperimentResult, Number
from memworld.hybrid import HybridConfig
from tests.baselines.toys import SHORT
from tests.evaluate.experiments.laboratories import square_laboratory


@pytest.fixture(scope="module", autouse=True)
def quickly() -> Iterator[None]:
    """A correction of few steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hybrid, "HybridConfig", lambda: HybridConfig(hidden=8, steps=10))
        yield


def trained(steps: int, folder: Path) -> Baseline:
    lab = square_laboratory()
    return train_baseline("latent_gru", lab.training, lab.further, lab.encoder, folder, how=replace(SHORT, steps=steps))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Baseline, Baseline]:
    """A short training and a longer one."""
    folder = tmp_path_factory.mktemp("models")
    return trained(3, folder / "short"), trained(6, folder / "long")


@pytest.fixture(scope="module")
def lab(models: tuple[Baseline, Baseline]) -> Laboratory:
    """The longer training took an hour, the shorter one half of it: for the hybrid, both are long enough."""
    short, long = models
    return replace(
        square_laboratory(),
        models={"latent_gru": long, "rssm_latents": long},
        budgets={"latent_gru": ((1800.0, short),)},
        seconds={"latent_gru": 3600.0, "rssm_latents": 3600.0},
    )


@pytest.fixture(scope="module")
def result(lab: Laboratory) -> ExperimentResult:
    return hybrid.run(lab)


def test_the_shortest_training_is_taken_that_took_no_less(lab: Laboratory, models: tuple[Baseline, Baseline]) -> None:
    short, long = models
    for seconds, expected in ((10, short), (1800, short), (1801, long), (9999, long)):
        found = _trained_as_long(lab, seconds)
        assert found is not None
        assert found == ((1800.0, short) if expected is short else (3600.0, long))
    assert _trained_as_long(replace(lab, models={}), 1) is None
    assert _trained_as_long(replace(lab, seconds={}), 1) is None
    assert _trained_as_long(replace(lab, budgets={}), 1) == (3600.0, long)


def test_it_is_measured_beside_what_it_corrects_and_a_gru(result: ExperimentResult) -> None:
    first, *tables = result.tables
    assert [row.label for row in first.rows] == ["default", "hybrid", "latent_gru"]
    assert all(isinstance(row.cells[0], Number) and row.cells[0].value > 0 for row in first.rows[:2])
    assert first.rows[2].cells == (Number(1800.0),)
    for table in tables:
        labels = {row.label for row in table.rows}
        assert {"default follow", "hybrid follow", "latent_gru", "persistence", "data_mean", "encoder_bound"} <= labels
        assert "rssm_latents" not in labels
    assert not any("GRU is missing" in note for note in result.notes)


def test_its_metrics_are_its_own(result: ExperimentResult) -> None:
    """The others' numbers are the comparison's: this GRU is another than the one of that name there."""
    assert {(row.method, row.mode) for row in result.metrics} == {("hybrid", "follow")}
    assert {row.horizon for row in result.metrics} == set(range(1, 7))


def test_evidence_is_about_the_hybrid_and_this_gru(lab: Laboratory, result: ExperimentResult) -> None:
    found = {e.claim: e for e in result.evidence}
    assert {f"hybrid_better_than_latent_gru_{h}" for h in (1, 5)} <= set(found)
    numbers = {(r.metric, r.horizon): r.value for r in result.metrics if r.method == "hybrid"}
    for h in (1, 5):
        evidence = found[f"hybrid_better_than_latent_gru_{h}"]
        assert len(evidence.a) == len(lab.held_out)
        assert np.mean(evidence.a) == pytest.approx(numbers["moving_pixel_l1", h])
        (table,) = (t for t in result.tables if t.title == "error on moving pixels")
        (row,) = (row for row in table.rows if row.label == "latent_gru")
        cell = row.cells[(1, 5).index(h)]
        assert isinstance(cell, Number)
        assert np.mean(evidence.b) == pytest.approx(cell.value)
        assert "latent_gru after 1.8e+03 s" in evidence.compared


def test_without_a_gru_there_is_no_evidence_and_a_note() -> None:
    found = hybrid.run(square_laboratory())
    assert found.evidence == ()
    assert any("GRU is missing" in note for note in found.notes)
    assert [row.label for row in found.tables[0].rows] == ["default", "hybrid"]
