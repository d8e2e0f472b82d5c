"""Recorded threads: the moments most like the present one, and what followed each of them."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from memworld.analogues.blocks import Blocks
from memworld.analogues.foresight import Sight
from memworld.analogues.keys import moments, own, pieces, rows_left
from memworld.analogues.table import Table
from memworld.gaussian import at_mean
from memworld.memory import Rows
from memworld.search import Candidates, Index, Query
from memworld.search.growing import GrownIndex, Run


@dataclass(frozen=True, eq=False)
class Found:
    """The moments that a batch of Q searches found, in each of P blocks.

    Attributes:
        context: moments in a key.
        asked: (P, Q, n) float32 the keys that were searched for.
        present: (P, Q, C) float32 the blocks' own numbers of the moments that were searched for.
        rows: (P, Q, k) int64 memory rows, the nearest first; -1 where fewer were found.
        distances: (P, Q, k) float32 squared distances of their keys as compared, infinite where none was found.
    """

    context: int
    asked: Tensor
    present: Tensor
    rows: Tensor
    distances: Tensor

    def __getitem__(self, some: Tensor | slice) -> "Found":
        """Some of the Q searches."""
        return Found(
            self.context, self.asked[:, some], self.present[:, some], self.rows[:, some], self.distances[:, some]
        )


@dataclass(frozen=True, eq=False)
class Analogue:
    """The weighted mean of threads, some steps on: a moment that never was, built of moments that were.

    Attributes:
        weights: (P, Q, k) float32 shares of the threads; 0 for those that have ended.
        key: (P, Q, n) float32 mean key where the threads began.
        began: (P, Q, C) float32 mean of the block's own numbers there.
        latent: (P, Q, C) float32 the same after `step` steps.
        actions: (P, Q, step, A) float32 mean actions since.
    """

    weights: Tensor
    key: Tensor
    began: Tensor
    latent: Tensor
    actions: Tensor


class ScaleMemory:
    """A memory as the blocks of one scale see it: to search, and to follow."""

    def __init__(
        self,
        rows: Rows,
        blocks: Blocks,
        sight: Sight,
        context: int,
        agreement: float,
        make_index: Callable[[Candidates], Index],
        before: "ScaleMemory | None" = None,
    ) -> None:
        """Make the keys of all rows and index those that have a successor.

        Args:
            rows: the memory's.
            blocks: of the scale.
            sight: how its blocks are compared.
            context: moments in a key.
            agreement: by how much a unit of squared difference between a thread's actions and those
                asked for lowers the logarithm of its weight.
            make_index: the L2 index of candidates.
            before: the same of rows that these have grown from: only what is new is looked at.
        """
        self.blocks, self.sight, self._agreement = blocks, sight, agreement
        means, count = rows.latents.mu, len(rows)
        old_own, old_keys = (before._own, before._keys) if before is not None else (None, None)
        self._own: Table = Table(count, lambda some: own(blocks, means[some]), old_own)
        self._keys: Table = Table(count, lambda some: sight.basis.keys(moments(rows, some, context)), old_keys)
        self._actions = rows.actions.float()
        self._left = rows_left(rows)
        self._apart: Tensor = pieces(rows)
        indexes: list[GrownIndex | None] = [None] * len(blocks)
        # When a single episode is joined by others, what a moment belongs to is another thing than it was.
        if before is not None and bool(before._apart[-1] == self._apart[len(before._apart) - 1]):
            indexes = [*before._indexes]
        self._indexes: list[GrownIndex] = [
            GrownIndex.of(rows, functools.partial(self._compared, block), make_index, old)
            for block, old in enumerate(indexes)
        ]

    def _compared(self, block: int, run: Run) -> Candidates:
        """The rows of a run that have a successor, as one block compares them."""
        keys = self.sight.compared(self._keys.numbers[block, run.own], block)
        chosen = run.rows.candidates
        apart = self._apart[run.own]
        latents = at_mean(keys, torch.ones(1).expand_as(keys))
        return Candidates(latents, chosen, (apart - apart[0])[chosen], run.rows.actions.new_zeros(len(chosen), 0))

    @property
    def key_size(self) -> int:
        """n, the numbers in a key."""
        return self._keys.numbers.shape[2]

    def find(self, recent: Tensor, k: int, exclude: Tensor | None = None) -> Found:
        """The k moments nearest to moments (Q, context, D), none of them in the excluded `pieces` (Q,)."""
        asked = self.sight.basis.keys(recent)
        rows, distances = [], []
        for index, keys in zip(self._indexes, self.sight.compared(asked), strict=True):
            query = Query(at_mean(keys, torch.ones_like(keys)), exclude_episode=exclude)
            matches = index.nearest(query, k)
            rows.append(matches.rows)
            distances.append(matches.distances.float())
        return Found(recent.shape[1], asked, own(self.blocks, recent[:, 0]), torch.stack(rows), torch.stack(distances))

    def follow(self, found: Found, k: int, asked: Tensor) -> Analogue:
        """The mean of the k nearest threads some steps after they were found.

        A thread counts for less the more its actions differed from those asked for, and for nothing
        once it has ended; where all have, all stand still at their last moment.

        Args:
            found: where the threads begin.
            k: how many to follow.
            asked: (Q, steps, A) action features since then.
        """
        steps = asked.shape[1]
        rows = found.rows[..., :k]
        exists = rows >= 0
        rows = rows.clamp(min=0)
        left = self._left[rows]
        taken = self._actions[rows[..., None] + torch.minimum(torch.arange(steps), left[..., None])]
        disagreement = (taken - asked[None, :, None]).square().sum((3, 4))
        going = exists & (left >= steps)
        counts = torch.where(going.any(2, keepdim=True), going, exists)
        closeness = log_kernel(found.distances[..., :k], exists) - self._agreement * disagreement
        weights = torch.softmax(closeness.masked_fill(~counts, -torch.inf), 2)
        return Analogue(
            weights,
            mean_rows(self._keys.numbers, rows, weights),
            mean_rows(self._own.numbers, rows, weights),
            mean_rows(self._own.numbers, rows + left.clamp(max=steps), weights),
            average(weights, taken.flatten(3)).reshape(*weights.shape[:2], *taken.shape[3:]),
        )


def log_kernel(distances: Tensor, exists: Tensor) -> Tensor:
    """Logarithms (..., k) of weights that fall exponentially with squared distance, on the scale of their own mean."""
    known = torch.where(exists, distances, 0)
    scale = known.sum(-1, keepdim=True) / exists.sum(-1, keepdim=True).clamp(min=1)
    return -known / (scale + 1e-12)


def mean_rows(table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """The weighted means of rows of a table: (P, N, n), (P, Q, k) int64 and (P, Q, k) to (P, Q, n).

    Nothing is gathered before it is summed, which for thousands of queries would not fit in a cache.
    """
    blocks, count, _ = table.shape
    place = (rows + count * torch.arange(blocks)[:, None, None]).flatten(0, 1)
    means = torch.nn.functional.embedding_bag(
        place, table.flatten(0, 1), per_sample_weights=weights.flatten(0, 1), mode="sum"
    )
    return means.reshape(*rows.shape[:2], -1)


def average(weights: Tensor, values: Tensor) -> Tensor:
    """Weights (..., k) and values (..., k, n) to (..., n)."""
    return (weights[..., None, :] @ values)[..., 0, :]


def joined(parts: list[Found]) -> Found:
    """The answers to consecutive parts of a batch, as one."""
    names = ("asked", "present", "rows", "distances")
    return Found(parts[0].context, *(torch.cat([getattr(p, name) for p in parts], 1) for name in names))
