"""Numbers that describe many numbers."""

import numpy as np


def spread(values: np.ndarray) -> dict[str, float]:
    """Least, median and largest."""
    return {"min": float(values.min()), "median": float(np.median(values)), "max": float(values.max())}


def rewards_of(rewards: np.ndarray) -> dict[str, float]:
    """What is said of the rewards (N,) of all steps."""
    return {
        "min": float(rewards.min()),
        "mean": float(rewards.mean(dtype=np.float64)),
        "max": float(rewards.max()),
        "steps_with_reward": int((rewards != 0).sum()),
    }
