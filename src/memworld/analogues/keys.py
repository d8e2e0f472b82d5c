"""What is known of a moment: principal components of a block in the last few frames."""

from dataclasses import dataclass

import torch
from torch import Tensor

from memworld.analogues.blocks import Blocks
from memworld.contexts import rows_back
from memworld.memory import Rows

_SAMPLE = 8192
"""Rows that the components are taken from."""

_ROWS = 1 << 15
"""Rows whose keys are made at once."""

_PIECE = 100
"""Steps of a piece of a single episode."""


def rows_left(rows: Rows) -> Tensor:
    """(N,) int64: how many rows of its episode come after each row."""
    lengths = torch.bincount(rows.episodes)
    return lengths[rows.episodes] - 1 - rows.steps


def pieces(rows: Rows) -> Tensor:
    """(N,) int64, ascending: what a row belongs to and must not be predicted from, which is its episode.

    A single episode is cut into pieces, or nothing could be left out.
    """
    return rows.episodes if int(rows.episodes[-1]) > 0 else rows.steps // _PIECE


def moments(rows: Rows, chosen: Tensor, context: int) -> Tensor:
    """The last `context` means up to each chosen row (Q,), the latest first: (Q, context, D)."""
    return rows.latents.mu[rows_back(rows, chosen, context)]


def own(blocks: Blocks, means: Tensor) -> Tensor:
    """The blocks' own numbers of latent means (Q, D): (P, Q, C)."""
    return means[:, blocks.own].transpose(0, 1).contiguous()


@dataclass(frozen=True, eq=False)
class Basis:
    """The principal components of every block of a scale.

    Attributes:
        seen: (P, F) int64 the places that a block looks at.
        mean: (P, 1, F) float32.
        components: (P, F, n) float32, those of the largest variance first.
    """

    seen: Tensor
    mean: Tensor
    components: Tensor

    @classmethod
    def fit(cls, blocks: Blocks, means: Tensor, count: int, seed: int) -> "Basis":
        """The first `count` components (at most F) of latent means (N, D)."""
        order = torch.randperm(len(means), generator=torch.Generator().manual_seed(seed))[:_SAMPLE]
        looked_at = means[order][:, blocks.seen].transpose(0, 1)
        mean = looked_at.mean(1, keepdim=True)
        centred = (looked_at - mean).double()
        _, vectors = torch.linalg.eigh(centred.transpose(1, 2) @ centred)
        return cls(blocks.seen, mean, vectors[..., -count:].flip(-1).float().contiguous())

    def keys(self, recent: Tensor) -> Tensor:
        """Moments (Q, context, D) to keys (P, Q, context * n): a block's components, the latest moment's first."""
        parts = []
        for back in range(recent.shape[1]):
            looked_at = recent[:, back][:, self.seen].transpose(0, 1)
            parts.append((looked_at - self.mean) @ self.components)
        return torch.cat(parts, 2)

    def keys_of(self, rows: Rows, context: int) -> Tensor:
        """The keys (P, N, context * n) of all rows."""
        every = torch.arange(len(rows.steps))
        return torch.cat([self.keys(moments(rows, part, context)) for part in torch.split(every, _ROWS)], 1)
