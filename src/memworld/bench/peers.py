"""Other ways to search, timed beside memworld's: the published formulas as they read, NumPy, and FAISS.

None is slow on purpose: each is what one would write first with that tool, with all that does not
depend on the query computed before the watch is started.
"""

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from memworld.gaussian import Latents
from memworld.search import Candidates
from memworld.search.features import PRODUCT_FORMS

Peer = Callable[[Latents], Tensor]
"""Searches a batch of queries (Q, D); answers with the rows (Q, K), nearest first."""

_CELLS = 1 << 26
"""Query-row pairs that NumPy holds at once."""


def literal(memory: Candidates, strategy: str, k: int, device: str = "cpu", validate: bool | None = None) -> Peer:
    """The published way: the formula over the whole memory, one query after another.

    Args:
        memory: what to search; all rows, in order.
        strategy: `replay_kl` takes PyTorch's own KL divergence of distributions, `replay_l2` the norm
            of differences, and `rollout` the norm in a loop over episodes.
        k: rows asked for; of `rollout` one per episode.
        device: where to compute.
        validate: PyTorch's `validate_args` of the distributions; None keeps its default, which is on.
    """
    stored = _on(memory.latents, device)

    def replay_kl(mu: Tensor, sigma: Tensor, _: Tensor) -> Tensor:
        remembered = Normal(stored.mu, stored.sigma, validate_args=validate)
        divergence = kl_divergence(remembered, Normal(mu, sigma, validate_args=validate)).sum(-1)
        return divergence.argmin()[None] if k == 1 else divergence.topk(k, largest=False).indices

    def replay_l2(_: Tensor, __: Tensor, z: Tensor) -> Tensor:
        return _norm(stored.z - z).topk(k, largest=False).indices

    episodes = [stored.z[start:stop] for start, stop in _bounds(memory)]
    starts = [start for start, _ in _bounds(memory)]

    def rollout(_: Tensor, __: Tensor, z: Tensor) -> Tensor:
        best = [_norm(episode - z).min(0) for episode in episodes]
        rows = torch.stack([b.indices for b in best]) + torch.tensor(starts, device=device)
        return rows[torch.stack([b.values for b in best]).argsort()]

    search = {"replay_kl": replay_kl, "replay_l2": replay_l2, "rollout": rollout}[strategy]

    def answer(queries: Latents) -> Tensor:
        moved = _on(queries, device)
        return torch.stack([search(*one) for one in zip(moved.mu, moved.sigma, moved.z, strict=True)]).cpu()

    return answer


def numpy_brute_force(memory: Candidates, metric: str, strategy: str, k: int) -> Peer:
    """One matrix product in NumPy, float32, features computed beforehand, and a partial sort."""
    form = PRODUCT_FORMS[metric]
    features = form.features(memory.latents).numpy()
    step = max(1, _CELLS // len(features))
    bounds = _bounds(memory)

    def piece(queries: Latents) -> np.ndarray:
        costs = form.weights(queries).numpy() @ features.T
        if strategy == "rollout":
            best = np.stack([start + costs[:, start:stop].argmin(1) for start, stop in bounds], 1)
        else:
            best = np.argpartition(costs, k - 1, axis=1)[:, :k]
        order = np.take_along_axis(costs, best, 1).argsort(1)
        return np.take_along_axis(best, order, 1)

    def answer(queries: Latents) -> Tensor:
        pieces = [piece(queries[start : start + step]) for start in range(0, len(queries), step)]
        return torch.from_numpy(np.concatenate(pieces))

    return answer


def faiss_flat(memory: Candidates, metric: str, strategy: str, k: int) -> Peer | None:
    """FAISS without any approximation; None if it is not installed, or for `rollout`, which it has no search for."""
    if strategy == "rollout" or not has_faiss():
        return None
    faiss: Any = importlib.import_module("faiss")
    if metric == "l2":
        index = faiss.IndexFlatL2(memory.latents.dim)
        index.add(memory.latents.z.numpy())
        return lambda queries: torch.from_numpy(index.search(queries.z.numpy(), k)[1])
    form = PRODUCT_FORMS[metric]
    features = form.features(memory.latents).numpy()
    index = faiss.IndexFlatIP(features.shape[1])
    index.add(features)

    def answer(queries: Latents) -> Tensor:
        # The nearest row has the smallest product, FAISS looks for the largest.
        return torch.from_numpy(index.search(-form.weights(queries).numpy(), k)[1])

    return answer


def has_faiss() -> bool:
    """Whether FAISS is installed: the extra `approximate`."""
    return importlib.util.find_spec("faiss") is not None


def _on(latents: Latents, device: str) -> Latents:
    return Latents(*(x.to(device) for x in (latents.mu, latents.sigma, latents.z)))


def _norm(differences: Tensor) -> Tensor:
    return torch.as_tensor(torch.norm(differences, dim=-1))


def _bounds(memory: Candidates) -> list[tuple[int, int]]:
    """First row and the one after the last, of each episode."""
    sizes = torch.unique_consecutive(memory.episodes, return_counts=True)[1]
    stops = sizes.cumsum(0).tolist()
    return list(zip([0, *stops], stops, strict=False))
