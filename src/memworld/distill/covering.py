"""Which pieces to keep: those from which all moments are nearest, found greedily.

A moment is compared with those of every piece, together with the moment before it, so that it shows how
things move; of latents in a grid, each quarter of the picture by itself, since parts repeat where wholes do
not. What a set of pieces leaves uncovered is the mean distance of all moments to their nearest kept ones.
That is facility location, a submodular function: the greedy choice, each time the piece that gains most for
its rows, is provably within a constant factor of the best (Nemhauser, Wolsey and Fisher 1978), and most gains
need not be computed again, since they only shrink (Minoux 1978).

No moment is covered by its own episode: what pieces are worth in a new episode is what counts, and there
nothing is as near as the next frame.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from memworld.analogues.blocks import Scale
from memworld.analogues.blocks import cut as cut_latent
from memworld.contexts import rows_back
from memworld.distill.pieces import Piece, cut, join
from memworld.errors import MemworldError
from memworld.evaluate.experiments.distances import evenly
from memworld.memory import Memory, Rows

_ENTRIES = 1 << 28
"""Distances between moments and pieces that are held at once, 1 GB: of more pieces fewer moments are looked at."""

_CHUNK = 1 << 14
"""Rows that are compared at once."""


@dataclass(frozen=True)
class DistillConfig:
    """How pieces are cut and compared.

    Attributes:
        piece: steps of a piece, about.
        context: moments that are compared; more than 1 tell how things move.
        targets: moments, evenly spaced, that are to be covered; fewer where there are very many pieces.

    Raises:
        MemworldError: a number below 1.
    """

    piece: int = 100
    context: int = 2
    targets: int = 2048

    def __post_init__(self) -> None:
        for name in ("piece", "context", "targets"):
            if getattr(self, name) < 1:
                raise MemworldError(f"{name} must be at least 1, got {getattr(self, name)}")


@dataclass(frozen=True, eq=False)
class Choice:
    """Pieces in the order in which they are worth keeping.

    Attributes:
        pieces: the first is worth most for its rows, each next one beside those before it.
        uncovered: (P,) float64 mean distance of moments to the nearest of the first 1 to P pieces.
    """

    pieces: tuple[Piece, ...]
    uncovered: np.ndarray

    def within(self, rows: int) -> list[Piece]:
        """As many of the first pieces as take at most so many rows, joined, in order of episodes and steps."""
        count = int(np.searchsorted(np.cumsum([piece.rows for piece in self.pieces]), rows, side="right"))
        return join(self.pieces[:count])


def choose(memory: Memory, rows: int, config: DistillConfig | None = None, progress: bool = False) -> Choice:
    """Put pieces of a memory in the order in which they are worth keeping, until so many rows are taken.

    Raises:
        MemworldError: the memory is empty, or not one piece has room in `rows`.
    """
    config = config or DistillConfig()
    pieces = cut(memory.entries, config.piece)
    distances = _distances(memory.rows, memory.latent_shape, pieces, config, progress)
    order, uncovered = greedily(distances, np.array([piece.rows for piece in pieces]), rows)
    if not order:
        least = min(piece.rows for piece in pieces)
        raise MemworldError(f"{rows} rows have no room for a piece, of at least {least}: ask for more, or shorter ones")
    return Choice(tuple(pieces[i] for i in order), uncovered)


def greedily(distances: np.ndarray, costs: np.ndarray, budget: int) -> tuple[list[int], np.ndarray]:
    """Choose columns, each time the one that lowers the rows' minima most for its cost.

    Args:
        distances: float32 (Q, P), finite.
        costs: (P,) above 0.
        budget: what the chosen may cost together; one that is too dear is passed over.

    Returns:
        The chosen columns in order, ties to the lower one, and (chosen,) the mean minimum after each. Before the
        first every minimum is the largest distance.
    """
    nearest = np.full(len(distances), distances.max(initial=0), np.float32)
    columns = np.ascontiguousarray(distances.T)

    def gain(column: int) -> float:
        return float(np.maximum(nearest - columns[column], 0).sum(dtype=np.float64) / costs[column])

    # Gains only shrink: one that was computed earlier is an upper bound, and the best is it if it stays on top.
    waiting = [(-gain(column), column) for column in range(len(costs))]
    heapq.heapify(waiting)
    order: list[int] = []
    uncovered: list[float] = []
    while waiting:
        _, column = heapq.heappop(waiting)
        if costs[column] > budget:
            continue
        now = (-gain(column), column)
        if waiting and now > waiting[0]:
            heapq.heappush(waiting, now)
            continue
        order.append(column)
        budget -= int(costs[column])
        nearest = np.minimum(nearest, columns[column])
        uncovered.append(float(nearest.mean(dtype=np.float64)))
    return order, np.array(uncovered)


def _distances(
    rows: Rows, latent_shape: Sequence[int], pieces: Sequence[Piece], config: DistillConfig, progress: bool
) -> np.ndarray:
    """Of every target the distance to the nearest moment of every piece, float32 (targets * blocks, P).

    Those to pieces of its own episode are the largest of all; where there is one episode, to its own piece.
    """
    parts = parts_of(latent_shape)
    piece_of = _piece_of(rows, pieces)
    candidates = rows.candidates
    most = min(config.targets, max(1, _ENTRIES // (len(parts) * len(pieces))))
    targets = candidates[torch.from_numpy(evenly(len(candidates), most))]
    found = torch.full((len(parts), len(targets), len(pieces)), torch.inf)
    with tqdm(total=len(parts) * len(candidates), desc="compare", unit="row", disable=not progress) as bar:
        for own, nearest in zip(parts, found, strict=True):
            asked = _keys(rows, targets, config.context, own)
            for chunk in torch.split(candidates, _CHUNK):
                apart = torch.cdist(asked, _keys(rows, chunk, config.context, own))
                nearest.scatter_reduce_(1, piece_of[chunk].expand(len(targets), -1), apart, "amin")
                bar.update(len(chunk))
    single = int(rows.episodes[-1]) == 0
    owners = piece_of[targets] if single else rows.episodes[targets]
    theirs = torch.arange(len(pieces)) if single else torch.tensor([piece.episode for piece in pieces])
    same = owners[:, None] == theirs
    found.masked_fill_(same, -torch.inf)
    found.masked_fill_(same, float(found.max().clamp(min=0)))
    return found.flatten(0, 1).numpy()


def parts_of(latent_shape: Sequence[int]) -> Tensor:
    """The quarters of a grid of latents, if it has any, else the whole: (parts, C) int64 places in the latent."""
    whole = Scale(block=0, margin=0, components=1, threads=(1,))
    if len(latent_shape) == 3:
        height, width = latent_shape[1:]
        block = min(height, width) // 2
        if block >= 2 and height % block == 0 and width % block == 0:
            return cut_latent(latent_shape, Scale(block, margin=0, components=1, threads=(1,))).own
    return cut_latent(latent_shape, whole).own


def _keys(rows: Rows, chosen: Tensor, context: int, own: Tensor) -> Tensor:
    """Moments and those before them, in some places of the latent: (n, context * C)."""
    return rows.latents.mu[rows_back(rows, chosen, context)][..., own].flatten(1)


def _piece_of(rows: Rows, pieces: Sequence[Piece]) -> Tensor:
    """(N,) int64: the piece in which each row is, the later one where a frame is in two."""
    begins = torch.nonzero(rows.steps == 0)[:, 0]
    starts = begins[torch.tensor([p.episode for p in pieces])] + torch.tensor([p.first for p in pieces])
    return torch.searchsorted(starts, torch.arange(len(rows)), right=True) - 1
