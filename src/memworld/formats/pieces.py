"""Long episodes as several shorter ones, so that no more than one of those need be in memory."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from memworld.datasets import EpisodeDataset, EpisodeEntry
from memworld.episodes import Episode


@dataclass(frozen=True)
class Piece:
    """A stretch of an episode, from step `start` to before step `stop`.

    Attributes:
        entry: what is known of it; its source says `piece_of` and `first_step`. An episode that is
            not cut has its own entry.
        whole: the entry of the episode.
        start: its first step.
    """

    entry: EpisodeEntry
    whole: EpisodeEntry
    start: int

    @property
    def stop(self) -> int:
        """The step before which it ends."""
        return self.start + self.entry.steps

    @property
    def is_whole(self) -> bool:
        """Whether the episode is not cut."""
        return self.entry is self.whole

    def of(self, episode: Episode) -> Episode:
        """This stretch of the whole episode; it is truncated where the episode goes on."""
        if self.is_whole:
            return episode
        names = ("actions", "rewards", "terminations", "truncations", "states")
        frames = np.array(episode.observations[self.start : self.stop + 1])
        return self.cut(frames, {name: getattr(episode, name) for name in names})

    def cut(self, observations: np.ndarray, arrays: Mapping[str, Any]) -> Episode:
        """This stretch, of its own frames and of the arrays of the whole episode.

        Args:
            observations: uint8 (stop - start + 1, H, W, C).
            arrays: those of `Episode`, of the whole one's T steps; states may be None.
        """
        steps, states = slice(self.start, self.stop), arrays["states"]
        goes_on = (np.arange(self.start, self.stop) == self.stop - 1) & (self.stop < self.whole.steps)
        return Episode(
            self.entry.id,
            observations,
            arrays["actions"][steps],
            arrays["rewards"][steps],
            arrays["terminations"][steps],
            arrays["truncations"][steps] | goes_on,
            None if states is None else states[self.start : self.stop + 1],
            self.entry.source,
        )


def pieces_of(entries: Iterable[EpisodeEntry], most: int | None) -> list[Piece]:
    """Cut episodes into pieces of at most `most` steps, called ID.000 and so on; None cuts nothing."""
    pieces = []
    for entry in entries:
        if most is None or entry.steps <= most:
            pieces.append(Piece(entry, entry, 0))
            continue
        for number, start in enumerate(range(0, entry.steps, most)):
            source = {**entry.source, "piece_of": entry.id, "first_step": start}
            steps = min(most, entry.steps - start)
            pieces.append(Piece(EpisodeEntry(f"{entry.id}.{number:03d}", steps, source), entry, start))
    return pieces


def in_pieces(dataset: EpisodeDataset, most: int) -> EpisodeDataset:
    """The same data set with its longer episodes in pieces; the episode that was cut last is kept in memory."""
    if all(entry.steps <= most for entry in dataset.entries):
        return dataset
    pieces = {piece.entry.id: piece for piece in pieces_of(dataset.entries, most)}
    kept: list[Episode] = []

    def load(episode_id: str) -> Episode:
        piece = pieces[episode_id]
        if not kept or kept[0].id != piece.whole.id:
            kept.clear()  # before the next one is loaded, not after
            kept.append(dataset.load(piece.whole.id))
        episode = piece.of(kept[0])
        if piece.stop == piece.whole.steps:
            kept.clear()
        return episode

    entries = [piece.entry for piece in pieces.values()]
    return EpisodeDataset(dataset.info, entries, load, dataset.root, dataset.left_out)
