import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from memworld.encoders import MIN_ACTIVE_UNITS, check_not_collapsed
from memworld.encoders.vae import VAE, VAEConfig, normalise
from tests.encoders.toys import SHAPES, assert_equal_codes, noise
from tests.helpers import one_clear_error, untrained_vae

# Encoding and decoding


@pytest.mark.parametrize(("shape", "latent_shape"), SHAPES)
@pytest.mark.parametrize("count", [0, 1, 5])
def test_codes_and_frames_have_their_shapes(
    shape: tuple[int, int, int], latent_shape: tuple[int, ...], count: int
) -> None:
    vae = untrained_vae(shape, latent_shape)
    assert (vae.frame_shape, vae.latent_shape) == (shape, latent_shape)
    mu, sigma = vae.encode(noise(count, shape))
    for code in (mu, sigma):
        assert (code.shape, code.dtype) == ((count, int(np.prod(latent_shape))), torch.float32)
        assert not code.is_inference()  # else no gradient could pass through them
    assert bool((sigma > 0).all())
    frames = vae.decode(mu)
    assert (frames.shape, frames.dtype.name) == ((count, *shape), "uint8")


@pytest.mark.parametrize(("shape", "latent_shape"), SHAPES)
def test_a_code_depends_on_its_frame_alone(shape: tuple[int, int, int], latent_shape: tuple[int, ...]) -> None:
    # More than one pass of frames. The kernels for other numbers of frames may add in another order,
    # so codes are equal up to float noise; for the same frames in one call they are the same bits.
    vae, frames = untrained_vae(shape, latent_shape), noise(260, shape)
    whole = vae.encode(frames)
    assert_equal_codes(vae.encode(frames), whole)
    backwards = vae.encode(frames[::-1])
    for side, other in zip(whole, backwards, strict=True):
        torch.testing.assert_close(other.flip(0), side, rtol=0, atol=1e-6)
    for place in (0, 1, 255, 256, 259):
        alone = vae.encode(frames[place : place + 1])
        for side, other in zip(whole, alone, strict=True):
            torch.testing.assert_close(other[0], side[place], rtol=0, atol=1e-6)
    assert len(torch.unique(whole[0], dim=0)) == 260
    together, one = vae.decode(whole[0]), vae.decode(whole[0][257:258])
    assert np.abs(together[257].astype(int) - one[0]).max() <= 1  # a pixel on the edge may round the other way


def test_the_precision_that_code_around_asks_for_changes_nothing() -> None:
    vae = untrained_vae((16, 16, 3), (4,))
    frames = noise(3, (16, 16, 3))
    mu, sigma = vae.encode(frames)
    with torch.autocast("cpu", torch.bfloat16):
        codes = vae.encode(frames)
        decoded = vae.decode(mu)
    assert torch.equal(codes[0], mu)
    assert torch.equal(codes[1], sigma)
    np.testing.assert_array_equal(decoded, vae.decode(mu))


def test_frames_are_centred_scaled_and_restored() -> None:
    mean, scale = torch.full((4, 4, 1), 0.5), torch.full((4, 4, 1), 0.25)
    frames = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1).expand(2, 4, 4, 1)
    inputs = normalise(frames, mean, scale)
    assert inputs.shape == (2, 1, 4, 4)
    assert (float(inputs[0].max()), float(inputs[1].min())) == (-2, 2)
    vae = untrained_vae((4, 4, 1), (2,))
    vae = VAE(vae.config, vae.network, mean, scale, 2)
    with torch.no_grad():
        for parameter in vae.network.decoder.parameters():
            parameter.zero_()
    # A decoder that says "no difference from the mean" draws the mean.
    np.testing.assert_array_equal(vae.decode(torch.zeros(1, 2)), np.full((1, 4, 4, 1), 128))
    for bias, level in ((-2.0, 0), (2.0, 255), (-9.0, 0), (9.0, 255)):
        with torch.no_grad():
            list(vae.network.decoder.parameters())[-1].fill_(bias)
        np.testing.assert_array_equal(vae.decode(torch.zeros(1, 2)), np.full((1, 4, 4, 1), level))


@pytest.mark.parametrize(
    ("frames", "match"),
    [
        (np.zeros((1, 16, 16, 3), np.float32), "frames must be uint8, 0 to 255, got float32: convert them first"),
        (np.zeros((1, 16, 16, 1), np.uint8), r"the encoder takes frames of \(16, 16, 3\), got \(16, 16, 1\): resize"),
        (np.zeros((1, 32, 32, 3), np.uint8), r"got \(32, 32, 3\)"),
        (np.zeros((16, 16, 3), np.uint8), r"frames have shape \(16, 16, 3\): expected \(B, "),
        (np.zeros((2, 1, 16, 16, 3), np.uint8), "frames have shape"),
    ],
)
def test_frames_that_do_not_fit(frames: np.ndarray, match: str) -> None:
    with one_clear_error(match):
        untrained_vae().encode(frames)


@pytest.mark.parametrize("shape", [(1, 3), (1, 5), (4,), (1, 4, 1)])
def test_latents_that_do_not_fit(shape: tuple[int, ...]) -> None:
    with one_clear_error(r"the encoder decodes latents \(B, 4\), got .*: decode with the encoder that made them"):
        untrained_vae().decode(torch.zeros(shape))


