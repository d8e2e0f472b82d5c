"""Encoders turn frames into Gaussians and latents back into frames.

`vae.VAE` is ours; a plug-in only needs the methods of `Encoder`.
"""

from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor

from memworld.errors import MemworldError

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
    from memworld.encoders.vae import VAE

    return VAE.open(Path(path))


def check_not_collapsed(encoder: Encoder) -> None:
    """Do nothing if the encoder tells frames apart.

    Raises:
        MemworldError: fewer than `MIN_ACTIVE_UNITS` of its latents vary.
    """
    if encoder.active_units < MIN_ACTIVE_UNITS:
        raise MemworldError(
            f"the encoder has collapsed: {encoder.active_units} of its latent means vary over the training frames, so "
            "every frame would look alike to a search; train longer, use the sigma objective, or lower beta"
        )
