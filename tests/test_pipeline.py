"""The main job on the real game, end to end, at its smallest size."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import memworld
from memworld import pipeline
from memworld.analogues import forecast
from memworld.demo import demo_config
from memworld.evaluate.config import EvaluationConfig
from memworld.evaluate.results import read_metrics
from memworld.pipeline import RunResult, evaluate_memory, run
from memworld.store import LEARNED
from tests.helpers import one_clear_error
from tests.store.contents import assert_same_stored

Run = tuple[Path, RunResult]


def contents(folder: Path) -> dict[str, bytes]:
    """All files, but what other tests' dynamics have learned from a memory that is there for all."""
    files = (f for f in sorted(folder.rglob("*")) if f.is_file() and f.parent.name != LEARNED)
    return {str(f.relative_to(folder)): f.read_bytes() for f in files}


def interrupt(*args: object, **kwargs: object) -> None:
    raise KeyboardInterrupt


def test_the_run_folder_holds_what_the_documentation_names(quick_run: Path) -> None:
    output = quick_run
    names = {path.name for path in output.iterdir()}
    assert names == {
        "config.json", "episodes", "encoder", "memory", "metrics.parquet", "timing.json", "report.html",
    }  # fmt: skip
    assert json.loads((output / "config.json").read_text())["seed"] == 0
    timing = json.loads((output / "timing.json").read_text())
    assert list(timing["stages_seconds"]) == ["record", "train", "remember", "evaluate", "report"]
    assert {m["method"] for m in timing["methods"]} == {"rollout", "replay_l2", "replay_kl", "default"}
    assert (output / "encoder" / "reconstructions.png").is_file()


def test_the_memory_holds_the_training_episodes_alone_and_gives_the_world_back(quick_run: Path) -> None:
    output = quick_run
    world = memworld.WorldModel.open(output / "memory", memworld.DynamicsConfig(conditioning="none"))
    dataset = memworld.open_dataset(output / "episodes")
    training, held_out = dataset.split(2, 0)
    assert world.memory.ids == training.ids
    episode = held_out[0]
    rollout = world.imagine(episode.observations[10], episode.actions[None, 10:20])
    assert rollout.frames is not None
    assert rollout.frames.shape == (1, 10, 64, 64, 3)
    cited = rollout.citations(0, 0)[0]
    assert cited.episode in training.ids
    assert 0 <= cited.step < 150


def test_what_the_evaluation_learned_is_there_for_who_plays(
    quick_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = quick_run
    shutil.copytree(output / "memory", tmp_path / "memory")

    def learns(*arguments: object, **further: object) -> None:
        raise AssertionError("it was learned before")

    with monkeypatch.context() as patch:
        patch.setattr(forecast, "fit_memory", learns)
        memworld.WorldModel.open(tmp_path / "memory").prepare()
    kept = {file.name: file.read_bytes() for file in (tmp_path / "memory" / LEARNED).iterdir()}
    shutil.rmtree(tmp_path / "memory" / LEARNED)
    memworld.WorldModel.open(tmp_path / "memory").prepare()
    anew = {file.name: file.read_bytes() for file in (tmp_path / "memory" / LEARNED).iterdir()}
    assert anew == {name: kept[name] for name in anew}, "the same to the last bit"


def test_same_seed_same_bytes_even_if_interrupted(
    quick_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = tmp_path / "again"
    config = demo_config("pong", seed=0, quick=True)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "train_vae", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(config, again)
    result = run(config, again, "resume")
    assert tuple(read_metrics(again / "metrics.parquet")) == result.evaluation.table.rows
    for part in ("episodes", "encoder"):
        assert contents(again / part) == contents(quick_run / part), part
    assert_same_stored(again / "memory", quick_run / "memory")
    assert (again / "metrics.parquet").read_bytes() == (quick_run / "metrics.parquet").read_bytes()
    assert (again / "config.json").read_bytes() == (quick_run / "config.json").read_bytes()


@pytest.mark.parametrize("stage", ["remember", "evaluate", "write_report"])
def test_a_run_that_was_interrupted_goes_on_to_the_same_numbers(
    quick_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    output = quick_run
    broken = tmp_path / "broken"
    shutil.copytree(output, broken)
    later = {
        "remember": ["memory", "metrics.parquet", "timing.json", "report.html"],
        "evaluate": ["metrics.parquet", "timing.json", "report.html"],
        "write_report": ["timing.json", "report.html"],
    }[stage]
    for name in later:
        path = broken / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    config = demo_config("pong", seed=0, quick=True)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, stage, interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(config, broken, "resume")
    run(config, broken, "resume")
    assert_same_stored(broken / "memory", output / "memory")
    assert (broken / "metrics.parquet").read_bytes() == (output / "metrics.parquet").read_bytes()


def test_a_folder_with_other_settings_is_refused(quick_run: Path) -> None:
    output = quick_run
    config = demo_config("pong", seed=0, quick=True)
    with one_clear_error("was begun with other settings .they differ in training"):
        run(replace(config, training=replace(config.training, steps=121)), output, "resume")
    with one_clear_error("exists and is not empty"):
        run(config, output)


def test_evaluate_memory_measures_what_is_not_in_memory(quick_run: Path, tmp_path: Path) -> None:
    output = quick_run
    config = demo_config("pong", seed=0, quick=True).evaluation
    result = evaluate_memory(output / "memory", output / "episodes", config, tmp_path / "evaluation")
    assert result.evaluation.table.rows == tuple(read_metrics(output / "metrics.parquet"))
    assert {p.name for p in (tmp_path / "evaluation").iterdir()} == {
        "config.json", "metrics.parquet", "timing.json", "report.html",
    }  # fmt: skip


def test_evaluate_memory_spares_what_it_reads(quick_run: Path, tmp_path: Path) -> None:
    output = quick_run
    copy = tmp_path / "copy"
    shutil.copytree(output, copy)
    before = contents(copy)
    config = EvaluationConfig(horizon=5, starts=4)
    for target in (copy, copy / "memory", copy / "episodes"):
        with one_clear_error("which is read"):
            evaluate_memory(copy / "memory", copy / "episodes", config, target, "overwrite")
    assert contents(copy) == before


def test_what_the_encoder_saw_cannot_measure(quick_run: Path, tmp_path: Path) -> None:
    """An episode that was forgotten is no held-out episode."""
    output = quick_run
    copy = tmp_path / "memory"
    shutil.copytree(output / "memory", copy)
    memory = memworld.open_memory(copy)
    forgotten = memory.ids[0]
    memory.remove([forgotten])
    memworld.save_memory(memory, copy, "resume")
    with one_clear_error(f"held-out episode {forgotten} trained the encoder"):
        evaluate_memory(copy, output / "episodes", EvaluationConfig(horizon=5, starts=4), tmp_path / "evaluation")
    assert not (tmp_path / "evaluation").exists()


def test_the_config_spells_everything_out(quick_run: Path) -> None:
    output = quick_run
    config = json.loads((output / "config.json").read_text())
    assert config["evaluation"]["dynamics"]["rollout"]["metric"] == "l2"
    assert config["evaluation"]["dynamics"]["default"]["agreement"] == 0.8
    trained = json.loads((output / "encoder" / "training.json").read_text())["settings"]
    assert trained["training"]["precision"] in ("float32", "bfloat16")
    assert trained["vae"]["channels"] == [24, 48, 96]
