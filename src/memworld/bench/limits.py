"""What the machine itself can do: how fast it copies, reads and multiplies, measured beside the searches."""

from dataclasses import dataclass, replace

import torch

from memworld.bench.timing import Budget, median_seconds

_PROBE_SIZE = 512
"""Side of the matrices that tell whether a precision is worth a large product."""


@dataclass(frozen=True)
class Limits:
    """A machine's limits.

    Attributes:
        device: what they are of, `cpu` or `cuda`.
        copy_gb_s: 10^9 bytes per second, read plus written, of a copy in memory.
        read_gb_s: 10^9 bytes per second of a sum over memory.
        gflops_float32: 10^9 operations per second of a large matrix product.
        gflops_bfloat16: likewise; None where the machine is slower at it than at float32.
    """

    device: str
    copy_gb_s: float
    read_gb_s: float
    gflops_float32: float
    gflops_bfloat16: float | None

    def gflops(self, precision: str) -> float:
        """The rate of products in `precision`; float32's where it has none of its own."""
        return (self.gflops_bfloat16 if precision == "bfloat16" else None) or self.gflops_float32


def measure_limits(device: str, copy_bytes: int = 1 << 28, matrix_size: int = 4096, seconds: float = 0.3) -> Limits:
    """Measure a device, each number as the median of several runs.

    Args:
        device: `cpu` or `cuda`.
        copy_bytes: size of the copied tensor: far above the caches.
        matrix_size: side of the square matrices that are multiplied.
        seconds: how long each is measured at least.
    """
    budget = Budget(seconds, runs=5, most=8.0)
    copied, read = _copy_and_read_seconds(copy_bytes, device, budget)
    probe = {p: _gflops(p, min(_PROBE_SIZE, matrix_size), device, budget) for p in (torch.float32, torch.bfloat16)}
    # Without instructions for it a large bfloat16 product takes minutes.
    worthwhile = probe[torch.bfloat16] > probe[torch.float32]
    return Limits(
        device=device,
        copy_gb_s=2 * copy_bytes / copied / 1e9,
        read_gb_s=copy_bytes / read / 1e9,
        gflops_float32=_gflops(torch.float32, matrix_size, device, budget),
        gflops_bfloat16=_gflops(torch.bfloat16, matrix_size, device, budget) if worthwhile else None,
    )


def measured_again(limits: Limits, precision: str | None, copy_bytes: int, matrix_size: int, seconds: float) -> Limits:
    """The same with one limit measured anew, as a machine that is shared is not always equally fast.

    Args:
        limits: measured before.
        precision: whose rate of products to measure, or None for the rate of a copy.
        copy_bytes: as in `measure_limits`.
        matrix_size: as there.
        seconds: as there.
    """
    budget = Budget(seconds, runs=5, most=8.0)
    if precision is None:
        return replace(
            limits, copy_gb_s=2 * copy_bytes / _copy_and_read_seconds(copy_bytes, limits.device, budget)[0] / 1e9
        )
    if precision == "bfloat16":
        return replace(limits, gflops_bfloat16=_gflops(torch.bfloat16, matrix_size, limits.device, budget))
    return replace(limits, gflops_float32=_gflops(torch.float32, matrix_size, limits.device, budget))


def _copy_and_read_seconds(size: int, device: str, budget: Budget) -> tuple[float, float]:
    source = torch.ones(size // 4, device=device)
    target = torch.empty_like(source)
    copied = median_seconds(lambda: target.copy_(source), budget, device)
    return copied, median_seconds(source.sum, budget, device)


def _gflops(precision: torch.dtype, size: int, device: str, budget: Budget) -> float:
    left, right = (torch.ones(size, size, dtype=precision, device=device) for _ in range(2))
    return 2 * size**3 / median_seconds(lambda: left @ right, budget, device) / 1e9
