"""The regression against its definition, and what it is sensitive to against automatic gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.plan.kernel import KernelRegression


def points(seed: int, count: int, dim: int) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=25)
@given(st.integers(0, 999), st.integers(1, 30), st.integers(1, 5), st.integers(1, 3), st.integers(1, 40))
def test_no_other_sum_of_its_kernels_has_less_error_and_penalty(
    seed: int, examples: int, dim: int, outputs: int, centres: int
) -> None:
    inputs, wanted = points(seed, examples, dim), points(seed + 1, examples, outputs)
    regression = KernelRegression.fit(inputs, wanted, centres)
    kernel = torch.exp(-torch.cdist(inputs, inputs[:centres]) / regression.width)

    def loss(weights: torch.Tensor) -> float:
        error = wanted - wanted.mean(0) - kernel @ weights
        return float(error.square().sum() + 0.3 * weights.square().sum())

    least = loss(regression.weights)
    for other in range(5):
        assert loss(regression.weights + 0.01 * points(seed + 2 + other, *regression.weights.shape)) > least


@settings(max_examples=25)
@given(st.integers(0, 999), st.integers(2, 30), st.integers(1, 5), st.integers(1, 3))
def test_sensitivity_is_the_mean_outer_product_of_gradients(seed: int, examples: int, dim: int, outputs: int) -> None:
    regression = KernelRegression.fit(points(seed, examples, dim), points(seed + 1, examples, outputs), 20)
    asked = points(seed + 2, 7, dim)
    found = torch.zeros(dim, dim, dtype=torch.float64)
    for place in asked:
        place.requires_grad_()
        told = regression(place[None])[0]
        gradients = torch.stack([torch.autograd.grad(part, place, retain_graph=True)[0] for part in told])
        found += gradients.T @ gradients / len(asked)
    torch.testing.assert_close(regression.sensitivity(asked), found, rtol=1e-8, atol=1e-10)


def test_at_a_centre_it_is_as_finite_as_elsewhere() -> None:
    inputs = torch.zeros(4, 2, dtype=torch.float64)
    regression = KernelRegression.fit(inputs, torch.arange(4.0, dtype=torch.float64)[:, None], 4)
    assert float(regression(inputs)[0, 0]) == pytest.approx(1.5)
    assert regression.sensitivity(inputs).tolist() == [[0, 0], [0, 0]]
