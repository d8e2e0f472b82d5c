"""A data set as it is browsed."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from memworld.datasets import DatasetInfo, EpisodeDataset, EpisodeEntry
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.formats import open_dataset
from memworld.play.seen import PixelIndex, Seen
from memworld.play.sources import Curves, Source

_LOADED = 4
"""Episodes of a data set that are kept in memory."""


class DatasetSource(Source):
    """Recorded episodes in any format that memworld reads."""

    kind = "dataset"

    def __init__(self, name: str, title: str, path: Path) -> None:
        """Nothing is opened yet."""
        super().__init__(name, title)
        self._path = path
        self._loaded: dict[int, tuple[Curves, np.ndarray]] = {}
        self._curves: dict[int, Curves] = {}

    @cached_property
    def _dataset(self) -> EpisodeDataset:
        if (self._path / "encoder.json").is_file():
            raise MemworldError(
                "this is an encoder, not episodes or a memory: it lies beside those that it was made for"
            )
        return open_dataset(self._path)

    @cached_property
    def _pixels(self) -> PixelIndex:
        return PixelIndex(self.dataset)

    @property
    def dataset(self) -> EpisodeDataset:
        """The data set.

        Raises:
            MemworldError: it is missing or damaged.
        """
        with self._lock:
            return self._dataset

    @property
    def info(self) -> DatasetInfo:
        """What its episodes share."""
        return self.dataset.info

    @property
    def entries(self) -> Sequence[EpisodeEntry]:
        """Its episodes."""
        return self.dataset.entries

    def curves(self, index: int) -> Curves:
        """One episode."""
        return self.known(index) or self._episode(index)[0]

    def known(self, index: int) -> Curves | None:
        """One episode, if it was read already."""
        return self._curves.get(index)

    def summed(self, index: int) -> Curves:
        """One episode, read if it was not, without what it takes up staying in memory."""
        known = self.known(index)
        if known is None:
            self.entry(index)
            with self._lock:
                known = self._curves[index] = _curves(self.dataset[index])
        return known

    def frames(self, index: int, steps: Sequence[int]) -> np.ndarray:
        """Frames of an episode."""
        found: np.ndarray = self._episode(index)[1][np.asarray(steps, np.int64)]
        return found

    def like(self, frame: np.ndarray, count: int) -> Seen:
        """The recorded moments most like a frame, by their pixels, seen from afar."""
        with self._searching:
            return self._pixels.like(frame, count)

    def about(self) -> dict[str, Any]:
        """What it is, in plain JSON values."""
        why = "these are recorded episodes: memworld remember makes a memory of them, which can be played"
        playable = {"playable": False, "keys": None, "settings": None, "map": False, "real": False}
        return {**self._described(), **playable, "why_not": why, "why_not_real": None}

    def _episode(self, index: int) -> tuple[Curves, np.ndarray]:
        """One episode and its frames, read unless it was lately."""
        self.entry(index)
        with self._lock:
            found = self._loaded.pop(index, None)
            if found is None:
                episode = self.dataset[index]
                self._curves[index] = _curves(episode)
                found = self._curves[index], episode.observations
            self._loaded[index] = found
            while len(self._loaded) > _LOADED:
                del self._loaded[next(iter(self._loaded))]
            return found


def _curves(episode: Episode) -> Curves:
    """An episode without its frames."""
    return Curves(episode.actions, episode.rewards, bool(episode.terminations[-1]))
