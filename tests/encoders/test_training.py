import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from memworld.datasets import DatasetInfo, EpisodeDataset
from memworld.encoders import open_encoder
from memworld.encoders.training import (
    TrainingConfig,
    TrainingResult,
    count_active,
    elbo,
    gradient_step,
    train_vae,
)
from memworld.encoders.training_data import load_frames, pixel_statistics
from memworld.encoders.vae import VAE, VAEConfig
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.storage import locked
from tests.encoders.toys import FILES, HELD_OUT, LONG, SHORT, TINY, TRAINING, train
from tests.helpers import DISCRETE, folder_bytes, make_dataset, moving_square_dataset, one_clear_error, untrained_vae

# What it learns


@pytest.mark.parametrize(("objective", "beta"), [("sigma", 1.0), ("beta", 1.0), ("beta", 0.1)])
def test_it_learns_the_moving_square(tmp_path: Path, objective: Any, beta: float) -> None:
    result = train(tmp_path / "encoder", LONG, replace(TINY, objective=objective, beta=beta))
    errors = [look["error"] for look in result.history]
    losses = [look["loss"] for look in result.history]
    assert [look["step"] for look in result.history] == [50, 100, 150, 200, 250]
    assert losses[-1] < losses[0] - 10
    assert errors[-1] < 0.75 * errors[0]
    assert result.encoder.active_units > 1
    assert not result.stopped_early
    # The latents know where the square is: neighbours in them are neighbours in the world.
    frames, places = (np.concatenate([getattr(e, n) for e in TRAINING]) for n in ("observations", "states"))
    asked, truth = (np.concatenate([getattr(e, n) for e in HELD_OUT]) for n in ("observations", "states"))
    distances = torch.cdist(result.encoder.encode(asked)[0], result.encoder.encode(frames)[0])
    error = np.abs(places[distances.argmin(1).numpy()] - truth).mean()
    blind = np.abs(places.mean(0) - truth).mean()
    assert error < 0.5 * blind


def test_a_grid_of_latents_learns_too(tmp_path: Path) -> None:
    result = train(tmp_path / "encoder", replace(LONG, steps=100), VAEConfig((2, 4, 4), (8, 16)))
    assert result.encoder.encode(HELD_OUT[0].observations)[0].shape == (31, 32)
    assert result.history[-1]["loss"] < result.history[0]["loss"] - 20
    assert result.encoder.active_units > 1


def test_the_folder_holds_what_was_promised(short_run: tuple[TrainingResult, Path]) -> None:
    result, output = short_run
    assert list(folder_bytes(output)) == FILES
    opened = open_encoder(output)
    assert opened.fingerprint == result.encoder.fingerprint
    assert opened.active_units == result.encoder.active_units
    for one, other in zip(
        opened.encode(HELD_OUT[0].observations), result.encoder.encode(HELD_OUT[0].observations), strict=True
    ):
        assert torch.equal(one, other)
    log = json.loads((output / "training.json").read_text())
    assert (log["finished"], log["stopped_early"], log["history"]) == (True, False, result.history)
    assert log["settings"]["training"]["seed"] == 3
    assert log["settings"]["vae"]["latent_shape"] == [4]
    with Image.open(output / "reconstructions.png") as image:
        # 12 held-out frames above their reconstructions.
        assert (image.size, image.mode) == ((12 * 16, 2 * 16), "L")
        top, bottom = np.asarray(image)[:16], np.asarray(image)[16:]
    assert {20, 230} == set(np.unique(top))
    assert (top != bottom).any()


# Seeds


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    short_run: tuple[TrainingResult, Path], tmp_path: Path
) -> None:
    state = torch.random.get_rng_state()
    torch.manual_seed(99)  # whatever the caller did before
    train(tmp_path / "again")
    assert folder_bytes(tmp_path / "again") == folder_bytes(short_run[1])
    torch.manual_seed(99)
    expected = torch.rand(3)
    torch.manual_seed(99)
    train(tmp_path / "other", replace(SHORT, seed=4))
    # and training leaves the caller's randomness alone.
    assert torch.equal(torch.rand(3), expected)
    torch.random.set_rng_state(state)
    first, other = folder_bytes(short_run[1]), folder_bytes(tmp_path / "other")
    assert first["encoder.safetensors"] != other["encoder.safetensors"]


# Refusals


def test_an_existing_folder_is_overwritten_on_request_only(
    short_run: tuple[TrainingResult, Path], tmp_path: Path
) -> None:
    train(tmp_path / "encoder", replace(SHORT, seed=8))
    before = folder_bytes(tmp_path / "encoder")
    with one_clear_error("exists and is not empty: name another, or use --resume or --overwrite"):
        train(tmp_path / "encoder")
    assert folder_bytes(tmp_path / "encoder") == before
    train(tmp_path / "encoder", on_existing="overwrite")
    assert folder_bytes(tmp_path / "encoder") == folder_bytes(short_run[1])


