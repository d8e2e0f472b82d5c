import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.encoders import training, training_data
from memworld.encoders.training import TrainingConfig, TrainingResult, train_vae
from memworld.encoders.vae import VAEConfig
from memworld.storage import read_arrays, write_arrays
from memworld.training import Run
from memworld.training import run as checkpoint
from tests.encoders.toys import HELD_OUT, SHORT, TINY, TRAINING, interrupt_at, script_losses, train
from tests.helpers import folder_bytes, one_clear_error, unless_refused

# Interrupts

INTERRUPTS: list[tuple[Any, str, int]] = [
    (training_data, "load_frames", 1),
    (training, "gradient_step", 1),
    (training, "gradient_step", 5),  # before the first checkpoint
    (training, "gradient_step", 11),  # just after it
    (training, "gradient_step", 28),
    (training, "_evaluate", 2),
    (checkpoint, "write_arrays", 3),  # after all steps, before the last checkpoint
    (training, "count_active", 1),
    (training, "write_reconstructions", 1),  # after the encoder was written
]


@pytest.mark.parametrize(("owner", "name", "call"), INTERRUPTS)
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    short_run: tuple[TrainingResult, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    call: int,
) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(patch, owner, name, call)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "encoder")
    with one_clear_error("exists and is not empty"):
        train(tmp_path / "encoder")
    result = train(tmp_path / "encoder", on_existing="resume")
    assert folder_bytes(tmp_path / "encoder") == folder_bytes(short_run[1])
    assert result.history == short_run[0].history


