"""How much memory a case needs, and how much there is: better left out than killed by the system."""

import math
import os
from pathlib import Path

import torch

from memworld.bench.cases import Case

_ROW_BYTES = 80
"""Of a row's number, episode and action features, beside its latents."""


def product_features(metric: str, d: int) -> int:
    """F, the numbers per row that a product reads: 2d + 1 for KL, d + 1 for L2."""
    return (d if metric == "l2" else 2 * d) + 1


def bytes_of_memory(case: Case) -> int:
    """The memory itself: latents, row numbers, episodes and action features."""
    return case.rows * (12 * case.d + _ROW_BYTES)


def bytes_of_index(case: Case) -> int:
    """The features of an index, with as much again while it is built; an approximate one copies them once more."""
    copies = 3 if case.index == "approximate" else 2
    return case.rows * copies * 4 * product_features(case.metric, case.d)


def bytes_of_literal(case: Case) -> int:
    """What the literal formula lays out: about five tensors of the size of mu."""
    return case.rows * 20 * case.d


def bytes_of_brute_force(case: Case) -> int:
    """The features of NumPy or FAISS with as much again while they are computed, and a piece of the scores."""
    return case.rows * 8 * product_features(case.metric, case.d) + (1 << 30)


def bytes_available(device: str) -> float:
    """Bytes that a process may still take on `device`; infinite where the system does not say."""
    if device == "cuda":
        return float(torch.cuda.mem_get_info()[0])
    return min(_free_on_host(), _free_in_group())


def _free_on_host() -> float:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):  # unlike the free pages it counts what caches would give back
                return 1024.0 * int(line.split()[1])
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, AttributeError):
        return math.inf


def _free_in_group() -> float:
    """What the limit on a container leaves, with what its file cache would give back."""
    group = Path("/sys/fs/cgroup")
    try:
        left = float((group / "memory.max").read_text()) - float((group / "memory.current").read_text())
        told = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return left + float(told.get("inactive_file", 0))
    except (OSError, ValueError):  # there is none, or it says "max"
        return math.inf