def test_nothing_is_emptied_for_what_cannot_be_trained(short_run: tuple[TrainingResult, Path], tmp_path: Path) -> None:
    shutil.copytree(short_run[1], tmp_path / "encoder")
    before = folder_bytes(tmp_path / "encoder")

    def fail(id: str) -> Episode:
        raise MemworldError("the disk is gone")

    gone, gone_too = (EpisodeDataset(part.info, part.entries, fail) for part in (TRAINING, HELD_OUT))
    for training, validation in ((gone, HELD_OUT), (TRAINING, gone_too)):
        with one_clear_error("the disk is gone"):
            train_vae(training, validation, tmp_path / "encoder", TINY, SHORT, on_existing="overwrite")
    for changes in ({"channels": (8, 10**12)}, {"latent_shape": (10**15,)}, {"latent_shape": (10**30,)}):
        with one_clear_error("cannot be built .*: use smaller ones"):
            train(tmp_path / "encoder", SHORT, replace(TINY, **changes), on_existing="overwrite")
    assert folder_bytes(tmp_path / "encoder") == before


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path), one_clear_error(f"another memworld is writing to {tmp_path}: wait for it"):
        train(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_collapsed_encoder_is_refused_and_its_files_stay(tmp_path: Path) -> None:
    still = [replace(e, observations=np.full_like(e.observations, 90)) for e in moving_square_dataset(2)]
    one, other = (EpisodeDataset.from_episodes(TRAINING.info, [e]) for e in still)
    for mode in ("error", "resume"):
        with one_clear_error("the encoder has collapsed: 0 of its latent means vary"):
            train_vae(one, other, tmp_path / "encoder", TINY, SHORT, on_existing=mode)
        assert list(folder_bytes(tmp_path / "encoder")) == FILES
    with Image.open(tmp_path / "encoder/reconstructions.png") as image:
        assert image.size == (12 * 16, 32)
    assert open_encoder(tmp_path / "encoder").active_units == 0


def test_training_that_diverges_says_so(tmp_path: Path) -> None:
    with one_clear_error(r"diverged: after 10 steps the validation loss is .*; use a learning_rate below 1e\+30"):
        train(tmp_path / "encoder", replace(SHORT, learning_rate=1e30))


def test_data_that_cannot_be_trained_on(tmp_path: Path) -> None:
    with one_clear_error("no training episodes: give at least one"):
        train_vae(TRAINING[:0], HELD_OUT, tmp_path / "encoder", TINY, SHORT)
    with one_clear_error("no validation episodes: give at least one"):
        train_vae(TRAINING, HELD_OUT[:0], tmp_path / "encoder", TINY, SHORT)
    with one_clear_error(r"training episodes have frames of \(16, 16, 1\), validation ones of \(8, 8, 3\): resize"):
        train_vae(TRAINING, make_dataset(np.random.default_rng(0)), tmp_path / "encoder", TINY, SHORT)
    with one_clear_error("episode e[0-9] is in training and validation: split them by episode"):
        train_vae(TRAINING, TRAINING[:1], tmp_path / "encoder", TINY, SHORT)
    with one_clear_error("frames of 16x16 cannot be halved 5 times"):
        train(tmp_path / "encoder", SHORT, replace(TINY, channels=(8,) * 5))
    assert not (tmp_path / "encoder").exists()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"batch_size": -1}, "batch_size must be at least 1"),
        ({"validate_every": 0}, "validate_every must be at least 1"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"max_frames": 0}, "max_frames must be at least 1"),
        ({"learning_rate": 0}, "learning_rate must be finite and above 0, got 0"),
        ({"learning_rate": math.nan}, "learning_rate must be finite"),
        ({"learning_rate": math.inf}, "learning_rate must be finite"),
        ({"seed": -1}, "seed must be 0 to 4294967295, got -1"),
        ({"seed": 2**32}, "seed must be 0 to 4294967295"),
        ({"precision": "float16"}, "unknown precision 'float16': use auto, float32 or bfloat16"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, Any], match: str) -> None:
    with one_clear_error(match):
        TrainingConfig(**changes)


def test_the_precision_asked_for_is_the_one_used(tmp_path: Path) -> None:
    assert not TrainingConfig(precision="float32").bfloat16
    assert TrainingConfig(precision="bfloat16").bfloat16
    one, other = (train(tmp_path / p, replace(SHORT, precision=p)).encoder for p in ("float32", "bfloat16"))
    assert one.fingerprint != other.fingerprint


def test_the_largest_seed_trains(tmp_path: Path) -> None:
    assert train(tmp_path / "encoder", replace(SHORT, seed=2**32 - 1)).encoder.active_units > 1


# Parts


def test_every_step_and_every_seed_draws_its_own_batch_and_noise() -> None:
    frames = load_frames(TRAINING, 100)
    mean, scale = pixel_statistics(frames, 0.1)
    losses = set()
    for seed, step in ((0, 0), (0, 1), (1, 0), (1, 1), (0, 0)):
        network = untrained_vae((16, 16, 1)).network  # the same weights each time
        optimiser = torch.optim.Adam(network.parameters())
        loss = gradient_step(network, optimiser, frames, mean, scale, TINY, replace(SHORT, seed=seed), step)
        losses.add(float(loss.total.detach()))
    assert len(losses) == 4


