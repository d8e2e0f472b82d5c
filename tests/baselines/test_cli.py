"""The commands around baselines: train one, evaluate with it, and what they refuse."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from memworld.cli import app
from memworld.evaluate.results import read_metrics
from memworld.formats import open_dataset


def memworld(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments), "--quiet"])


def refused(message: str, *arguments: object) -> None:
    result = memworld(*arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.fixture(scope="module")
def gru(quick_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("baseline") / "gru"
    run = quick_run
    result = memworld("baseline", "latent_gru", run / "memory", run / "episodes", "--steps", 5, "--output", folder)
    assert result.exit_code == 0, result.output
    assert "trained for 5 steps" in result.output
    return folder


def test_a_baseline_stands_beside_the_searches(quick_run: Path, gru: Path, tmp_path: Path) -> None:
    run = quick_run
    command = ("evaluate", run / "memory", run / "episodes", "--starts", 2, "--horizon", 5, "--output", tmp_path / "e")
    result = memworld(*command, "--baseline", gru)
    assert result.exit_code == 0, result.output
    rows = read_metrics(tmp_path / "e" / "metrics.parquet")
    assert {"latent_gru", "persistence", "replay_kl"} <= {row.method for row in rows}
    page = (tmp_path / "e" / "report.html").read_text()
    assert "latent_gru" in page
    assert f"--baseline {gru}" in page
    refused("begun with other settings", *command, "--resume")


def test_training_goes_on_or_is_refused(quick_run: Path, gru: Path) -> None:
    run = quick_run
    command = ("baseline", "latent_gru", run / "memory", run / "episodes", "--output", gru, "--steps")
    refused("exists and is not empty", *command, 5)
    assert memworld(*command, 5, "--resume").exit_code == 0
    refused("was trained with", *command, 6, "--resume")


def test_what_is_refused(quick_run: Path, gru: Path, tmp_path: Path) -> None:
    run = quick_run
    memory, episodes = run / "memory", run / "episodes"
    refused("unknown baseline 'dreamer'", "baseline", "dreamer", memory, episodes, "--output", tmp_path / "m")
    refused("steps must be", "baseline", "latent_gru", memory, episodes, "--steps", 0, "--output", tmp_path / "m")
    other = tmp_path / "other"
    assert memworld("record", "pong", "-o", other, "-n", 2, "--max-steps", 20, "--seed", 7).exit_code == 0
    refused("0 of the memory's episodes", "baseline", "latent_gru", memory, other, "--output", tmp_path / "m")
    evaluate = ("evaluate", memory, episodes, "--output", tmp_path / "e", "--starts", 1, "--baseline")
    refused("model.json", *evaluate, tmp_path / "nowhere")
    refused("is a second latent_gru", *evaluate, gru, "--baseline", gru)
    copy = Path(shutil.copytree(gru, tmp_path / "copy"))
    described = (copy / "model.json").read_text()
    held_out = open_dataset(episodes).split(2, 0)[1].ids[0]
    (copy / "model.json").write_text(described.replace('"episodes_seen": [', f'"episodes_seen": [\n "{held_out}",'))
    refused("trained the baseline, so it cannot measure", *evaluate, copy)
    assert not (tmp_path / "e").exists()
