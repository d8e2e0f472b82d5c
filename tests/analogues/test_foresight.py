"""The distance that foretells, against literal least squares, and in a world where little tells much."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from memworld.analogues.blocks import Scale, cut
from memworld.analogues.foresight import AHEAD, PENALTIES, Sight, metric
from memworld.memory import Rows
from tests.analogues.toys import rows_of


def walks(episodes: int, length: int, numbers: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Random walks (1, N, numbers), and of each row how many follow it and its episode."""
    steps = torch.randn(episodes, length, numbers, generator=torch.Generator().manual_seed(seed))
    left = torch.arange(length - 1, -1, -1).repeat(episodes)
    return steps.cumsum(1).reshape(1, -1, numbers), left, torch.arange(episodes).repeat_interleave(length)


def literal(keys: Tensor, own: Tensor, left: Tensor, apart: Tensor, shares: tuple[float, float]) -> np.ndarray:
    """The squared metric of one block, by the definition, in NumPy."""
    rows = np.array([r for r in range(len(left)) if left[r] >= max(AHEAD)])
    x, numbers = keys[0].double().numpy(), own[0].double().numpy()
    known = x[rows] - x[rows].mean(0)
    half = np.unique(apart.numpy()[rows], return_inverse=True)[1] % 2 == 0
    total = (1 - sum(shares)) * np.eye(known.shape[1]) / known.var(0).sum()
    for share, less in zip(shares, (0, 1), strict=True):
        wanted = np.concatenate([numbers[rows + h] - less * numbers[rows] for h in AHEAD], 1)
        wanted = wanted - wanted.mean(0)

        def solve(some: np.ndarray, penalty: float, wanted: np.ndarray = wanted) -> np.ndarray:
            square = known[some].T @ known[some]
            ridge = penalty * (np.diag(square) + 0.01 * np.diag(square).mean())
            return np.asarray(np.linalg.solve(square + np.diag(ridge), known[some].T @ wanted[some]))

        def unseen(penalty: float, wanted: np.ndarray = wanted, solve=solve) -> float:  # type: ignore[no-untyped-def]
            return float(sum(((known[~s] @ solve(s, penalty) - wanted[~s]) ** 2).sum() for s in (half, ~half)))

        matrix = solve(np.ones(len(rows), bool), min(PENALTIES, key=unseen))
        total += share * matrix @ matrix.T / (known @ matrix).var(0).sum()
    return np.asarray(total)


@settings(max_examples=20)
@given(st.integers(0, 99), st.sampled_from([(0.4, 0.4), (0.0, 0.9), (0.9, 0.0), (0.5, 0.5)]))
def test_it_is_the_distance_that_is_defined(seed: int, shares: tuple[float, float]) -> None:
    numbers, left, apart = walks(4, 25, 3, seed)
    keys = torch.cat([numbers, torch.randn(1, 100, 2, generator=torch.Generator().manual_seed(seed + 1))], 2)
    found = metric(keys, numbers, left, apart, shares, seed=0)[0].double()
    assert torch.allclose(found, found.T, atol=1e-6)
    assert (found @ found).numpy() == pytest.approx(literal(keys, numbers, left, apart, shares), rel=1e-3, abs=1e-5)


def flights(episodes: int = 20, length: int = 40) -> Rows:
    """A ball that flies to the left or to the right as one faint number says, amid much that means nothing."""
    generator = torch.Generator().manual_seed(5)
    means = []
    for episode in range(episodes):
        way = 1.0 if episode % 2 else -1.0
        ball = 0.3 * way * torch.arange(length) + 20 * torch.randn(1, generator=generator)
        noise = 2 * torch.randn(length, 6, generator=generator)
        means.append(torch.cat([ball[:, None], torch.full((length, 1), 0.4 * way), noise], 1))
    return rows_of(means, [torch.ones(length - 1, 3)] * episodes)


def same_way(rows: Rows, scale: Scale) -> float:
    """The share of moments whose nearest moment of another episode is of a ball that flies the same way."""
    sight = Sight.fit(cut((8,), scale), rows, scale, context=1, seed=0)
    keys = sight.compared(sight.basis.keys_of(rows, 1))[0]
    distances = torch.cdist(keys, keys)
    distances[rows.episodes[:, None] == rows.episodes] = torch.inf
    way = rows.episodes % 2
    return float((way[distances.argmin(1)] == way).float().mean())


def test_near_moments_foretell_the_same_however_little_tells_it() -> None:
    rows = flights()
    plain = same_way(rows, Scale(0, 0, 8, (1,), places=0.0, changes=0.0))
    assert plain < 0.7  # a toss of a coin, nearly
    assert same_way(rows, Scale(0, 0, 8, (1,), places=0.0, changes=0.9)) > 0.95


@pytest.mark.parametrize("shares", [(0.0, 0.0), (0.4, 0.4)])
def test_where_nothing_is_to_be_learned_moments_are_compared_as_they_are(shares: tuple[float, float]) -> None:
    numbers, left, apart = walks(3, 2, 4, seed=0)
    if sum(shares):
        numbers, left, apart = numbers[:, :2], left[:2], apart[:2]  # one episode of one step
    assert torch.equal(metric(numbers, numbers, left, apart, shares, seed=0), torch.eye(4)[None])


@pytest.mark.parametrize("length", [2, 5, 11, 12])
def test_memories_of_short_and_of_standing_episodes_give_a_finite_metric(length: int) -> None:
    numbers, left, apart = walks(6, length, 3, seed=1)
    assert bool(torch.isfinite(metric(numbers, numbers, left, apart, (0.4, 0.4), seed=0)).all())
    assert bool(torch.isfinite(metric(numbers * 0, numbers * 0, left, apart, (0.4, 0.4), seed=0)).all())


def test_maps_are_solved_where_the_number_of_threads_was_set() -> None:
    """MKL's LU fails here in batches of matrices of this size."""
    code = """
import subprocess
import sys

import torch
torch.set_num_threads(2)
from memworld.analogues.foresight import _solve
inputs = torch.randn(4, 400, 192, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
square = inputs.transpose(1, 2) @ inputs
cross = square @ torch.ones(4, 192, 256, dtype=torch.float64)
found = _solve(square, cross, 1e-9)
assert torch.allclose(found, torch.ones_like(found), atol=1e-4), found
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
