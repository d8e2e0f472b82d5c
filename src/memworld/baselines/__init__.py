"""Trained world models to compare search with: a recurrent network in the encoder's latents, and PlaNet's RSSM.

Each is trained on the very episodes that a memory holds, and imagines through the same interface as
`WorldModel`. `latent_gru` and `rssm_latents` live in the latents of the memory's encoder;
`rssm_pixels` has an encoder and a decoder of its own, and its frames are encoded once more where
latents are asked for.
"""

from typing import Any, Protocol

import numpy as np

from memworld.rollout import Imagined, Past


class Baseline(Protocol):
    """What an evaluation asks of a trained world model."""

    @property
    def about(self) -> str:
        """What it is and how it was trained, in a line."""
        ...

    @property
    def encoder_fingerprint(self) -> str:
        """Of the encoder in whose latents it answers."""
        ...

    @property
    def episodes_seen(self) -> tuple[str, ...]:
        """Ids of the episodes that it was trained or chosen on."""
        ...

    def imagine(
        self,
        observations: np.ndarray,
        actions: Any,
        *,
        past: Past | None = None,
        seed: int = 0,
        decode: bool = True,
    ) -> Imagined:
        """Imagine what follows `observations` under sequences of actions.

        Args:
            observations: uint8 (H, W, C) or (B, H, W, C) frames. A single one serves all action sequences.
            actions: as `WorldModel.imagine` takes them, (B, T) or (B, T, A).
            past: what was seen and done before; None starts from the frame alone.
            seed: of all sampling.
            decode: whether to give frames.

        Raises:
            MemworldError: a horizon of 0, shapes that do not fit, actions outside the space.
        """
        ...
