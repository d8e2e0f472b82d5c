"""Pieces of remembered episodes: cut, joined again where two that follow each other are kept, and as episodes."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from memworld.datasets import EpisodeEntry
from memworld.memory import Memory, MemoryEpisode
from memworld.stored_frames import StoredFrames


@dataclass(frozen=True, order=True)
class Piece:
    """Steps of an episode that follow each other.

    Attributes:
        episode: place of the episode in the memory.
        first: the step at which it begins.
        last: the step whose frame is its last: it has `last - first` transitions.
    """

    episode: int
    first: int
    last: int

    @property
    def rows(self) -> int:
        """Rows that it takes as an episode of its own."""
        return self.last - self.first + 1


def cut(entries: Sequence[EpisodeEntry], steps: int) -> list[Piece]:
    """All episodes in pieces of about so many steps, each frame between two pieces in both."""
    pieces = []
    for place, entry in enumerate(entries):
        ends = np.linspace(0, entry.steps, max(1, round(entry.steps / steps)) + 1).round().astype(int).tolist()
        pieces += [Piece(place, first, last) for first, last in itertools.pairwise(ends)]
    return pieces


def join(pieces: Iterable[Piece]) -> list[Piece]:
    """The same steps in as few pieces as can be, in order."""
    joined: list[Piece] = []
    for piece in sorted(pieces):
        before = joined[-1] if joined else None
        if before is not None and (before.episode, before.last) == (piece.episode, piece.first):
            joined[-1] = replace(before, last=piece.last)
        else:
            joined.append(piece)
    return joined


@dataclass(frozen=True)
class PieceFrames(StoredFrames):
    """Some of the frames of an episode that are stored.

    Attributes:
        whole: the episode's.
        first: the step at which these begin.
    """

    whole: StoredFrames
    first: int

    def take(self, steps: Sequence[int] | np.ndarray) -> np.ndarray:
        """The frames of these steps of the piece; see `StoredFrames`."""
        return self.whole.take(np.asarray(steps, np.int64) + self.first)


def remembered(memory: Memory, pieces: Sequence[Piece]) -> Memory:
    """A memory of these pieces alone, as episodes; an episode that is kept whole stays itself.

    A piece that ends before its episode did is truncated there, and its source says what it is a piece of
    (`EpisodeEntry.origin`).
    """
    episodes = [_as_episode(memory.episodes[piece.episode], piece) for piece in pieces]
    own = memory
    return Memory.restore(
        own.info, own.encoder_fingerprint, own.latent_shape, own.seed, own.keep_frames, episodes=episodes
    )


def _as_episode(episode: MemoryEpisode, piece: Piece) -> MemoryEpisode:
    entry, steps = episode.entry, slice(piece.first, piece.last)
    if (piece.first, piece.last) == (0, entry.steps):
        return episode
    origin, begins = entry.origin
    first = begins + piece.first
    source = {**entry.source, "piece_of": origin, "first_step": first}
    truncations = np.array(episode.truncations[steps])
    truncations[-1] |= piece.last < entry.steps
    return MemoryEpisode(
        EpisodeEntry(_name(origin, first), piece.last - piece.first, source),
        episode.latents[piece.first : piece.last + 1],
        episode.actions[steps],
        episode.rewards[steps],
        episode.terminations[steps],
        truncations,
        _frames_of(episode.frames, piece),
    )


def _frames_of(frames: np.ndarray | StoredFrames | None, piece: Piece) -> np.ndarray | StoredFrames | None:
    if isinstance(frames, StoredFrames):
        return PieceFrames(frames.path, (piece.rows, *frames.shape[1:]), frames, piece.first)
    return None if frames is None else frames[piece.first : piece.last + 1]


def _name(origin: str, first: int) -> str:
    """The id of a piece; ids have at most 128 characters."""
    step = f"-{first:06}"
    return origin[: 128 - len(step)] + step
