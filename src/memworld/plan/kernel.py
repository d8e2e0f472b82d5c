"""Ridge regression with a Laplacian kernel: a function in closed form, and what it is sensitive to."""

from dataclasses import dataclass

import torch
from torch import Tensor

_RIDGE, _WIDTH = 0.3, 0.7
"""Ridge penalty, and the kernel's width in median distances."""

_MEASURED = 2000
"""Examples whose distances tell the median."""


@dataclass(frozen=True, eq=False)
class KernelRegression:
    """A sum of kernels exp(-distance / width) about centres.

    Attributes:
        centres: (C, D) float64.
        width: of the kernel.
        weights: (C, F).
        mean: (F,) what is told far from all centres.
    """

    centres: Tensor
    width: Tensor
    weights: Tensor
    mean: Tensor

    @classmethod
    def fit(cls, inputs: Tensor, outputs: Tensor, centres: int) -> "KernelRegression":
        """Fit it to inputs (E, D) and outputs (E, F), float64, the first of which, up to `centres`, are its centres."""
        chosen = inputs[:centres]
        width = torch.cdist(inputs[:_MEASURED], chosen).median().clamp(min=1e-9) * _WIDTH
        kernel = torch.exp(-torch.cdist(inputs, chosen) / width)
        mean = outputs.mean(0)
        square = kernel.T @ kernel + _RIDGE * torch.eye(len(chosen), dtype=torch.float64)
        weights = torch.cholesky_solve(kernel.T @ (outputs - mean), torch.linalg.cholesky(square))
        return cls(chosen, width, weights, mean)

    def __call__(self, inputs: Tensor) -> Tensor:
        """What it tells of inputs (Q, D): (Q, F)."""
        told: Tensor = torch.exp(-torch.cdist(inputs, self.centres) / self.width) @ self.weights + self.mean
        return told

    def sensitivity(self, inputs: Tensor) -> Tensor:
        """(D, D): the mean outer product, over inputs (Q, D) and outputs, of its gradient.

        Its large eigenvectors are the directions in which what it tells changes.
        """
        apart = torch.cdist(inputs, self.centres)
        # The kernel has no gradient at its centre; by symmetry none is its mean.
        slope = torch.where(apart > 1e-9, torch.exp(-apart / self.width) / (self.width * apart.clamp(min=1e-9)), 0)
        total = torch.zeros(inputs.shape[1], inputs.shape[1], dtype=torch.float64)
        for output in self.weights.T:
            part = slope * output
            gradients = part @ self.centres - part.sum(1, keepdim=True) * inputs
            total += gradients.T @ gradients
        return total / len(inputs)
