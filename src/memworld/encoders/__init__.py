"""Encoders turn frames into Gaussians and latents back into frames.

`vae.VAE` is trained on the episodes themselves, `pretrained.PretrainedVAE` brings weights from
elsewhere; a plug-in only needs the methods of `Encoder`.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from memworld.errors import MemworldError
from memworld.storage import read_json

MIN_ACTIVE_UNITS = 2
"""With fewer active latents an encoder is collapsed: it draws one picture for every frame."""


class Encoder(Protocol):
    """What the memory and the world model ask of an encoder."""

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the frames that it takes."""
        ...

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(d,) or (c, h, w); latents are handed over flattened to D numbers."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hex digest that changes with any weight or setting."""
        ...

    @property
    def episodes_seen(self) -> tuple[str, ...]:
        """Ids of the episodes that it was trained or chosen on: an evaluation must not use them."""
        ...

    @property
    def active_units(self) -> int:
        """Number of latent means that vary over the training frames."""
        ...

    def encode(self, frames: np.ndarray) -> tuple[Tensor, Tensor]:
        """uint8 (B, H, W, C) frames to the posterior's mu and sigma, float32 (B, D) each."""
        ...

    def decode(self, z: Tensor) -> np.ndarray:
        """(B, D) latents to uint8 (B, H, W, C) frames."""
        ...

    def save(self, path: Path) -> None:
        """Write the encoder into the folder `path`."""
        ...


def open_encoder(path: str | Path) -> Encoder:
    """Open the encoder stored in the folder `path`.

    Raises:
        MemworldError: it is missing, damaged or of an unknown kind.
    """
    from memworld.encoders.pretrained import PretrainedVAE
    from memworld.encoders.pretrained_config import KIND
    from memworld.encoders.vae import VAE

    description = read_json(Path(path) / "encoder.json", "encoder")
    if isinstance(description, dict) and description.get("kind") == KIND:
        return PretrainedVAE.open(Path(path))
    return VAE.open(Path(path))


def fingerprint(settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256, in hex, of an encoder's settings, which are plain JSON values, and of its weights by name."""
    digest = hashlib.sha256(json.dumps(settings).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name}{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def check_frames(frames: np.ndarray, frame_shape: tuple[int, int, int]) -> None:
    """Do nothing if these are frames that an encoder of `frame_shape` takes: uint8 (B, H, W, C).

    Raises:
        MemworldError: they have another type or size.
    """
    if frames.dtype != np.uint8:
        raise MemworldError(f"frames must be uint8, 0 to 255, got {frames.dtype}: convert them first")
    if frames.ndim != 4:
        raise MemworldError(f"frames have shape {frames.shape}: expected (B, *{frame_shape})")
    if frames.shape[1:] != frame_shape:
        raise MemworldError(
            f"the encoder takes frames of {frame_shape}, got {frames.shape[1:]}: "
            "resize them, or train an encoder on them"
        )


def check_latents(z: Tensor, latent_shape: tuple[int, ...]) -> None:
    """Do nothing if these are flattened latents (B, D) of `latent_shape`.

    Raises:
        MemworldError: they have another size.
    """
    size = math.prod(latent_shape)
    if z.ndim != 2 or z.shape[1] != size:
        raise MemworldError(
            f"the encoder decodes latents (B, {size}), got {tuple(z.shape)}: decode with the encoder that made them"
        )


def check_not_collapsed(encoder: Encoder) -> None:
    """Do nothing if the encoder tells frames apart.

    Raises:
        MemworldError: fewer than `MIN_ACTIVE_UNITS` of its latents vary.
    """
    if encoder.active_units < MIN_ACTIVE_UNITS:
        raise MemworldError(
            f"the encoder has collapsed: {encoder.active_units} of its latent means vary over the training frames, so "
            "every frame would look alike to a search; train longer, use the sigma objective, or lower beta, and of a "
            "pretrained encoder use a larger upscale or another model"
        )
