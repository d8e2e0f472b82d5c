"""Small autoencoders of random weights, saved as diffusers saves them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from memworld.storage import read_arrays, write_arrays

diffusers = pytest.importorskip("diffusers", reason='diffusers is missing: pip install "memworld[pretrained]"')

WEIGHTS = "diffusion_pytorch_model.safetensors"
SHAPE = (16, 24, 3)
MODELS = ["kl", "tiny"]
TINY_SCALE = 2000.0
"""Such models of random weights tell frames apart by little."""


def kl_model(blocks: int = 2, **more: Any) -> Any:
    """A small AutoencoderKL of random weights; its scale is that of latents of unit size, roughly."""
    torch.manual_seed(0)
    return diffusers.AutoencoderKL(
        **{
            "block_out_channels": (8,) * blocks,
            "down_block_types": ("DownEncoderBlock2D",) * blocks,
            "up_block_types": ("UpDecoderBlock2D",) * blocks,
            "layers_per_block": 1,
            "norm_num_groups": 4,
            "scaling_factor": 2.5,
            **more,
        }
    )


def tiny_model(blocks: int = 2, **more: Any) -> Any:
    torch.manual_seed(0)
    channels = {f"{side}_block_out_channels": (8,) * blocks for side in ("encoder", "decoder")}
    depths = {f"num_{side}_blocks": (1,) * blocks for side in ("encoder", "decoder")}
    return diffusers.AutoencoderTiny(**{**channels, **depths, "scaling_factor": TINY_SCALE, **more})


def save_models(folder: Path) -> Path:
    """Folders of models: kl and tiny halve a frame once, the grids four times; none may write to them."""
    with torch.random.fork_rng(devices=[]):
        kl_model().save_pretrained(folder / "kl")
        tiny_model().save_pretrained(folder / "tiny")
        kl_model(5, scaling_factor=5.0).save_pretrained(folder / "grid")
        tiny_model(5, scaling_factor=50_000.0).save_pretrained(folder / "tiny-grid")
    return folder


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_weights(folder: Path, change: Callable[[dict[str, np.ndarray]], Any]) -> None:
    arrays = read_arrays(folder / WEIGHTS, "weights")
    change(arrays)
    write_arrays(folder / WEIGHTS, arrays)
