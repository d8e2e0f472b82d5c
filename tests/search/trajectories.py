"""Memories for the tests of approximate search."""

import numpy as np
import torch

from memworld.gaussian import Latents
from memworld.search import Candidates, Matches

ACTIONS = 3


def trajectories(
    rng: np.random.Generator, episodes: int, steps: int, dim: int, vary: float = 0.2, inner: int = 8
) -> Latents:
    """Smooth walks of `inner` hidden variables, seen through a fixed nonlinear map; log sigma varies by `vary`."""
    fixed = np.random.default_rng(0)
    maps = [(fixed.normal(size=(inner, 48)) / inner**0.5, fixed.normal(size=(48, dim)) / 48**0.5) for _ in range(2)]
    base = np.log(0.15) + 0.5 * fixed.normal(size=dim)
    hidden = np.empty((episodes, steps, inner))
    state = rng.normal(size=(episodes, inner))
    for step in range(steps):
        hidden[:, step] = state
        state = 0.97 * state + (1 - 0.97**2) ** 0.5 * rng.normal(size=state.shape)
    flat = hidden.reshape(-1, inner)
    mu, wave = (np.tanh(1.5 * flat @ first) @ second * 1.5 for first, second in maps)
    sigma = np.exp(base + vary * wave + 0.25 * vary * rng.normal(size=mu.shape))
    z = mu + sigma * rng.normal(size=mu.shape)
    return Latents(*(torch.from_numpy(x.astype(np.float32)) for x in (mu, sigma, z)))


def candidates_of(latents: Latents, steps: int, seed: int = 0) -> Candidates:
    """Every row but an episode's last, with one of three actions."""
    everything = torch.arange(len(latents))
    rows = everything[everything % steps != steps - 1]
    kinds = torch.randint(0, ACTIONS, (len(rows),), generator=torch.Generator().manual_seed(seed))
    return Candidates(latents, rows, rows // steps, torch.eye(ACTIONS, dtype=torch.float64)[kinds] / 2**0.5)


def assert_same(a: Matches, b: Matches) -> None:
    for left, right in zip(a.columns, b.columns, strict=True):
        assert torch.equal(left, right)


def asked_actions(count: int, seed: int = 5) -> torch.Tensor:
    kinds = torch.randint(0, ACTIONS, (count,), generator=torch.Generator().manual_seed(seed))
    return torch.eye(ACTIONS, dtype=torch.float64)[kinds] / 2**0.5


def queries_of_20(count: int = 40) -> Latents:
    return trajectories(np.random.default_rng(4), 1, count, 20)