def test_the_objectives_are_their_formulas() -> None:
    vae = untrained_vae((4, 4, 1), (2,))
    inputs = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 1, 4, 4)).astype(np.float32))
    drawn = torch.from_numpy(np.random.default_rng(1).normal(size=(3, 2)).astype(np.float32))
    with torch.no_grad():
        mu, sigma = vae.network.posterior(inputs)
        errors = (vae.network.reconstruct(mu + sigma * drawn) - inputs).numpy().astype(np.float64) ** 2
        calibrated = elbo(vae.network, inputs, drawn, VAEConfig((2,), objective="sigma"))
        weighted = elbo(vae.network, inputs, drawn, VAEConfig((2,), objective="beta", beta=3.0))
    m, s = mu.numpy().astype(np.float64), sigma.numpy().astype(np.float64)
    rate = (0.5 * (m**2 + s**2 - 1 - 2 * np.log(s))).sum(1).mean()
    mse = errors.mean()
    squared = errors.sum((1, 2, 3)).mean()
    for loss, distortion, weight in ((calibrated, 16 / 2 * np.log(mse), 1), (weighted, squared / 2, 3)):
        assert float(loss.rate) == pytest.approx(rate, rel=1e-5)
        assert float(loss.error) == pytest.approx(mse, rel=1e-5)
        assert float(loss.distortion) == pytest.approx(distortion, rel=1e-4)
        assert float(loss.total) == pytest.approx(distortion + weight * rate, rel=1e-4)


def test_a_pixel_s_statistics_are_those_of_numpy() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (1500, 3, 4, 1), np.uint8)
    frames[:, 0, 0] = 7
    mean, scale = pixel_statistics(torch.from_numpy(frames), 0.1)
    assert mean.dtype == scale.dtype == torch.float32
    np.testing.assert_allclose(mean, (frames / 255).mean(0), rtol=1e-6)
    np.testing.assert_allclose(scale, (frames / 255).std(0).clip(0.1), rtol=1e-6)
    assert float(scale[0, 0]) == pytest.approx(0.1)
    assert float(scale[1, 1]) > 0.2


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6), most=st.integers(1, 70))
@settings(max_examples=60)
def test_frames_are_an_even_share_and_never_too_many(lengths: list[int], most: int) -> None:
    info = DatasetInfo((1, 1, 3), DISCRETE)
    # Each frame holds its own number, counted over all episodes.
    ends = np.cumsum([0] + [n + 1 for n in lengths])
    template = make_dataset(np.random.default_rng(0), 1, 1, (1, 1, 3))[0]
    made = []
    for i, n in enumerate(lengths):
        frames = np.repeat(np.arange(ends[i], ends[i + 1], dtype=np.uint8), 3).reshape(-1, 1, 1, 3)
        zeros = np.zeros(n)
        arrays: dict[str, Any] = dict.fromkeys(("rewards", "terminations", "truncations"), zeros)
        made.append(replace(template, id=f"e{i}", observations=frames, actions=zeros.astype(int), **arrays))
    found = load_frames(EpisodeDataset.from_episodes(info, made), most)
    assert len(found) <= most
    numbers = found[:, 0, 0, 0].tolist()
    stride = math.ceil(ends[-1] / most)
    assert numbers == list(range(0, int(ends[-1]), stride))
    assert found.dtype == torch.uint8


def test_active_units_are_those_that_vary() -> None:
    vae = untrained_vae((4, 4, 1), (3,))
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4100, 4, 4, 1), np.uint8))
    with torch.no_grad():
        head = next(m for m in vae.network.encoder if isinstance(m, torch.nn.Linear))
        head.weight[0] *= 0  # the same for every frame, whatever its bias
        head.bias[0] = 5
    mu, _ = vae.encode(frames.numpy())
    with torch.no_grad():
        head.weight[1] *= 0.2 / float(mu[:, 1].std())
        head.weight[2] *= 0.09 / float(mu[:, 2].std())
    assert count_active(vae, frames) == 1
    assert count_active(vae, frames[:1]) == 0


def test_at_most_2000_frames_are_encoded_to_count(monkeypatch: pytest.MonkeyPatch) -> None:
    vae = untrained_vae((4, 4, 1), (3,))
    counts: list[int] = []
    real = VAE.encode

    def note(self: VAE, frames: np.ndarray) -> Any:
        counts.append(len(frames))
        return real(self, frames)

    monkeypatch.setattr(VAE, "encode", note)
    for count in (1, 2000, 2001, 3999, 4001):
        count_active(vae, torch.zeros((count, 4, 4, 1), dtype=torch.uint8))
    assert counts == [1, 2000, 1001, 2000, 1334]
