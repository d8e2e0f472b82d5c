"""The index of a stored memory whose shards lie on the workers of a cluster: exact, and whole or an error.

What is new after a refresh becomes shards of its own, joined with what came before it as `search.growing` does it:
shards made at once form a level, and a level with at most twice the rows of all that comes after it is made anew
with that, cut into shards for all workers.
"""

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from memworld.cluster.connecting import Cluster
from memworld.cluster.pieces import Piece, pieces_of
from memworld.cluster.shard import Holding, Search, packed_query, unpacked_matches
from memworld.cluster.workers import Workers
from memworld.errors import MemworldError
from memworld.memory import Memory
from memworld.search import Matches, Query, check_k
from memworld.search.growing import kept_apart
from memworld.search.merging import merge
from memworld.store import Stored

_LEAST = 10_000
"""Rows of a piece at least, of what is new; of a whole memory each worker has one, however small."""


@dataclass(frozen=True)
class Level:
    """Pieces that were cut at once.

    Attributes:
        first: the row of memory at which they begin.
        pieces: in order of rows.
        workers: the number of the worker that holds each.
    """

    first: int
    pieces: tuple[Piece, ...]
    workers: tuple[int, ...]


class ClusterIndex:
    """The index of a memory, in shards on a cluster; see `Index`."""

    def __init__(self, workers: Workers, levels: tuple[Level, ...], rows: int) -> None:
        """Join levels, in the order of their rows, to the index of a memory of so many rows."""
        self.workers, self.levels, self.rows = workers, levels, rows
        self._held: dict[int, tuple[Piece, ...]] = _by_worker(levels)

    @classmethod
    def of(
        cls, cluster: Cluster, memory: Memory, search: Search, before: "ClusterIndex | None" = None
    ) -> "ClusterIndex":
        """Load the rows of a memory into shards, or of one that has grown those that are new, and wait for them.

        Args:
            cluster: where.
            memory: as it is stored in a folder that every machine sees.
            search: what for.
            before: made of what this memory has grown from; its workers and shards go into this, if they still can.

        Raises:
            MemworldError: the memory is empty, stored nowhere or changed since; a worker cannot load its shard;
                there is no GPU; or loading takes longer than the cluster's timeout.
        """
        stored = memory.stored
        if not isinstance(stored, Stored):
            raise MemworldError(
                "a cluster reads a memory from its folder, and this one is stored in none, or was changed since: save "
                "it, or open it from there (one of the first format after memworld compact)"
            )
        if not stored.version.rows:
            raise MemworldError("the memory is empty: remember at least one episode first")
        if before is not None and not before._continues(search, stored):
            before = None
        workers = cluster.start(search) if before is None else before.workers
        known = () if before is None else before.levels
        rows = stored.version.rows
        kept, first = kept_apart([level.first for level in known], before.rows if before else 0, rows)
        levels = known[:kept]
        if first < rows:
            parts = len(workers) if not kept else min(len(workers), math.ceil((rows - first) / _LEAST))
            pieces = pieces_of(stored, int(np.searchsorted(stored.arrays.starts, first)), parts)
            levels = (*levels, Level(first, pieces, _least_loaded(levels, len(workers))[: len(pieces)]))
        index = cls(workers, levels, rows)
        try:
            index.hold()
        except BaseException:
            if before is None:
                workers.end()
            raise
        return index

    def __len__(self) -> int:
        """How many rows may answer."""
        return sum(len(piece) for level in self.levels for piece in level.pieces)

    @property
    def episodes(self) -> int:
        """How many episodes the memory has."""
        return self.levels[-1].pieces[-1].episodes[1]

    def hold(self) -> tuple[Holding, ...]:
        """Wait until every worker has its shards, and say what it holds.

        Raises:
            MemworldError: as `of`.
        """
        return tuple(self.workers.ask("hold", {worker: (pieces,) for worker, pieces in self._held.items()}))

    def nearest(self, query: Query, k: int) -> Matches:
        """The k nearest rows of all memory; see `Index`.

        Raises:
            MemworldError: k or a query that does not fit, or a worker that does not answer.
        """
        check_k(k, self)
        return merge(self._ask("nearest", query, k), k)

    def nearest_per_episode(self, query: Query) -> Matches:
        """The nearest row of each episode; see `Index`.

        Raises:
            MemworldError: a query that does not fit, or a worker that does not answer.
        """
        return merge(self._ask("nearest_per_episode", query), self.episodes)

    def _ask(self, method: str, query: Query, *rest: int) -> list[Matches]:
        asked = self.workers.shared(packed_query(query))
        messages = {worker: (pieces, asked, *rest) for worker, pieces in self._held.items()}
        return [unpacked_matches(answer) for answer in self.workers.ask(method, messages)]

    def _continues(self, search: Search, stored: Stored) -> bool:
        """Whether the workers and shards of this serve a search of what is stored now."""
        pieces = [piece for level in self.levels for piece in level.pieces]
        return self.workers.connected and self.workers.search == search and all(p.lies_in(stored) for p in pieces)


def _by_worker(levels: tuple[Level, ...]) -> dict[int, tuple[Piece, ...]]:
    held: dict[int, tuple[Piece, ...]] = defaultdict(tuple)
    for level in levels:
        for worker, piece in zip(level.workers, level.pieces, strict=True):
            held[worker] += (piece,)
    return dict(held)


def _least_loaded(levels: tuple[Level, ...], workers: int) -> tuple[int, ...]:
    """The workers, those that hold the fewest rows first."""
    held = _by_worker(levels)
    return tuple(sorted(range(workers), key=lambda worker: sum(len(piece) for piece in held.get(worker, ()))))
