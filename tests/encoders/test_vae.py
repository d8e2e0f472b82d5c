import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from memworld.encoders import MIN_ACTIVE_UNITS, check_not_collapsed, open_encoder
from memworld.encoders.vae import VAE, VAEConfig, normalise
from memworld.storage import read_arrays, write_arrays
from tests.helpers import folder_bytes, one_clear_error, unless_refused, untrained_vae

SHAPES: list[tuple[tuple[int, int, int], tuple[int, ...]]] = [
    ((16, 16, 3), (4,)),
    ((16, 16, 1), (1,)),
    ((16, 32, 3), (7,)),
    ((32, 16, 1), (2, 8, 4)),
    ((16, 16, 3), (3, 8, 8)),
    ((4, 4, 1), (2,)),
]


def noise(count: int, shape: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)


def assert_equal_codes(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> None:
    assert torch.equal(a[0], b[0])
    assert torch.equal(a[1], b[1])


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
        ({"beta": 0}, "beta .0. and std_floor .0.1. must be finite and above 0"),
        ({"beta": float("nan")}, "must be finite and above 0"),
        ({"beta": float("inf")}, "must be finite and above 0"),
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
    for config in (replace(vae.config, objective="beta"), replace(vae.config, beta=2.0)):
        found.add(VAE(config, vae.network, vae.mean, vae.scale, 4).fingerprint)
        expected += 1
    for mean, scale in ((vae.mean + 1e-6, vae.scale), (vae.mean, vae.scale + 1e-6)):
        found.add(VAE(vae.config, vae.network, mean, scale, 4).fingerprint)
        expected += 1
    assert len(found) == expected


# Files


@pytest.mark.parametrize(("shape", "latent_shape"), SHAPES)
def test_an_opened_encoder_is_the_saved_one(
    tmp_path: Path, shape: tuple[int, int, int], latent_shape: tuple[int, ...]
) -> None:
    vae, frames = untrained_vae(shape, latent_shape), noise(9, shape)
    vae.save(tmp_path / "deep/encoder")
    opened = open_encoder(tmp_path / "deep/encoder")
    assert opened.fingerprint == vae.fingerprint
    assert (opened.frame_shape, opened.latent_shape, opened.active_units) == (shape, latent_shape, vae.active_units)
    assert_equal_codes(opened.encode(frames), vae.encode(frames))
    np.testing.assert_array_equal(opened.decode(vae.encode(frames)[0]), vae.decode(vae.encode(frames)[0]))
    opened.save(tmp_path / "again")
    assert folder_bytes(tmp_path / "again") == folder_bytes(tmp_path / "deep/encoder")


def test_trained_weights_in_another_memory_layout_are_the_same_encoder(tmp_path: Path) -> None:
    # Training keeps weights in channels-last order; a file holds them in plain order.
    vae, frames = untrained_vae(), noise(40, (16, 16, 3))
    plain = untrained_vae()
    plain.network.to(memory_format=torch.contiguous_format)
    plain = VAE(plain.config, plain.network, plain.mean, plain.scale, 4)
    assert plain.fingerprint == vae.fingerprint
    assert_equal_codes(plain.encode(frames), vae.encode(frames))


def test_opening_leaves_the_caller_s_randomness_alone(tmp_path: Path) -> None:
    untrained_vae().save(tmp_path)
    state = torch.random.get_rng_state()
    open_encoder(str(tmp_path))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with one_clear_error("file/encoder cannot be written"):
        untrained_vae().save(tmp_path / "file/encoder")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    untrained_vae().save(tmp_path / "encoder")
    return tmp_path / "encoder"


def put(name: str, new: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda value: value.update({name: new})


def put_config(name: str, new: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda value: value["config"].update({name: new})


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            put("format", 2),
            "cannot be used: it has kind 'vae', format 2; this version reads vae, format 1: update",
        ),
        (put("kind", "vq"), "it has kind 'vq', format 1"),
        (lambda value: value.pop("format"), "encoder.json is damaged .KeyError: 'format'.: restore or train again"),
        (lambda value: value.pop("fingerprint"), "damaged .*'fingerprint'"),
        (lambda value: value["config"].pop("channels"), "damaged .*'channels'"),
        (put("config", 3), "encoder.json is damaged"),
        (put("config", None), "encoder.json is damaged"),
        (put("active_units", None), "encoder.json is damaged"),
        (put("active_units", float("inf")), "encoder.json is damaged"),
        (put("frame_shape", [16, 16]), "encoder.json is damaged"),
        (put("frame_shape", [0, 0, 3]), "encoder.json is damaged"),
        (put("frame_shape", [16, 16, float("inf")]), "encoder.json is damaged"),
        (put("frame_shape", [18, 18, 3]), "18x18 cannot be halved 2 times"),
        (put("frame_shape", [32, 32, 3]), "do not fit their description: train it again"),
        (put_config("latent_shape", [0]), "encoder.json cannot be used: latent shape"),
        (put_config("latent_shape", [5]), "do not fit their description"),
        (put_config("latent_shape", 4), "encoder.json is damaged"),
        (put_config("channels", [4]), "do not fit their description"),
        (put_config("channels", [4, 2**40]), "do not fit their description"),
        (put_config("depth", 3), "encoder.json is damaged .TypeError"),
        (put_config("objective", "beta"), "are not those that were saved: restore or train again"),
        (put_config("std_floor", 0.2), "are not those that were saved"),
        (put("fingerprint", "0" * 64), "are not those that were saved"),
    ],
)
def test_a_changed_description(saved: Path, change: Callable[[dict[str, Any]], Any], match: str) -> None:
    value = json.loads((saved / "encoder.json").read_text())
    change(value)
    (saved / "encoder.json").write_text(json.dumps(value))
    with one_clear_error(match):
        open_encoder(saved)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'"x"', b"null", b"3"])
