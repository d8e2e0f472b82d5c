import math
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from memworld.encoders import open_encoder
from memworld.encoders.pretrained import PretrainedVAE
from tests.encoders.pretrained_toys import (
    SHAPE,
    WEIGHTS,
    change_json,
    change_weights,
    save_models,
    tiny_model,
)
from tests.encoders.toys import noise
from tests.helpers import one_clear_error


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def copied(models: Path, tmp_path: Path) -> Path:
    """A copy of kl that a test may change."""
    return Path(shutil.copytree(models / "kl", tmp_path / "copied"))


@pytest.fixture
def saved(models: Path, tmp_path: Path) -> Path:
    PretrainedVAE.load(models / "kl", noise(2, SHAPE)).save(tmp_path / "saved")
    return tmp_path / "saved"


class Bomb:
    """Pickled, it leaves a file behind when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_pickled_weights_are_never_loaded(copied: Path, tmp_path: Path) -> None:
    (copied / WEIGHTS).unlink()
    (copied / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "gone-off")))
    with one_clear_error("holds pickled weights only .diffusion_pytorch_model.bin., and loading those can run code"):
        PretrainedVAE.load(copied, noise(1, SHAPE))
    (copied / "diffusion_pytorch_model.bin").rename(copied / WEIGHTS)
    with one_clear_error("is truncated or damaged"):
        PretrainedVAE.load(copied, noise(1, SHAPE))
    assert not (tmp_path / "gone-off").exists()


def test_folders_that_hold_no_model(copied: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with one_clear_error("empty is no model of diffusers: it has no config.json"):
        PretrainedVAE.load(tmp_path / "empty", noise(1, SHAPE))
    shutil.copytree(copied, tmp_path / "pipeline/vae")
    with one_clear_error("pipeline holds a whole pipeline: give the folder of its autoencoder, .*pipeline/vae"):
        PretrainedVAE.load(tmp_path / "pipeline", noise(1, SHAPE))
    (copied / WEIGHTS).write_bytes((copied / WEIGHTS).read_bytes()[:-9])
    with one_clear_error("safetensors is truncated or damaged .*: download it again"):
        PretrainedVAE.load(copied, noise(1, SHAPE))
    (copied / WEIGHTS).unlink()
    with one_clear_error("has no weights, diffusion_pytorch_model.safetensors: download them too"):
        PretrainedVAE.load(copied, noise(1, SHAPE))
    (copied / WEIGHTS).mkdir()
    with one_clear_error("copied"):
        PretrainedVAE.load(copied, noise(1, SHAPE))
    (copied / "config.json").write_text("{")
    with one_clear_error("config.json is damaged"):
        PretrainedVAE.load(copied, noise(1, SHAPE))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"_class_name": "AutoencoderVQ"}, "unknown model class 'AutoencoderVQ': use one of AutoencoderKL, Auto"),
        ({"_class_name": "os.system"}, "unknown model class"),
        ({"_class_name": None}, "does not say which class"),
        ({"_class_name": ["AutoencoderKL"]}, "does not say which class"),
        ({"_class_name": "AutoencoderTiny"}, "do not fit the description of their AutoencoderTiny"),
        ({"block_out_channels": [16, 16]}, "do not fit the description of their AutoencoderKL"),
        ({"block_out_channels": []}, "do not fit"),
        ({"block_out_channels": 8}, "do not fit"),
        ({"block_out_channels": [8] * 1000}, "cannot have block_out_channels"),
        ({"block_out_channels": [8, 10**9]}, "cannot have block_out_channels"),
        ({"layers_per_block": 10**4}, "cannot have layers_per_block 10000"),
        ({"layers_per_block": 2}, "do not fit"),
        ({"layers_per_block": None}, "do not fit"),
        ({"latent_channels": 8}, "do not fit"),
        ({"norm_num_groups": 0}, "do not fit"),
        ({"norm_num_groups": 3}, "do not fit"),
        ({"down_block_types": ["DownEncoderBlock2D", "NoSuchBlock"]}, "do not fit"),
        ({"act_fn": "no such function"}, "do not fit"),
        ({"act_fn": {"a": 1}}, "cannot have act_fn"),
        ({"in_channels": 1}, "takes frames of 1 colours and gives 3: use one of 3"),
        ({"scaling_factor": 0.0}, "scale of latents means nothing"),
        ({"scaling_factor": -1.0}, "scale of latents means nothing"),
        ({"scaling_factor": math.nan}, "cannot have scaling_factor nan"),
        ({"scaling_factor": "large"}, "scale of latents means nothing"),
        ({"shift_factor": [1.0]}, "scale of latents means nothing"),
        (
            {"latents_mean": [0.0] * 3, "latents_std": [1.0] * 3},
            "scale of latents means nothing .*there are 4 channels",
        ),
        ({"latents_mean": [0.0] * 4, "latents_std": [1.0, 1.0, 0.0, 1.0]}, "scale of latents means nothing"),
        ({"latents_mean": [[0.0] * 4], "latents_std": [1.0] * 4}, "scale of latents means nothing"),
    ],
)
def test_a_model_s_description_that_was_changed(copied: Path, changes: dict[str, Any], match: str) -> None:
    change_json(copied / "config.json", **changes)
    with one_clear_error(match):
        PretrainedVAE.load(copied, noise(1, SHAPE))


def test_a_model_that_does_not_give_back_what_it_takes(tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        model = tiny_model(decoder_block_out_channels=(8, 8, 8), num_decoder_blocks=(1, 1, 1))
        model.save_pretrained(tmp_path / "larger")
    with one_clear_error("turns frames of 8x8 into latents .4, 4, 4. and frames .3, 16, 16.: use one"):
        PretrainedVAE.load(tmp_path / "larger", noise(1, SHAPE))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda arrays: arrays["quant_conv.bias"].fill(np.nan), "the weights quant_conv.bias .* are not finite"),
        (lambda arrays: arrays["decoder.conv_in.bias"].fill(np.inf), "are not finite"),
        (lambda arrays: arrays["encoder.conv_out.weight"].fill(3e38), "latents that are no numbers"),
        (lambda arrays: arrays.pop("encoder.conv_in.bias"), "do not fit the description .*encoder.conv_in.bias"),
        (lambda arrays: arrays.update(more=np.zeros(1, np.float32)), "do not fit the description"),
    ],
)
def test_weights_that_are_broken(copied: Path, change: Callable[[dict[str, np.ndarray]], Any], match: str) -> None:
    change_weights(copied, change)
    with one_clear_error(match):
        PretrainedVAE.load(copied, noise(1, SHAPE))


@pytest.mark.parametrize(
    "source", ["missing", "a/b/c/d", "../up/there", "./here/x", "/no/such/folder", "owner/na me", "owner/..", "a/x..y"]
)
def test_a_source_that_is_neither_folder_nor_id(source: str) -> None:
    with one_clear_error("is neither a folder nor a hub id such as owner/name"):
        PretrainedVAE.load(source, noise(1, SHAPE))


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the hub's client keeps what it fetched; it asks no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_model_of_the_hub(models: Path, hub_cache: Path, tmp_path: Path) -> None:
    """A model, and one in a pipeline, as the hub's client keeps them."""
    repository = hub_cache / "models--owner--name"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text("0" * 40)
    shutil.copytree(models / "kl", repository / "snapshots" / ("0" * 40))
    shutil.copytree(models / "tiny", repository / "snapshots" / ("0" * 40) / "vae")
    encoder = PretrainedVAE.load("owner/name", noise(1, SHAPE))
    assert encoder.source == "owner/name"
    assert encoder.fingerprint == PretrainedVAE.load(models / "kl", noise(1, SHAPE)).fingerprint
    inner = PretrainedVAE.load("owner/name/vae", noise(1, SHAPE))
    assert (inner.source, inner.config.model) == ("owner/name/vae", "AutoencoderTiny")


def test_a_model_that_cannot_be_fetched(hub_cache: Path) -> None:
    with one_clear_error("owner/name is no folder here and cannot be fetched from the hub .*: download its config"):
        PretrainedVAE.load("owner/name", noise(1, SHAPE))


@pytest.mark.parametrize("package", ["diffusers", "huggingface_hub"])
def test_a_package_that_is_missing(
    models: Path, saved: Path, monkeypatch: pytest.MonkeyPatch, package: str, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    words = rf'need the package {package} .*: pip install "memworld.pretrained."'
    with one_clear_error(words):
        PretrainedVAE.load(models / "kl" if package == "diffusers" else "owner/name", noise(1, SHAPE))
    if package == "diffusers":
        with one_clear_error(words):
            open_encoder(saved)
