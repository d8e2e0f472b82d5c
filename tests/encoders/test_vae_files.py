import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.encoders import open_encoder
from memworld.encoders.vae import VAE
from memworld.storage import read_arrays, write_arrays
from tests.encoders.toys import SHAPES, assert_equal_codes, noise
from tests.helpers import folder_bytes, one_clear_error, unless_refused, untrained_vae


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
        (put("frame_shape", [2**70, 2**70, 3]), "encoder.json is damaged .*frame_shape"),
        (put("frame_shape", [2**17, 16, 3]), "encoder.json is damaged .*frame_shape"),
        (put("frame_shape", [2**16, 2**16, 3]), "do not fit their description"),
        (put_config("latent_shape", [10**18]), "do not fit their description"),
        (put_config("latent_shape", [10**30]), "do not fit their description"),
        (put_config("latent_shape", [10**18, 4, 4]), "do not fit their description"),
        (put_config("channels", [10**12, 10**12]), "do not fit their description"),
        (put_config("channels", [10**25, 4]), "do not fit their description"),
        (
            put_config("channels", [4] * 100_000),
            "channels .4, 4, .*one for each halving, at most 16",
        ),
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
@settings(max_examples=60)
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


def test_what_a_kill_left_is_cleaned_away_by_the_next_writing(saved: Path) -> None:
    before = folder_bytes(saved)
    (saved / ".tmp-x.safetensors").write_bytes(b"half")
    untrained_vae().save(saved)
    assert folder_bytes(saved) == before


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
