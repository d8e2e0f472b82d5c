"""The product of queries and features, on whatever device and in whichever precision, and its rounding."""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from memworld.errors import MemworldError


def choose_device(name: str) -> torch.device:
    """The device called `cpu`, `cuda`, or `auto`: a GPU if there is one.

    Raises:
        MemworldError: another name, or a GPU that is not there.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise MemworldError(f"unknown device {name!r}: use auto, cpu or cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise MemworldError("no GPU is to be seen from here: use cpu or auto, or install a CUDA build of PyTorch")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


_BATCHED_BELOW = 12
"""Queries below which one batched product of all chunks is faster on a CPU than one product per chunk."""


@dataclass(frozen=True, eq=False)
class Product:
    """A batch of queries, rounded for the product.

    Attributes:
        weights: (Q, F) float32 or bfloat16.
        losses: (Q,) float32 how far a product with a row of size 1 may be off on their account: by
            their own rounding and by that of the sum.
        output_error: the same for the rounding of the result, relative to it.
    """

    weights: Tensor
    losses: Tensor
    output_error: float

    @property
    def coarse(self) -> bool:
        """Whether the product runs in bfloat16."""
        return self.weights.dtype == torch.bfloat16

    @classmethod
    def of(cls, weights: Tensor, coarse: bool) -> "Product":
        """Round weights (Q, F), float64 of unit length, to bfloat16 if `coarse`, else to float32."""
        # 16 more terms than are summed, for the few float32 operations that follow the sum.
        summation = (weights.shape[1] + 16) * 2.0**-23
        if not coarse:
            # Each weight is off by at most 2^-24 of itself, so the whole by 2^-24 of its length, which is 1.
            losses = torch.full((len(weights),), summation + 2.0**-23, dtype=torch.float32, device=weights.device)
            return cls(weights.float(), losses, 0.0)
        rounded = weights.bfloat16()
        losses = (torch.linalg.vector_norm(weights - rounded.double(), dim=1) + summation) * (1 + 2.0**-20)
        return cls(rounded, losses.float(), 2.0**-8 if weights.device.type == "cpu" else 0.0)

    def times(self, features: Tensor) -> Tensor:
        """The products (C, Q, N) with chunks (C, F, N), as they come out: float32, or bfloat16 on a CPU.

        Training code around a search may have turned PyTorch's precision down, by autocast or for all
        matrix products; the bound on rounding would not hold then, and rows would be lost in silence.
        """
        with torch.autocast(features.device.type, enabled=False):
            if self.coarse or _float32_is_full(features.device.type):
                return _product(self.weights, features)
            return torch.stack([(self.weights.double() @ chunk.double()).float() for chunk in features])


def _float32_is_full(device: str) -> bool:
    """Whether a float32 product is one, for all that PyTorch has been told, in its old way or its new one."""
    try:
        told = [torch.get_float32_matmul_precision()]
    except RuntimeError:  # It was told in both ways.
        return False
    backend = getattr(torch.backends, "mkldnn" if device == "cpu" else "cuda", None)
    told += [getattr(where, "fp32_precision", "none") for where in (torch.backends, getattr(backend, "matmul", None))]
    return set(told) <= {"highest", "ieee", "none"}


def _product(weights: Tensor, features: Tensor) -> Tensor:
    """(Q, F) times (C, F, N), in the precision of the weights."""
    on_cpu, coarse = features.device.type == "cpu", weights.dtype == torch.bfloat16
    if not on_cpu and coarse:
        # A bfloat16 result may have been summed in bfloat16 there, a float32 result may not.
        return torch.stack([torch.mm(weights, chunk.to(weights.dtype), out_dtype=torch.float32) for chunk in features])
    if features.dtype == weights.dtype and not (on_cpu and len(weights) >= _BATCHED_BELOW):
        return torch.matmul(weights, features)
    # Chunk by chunk, so that converted features stay in the cache, and no more than one chunk of them is there.
    products = weights.new_empty(len(features), len(weights), features.shape[2])
    for chunk, out in zip(features, products, strict=True):
        torch.mm(weights, chunk.to(weights.dtype), out=out)
    return products


@functools.cache
def coarse_pays(device: torch.device) -> bool:
    """Whether bfloat16 products are faster here than float32 ones: asked of the processor, else tried once."""
    ask: Callable[[], dict[str, object]] = getattr(torch.cpu, "get_capabilities", dict)
    capabilities = ask() if device.type == "cpu" else {}
    if "avx512_bf16" in capabilities:
        return bool(capabilities["avx512_bf16"] or capabilities.get("amx_bf16"))
    weights = torch.full((64, 256), 0.1, device=device)
    features = torch.full((1, 256, 8192), 0.1, device=device)
    try:
        coarse = min(_seconds(lambda: _product(weights.bfloat16(), features)) for _ in range(9))
    except (RuntimeError, TypeError):  # This build of PyTorch has no such product here.
        return False
    return coarse < 0.8 * min(_seconds(lambda: _product(weights, features)) for _ in range(9))


def _seconds(run: Callable[[], Tensor]) -> float:
    began = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began
