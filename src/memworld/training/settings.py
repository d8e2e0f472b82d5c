"""What every training has: how long, how fast, from which seed, and when to stop."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from memworld.errors import MemworldError

Precision = Literal["auto", "float32", "bfloat16"]
"""`auto` takes bfloat16 where the processor computes in it, else float32."""


@dataclass(frozen=True)
class TrainingSettings:
    """What every training has; what is trained says what its attributes mean, and their defaults.

    Raises:
        MemworldError: a number out of its range, or an unknown precision.
    """

    steps: int
    batch_size: int
    learning_rate: float
    seed: int = 0
    validate_every: int = 100
    patience: int = 4
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "validate_every", "patience"):
            if getattr(self, name) < 1:
                raise MemworldError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.learning_rate < math.inf:
            raise MemworldError(f"learning_rate must be finite and above 0, got {self.learning_rate}")
        if not 0 <= self.seed < 2**32:
            raise MemworldError(f"seed must be 0 to {2**32 - 1}, got {self.seed}")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise MemworldError(f"unknown precision {self.precision!r}: use auto, float32 or bfloat16")

    @property
    def bfloat16(self) -> bool:
        """Whether to train in bfloat16."""
        if self.precision == "auto":
            # Older releases of PyTorch cannot be asked; float32 is right everywhere.
            ask: Callable[[], dict[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
            return any(ask().get(name, False) for name in ("avx512_bf16", "amx_bf16"))
        return self.precision == "bfloat16"
