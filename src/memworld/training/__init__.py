"""Training a network, whatever it is: resumable, stopped in time, the same bytes for the same seed."""

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch

from memworld.training.run import Run

__all__ = ["Precision", "Run", "computes_in_bfloat16", "scheduled", "step_generator"]

Precision = Literal["auto", "float32", "bfloat16"]
"""`auto` takes bfloat16 where the processor computes in it, else float32."""


def computes_in_bfloat16(precision: Precision) -> bool:
    """Whether to train in bfloat16."""
    if precision == "auto":
        # Older releases of PyTorch cannot be asked; float32 is right everywhere.
        ask: Callable[[], dict[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
        return any(ask().get(name, False) for name in ("avx512_bf16", "amx_bf16"))
    return precision == "bfloat16"


def scheduled(step: int, steps: int) -> float:
    """Share of the peak learning rate: linear over 50 steps, then a cosine down to 2%."""
    warm = min(1.0, (step + 1) / 50)
    return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def step_generator(seed: int, step: int) -> torch.Generator:
    """The randomness of one step, from seed and step alone, so that a resumed run is the same run."""
    # Mixed into 32 bits, as torch's generator looks at no more of a seed.
    mixed = np.random.SeedSequence((seed, step)).generate_state(1)[0]
    return torch.Generator().manual_seed(int(mixed))