def test_a_description_that_is_no_json_object(saved: Path, content: bytes) -> None:
    (saved / "encoder.json").write_bytes(content)
    with one_clear_error("encoder.json is damaged"):
        open_encoder(saved)


def test_files_that_are_missing(saved: Path) -> None:
    (saved / "encoder.safetensors").unlink()
    with one_clear_error("encoder weights .*encoder.safetensors is missing"):
        open_encoder(saved)
    (saved / "encoder.json").unlink()
    with one_clear_error("is no encoder: it has no encoder.json"):
        open_encoder(saved)


def test_weights_of_another_encoder(saved: Path, tmp_path: Path) -> None:
    for other, match in (
        (untrained_vae(seed=1), "are not those that were saved"),
        (untrained_vae(latent_shape=(5,)), "do not fit their description"),
        (untrained_vae((16, 16, 1)), "do not fit their description"),
    ):
        other.save(tmp_path / "other")
        (saved / "encoder.safetensors").write_bytes((tmp_path / "other/encoder.safetensors").read_bytes())
        with one_clear_error(match):
            open_encoder(saved)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda arrays: arrays.pop("mean"), "do not fit their description"),
        (lambda arrays: arrays.pop("network.encoder.0.bias"), "do not fit their description"),
        (lambda arrays: arrays.update({"network.extra": np.zeros(1)}), "do not fit their description"),
        (lambda arrays: arrays.update(mean=arrays["mean"][0]), "are not those that were saved"),
        (lambda arrays: arrays.update(scale=arrays["scale"].astype(np.float64)), "are not those that were saved"),
        (
            lambda arrays: arrays.update(
                {"network.encoder.0.bias": arrays["network.encoder.0.bias"].astype(np.float64)}
            ),
            "are not those that were saved",
        ),
    ],
)
def test_weights_that_were_changed(saved: Path, change: Callable[[dict[str, Any]], Any], match: str) -> None:
    arrays = read_arrays(saved / "encoder.safetensors", "weights")
    change(arrays)
    write_arrays(saved / "encoder.safetensors", arrays)
    with one_clear_error(match):
        open_encoder(saved)


def test_weights_that_are_cut_off(saved: Path) -> None:
    content = (saved / "encoder.safetensors").read_bytes()
    for length in (0, 8, 100, len(content) // 2, len(content) - 1):
        (saved / "encoder.safetensors").write_bytes(content[:length])
        with one_clear_error("encoder.safetensors is truncated or damaged"):
            open_encoder(saved)


@given(place=st.integers(0, 2**31), value=st.integers(0, 255), file=st.sampled_from([".json", ".safetensors"]))
@settings(max_examples=60, deadline=None)
def test_any_damage_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int, file: str
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    vae = untrained_vae((4, 4, 1), (2,))
    vae.save(folder)
    content = bytearray((folder / f"encoder{file}").read_bytes())
    content[place % len(content)] = value
    (folder / f"encoder{file}").write_bytes(content)
    opened = unless_refused(lambda: open_encoder(folder))
    if opened is not None:
        assert opened.fingerprint == vae.fingerprint
        assert_equal_codes(opened.encode(noise(2, (4, 4, 1))), vae.encode(noise(2, (4, 4, 1))))


def test_an_encoder_is_written_weights_first(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # By its description a folder is known as an encoder: with it, the weights are there.
    from memworld.encoders import vae as module

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_json", interrupt)
    with pytest.raises(KeyboardInterrupt):
        untrained_vae().save(tmp_path / "new")
    assert list(folder_bytes(tmp_path / "new")) == ["encoder.safetensors"]
    with one_clear_error("is no encoder"):
        open_encoder(tmp_path / "new")
    digest = hashlib.sha256((saved / "encoder.safetensors").read_bytes()).hexdigest()
    assert digest == hashlib.sha256((tmp_path / "new/encoder.safetensors").read_bytes()).hexdigest()
