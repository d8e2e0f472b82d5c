"""The experiment about horizons: every method is in every table, and evidence is what the numbers say."""

from dataclasses import replace

import numpy as np
import pytest

from memworld.baselines.model import TrainedBaseline
from memworld.evaluate.experiments import horizon
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.result import ExperimentResult
from tests.baselines.toys import SHORT
from tests.evaluate.experiments.laboratories import square_laboratory


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    from memworld.baselines.training import train_baseline

    made = square_laboratory(horizon=20)
    models = {
        name: train_baseline(
            name,
            made.training,
            made.further,
            made.encoder,
            tmp_path_factory.mktemp("models") / name,
            how=replace(SHORT, steps=3),
        )
        for name in ("latent_gru", "rssm_latents")
    }
    return replace(made, models=models)


@pytest.fixture(scope="module")
def result(lab: Laboratory) -> ExperimentResult:
    return horizon.run(lab)


def test_every_method_is_in_every_table(lab: Laboratory, result: ExperimentResult) -> None:
    assert isinstance(lab.models["latent_gru"], TrainedBaseline)
    assert [t.title for t in result.tables] == [words for words, _ in horizon.METRICS.values()]
    expected = {"encoder_bound", "persistence", "data_mean", "latent_gru", "rssm_latents", "oracle"}
    searches = {f"{n} {m}" for n in ("rollout", "replay_l2", "replay_kl") for m in ("requery", "follow")}
    for table in result.tables:
        assert {row.label for row in table.rows} == expected | searches
        assert table.columns == tuple(f"t={h}" for h in lab.config.shown if h <= 20)
    kinds = {row.label: row.kind for row in result.tables[0].rows}
    assert (kinds["oracle"], kinds["latent_gru"], kinds["persistence"]) == ("uses the truth", "trained", "baseline")


def test_evidence_is_the_means_per_episode(lab: Laboratory, result: ExperimentResult) -> None:
    """Their mean over episodes is the table's number."""
    found = {e.claim: e for e in result.evidence}
    assert set(found) == {
        "one_step_comparable",
        "long_horizon_better",
        "long_horizon_latents",
        "kl_sharper_than_l2",
        "kl_closer_than_l2",
    }
    numbers = {(r.method, r.mode, r.metric, r.horizon): r.value for r in result.metrics}
    evidence = found["long_horizon_better"]
    assert len(evidence.a) == len(lab.held_out)
    assert np.mean(evidence.a) == pytest.approx(numbers["replay_kl", "requery", "moving_pixel_l1", 20])
    assert np.mean(evidence.b) == pytest.approx(numbers["rssm_latents", "", "moving_pixel_l1", 20])
    over = [numbers["replay_l2", "requery", "kl", h] for h in (1, 5, 10, 20)]
    assert np.mean(found["kl_closer_than_l2"].b) == pytest.approx(np.mean(over))


def test_only_a_vast_world_tells_of_vast_worlds(lab: Laboratory) -> None:
    vast = horizon.run(replace(lab, world="crafter", config=replace(lab.config, starts=1)))
    assert "vast_worlds_fail" in {e.claim for e in vast.evidence}