def test_a_run_may_be_interrupted_again_and_again(
    short_run: tuple[TrainingResult, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for steps in (12, 5, 12, 3):
        with monkeypatch.context() as patch:
            interrupt_at(patch, training, "gradient_step", steps)
            with pytest.raises(KeyboardInterrupt):
                train(tmp_path / "encoder", on_existing="resume")
    train(tmp_path / "encoder", on_existing="resume")
    assert folder_bytes(tmp_path / "encoder") == folder_bytes(short_run[1])


def test_resuming_takes_no_step_twice(
    short_run: tuple[TrainingResult, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(patch, training, "gradient_step", 26)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "encoder")
    steps: list[int] = []
    real = training.gradient_step

    def note(*args: Any) -> Any:
        steps.append(args[-1])
        return real(*args)

    monkeypatch.setattr(training, "gradient_step", note)
    train(tmp_path / "encoder", on_existing="resume")
    assert steps == list(range(20, 30))
    # A finished run is only opened.
    result = train(tmp_path / "encoder", on_existing="resume")
    assert len(steps) == 10
    assert result.history == short_run[0].history
    assert result.encoder.fingerprint == short_run[0].encoder.fingerprint


# Stopping early

PATIENT = replace(SHORT, steps=80, patience=2)


def test_training_stops_when_patience_ends_and_keeps_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Twice without improvement in a row; what is only equal is none.
    seen = script_losses(monkeypatch, [5.0, 3.0, 4.0, 2.0, 2.0, 3.0])
    result = train(tmp_path / "encoder", PATIENT)
    assert result.stopped_early
    assert [look["step"] for look in result.history] == [10, 20, 30, 40, 50, 60]
    for name, value in seen[3].state_dict().items():
        assert torch.equal(result.encoder.network.state_dict()[name], value)
    again = train(tmp_path / "encoder", PATIENT, on_existing="resume")
    assert again.stopped_early
    assert again.history == result.history


def test_an_early_stop_survives_an_interrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = [2.0, 3.0, 4.0]
    with monkeypatch.context() as patch:
        script_losses(patch, losses)
        train(tmp_path / "whole", PATIENT)
    with monkeypatch.context() as patch:
        script_losses(patch, losses)
        interrupt_at(patch, training, "count_active", 1)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "cut", PATIENT)
    monkeypatch.setattr(training, "gradient_step", None)  # no further step may be taken
    assert train(tmp_path / "cut", PATIENT, on_existing="resume").stopped_early
    assert folder_bytes(tmp_path / "cut") == folder_bytes(tmp_path / "whole")


def test_patience_is_kept_over_an_interrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        script_losses(patch, [2.0, 3.0])
        interrupt_at(patch, training, "gradient_step", 21)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "encoder", PATIENT)
    script_losses(monkeypatch, [2.5])
    result = train(tmp_path / "encoder", PATIENT, on_existing="resume")
    assert [look["loss"] for look in result.history] == [2.0, 3.0, 2.5]
    assert result.stopped_early


def test_patience_that_ends_with_the_steps_stopped_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script_losses(monkeypatch, [2.0, 3.0, 4.0])
    assert not train(tmp_path / "encoder", replace(PATIENT, steps=30)).stopped_early


# Refusals


@pytest.mark.parametrize(
    ("how", "config", "match"),
    [
        (replace(SHORT, seed=4), TINY, "was trained with training seed 3, asked now for 4: use the same settings"),
        (replace(SHORT, steps=31), TINY, "training steps 30, asked now for 31"),
        (SHORT, replace(TINY, latent_shape=(5,)), r"vae latent_shape \[4\], asked now for \[5\]"),
        (SHORT, replace(TINY, objective="beta"), "vae objective sigma, asked now for beta"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_resuming_with_other_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: TrainingConfig, config: VAEConfig, match: str, finished: bool
) -> None:
    with monkeypatch.context() as patch:
        if not finished:
            interrupt_at(patch, training, "gradient_step", 15)
        with suppress(KeyboardInterrupt):
            train(tmp_path / "encoder")
    before = folder_bytes(tmp_path / "encoder")
    with one_clear_error(match):
        train(tmp_path / "encoder", how, config, on_existing="resume")
    assert folder_bytes(tmp_path / "encoder") == before


def test_resuming_with_other_episodes(short_run: tuple[TrainingResult, Path]) -> None:
    before = folder_bytes(short_run[1])
    for parts, name in (((TRAINING[1:], HELD_OUT), "training"), ((TRAINING, HELD_OUT[1:]), "validation")):
        with one_clear_error(f"was trained with episodes {name} .*: use the same settings and episodes to resume"):
            train_vae(*parts, short_run[1], TINY, SHORT, on_existing="resume")
    assert folder_bytes(short_run[1]) == before


@pytest.fixture
def interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with monkeypatch.context() as patch:
        interrupt_at(patch, training, "gradient_step", 25)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "encoder")
    return tmp_path / "encoder"


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop("looks_since_best"),
        lambda arrays: arrays.update(looks_since_best=np.zeros(2)),
        lambda arrays: arrays.update({"history.loss": np.zeros(1)}),
        lambda arrays: arrays.update({f"history.{n}": np.zeros(0) for n in ("step", "loss", "rate", "error")}),
        lambda arrays: arrays.update({f"history.{n}": np.array(np.inf) for n in ("step", "loss", "rate", "error")}),
        lambda arrays: arrays.update({f"history.{n}": np.full(1, np.inf) for n in ("step", "loss", "rate", "error")}),
        lambda arrays: arrays.update({f"history.{n}": np.ones((1, 2)) for n in ("step", "loss", "rate", "error")}),
        lambda arrays: arrays.pop("network.encoder.0.bias"),
        lambda arrays: arrays.pop("best.encoder.0.bias"),
        lambda arrays: arrays.pop("optimiser.0.exp_avg"),
        lambda arrays: arrays.update({"optimiser.0.exp_avg": np.zeros(7, np.float32)}),
    ],
)
def test_a_checkpoint_that_does_not_fit(interrupted: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    arrays = read_arrays(interrupted / "checkpoint.safetensors", "checkpoint")
    change(arrays)
    write_arrays(interrupted / "checkpoint.safetensors", arrays)
    with one_clear_error("checkpoint.safetensors does not fit these settings: use --overwrite"):
        train(interrupted, on_existing="resume")


@pytest.mark.parametrize(
    "history", [[], [1, 2], None, 3, [{"step": 1}], [{"step": None, "loss": 1, "rate": 1, "error": 1}], ["abcd"]]
)
def test_a_finished_run_whose_history_is_damaged(
    short_run: tuple[TrainingResult, Path], tmp_path: Path, history: Any
) -> None:
    shutil.copytree(short_run[1], tmp_path / "encoder")
    log = json.loads((tmp_path / "encoder/training.json").read_text())
    (tmp_path / "encoder/training.json").write_text(json.dumps({**log, "history": history}))
    with one_clear_error("training.json is damaged .*: use --overwrite"):
        train(tmp_path / "encoder", on_existing="resume")


def test_files_of_a_run_that_are_damaged(interrupted: Path) -> None:
    content = (interrupted / "checkpoint.safetensors").read_bytes()
    (interrupted / "checkpoint.safetensors").write_bytes(content[:-1])
    with one_clear_error("checkpoint .* is truncated or damaged"):
        train(interrupted, on_existing="resume")
    for text in ('{"memworld": "encoder"}', '{"memworld": "encoder", "settings": 3}'):
        (interrupted / "training.json").write_text(text)
        with one_clear_error("training.json is damaged .*: use --overwrite"):
            train(interrupted, on_existing="resume")
    for text in ("{}", "[]", "{", "null", '{"memworld": "memory"}'):
        (interrupted / "training.json").write_text(text)
        with one_clear_error("holds no training.json of a memworld encoder, so it is not memworld's to resume"):
            train(interrupted, on_existing="resume")
    (interrupted / "training.json").unlink()
    for mode in ("resume", "overwrite"):
        with one_clear_error(f"holds no training.json of a memworld encoder, so it is not memworld's to {mode}"):
            train(interrupted, on_existing=mode)


@given(data=st.data())
@settings(max_examples=25)
def test_any_damage_to_a_log_gives_one_error_or_opens(
    short_run: tuple[TrainingResult, Path], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    for name, content in folder_bytes(short_run[1]).items():
        (folder / name).write_bytes(content)
    damaged = bytearray((folder / "training.json").read_bytes())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    (folder / "training.json").write_bytes(damaged)
    stored = json.loads((short_run[1] / "training.json").read_text())
    checked = unless_refused(lambda: Run(folder, "encoder", stored["settings"], 30, 4, ("loss", "rate", "error")))
    assert checked is None or checked.output == folder
