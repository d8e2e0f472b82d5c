"""How a baseline is trained."""

import math
from dataclasses import dataclass

from memworld.errors import MemworldError
from memworld.training import TrainingSettings


@dataclass(frozen=True)
class BaselineTraining(TrainingSettings):
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
    patience: int = 10
    weight_decay: float = 0.0
    max_moments: int = 50_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_moments < 1:
            raise MemworldError(f"max_moments must be at least 1, got {self.max_moments}")
        if not 0 <= self.weight_decay < math.inf:
            raise MemworldError(f"weight_decay must be finite and at least 0, got {self.weight_decay}")
