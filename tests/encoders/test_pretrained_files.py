import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.encoders import open_encoder
from memworld.encoders.pretrained import PretrainedVAE
from memworld.storage import read_arrays, write_arrays
from tests.encoders.pretrained_toys import (
    SHAPE,
    save_models,
)
from tests.encoders.toys import assert_equal_codes, noise
from tests.helpers import folder_bytes, one_clear_error, unless_refused


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_models(tmp_path_factory.mktemp("models"))


@pytest.mark.parametrize(("name", "upscale", "sigma"), [("kl", 1, None), ("kl", 2, None), ("tiny", 1, 0.3)])
def test_an_opened_encoder_is_the_saved_one(
    models: Path, tmp_path: Path, name: str, upscale: int, sigma: float | None
) -> None:
    frames = noise(4, SHAPE)
    encoder = PretrainedVAE.load(models / name, frames, upscale=upscale, sigma=sigma)
    encoder.save(tmp_path / "deep/encoder")
    state = torch.random.get_rng_state()
    opened = open_encoder(tmp_path / "deep/encoder")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert isinstance(opened, PretrainedVAE)
    for field in ("fingerprint", "frame_shape", "latent_shape", "active_units", "episodes_seen", "source"):
        assert getattr(opened, field) == getattr(encoder, field), field
    assert_equal_codes(opened.encode(frames), encoder.encode(frames))
    mu = encoder.encode(frames)[0]
    np.testing.assert_array_equal(opened.decode(mu), encoder.decode(mu))
    opened.save(tmp_path / "again")
    assert folder_bytes(tmp_path / "again") == folder_bytes(tmp_path / "deep/encoder")


@pytest.fixture
def saved(models: Path, tmp_path: Path) -> Path:
    PretrainedVAE.load(models / "kl", noise(2, SHAPE)).save(tmp_path / "saved")
    return tmp_path / "saved"


def put(name: str, new: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda value: value.update({name: new})


def put_config(name: str, new: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda value: value["config"].update({name: new})


def put_settings(name: str, new: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda value: value["config"]["settings"].update({name: new})


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (put("format", 2), "cannot be used: it has kind 'pretrained', format 2; this version reads format 1: update"),
        (put("kind", "vq"), "it has kind 'vq', format 1"),
        (lambda value: value.pop("format"), "encoder.json is damaged .KeyError: 'format'.: restore"),
        (lambda value: value.pop("fingerprint"), "encoder.json is damaged"),
        (put("config", None), "encoder.json is damaged"),
        (put("active_units", math.inf), "encoder.json is damaged"),
        (put_config("settings", 3), "encoder.json is damaged"),
        (put_config("settings", {}), "cannot be used: .*do not fit"),
        (put_config("depth", 3), "encoder.json is damaged"),
        (put_config("model", "AutoencoderVQ"), "cannot be used: unknown model class"),
        (put_config("model", ["AutoencoderKL"]), "cannot be used"),
        (put_config("frame_shape", [16, 24]), "cannot be used: frame_shape"),
        (put_config("frame_shape", [2**70, 16, 3]), "cannot be used: frame_shape"),
        (put_config("frame_shape", [0, 16, 3]), "cannot be used: frame_shape"),
        (put_config("frame_shape", [15, 16, 3]), "cannot be used: frames of 15x16"),
        (put_config("frame_shape", [32, 16, 3]), "are not those that were saved"),
        (put_config("upscale", "2"), "cannot be used: upscale"),
        (put_config("upscale", 2), "are not those that were saved"),
        (put_config("sigma", "wide"), "cannot be used: AutoencoderKL gives a sigma"),
        (put_settings("layers_per_block", 10**9), "cannot be used: .*layers_per_block"),
        (put_settings("no_such_setting", 1), "cannot be used: .*do not fit"),
        (put_settings("scaling_factor", 2.0), "are not those that were saved"),
        (put("fingerprint", "0" * 64), "are not those that were saved: restore or make it again"),
    ],
)
def test_a_saved_description_that_was_changed(saved: Path, change: Callable[[dict[str, Any]], Any], match: str) -> None:
    value = json.loads((saved / "encoder.json").read_text())
    change(value)
    (saved / "encoder.json").write_text(json.dumps(value))
    with one_clear_error(match):
        open_encoder(saved)


def test_saved_weights_that_are_missing_or_of_another(saved: Path) -> None:
    arrays = read_arrays(saved / "encoder.safetensors", "weights")
    for change in ({"quant_conv.bias": arrays["quant_conv.bias"] + 1}, {"quant_conv.bias": np.zeros(8, np.float64)}):
        write_arrays(saved / "encoder.safetensors", {**arrays, **change})
        with one_clear_error("are not those that were saved"):
            open_encoder(saved)
    write_arrays(saved / "encoder.safetensors", {**arrays, "quant_conv.bias": np.full(8, np.nan, np.float32)})
    with one_clear_error("are not finite"):
        open_encoder(saved)
    (saved / "encoder.safetensors").unlink()
    with one_clear_error("encoder weights .*encoder.safetensors is missing"):
        open_encoder(saved)


@given(place=st.integers(0, 2**31), value=st.integers(0, 255), file=st.sampled_from([".json", ".safetensors"]))
@settings(max_examples=20)
def test_any_damage_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, models: Path, place: int, value: int, file: str
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    encoder = PretrainedVAE.load(models / "tiny", noise(2, (4, 4, 1)))
    encoder.save(folder)
    content = bytearray((folder / f"encoder{file}").read_bytes())
    content[place % len(content)] = value
    (folder / f"encoder{file}").write_bytes(content)
    opened = unless_refused(lambda: open_encoder(folder))
    if opened is not None:
        assert opened.fingerprint == encoder.fingerprint
        assert_equal_codes(opened.encode(noise(2, (4, 4, 1))), encoder.encode(noise(2, (4, 4, 1))))
