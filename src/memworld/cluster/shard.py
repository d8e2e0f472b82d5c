"""What a worker does, and knows nothing of Ray: it loads pieces of a memory, and answers for them."""

import logging
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from memworld.cluster.pieces import Piece
from memworld.errors import MemworldError
from memworld.gaussian import Latents
from memworld.lookup import candidates, weights
from memworld.search import Candidates, Matches, Query
from memworld.search.exact import ExactIndex
from memworld.search.growing import Part
from memworld.search.merging import merge

_log = logging.getLogger(__name__)

Packed = dict[str, Any]
"""A query or an answer as NumPy's arrays and plain values, as it travels."""


@dataclass(frozen=True)
class Search:
    """What shards are made for.

    Attributes:
        metric: a name in `gaussian.DISTANCES`.
        context: weights of the moments that are compared, the present first.
        by_action: whether rows of one action lie together, see `ExactIndex`.
        device: of the workers: `cpu`, `cuda` or `auto`.
    """

    metric: str
    context: tuple[float, ...] = (1.0,)
    by_action: bool = False
    device: str = "cpu"

    def index(self, keys: Candidates) -> ExactIndex:
        """The exact index of candidates, whose keys are of `context`.

        Raises:
            MemworldError: an unknown metric, a GPU that is not there, or latents that are not sound.
        """
        counts = weights(self.context, keys.dim // len(self.context))
        return ExactIndex(self.metric, keys, device=self.device, by_action=self.by_action, weights=counts)


class Shard:
    """An exact index of a piece, which answers in rows and episodes of the whole memory."""

    def __init__(self, piece: Piece, search: Search) -> None:
        """Map the piece's rows and index them; other rows are not read.

        Raises:
            MemworldError: see `Piece.read` and `Search.index`.
        """
        found = candidates(piece.read(), len(search.context))
        # The latents are the mapped file's: nobody gives the index those of a memory that has grown.
        self._part = Part(search.index(found), len(found), slice(*piece.rows), range(*piece.episodes), borrowed=None)

    def __len__(self) -> int:
        """How many rows may answer."""
        return self._part.candidates

    def nearest(self, query: Query, k: int) -> Matches:
        """The k nearest of the shard's rows, or as many as it has; see `Index`."""
        return self._part.answered(self._part.index.nearest(self._part.asked(query), min(k, len(self))))

    def nearest_per_episode(self, query: Query) -> Matches:
        """The nearest row of each of the shard's episodes; see `Index`."""
        return self._part.answered(self._part.index.nearest_per_episode(self._part.asked(query)))


@dataclass(frozen=True)
class Holding:
    """What a worker holds.

    Attributes:
        machine: its name.
        process: the number of the worker's process there.
        rows: how many may answer.
        seconds: that it took to load what was not loaded.
    """

    machine: str
    process: int
    rows: int
    seconds: float


class Shards:
    """The shards of one worker: every call says of which pieces, so that one that was started anew loads them again."""

    def __init__(self, search: Search, threads: int | None = None) -> None:
        """Begin with none.

        Args:
            search: what they are made for.
            threads: with which this process searches; None leaves it as it is.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        self._search = search
        self._shards: dict[Piece, Shard] = {}

    def hold(self, pieces: Sequence[Piece]) -> Holding:
        """Have the shards of these pieces ready, and of no others.

        Raises:
            MemworldError: one cannot be loaded; the message begins with the machine's name.
        """
        began = time.perf_counter()
        rows = sum(len(shard) for shard in self._of(pieces))
        return Holding(platform.node(), os.getpid(), rows, time.perf_counter() - began)

    def nearest(self, pieces: Sequence[Piece], asked: Packed, k: int) -> Packed:
        """The k nearest rows of these pieces, or as many as they have."""
        query, shards = unpacked_query(asked), self._of(pieces)
        width = min(k, sum(len(shard) for shard in shards))
        return packed_matches(merge([shard.nearest(query, k) for shard in shards], width))

    def nearest_per_episode(self, pieces: Sequence[Piece], asked: Packed) -> Packed:
        """The nearest row of each episode of these pieces."""
        query = unpacked_query(asked)
        answers = [shard.nearest_per_episode(query) for shard in self._of(pieces)]
        return packed_matches(merge(answers, sum(answer.rows.shape[1] for answer in answers)))

    def _of(self, pieces: Sequence[Piece]) -> list[Shard]:
        for piece in self._shards.keys() - set(pieces):  # before others take the room
            del self._shards[piece]
        for piece in pieces:
            if piece not in self._shards:
                _log.info("loading %s of %s", piece, piece.path)
                try:
                    self._shards[piece] = Shard(piece, self._search)
                except MemworldError as error:
                    raise MemworldError(f"worker on {platform.node()}: {error}") from error
        return [self._shards[piece] for piece in pieces]


def packed_query(query: Query) -> Packed:
    """A query as it travels."""
    found: Packed = {name: getattr(query.latents, name).numpy(force=True) for name in ("mu", "sigma", "z")}
    found |= {"conditioning": query.conditioning, "action_weight": query.action_weight}
    for name in ("actions", "exclude_episode"):
        value = getattr(query, name)
        found[name] = None if value is None else value.numpy(force=True)
    return found


def unpacked_query(packed: Packed) -> Query:
    """Undo `packed_query`."""
    latents = Latents(*(torch.tensor(packed[name]) for name in ("mu", "sigma", "z")))
    actions, excluded = (None if packed[n] is None else torch.tensor(packed[n]) for n in ("actions", "exclude_episode"))
    return Query(latents, actions, packed["conditioning"], packed["action_weight"], excluded)


def packed_matches(matches: Matches) -> Packed:
    """An answer as it travels."""
    return {name: getattr(matches, name).numpy() for name in ("rows", "distances", "penalties")}


def unpacked_matches(packed: Packed) -> Matches:
    """Undo `packed_matches`."""
    as_tensor: Callable[[np.ndarray], torch.Tensor] = torch.tensor  # a copy, as what has travelled cannot be written
    return Matches(*(as_tensor(packed[name]) for name in ("rows", "distances", "penalties")))
