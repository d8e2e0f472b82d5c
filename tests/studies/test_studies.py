"""The paper's experiments as one run: whole, in pieces, interrupted, with gaps, and what it refuses."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from memworld.cli import app
from memworld.evaluate import playing
from memworld.evaluate.experiments import horizon
from memworld.evaluate.experiments.config import StudyConfig
from memworld.evaluate.experiments.result import ExperimentResult
from memworld.evaluate.results import KINDS, read_metrics
from memworld.studies import PAPER, StudyRun, run, run_study, write_digest
from memworld.studies.prepare import split
from memworld.worlds import availability
from tests.helpers import make_dataset, one_clear_error

WORLD = "space_invaders"
TINY = replace(
    PAPER.sizes["quick"],
    training=2,
    held_out=2,
    further=1,
    max_steps=40,
    encoder_steps=20,
    baseline_steps={"latent_gru": 4, "rssm_latents": 4, "rssm_pixels": 2},
    horizon=20,
    starts=2,
    sizes=(1, 2, 3),
    play_episodes=1,
    play_steps=20,
)


@pytest.fixture(scope="module", autouse=True)
def one_world_missing() -> Iterator[None]:
    """As if the simulator of the vast world were not installed."""
    real = {world.name: world for world in availability()}
    gone = replace(real["vizdoom/my_way_home"], missing=("the extra: pip install memworld[vizdoom]",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "availability", lambda: [*{**real, gone.name: gone}.values()])
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyRun, Path]:
    output = tmp_path_factory.mktemp("paper") / "run"
    return run_study(PAPER, output, worlds=[WORLD, "vizdoom/my_way_home"], config=TINY), output


def test_everything_that_can_run_has_run_and_the_rest_is_a_gap(done: tuple[StudyRun, Path]) -> None:
    result, output = done
    assert [(r.experiment, r.world) for r in result.results] == [(name, WORLD) for name in PAPER.experiments]
    missing = {(gap.world, gap.experiment): gap.why for gap in result.gaps}
    assert set(missing) == {(world, "") for world in PAPER.worlds if world != WORLD}
    assert "memworld[vizdoom]" in missing["vizdoom/my_way_home", ""]
    assert missing["seaquest", ""] == "it has not been run yet"
    page = (output / "report.html").read_text()
    for world in PAPER.worlds:
        assert world in page
    assert "memworld[vizdoom]" in page
    assert f"--experiment coverage --world {WORLD} --again" in page


def test_no_table_of_errors_without_its_yardsticks(done: tuple[StudyRun, Path]) -> None:
    for result in done[0].results:
        for table in result.tables:
            labels = {row.label for row in table.rows}
            if "replay_kl requery" in labels and result.experiment != "budget":
                assert {"persistence", "data_mean", "encoder_bound"} <= labels, (result.experiment, table.title)
            assert all(row.kind == KINDS["oracle"] for row in table.rows if row.label == "oracle")
    rows = read_metrics(done[1] / "metrics.parquet")
    assert {"latent_gru", "rssm_latents", "rssm_pixels", "persistence", "replay_kl"} <= {row.method for row in rows}
    assert {row.world for row in rows} == {WORLD}


def test_every_claim_has_a_verdict(done: tuple[StudyRun, Path]) -> None:
    claims = json.loads((done[1] / "claims.json").read_text())
    assert [claim["claim"] for claim in claims] == [claim.id for claim in PAPER.claims]
    assert {claim["verdict"] for claim in claims} <= {"holds", "does not hold", "undecided"}
    told = {claim["claim"] for claim in claims if claim["worlds"]}
    assert told >= {c.id for c in PAPER.claims} - {"vast_worlds_fail", "coverage_beats_volume", "planning_acts"}


def test_a_digest_for_a_page(done: tuple[StudyRun, Path], tmp_path: Path) -> None:
    write_digest(done[0], tmp_path / "digest")
    names = {path.suffix for path in (tmp_path / "digest").iterdir()}
    assert names == {".md", ".png"}
    assert PAPER.claims[0].text in (tmp_path / "digest" / "claims.md").read_text()


def test_what_is_finished_is_not_done_again_but_when_asked(
    done: tuple[StudyRun, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    real = horizon.run
    monkeypatch.setattr(horizon, "run", lambda lab: calls.append(lab.world) or real(lab))  # type: ignore[func-returns-value]
    before = (done[1] / "results" / "horizon" / WORLD / "metrics.parquet").read_bytes()
    run_study(PAPER, done[1], worlds=[WORLD], config=TINY)
    assert calls == []
    run_study(PAPER, done[1], worlds=[WORLD], experiments=["horizon"], again=True, config=TINY)
    assert calls == [WORLD]
    assert (done[1] / "results" / "horizon" / WORLD / "metrics.parquet").read_bytes() == before


def test_an_interrupted_run_keeps_what_was_finished(
    done: tuple[StudyRun, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "run"
    shutil.copytree(done[1], output)
    shutil.rmtree(output / "results")

    def interrupt(*_: object) -> ExperimentResult:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(PAPER.experiments, "coverage", replace(PAPER.experiments["coverage"], run=interrupt))
        with pytest.raises(KeyboardInterrupt):
            run_study(PAPER, output, worlds=[WORLD], experiments=["horizon", "coverage"], config=TINY)
    assert (output / "results" / "horizon" / WORLD / "result.json").exists()
    result = run_study(PAPER, output, worlds=[WORLD], experiments=["coverage"], config=TINY)
    assert {r.experiment for r in result.results} == {"horizon", "coverage"}
    assert {gap.experiment for gap in result.gaps if gap.world == WORLD} == set(PAPER.experiments) - {
        "horizon",
        "coverage",
    }


def test_a_failing_experiment_is_a_gap_and_the_others_go_on(done: tuple[StudyRun, Path], tmp_path: Path) -> None:
    output = tmp_path / "run"
    shutil.copytree(done[1], output)
    shutil.rmtree(output / "results")
    (output / "worlds" / WORLD / "memory" / "memory.json").write_text("{")
    with one_clear_error("nothing to report .*memory.json"):
        run_study(PAPER, output, worlds=[WORLD], config=TINY)


def test_a_damaged_result_is_a_gap_and_stays_to_be_looked_at(done: tuple[StudyRun, Path], tmp_path: Path) -> None:
    output = tmp_path / "run"
    shutil.copytree(done[1], output)
    damaged = output / "results" / "similarity" / WORLD / "result.json"
    damaged.write_text("{")
    result = run_study(PAPER, output, worlds=[WORLD], config=TINY)
    assert [gap.experiment for gap in result.gaps if gap.world == WORLD] == ["similarity"]
    assert len(result.results) == len(PAPER.experiments) - 1
    assert damaged.read_text() == "{"
    again = run_study(PAPER, output, worlds=[WORLD], experiments=["similarity"], again=True, config=TINY)
    assert len(again.results) == len(PAPER.experiments)


def test_a_baseline_that_cannot_be_trained_is_named_and_the_rest_goes_on(
    done: tuple[StudyRun, Path], tmp_path: Path
) -> None:
    output = tmp_path / "run"
    shutil.copytree(done[1], output)
    (output / "worlds" / WORLD / "baselines" / "latent_gru-4" / "model.json").write_text("{")
    result = run_study(PAPER, output, worlds=[WORLD], experiments=["conditioning"], again=True, config=TINY)
    found = next(r for r in result.results if r.experiment == "conditioning")
    assert any(note.startswith("latent_gru is missing: ") for note in found.notes)
    labels = {row.label for row in found.tables[0].rows}
    assert "latent_gru" not in labels
    assert {"rssm_latents", "rssm_pixels", "persistence"} <= labels


def test_playing_again_plays(done: tuple[StudyRun, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "run"
    shutil.copytree(done[1], output)
    played: list[str] = []
    real = playing.play

    def noted(env: Any, world: Any, way: str, *rest: Any, **more: Any) -> Any:
        played.append(way)
        return real(env, world, way, *rest, **more)

    def interrupted(env: Any, world: Any, way: str, *rest: Any, **more: Any) -> Any:
        if way == "constant":
            raise KeyboardInterrupt
        return noted(env, world, way, *rest, **more)

    again: dict[str, Any] = {"worlds": [WORLD], "experiments": ["planning"], "again": True, "config": TINY}
    monkeypatch.setattr(playing, "play", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_study(PAPER, output, **again)
    assert played == ["random", "demonstrator"]
    # What was found before is still there, and the redoing goes on where it stopped.
    assert "planning" in {r.experiment for r in run_study(PAPER, output, worlds=[WORLD], config=TINY).results}
    played.clear()
    monkeypatch.setattr(playing, "play", noted)
    run_study(PAPER, output, **again)
    assert "random" not in played
    assert {"constant", "replay_kl"} <= set(played)
    assert not list(output.glob("results/*/*.again"))


def test_worlds_of_earlier_calls_stay_in_the_report(done: tuple[StudyRun, Path], tmp_path: Path) -> None:
    """Also those that are none of the paper's own."""
    output = tmp_path / "run"
    shutil.copytree(done[1], output)
    for kind in ("worlds", "results/similarity"):
        shutil.copytree(output / kind / WORLD, output / kind / "pong")
    path = output / "results" / "similarity" / "pong" / "result.json"
    path.write_text(path.read_text().replace(f'"world": "{WORLD}"', '"world": "pong"'))
    result = run_study(PAPER, output, worlds=[WORLD], config=TINY)
    assert ("similarity", "pong") in {(r.experiment, r.world) for r in result.results}


def test_parts_of_a_recording_share_no_episode() -> None:
    config = StudyConfig(training=3, validation=1, held_out=2, further=2)
    parts = split(make_dataset(np.random.default_rng(0), 8), config)
    ids = [i for part in (parts.training, parts.validation, parts.held_out, parts.further) for i in part.ids]
    assert len(ids) == len(set(ids)) == 8
    assert [len(p) for p in (parts.training, parts.validation, parts.held_out, parts.further)] == [3, 1, 2, 2]


def test_other_settings_in_the_same_folder_are_refused(done: tuple[StudyRun, Path]) -> None:
    with one_clear_error("begun with other settings .*starts"):
        run_study(PAPER, done[1], config=replace(TINY, starts=3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--quick .* or --full"),
        (("--quick", "--full"), "--quick .* or --full"),
        (("--quick", "--world", "moon"), "unknown world 'moon'"),
        (("--quick", "--experiment", "alchemy"), "unknown experiment 'alchemy'"),
    ],
)
def test_what_the_command_refuses(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    result = CliRunner().invoke(app, ["paper", "--output", str(tmp_path / "run"), *arguments])
    assert result.exit_code == 2
    assert re.search(message, result.stderr)
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "run" / "report.html").exists()
