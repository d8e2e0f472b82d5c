"""Training a baseline: interrupted and resumed to the same bytes, stopped in time, refused when it cannot be right."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from memworld.baselines import training
from memworld.baselines.config import BaselineTraining
from memworld.baselines.kinds import KINDS
from memworld.baselines.latent_gru import LatentGRUConfig
from memworld.baselines.model import TrainedBaseline
from memworld.baselines.training import train_baseline
from memworld.datasets import EpisodeDataset
from memworld.storage import read_arrays, read_json, write_arrays
from memworld.training.settings import Precision
from tests.baselines.toys import ENCODER, HELD_OUT, SHORT, TINY, TRAINING, VALIDATION, train
from tests.encoders.toys import interrupt_at
from tests.helpers import PixelEncoder, make_dataset, one_clear_error

FILES = ["model.json", "model.safetensors", "training.json"]


@pytest.fixture(scope="module")
def short_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedBaseline, Path]:
    folder = tmp_path_factory.mktemp("baseline") / "model"
    return train(folder), folder


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_what_is_written(short_run: tuple[TrainedBaseline, Path]) -> None:
    model, folder = short_run
    assert sorted(p.name for p in folder.iterdir()) == FILES
    assert [look["step"] for look in model.history] == [3, 6, 9, 12]
    seconds = [look["seconds"] for look in model.history]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0
    assert model.episodes_seen == (*TRAINING.ids, *VALIDATION.ids)
    assert "12 steps" in model.about


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (training, "_gradient_step", 1),
        (training, "_gradient_step", 8),
        (training, "_look", 2),
        (TrainedBaseline, "save", 1),
    ],
)
def test_an_interrupted_run_goes_on_to_the_same_weights(
    short_run: tuple[TrainedBaseline, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    call: int,
) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(patch, owner, name, call)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "model")
    with one_clear_error("exists and is not empty"):
        train(tmp_path / "model")
    model = train(tmp_path / "model", on_existing="resume")
    assert weights(tmp_path / "model") == weights(short_run[1])
    assert [h["loss"] for h in model.history] == [h["loss"] for h in short_run[0].history]


def test_a_finished_run_is_opened_and_not_trained_again(
    short_run: tuple[TrainedBaseline, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, training, "_gradient_step", 1)
    assert train(short_run[1], on_existing="resume").history == short_run[0].history


def test_another_seed_gives_other_weights(short_run: tuple[TrainedBaseline, Path], tmp_path: Path) -> None:
    train(tmp_path / "other", replace(SHORT, seed=6))
    assert weights(tmp_path / "other") != weights(short_run[1])


def test_the_caller_s_randomness_stays_as_it_is(tmp_path: Path) -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    train(tmp_path / "model", replace(SHORT, steps=1))
    assert torch.equal(torch.rand(1), expected)


def test_patience_ends_it_and_the_best_weights_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = iter([5.0, 3.0, 4.0, 4.0, 2.0])
    monkeypatch.setattr(training, "_look", lambda *_: next(script))
    model = train(tmp_path / "model", replace(SHORT, steps=30, patience=2))
    assert [h["loss"] for h in model.history] == [5, 3, 4, 4]
    monkeypatch.setattr(training, "_look", lambda *_: 1.0)
    best = train(tmp_path / "best", replace(SHORT, steps=30, patience=1))
    assert int(best.history[0]["step"]) == 3
    assert read_json(tmp_path / "model" / "training.json", "run")["stopped_early"]


def test_every_kind_trains_and_opens_with_the_same_answers(tmp_path: Path) -> None:
    for name, kind in KINDS.items():
        if name == "rssm_pixels":
            continue  # whose network halves frames more often than the toy's have room for
        how = replace(SHORT, steps=3)
        model = train(tmp_path / name, how, kind.config, name=name)
        episode = HELD_OUT[0]
        asked = (episode.observations[3], episode.actions[None, 3:7])
        again = TrainedBaseline.open(tmp_path / name, ENCODER)
        one, other = model.imagine(*asked, seed=2), again.imagine(*asked, seed=2)
        assert torch.equal(one.latents.mu, other.latents.mu)
        np.testing.assert_array_equal(one.frames, other.frames)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "transformer"}, "unknown baseline 'transformer'"),
        ({"training": TRAINING[:0]}, "no training episodes"),
        ({"validation": TRAINING[:0]}, "no validation episodes"),
        ({"validation": TRAINING[:1]}, "is in training and validation"),
        ({"encoder": PixelEncoder((4, 4, 1), 0.1)}, "takes frames of"),
        ({"validation": make_dataset(np.random.default_rng(0), 2, 5, (8, 8, 1))}, "differ in world"),
        ({"config": object()}, "takes a LatentGRUConfig"),
        ({"how": BaselineTraining(steps=9, learning_rate=1e30, validate_every=1)}, "training diverged"),
        ({"device": "abacus"}, "abacus"),
    ],
)
def test_what_cannot_be_trained(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {
        "name": "latent_gru",
        "training": TRAINING,
        "validation": VALIDATION,
        "encoder": ENCODER,
        "output": tmp_path / "model",
        "config": TINY,
        "how": SHORT,
    }
    with one_clear_error(message):
        train_baseline(**{**given, **change})


@pytest.mark.parametrize(
    "change",
    [
        lambda: {"how": replace(SHORT, steps=15)},
        lambda: {"how": replace(SHORT, seed=1)},
        lambda: {"config": LatentGRUConfig(hidden=9, context=2, horizon=3)},
    ],
)
def test_a_run_of_other_settings_is_not_resumed(
    short_run: tuple[TrainedBaseline, Path], change: Callable[[], dict[str, Any]]
) -> None:
    with one_clear_error("was trained with"):
        train(short_run[1], on_existing="resume", **change())


@pytest.mark.parametrize(
    "settings",
    [{"steps": 0}, {"batch_size": 0}, {"learning_rate": 0.0}, {"weight_decay": -1.0}, {"seed": -1}, {"precision": "x"}],
)
def test_settings_that_mean_nothing(settings: dict[str, Any]) -> None:
    with one_clear_error(next(iter(settings))):
        BaselineTraining(**settings)


def test_what_is_finished_opens_where_another_precision_is_usual(
    short_run: tuple[TrainedBaseline, Path], tmp_path: Path
) -> None:
    other: Precision = "float32" if SHORT.bfloat16 else "bfloat16"
    model = train(short_run[1], replace(SHORT, precision=other), on_existing="resume")
    assert model.history == short_run[0].history


def test_a_device_that_is_not_there_leaves_no_folder(tmp_path: Path) -> None:
    with one_clear_error("abacus"):
        train(tmp_path / "model", device="abacus")
    assert not (tmp_path / "model").exists()


def test_a_checkpoint_whose_best_weights_have_another_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(patch, training, "_gradient_step", 8)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "model")
    path = tmp_path / "model" / "checkpoint.safetensors"
    arrays = {name: np.array(array) for name, array in read_arrays(path, "checkpoint").items()}
    name = next(name for name in arrays if name.startswith("best.") and arrays[name].ndim == 2)
    write_arrays(path, {**arrays, name: arrays[name][:-1]})
    with one_clear_error("does not fit these settings"):
        train(tmp_path / "model", on_existing="resume")


def test_rewards_of_any_size_are_learned_alike(tmp_path: Path) -> None:
    """The unit of the rewards changes the rewards imagined, and nothing else."""
    large = EpisodeDataset.from_episodes(
        TRAINING.info, [replace(episode, rewards=1000 * episode.rewards) for episode in TRAINING]
    )
    models = [
        train_baseline("latent_gru", part, VALIDATION, ENCODER, tmp_path / str(i), TINY, SHORT)
        for i, part in enumerate((TRAINING, large))
    ]
    small, big = (m.imagine(HELD_OUT[0].observations[3], HELD_OUT[0].actions[3:8]) for m in models)
    # Validation rewards differ in unit, so that other weights may be kept; the last look's are alike.
    torch.testing.assert_close(small.latents.mu, big.latents.mu, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(1000 * small.rewards, big.rewards, rtol=1e-1, atol=30.0)
