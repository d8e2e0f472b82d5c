"""Stop-watch: the median of several runs."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Budget:
    """How long to measure one thing: at least `seconds` and `runs` runs, but no longer than `most` seconds."""

    seconds: float = 0.3
    runs: int = 5
    most: float = 3.0


def median_seconds(work: Callable[[], object], budget: Budget, device: str = "cpu") -> float:
    """Seconds that `work` takes, the median after a first run to warm up.

    Work that takes longer than the budget's most is measured by that first run alone.

    Args:
        work: what to time.
        budget: how long to repeat it.
        device: `cuda` waits for the device before the watch is stopped.
    """
    seconds = _seconds(work, device)
    if seconds > budget.most:
        return seconds
    runs: list[float] = []
    total = 0.0
    while total < budget.most and (len(runs) < budget.runs or total < budget.seconds):
        runs.append(_seconds(work, device))
        total += runs[-1]
    return statistics.median(runs)


def _seconds(work: Callable[[], object], device: str) -> float:
    began = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began