# Settings


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"latent_shape": ()}, r"latent shape \(\) is neither \(d,\) nor \(c, h, w\)"),
        ({"latent_shape": (0,)}, "is neither"),
        ({"latent_shape": (4, 4)}, "is neither"),
        ({"latent_shape": (4, -1, 4)}, "is neither"),
        ({"latent_shape": 32}, "latent shape 32 is neither"),
        ({"latent_shape": (2.5,)}, "is neither"),
        ({"objective": "vq"}, "unknown objective 'vq': use sigma or beta"),
        ({"objective": "beta", "beta": 0}, "beta .0. and std_floor .0.1. must be finite and above 0"),
        ({"objective": "beta", "beta": float("nan")}, "must be finite and above 0"),
        ({"objective": "beta", "beta": float("inf")}, "must be finite and above 0"),
        ({"beta": 2.0}, "beta .2. belongs to the objective beta, not to sigma: leave it out"),
        ({"std_floor": -1}, "must be finite and above 0"),
        ({"std_floor": float("nan")}, "must be finite and above 0"),
        ({"channels": ()}, r"channels \(\) must be positive numbers, one for each halving"),
        ({"channels": (8, 0)}, "must be positive numbers"),
        ({"channels": 8}, "must be positive numbers"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, Any], match: str) -> None:
    with one_clear_error(match):
        VAEConfig(**changes)


def test_settings_given_as_lists_are_the_same_settings() -> None:
    config = VAEConfig([np.int64(2), 8, 8], [np.int64(4)])  # type: ignore[arg-type]
    assert config == VAEConfig((2, 8, 8), (4,))
    assert config.network_channels((16, 16, 3)) == (4,)
    assert json.loads(json.dumps(config.latent_shape)) == [2, 8, 8]


@pytest.mark.parametrize(
    ("config", "shape", "channels"),
    [
        (VAEConfig((32,)), (64, 64, 3), (24, 48, 96)),
        (VAEConfig((32,)), (64, 96, 3), (24, 48, 96)),
        (VAEConfig((32,)), (8, 8, 1), (24,)),
        (VAEConfig((4, 8, 8)), (64, 64, 3), (24, 48, 96)),
        (VAEConfig((4, 16, 8)), (64, 32, 3), (24, 48)),
        (VAEConfig((4,), (7,)), (64, 64, 3), (7,)),
    ],
)
def test_the_frame_s_size_decides_the_network(
    config: VAEConfig, shape: tuple[int, int, int], channels: tuple[int, ...]
) -> None:
    assert config.network_channels(shape) == channels


@pytest.mark.parametrize(
    ("config", "shape", "match"),
    [
        (VAEConfig((32,)), (84, 84, 3), "84x84 cannot be halved 3 times: resize them to a multiple of 8"),
        (VAEConfig((32,)), (64, 60, 3), "64x60 cannot be halved 3 times"),
        (VAEConfig((32,), (8, 8)), (6, 8, 3), "6x8 cannot be halved 2 times: resize them to a multiple of 4"),
        (VAEConfig((32,)), (7, 7, 3), "7x7 cannot be halved 1 times"),
        (VAEConfig((4, 8, 8)), (64, 32, 3), "64x32 give a grid of 8x4 after 3 halvings, not 8x8: change latent_shape"),
        (VAEConfig((4, 5, 5)), (64, 64, 3), "give a grid of 8x8 after 3 halvings, not 5x5"),
        (VAEConfig((4, 8, 8), (8,)), (64, 64, 3), "give a grid of 32x32 after 1 halvings, not 8x8"),
        (VAEConfig((4, 64, 64)), (32, 32, 3), "give a grid of 16x16 after 1 halvings, not 64x64"),
    ],
)
def test_frames_that_do_not_shrink_to_the_latent(config: VAEConfig, shape: tuple[int, int, int], match: str) -> None:
    with one_clear_error(match):
        config.network_channels(shape)


@pytest.mark.parametrize("units", [0, 1])
def test_a_collapsed_encoder_is_refused(units: int) -> None:
    sound = untrained_vae()
    collapsed = VAE(sound.config, sound.network, sound.mean, sound.scale, units)
    with one_clear_error(f"has collapsed: {units} of its latent means vary .*; train longer, use the sigma objective"):
        check_not_collapsed(collapsed)
    check_not_collapsed(VAE(sound.config, sound.network, sound.mean, sound.scale, MIN_ACTIVE_UNITS))


# Fingerprints


def test_any_weight_and_any_setting_changes_the_fingerprint() -> None:
    vae = untrained_vae()
    assert vae.fingerprint == untrained_vae().fingerprint
    assert len(vae.fingerprint) == 64
    found = {vae.fingerprint, untrained_vae(seed=1).fingerprint}
    expected = 2
    for name, value in vae.network.state_dict().items():
        other = untrained_vae()
        changed = value.clone()
        changed[(-1,) * changed.ndim] += 1e-6
        other.network.load_state_dict({**other.network.state_dict(), name: changed})
        found.add(other.fingerprint)
        expected += 1
    for config in (replace(vae.config, objective="beta"), replace(vae.config, objective="beta", beta=2.0)):
        found.add(VAE(config, vae.network, vae.mean, vae.scale, 4).fingerprint)
        expected += 1
    for mean, scale in ((vae.mean + 1e-6, vae.scale), (vae.mean, vae.scale + 1e-6)):
        found.add(VAE(vae.config, vae.network, mean, scale, 4).fingerprint)
        expected += 1
    assert len(found) == expected
