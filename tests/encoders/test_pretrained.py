import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from memworld.encoders.pretrained import PretrainedVAE
from memworld.encoders.pretrained_config import SIGMA
from memworld.encoders.training import ACTIVE_STD
from memworld.storage import read_arrays
from tests.encoders.pretrained_toys import (
    MODELS,
    SHAPE,
    TINY_SCALE,
    WEIGHTS,
    change_json,
    change_weights,
    diffusers,
    save_models,
)
from tests.encoders.toys import assert_equal_codes, noise
from tests.helpers import one_clear_error


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def copied(models: Path, tmp_path: Path) -> Path:
    """A copy of kl that a test may change."""
    return Path(shutil.copytree(models / "kl", tmp_path / "copied"))


def inputs(frames: np.ndarray) -> torch.Tensor:
    """(B, H, W, 3) frames as diffusers takes pictures."""
    return torch.from_numpy(frames).float().permute(0, 3, 1, 2) / 255 * 2 - 1


def pictures(decoded: torch.Tensor) -> np.ndarray:
    """What diffusers decoded, before it is rounded, from 0 to 255."""
    shown: np.ndarray = ((decoded.clamp(-1, 1) + 1) / 2 * 255).permute(0, 2, 3, 1).detach().numpy()
    return shown


def test_codes_and_frames_are_those_of_diffusers_itself(models: Path) -> None:
    frames = noise(5, SHAPE)
    encoder = PretrainedVAE.load(models / "kl", frames)
    assert (encoder.frame_shape, encoder.latent_shape, encoder.source) == (SHAPE, (4, 8, 12), "kl")
    assert encoder.episodes_seen == ()
    mu, sigma = encoder.encode(frames)
    reference = diffusers.AutoencoderKL.from_pretrained(models / "kl", low_cpu_mem_usage=False)
    with torch.no_grad():
        there = reference.encode(inputs(frames)).latent_dist
        back = pictures(reference.decode(mu.reshape(5, 4, 8, 12) / 2.5).sample)
    torch.testing.assert_close(mu, 2.5 * there.mean.flatten(1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(sigma, 2.5 * there.std.flatten(1), rtol=1e-4, atol=1e-4)
    assert mu.dtype == sigma.dtype == torch.float32
    assert np.abs(encoder.decode(mu) - back).max() < 0.51
    assert encoder.active_units == int((mu.numpy().std(0) > ACTIVE_STD).sum()) > 2


def test_a_tiny_autoencoder_has_the_sigma_that_it_is_given(models: Path) -> None:
    frames = noise(5, SHAPE)
    encoder = PretrainedVAE.load(models / "tiny", frames)
    mu, sigma = encoder.encode(frames)
    reference = diffusers.AutoencoderTiny.from_pretrained(models / "tiny", low_cpu_mem_usage=False)
    with torch.no_grad():
        there = reference.encode(inputs(frames)).latents
        back = pictures(reference.decode(there).sample)
    torch.testing.assert_close(mu, TINY_SCALE * there.flatten(1), rtol=1e-4, atol=0.01)
    assert torch.equal(sigma, torch.full_like(mu, SIGMA))
    assert np.abs(encoder.decode(mu) - back).max() < 0.51
    wider = PretrainedVAE.load(models / "tiny", frames, sigma=0.25)
    assert torch.equal(wider.encode(frames)[1], torch.full_like(mu, 0.25))
    assert wider.fingerprint != encoder.fingerprint


@pytest.mark.parametrize(
    ("units", "shift", "scale"),
    [
        ({"shift_factor": 0.25}, [0.25] * 4, [2.5] * 4),
        (
            {"latents_mean": [0.1, 0.2, -0.3, 0.4], "latents_std": [1.0, 2.0, 4.0, 0.5]},
            [0.1, 0.2, -0.3, 0.4],
            [2.5, 1.25, 0.625, 5.0],
        ),
    ],
)
def test_latents_are_in_the_units_of_their_authors(
    models: Path, copied: Path, units: dict[str, Any], shift: list[float], scale: list[float]
) -> None:
    frames = noise(3, SHAPE)
    plain = PretrainedVAE.load(models / "kl", frames)
    change_json(copied / "config.json", **units)
    encoder = PretrainedVAE.load(copied, frames)
    mu, sigma = (side.reshape(3, 4, -1).numpy() / 2.5 for side in plain.encode(frames))
    a, b = np.array(shift)[:, None], np.array(scale)[:, None]
    np.testing.assert_allclose(encoder.encode(frames)[0], ((mu - a) * b).reshape(3, -1), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(encoder.encode(frames)[1], (sigma * b).reshape(3, -1), rtol=1e-4, atol=1e-6)
    decoded = encoder.decode(encoder.encode(frames)[0]).astype(int)
    assert np.abs(decoded - plain.decode(plain.encode(frames)[0])).max() <= 1


@pytest.mark.parametrize("name", MODELS)
def test_frames_shown_larger(models: Path, name: str) -> None:
    """Each pixel becomes a square of pixels, and each square of what is decoded is averaged to a pixel."""
    frames = noise(3, (6, 10, 3))
    large = frames.repeat(3, axis=1).repeat(3, axis=2)
    encoder = PretrainedVAE.load(models / name, frames, upscale=3)
    plain = PretrainedVAE.load(models / name, large)
    assert encoder.latent_shape == plain.latent_shape == (4, 9, 15)
    assert_equal_codes(encoder.encode(frames), plain.encode(large))
    mu = plain.encode(large)[0]
    averaged = plain.decode(mu).reshape(3, 6, 3, 10, 3, 3).mean((2, 4))
    assert np.abs(encoder.decode(mu) - averaged).max() <= 1  # there each was rounded before
    assert encoder.fingerprint != plain.fingerprint


@pytest.mark.parametrize("name", MODELS)
def test_grey_frames(models: Path, name: str) -> None:
    grey = noise(3, (16, 24, 1))
    encoder = PretrainedVAE.load(models / name, grey)
    plain = PretrainedVAE.load(models / name, grey.repeat(3, axis=3))
    assert_equal_codes(encoder.encode(grey), plain.encode(grey.repeat(3, axis=3)))
    mu = encoder.encode(grey)[0]
    assert encoder.decode(mu).shape == grey.shape
    assert np.abs(encoder.decode(mu) - plain.decode(mu).mean(3, keepdims=True)).max() <= 1


def test_batches_are_bounded_and_change_nothing_but_rounding(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = noise(7, SHAPE)
    encoder = PretrainedVAE.load(models / "kl", frames)
    mu, sigma = encoder.encode(frames)
    decoded = encoder.decode(mu)
    sizes: list[int] = []
    network: Any = encoder.network
    real = network.encode

    def counted(batch: torch.Tensor) -> Any:
        sizes.append(len(batch))
        return real(batch)

    monkeypatch.setattr(network, "encode", counted)
    monkeypatch.setattr("memworld.encoders.pretrained._BATCH_PIXELS", 3 * 16 * 24 + 1)
    again = encoder.encode(frames)
    assert sizes == [3, 3, 1]
    torch.testing.assert_close(again[0], mu, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(again[1], sigma, rtol=1e-4, atol=1e-4)
    assert np.abs(encoder.decode(mu).astype(int) - decoded).max() <= 1
    monkeypatch.setattr("memworld.encoders.pretrained._BATCH_PIXELS", 1)
    assert len(encoder.encode(frames[:2])[0]) == 2


def test_no_frames_make_no_latents_and_none_no_frames(models: Path) -> None:
    encoder = PretrainedVAE.load(models / "kl", noise(2, SHAPE))
    mu, sigma = encoder.encode(noise(0, SHAPE))
    assert mu.shape == sigma.shape == (0, 4 * 8 * 12)
    assert encoder.decode(mu).shape == (0, *SHAPE)


def test_the_same_call_gives_the_same_bytes_in_any_precision(models: Path) -> None:
    frames = noise(4, SHAPE)
    encoder = PretrainedVAE.load(models / "kl", frames)
    codes = encoder.encode(frames)
    with torch.autocast("cpu", torch.bfloat16):
        assert_equal_codes(encoder.encode(frames), codes)
    assert_equal_codes(encoder.encode(frames[:, ::-1, ::-1][:, ::-1, ::-1]), codes)
    assert not codes[0].requires_grad
    assert not codes[0].is_inference()


def test_loading_leaves_the_caller_s_randomness_alone(models: Path) -> None:
    state = torch.random.get_rng_state()
    PretrainedVAE.load(models / "kl", noise(1, SHAPE))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_weights_in_half_precision_and_of_the_first_names(models: Path, copied: Path) -> None:
    """As they were published at first: half precision, and other names for the parts of attention."""
    diffusers.AutoencoderKL.from_pretrained(models / "kl", low_cpu_mem_usage=False).to(torch.bfloat16).save_pretrained(
        copied
    )
    halved = PretrainedVAE.load(copied, noise(3, SHAPE))
    assert {value.dtype for value in halved.network.state_dict().values()} == {torch.float32}
    codes, there = halved.encode(noise(3, SHAPE)), PretrainedVAE.load(models / "kl", noise(3, SHAPE))
    torch.testing.assert_close(codes[0], there.encode(noise(3, SHAPE))[0], rtol=0.1, atol=0.1)

    shutil.copy(models / "kl" / WEIGHTS, copied / WEIGHTS)
    first = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def rename(arrays: dict[str, np.ndarray]) -> None:
        for name in [name for name in arrays if ".attentions." in name]:
            for new, old in first.items():
                if f".{new}." in name:
                    arrays[name.replace(f".{new}.", f".{old}.")] = arrays.pop(name)

    change_weights(copied, rename)
    assert sum(".query." in name for name in read_arrays(copied / WEIGHTS, "weights")) == 4
    renamed = PretrainedVAE.load(copied, noise(3, SHAPE))
    assert renamed.fingerprint == there.fingerprint
    # Those are read by diffusers in the same way.
    diffusers.AutoencoderKL.from_pretrained(copied, low_cpu_mem_usage=False)


@pytest.mark.parametrize(
    ("shape", "upscale", "match"),
    [
        ((15, 24, 3), 1, "frames of 15x24 at upscale 1 cannot be divided into the 2x2 pixels of a cell"),
        ((16, 23, 3), 3, "frames of 16x23 at upscale 3 cannot be divided"),
        ((16, 24, 2), 1, "frame_shape .16, 24, 2. is not .H, W, C. of a picture"),
        ((16, 24, 3), 17, "upscale must be a whole number from 1 to 16, got 17"),
        ((16, 24, 3), 1.5, "upscale must be a whole number"),
    ],
)
def test_frames_that_do_not_fit(models: Path, shape: tuple[int, int, int], upscale: int, match: str) -> None:
    with one_clear_error(match):
        PretrainedVAE.load(models / "kl", noise(2, shape), upscale=upscale)


def test_frames_and_latents_of_another_kind(models: Path) -> None:
    encoder = PretrainedVAE.load(models / "kl", noise(2, SHAPE))
    with one_clear_error("frames must be uint8, 0 to 255, got float64"):
        encoder.encode(noise(2, SHAPE).astype(float))
    with one_clear_error("frames have shape .16, 24, 3."):
        encoder.encode(noise(1, SHAPE)[0])
    with one_clear_error("the encoder takes frames of .16, 24, 3., got .8, 24, 3."):
        encoder.encode(noise(2, (8, 24, 3)))
    with one_clear_error("decodes latents .B, 384., got .2, 4."):
        encoder.decode(torch.zeros(2, 4))
    for frames in (noise(0, SHAPE), noise(1, SHAPE)[0]):
        with one_clear_error("give at least one"):
            PretrainedVAE.load(models / "kl", frames)


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan, math.inf, 1e-9])
def test_a_sigma_that_means_nothing(models: Path, sigma: float) -> None:
    with one_clear_error("sigma must be from 1e-6 to 1e6"):
        PretrainedVAE.load(models / "tiny", noise(1, SHAPE), sigma=sigma)
