"""What a trained baseline's network takes and gives: batches of recorded sequences, and imagined futures."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from memworld.gaussian import Latents


@dataclass(frozen=True, eq=False)
class Batch:
    """B sequences of L steps, L+1 moments.

    Moments that are not `known` lie before an episode's beginning (when a past is read) or after its
    end (in training); their numbers mean nothing. The known ones are in one piece.

    Attributes:
        observations: what was seen: float32 (B, L+1, D) posterior means of the memory's encoder, or uint8
            (B, L+1, H, W, C) frames of a network that sees pixels.
        sigma: float32 (B, L+1, D) the posteriors' standard deviations; None for pixels.
        actions: float32 (B, L, F) features of the actions taken, `actions.action_features`.
        rewards: float32 (B, L) what step l, from moment l to l+1, returned; zeros when a past is read.
        terminations: float32 (B, L) 1 where step l terminated its episode.
        known: bool (B, L+1).
    """

    observations: Tensor
    sigma: Tensor | None
    actions: Tensor
    rewards: Tensor
    terminations: Tensor
    known: Tensor

    def __len__(self) -> int:
        """B, the number of sequences."""
        return len(self.known)

    def __getitem__(self, index: slice | Tensor) -> "Batch":
        """Some of the sequences."""
        return self._each(lambda part: part[index])

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        return self._each(lambda part: part.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        parts = (getattr(self, field.name) for field in fields(self))
        return Batch(*(None if part is None else change(part) for part in parts))  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Futures:
    """B imagined futures of T steps, as a network gives them; entry t is the state after t + 1 actions.

    Attributes:
        rewards: float32 (B, T).
        termination: float32 (B, T), probabilities.
        latents: (B, T, D) predicted Gaussians of a network that lives in latents, else None.
        frames: uint8 (B, T, H, W, C) of a network that sees pixels, else None.
    """

    rewards: Tensor
    termination: Tensor
    latents: Latents | None = None
    frames: np.ndarray | None = None


class Network(Protocol):
    """What training and imagination ask of a network, which is also a `torch.nn.Module`."""

    sees_pixels: bool
    """Whether `Batch.observations` are frames rather than latents."""

    def losses(self, batch: Batch, progress: float, generator: torch.Generator) -> dict[str, Tensor]:
        """The scalar `loss` to descend, and its parts by name, the same names at every call.

        Args:
            batch: sequences to learn from.
            progress: share of the training that is over, in [0, 1]; 1 when the validation episodes are
                looked at, so that looks can be compared.
            generator: of all sampling, on the CPU.
        """
        ...

    def read(self, past: Batch, generator: torch.Generator) -> Any:
        """The state after the last moment of `past`, from what is known of it; at least that moment is."""
        ...

    def imagine(self, state: Any, actions: Tensor, generator: torch.Generator) -> Futures:
        """What follows a state under actions (B, T, F)."""
        ...
