"""The study of the library's own dynamics, whole and tiny."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from typer.testing import CliRunner

from memworld import pictures
from memworld.cli import app
from memworld.evaluate.experiments import hybrid
from memworld.evaluate.results import MetricRow, read_metrics
from memworld.hybrid import HybridConfig
from memworld.studies import BETTER, StudyRun, run_study, write_digest
from tests.helpers import folder_bytes

WORLD = "space_invaders"
TINY = replace(
    BETTER.sizes["quick"],
    training=2,
    held_out=2,
    max_steps=36,
    latent_shape=(16,),
    encoder_steps=30,
    baseline_steps={"latent_gru": 4, "rssm_latents": 4},
    budgets=(0.5,),
    horizon=20,
    starts=1,
    timing_batch=4,
)


@pytest.fixture(scope="module", autouse=True)
def quickly() -> Iterator[None]:
    """A correction of few steps, and pictures that are blended as is best for few moments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "_MOMENTS", 4)
        patch.setattr(hybrid, "HybridConfig", lambda: HybridConfig(hidden=8, steps=10))
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyRun, Path]:
    output = tmp_path_factory.mktemp("better") / "run"
    return run_study(BETTER, output, worlds=[WORLD], config=TINY), output


@pytest.fixture(scope="module")
def rows(done: tuple[StudyRun, Path]) -> list[MetricRow]:
    return read_metrics(done[1] / "metrics.parquet")


def test_all_experiments_have_run_and_are_reported(done: tuple[StudyRun, Path]) -> None:
    result, output = done
    assert [(r.experiment, r.world) for r in result.results] == [(name, WORLD) for name in BETTER.experiments]
    assert {(gap.world, gap.experiment) for gap in result.gaps} == {(w, "") for w in BETTER.worlds if w != WORLD}
    page = unescape((output / "report.html").read_text())
    assert f"<title>{BETTER.title}" in page
    for experiment in BETTER.experiments.values():
        assert experiment.title in page
    assert "memworld better" in page
    assert f"--experiment hybrid --world {WORLD} --again" in page
    assert json.loads((output / "config.json").read_text())["memworld"] == "better"


def test_metrics_have_the_methods_names(rows: list[MetricRow]) -> None:
    methods = {row.method for row in rows}
    assert methods == {
        *("default", "rollout", "replay_l2", "replay_kl", "oracle"),
        *("latent_gru", "rssm_latents", "hybrid"),
        *("encoder_bound", "persistence", "data_mean"),
    }
    assert {row.world for row in rows} == {WORLD}
    assert {row.horizon for row in rows} == set(range(1, 21))
    names = {"kl", "l1", "ssim", "moving_pixel_l1", "state_error"}
    assert {row.metric for row in rows if row.method == "default"} >= names


def test_every_number_is_there_once(rows: list[MetricRow]) -> None:
    """Two experiments measure the same methods; of a method, mode, step and metric there is one number."""
    found = Counter((row.world, row.method, row.mode, row.horizon, row.metric) for row in rows)
    assert [key for key, count in found.items() if count > 1] == []


def test_the_zero_shot_tables_know_no_hybrid(done: tuple[StudyRun, Path]) -> None:
    for result in done[0].results:
        trained = [r for r in result.metrics if r.method == "hybrid"]
        labels = [row.label for table in result.tables for row in table.rows]
        said = any(label.startswith("hybrid") for label in labels)
        assert bool(trained) == said == (result.experiment == "hybrid")
        assert not [e for e in result.evidence if result.experiment != "hybrid" and "hybrid" in e.claim]


def test_every_claim_is_told_of(done: tuple[StudyRun, Path]) -> None:
    claims = json.loads((done[1] / "claims.json").read_text())
    assert [claim["claim"] for claim in claims] == [claim.id for claim in BETTER.claims]
    assert [claim["claim"] for claim in claims if not claim["worlds"]] == []
    # Two episodes of one world decide nothing; the times, of which there are more, may.
    assert {c["verdict"] for c in claims if c["claim"] != "fast_enough"} == {"undecided"}


def test_claims_are_told_apart_and_have_words() -> None:
    assert len({claim.id for claim in BETTER.claims}) == len(BETTER.claims)
    assert all(claim.text.endswith(".") and claim.decided_by for claim in BETTER.claims)
    assert {experiment for experiment, _ in BETTER.figures.values()} <= set(BETTER.experiments)


def test_a_digest_has_the_claims_and_every_figure(done: tuple[StudyRun, Path], tmp_path: Path) -> None:
    write_digest(done[0], tmp_path / "digest")
    pictures = {path.stem for path in (tmp_path / "digest").glob("*.png")}
    for name in BETTER.figures:
        assert any(name in picture for picture in pictures), (name, pictures)
    text = (tmp_path / "digest" / "claims.md").read_text()
    assert all(claim.text in text for claim in BETTER.claims)


def test_what_is_finished_is_not_done_again(done: tuple[StudyRun, Path]) -> None:
    before = {name: content for name, content in folder_bytes(done[1]).items() if name.startswith(("results", "metr"))}
    times = {path: path.stat().st_mtime_ns for path in (done[1] / "results").rglob("*")}
    again = run_study(BETTER, done[1], worlds=[WORLD], config=TINY)
    assert len(again.results) == len(BETTER.experiments)
    assert {path: path.stat().st_mtime_ns for path in (done[1] / "results").rglob("*")} == times
    after = folder_bytes(done[1])
    assert all(after[name] == content for name, content in before.items())


def test_a_folder_of_another_study_is_refused(done: tuple[StudyRun, Path]) -> None:
    refused = CliRunner().invoke(app, ["paper", "--quick", "--world", WORLD, "--output", str(done[1])])
    assert refused.exit_code == 2
    assert "Traceback" not in refused.stderr
    assert json.loads((done[1] / "config.json").read_text())["memworld"] == "better"
