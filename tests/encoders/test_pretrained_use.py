import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

from memworld.analogues import AnalogueConfig
from memworld.dynamics import DynamicsConfig
from memworld.encoders import open_encoder
from memworld.encoders.pretrained import PretrainedVAE, use_pretrained
from memworld.formats import open_dataset
from memworld.memory import Memory
from memworld.remember import remember
from memworld.world_model import WorldModel
from tests.encoders.pretrained_toys import SHAPE, WEIGHTS, change_json, save_models
from tests.helpers import folder_bytes, moving_square_dataset, one_clear_error
from tests.recorded.make import HERE


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def copied(models: Path, tmp_path: Path) -> Path:
    """A copy of kl that a test may change."""
    return Path(shutil.copytree(models / "kl", tmp_path / "copied"))


@pytest.mark.parametrize("name", ["grid", "tiny-grid"])
def test_recorded_pong_is_imagined_without_any_training(models: Path, tmp_path: Path, name: str) -> None:
    dataset = open_dataset(HERE / "pong")
    encoder = use_pretrained(models / name, dataset[:2], tmp_path / "encoder")
    assert encoder.latent_shape == (4, 4, 4)
    assert encoder.active_units > 10
    remember(dataset[:2], encoder, tmp_path / "memory")
    known = {(entry.id, step) for entry in dataset[:2].entries for step in range(entry.steps + 1)}
    for config in (DynamicsConfig("replay_kl"), AnalogueConfig(horizon=2, samples=64)):
        world = WorldModel.open(tmp_path / "memory", config)
        rollout = world.imagine(dataset[2].observations[20], dataset[2].actions[20:24])
        assert rollout.frames is not None
        assert rollout.frames.shape == (1, 4, 64, 64, 3)
        assert rollout.frames.dtype == np.uint8
        cited = {(c.episode, c.step) for step in range(4) for c in rollout.citations(0, step)}
        assert cited
        assert cited <= known


def test_a_memory_needs_neither_source_nor_network(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = moving_square_dataset(2, 6, SHAPE)
    remember(dataset, use_pretrained(copied, dataset, tmp_path / "encoder"), tmp_path / "memory")
    shutil.rmtree(copied)
    shutil.rmtree(tmp_path / "encoder")

    def refuse(*_: object) -> None:
        raise AssertionError("it asked the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    world = WorldModel.open(tmp_path / "memory")
    assert world.encoder.latent_shape == (4, 8, 12)
    assert world.imagine(dataset[0].observations[0], dataset[0].actions[:2]).frames is not None


def test_diffusers_is_imported_only_when_it_is_needed() -> None:
    script = "import sys, memworld, memworld.cli, memworld.encoders.pretrained; print('diffusers' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "False"


@pytest.fixture
def square(tmp_path: Path) -> Path:
    from memworld.formats.npz import NpzWriter

    dataset = moving_square_dataset(5, 10, SHAPE)
    with NpzWriter(tmp_path / "square", dataset.info) as writer:
        for episode in dataset:
            writer.append(episode)
    return tmp_path / "square"


def test_the_command(models: Path, square: Path, tmp_path: Path, call: Callable[..., Result]) -> None:
    output = tmp_path / "encoder"
    done = call("train", square, "-o", output, "--pretrained", models / "kl", "--upscale", 2)
    assert done.exit_code == 0, done.stderr
    assert "latents [4, 16, 24]" in done.output
    files = ["encoder.json", "encoder.safetensors", "reconstructions.png", "training.json"]
    assert list(folder_bytes(output)) == files
    assert not any(str(models).encode() in content for content in folder_bytes(output).values())
    again = call("train", square, "-o", output, "--pretrained", models / "tiny", "--sigma", 0.2)
    assert again.exit_code == 2
    again = call("train", square, "-o", output, "--pretrained", models / "tiny", "--sigma", 0.2, "--overwrite")
    assert again.exit_code == 0, again.stderr
    opened = open_encoder(output)
    assert isinstance(opened, PretrainedVAE)
    assert (opened.latent_shape, opened.config.sigma) == ((4, 8, 12), 0.2)
    assert call("remember", square, "--encoder", output, "-o", tmp_path / "memory").exit_code == 0


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (("--steps", 1500), "--steps means nothing with --pretrained, which trains nothing: leave it out"),
        (("--latent-shape", "32"), "--latent-shape means nothing with --pretrained"),
        (("--objective", "sigma"), "--objective means nothing"),
        (("--beta", 1.0), "--beta means nothing"),
        (("--batch-size", 64), "--batch-size means nothing"),
        (("--resume",), "--resume means nothing"),
        (("--upscale", 0), "upscale must be a whole number from 1 to 16, got 0"),
        (("--sigma", 0.1), "AutoencoderKL gives a sigma of its own"),
    ],
)
def test_options_that_would_be_ignored(
    models: Path, square: Path, tmp_path: Path, call: Callable[..., Result], options: tuple[object, ...], match: str
) -> None:
    result = call("train", square, "-o", tmp_path / "encoder", "--pretrained", models / "kl", *options)
    assert result.exit_code == 2
    assert match in result.stderr
    assert not (tmp_path / "encoder").exists()


@pytest.mark.parametrize("option", ["--upscale", "--sigma"])
def test_options_of_pretrained_weights_alone(
    square: Path, tmp_path: Path, call: Callable[..., Result], option: str
) -> None:
    result = call("train", square, "-o", tmp_path / "encoder", option, 1)
    assert result.exit_code == 2
    assert f"{option} means nothing without --pretrained" in result.stderr


def test_folders_of_both_kinds_can_be_overwritten_by_each_other(models: Path, tmp_path: Path) -> None:
    from tests.encoders.toys import TRAINING, train

    train(tmp_path / "encoder")
    use_pretrained(models / "kl", TRAINING, tmp_path / "encoder", on_existing="overwrite")
    with one_clear_error("holds what was not trained"):
        train(tmp_path / "encoder", on_existing="resume")
    train(tmp_path / "encoder", on_existing="overwrite")


def test_what_cannot_be_written(models: Path, copied: Path, tmp_path: Path) -> None:
    dataset = moving_square_dataset(2, 6, SHAPE)
    with one_clear_error("nothing to resume: use --overwrite"):
        use_pretrained(models / "kl", dataset, tmp_path / "encoder", on_existing="resume")
    with one_clear_error("no training episodes"):
        use_pretrained(models / "kl", dataset[:0], tmp_path / "encoder")
    use_pretrained(models / "kl", dataset, tmp_path / "encoder")
    before = folder_bytes(tmp_path / "encoder")
    (copied / WEIGHTS).unlink()
    with one_clear_error("has no weights"):  # and nothing is emptied for them
        use_pretrained(copied, dataset, tmp_path / "encoder", on_existing="overwrite")
    assert folder_bytes(tmp_path / "encoder") == before


def test_an_encoder_to_which_all_frames_look_alike(models: Path, copied: Path, tmp_path: Path) -> None:
    change_json(copied / "config.json", scaling_factor=1e-4)
    dataset = moving_square_dataset(2, 6, SHAPE)
    with one_clear_error("the encoder has collapsed: 0 of its latent means vary"):
        use_pretrained(copied, dataset, tmp_path / "encoder")
    with one_clear_error("has collapsed"):
        Memory(dataset.info, open_encoder(tmp_path / "encoder"))
