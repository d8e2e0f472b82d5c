"""How a baseline is trained."""

import math
from dataclasses import dataclass

from memworld.errors import MemworldError
from memworld.training import Precision


@dataclass(frozen=True)
class BaselineTraining:
    """How to train a baseline.

    Attributes:
        steps: most gradient steps.
        batch_size: sequences per step; their length belongs to the network's settings.
        learning_rate: its peak; it warms up over 50 steps and falls along a cosine.
        weight_decay: pull of the weights towards 0, apart from the gradient (AdamW).
        seed: of weights, batches and sampling.
        validate_every: steps between looks at the validation episodes.
        patience: looks without improvement after which training stops.
        max_moments: moments held in memory at once; of a larger data set every n-th episode.
        precision: `auto` takes bfloat16 where the processor computes in it, else float32.
    """

    steps: int = 3000
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    seed: int = 0
    validate_every: int = 100
    patience: int = 10
    max_moments: int = 50_000
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "validate_every", "patience", "max_moments"):
            if getattr(self, name) < 1:
                raise MemworldError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.learning_rate < math.inf:
            raise MemworldError(f"learning_rate must be finite and above 0, got {self.learning_rate}")
        if not 0 <= self.weight_decay < math.inf:
            raise MemworldError(f"weight_decay must be finite and at least 0, got {self.weight_decay}")
        if not 0 <= self.seed < 2**32:
            raise MemworldError(f"seed must be 0 to {2**32 - 1}, got {self.seed}")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise MemworldError(f"unknown precision {self.precision!r}: use auto, float32 or bfloat16")
