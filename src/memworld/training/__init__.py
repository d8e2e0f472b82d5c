"""Training a network, whatever it is: resumable, stopped in time, the same bytes for the same seed."""

import math

import numpy as np
import torch

from memworld.training.run import Run
from memworld.training.settings import TrainingSettings

__all__ = ["Run", "TrainingSettings", "scheduled", "step_generator"]


def scheduled(step: int, steps: int) -> float:
    """Share of the peak learning rate: linear over 50 steps, then a cosine down to 2%."""
    warm = min(1.0, (step + 1) / 50)
    return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def step_generator(seed: int, step: int) -> torch.Generator:
    """The randomness of one step, from seed and step alone, so that a resumed run is the same run."""
    # Mixed into 32 bits, as torch's generator looks at no more of a seed.
    mixed = np.random.SeedSequence((seed, step)).generate_state(1)[0]
    return torch.Generator().manual_seed(int(mixed))
