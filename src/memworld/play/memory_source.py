"""A memory as it is browsed and played."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from memworld.datasets import DatasetInfo, EpisodeEntry
from memworld.errors import MemworldError
from memworld.play.keys import default_keys
from memworld.play.real import world_of
from memworld.play.seen import Recall, Seen
from memworld.play.sources import Curves, Source
from memworld.play.stage import Stage
from memworld.world_model import WorldModel


class MemorySource(Source):
    """A memory, which can be dreamt in."""

    kind = "memory"

    def __init__(self, name: str, title: str, path: Path) -> None:
        """Nothing is opened yet."""
        super().__init__(name, title)
        self._path = path

    @cached_property
    def _world(self) -> WorldModel:
        return WorldModel.open(self._path)

    @property
    def world(self) -> WorldModel:
        """The memory as it was when it was first asked for.

        Raises:
            MemworldError: it is missing or damaged.
        """
        with self._lock:
            return self._world

    @cached_property
    def _stage(self) -> Stage:
        return Stage(self.world)

    @cached_property
    def _recall(self) -> Recall:
        return Recall(self.stage())

    def stage(self) -> Stage:
        """What dreams in it share."""
        with self._lock:
            return self._stage

    @property
    def info(self) -> DatasetInfo:
        """What its episodes share."""
        return self.world.memory.info

    @property
    def entries(self) -> Sequence[EpisodeEntry]:
        """Its episodes."""
        return self.world.memory.entries

    def curves(self, index: int) -> Curves:
        """One episode."""
        self.entry(index)
        episode = self.world.memory.episodes[index]
        return Curves(episode.actions, episode.rewards, bool(episode.terminations[-1]))

    def frames(self, index: int, steps: Sequence[int]) -> np.ndarray:
        """Frames of an episode; decoded ones where none are kept."""
        stage = self.stage()
        return stage.frames([stage.row(index, step) for step in steps])

    def like(self, frame: np.ndarray, count: int) -> Seen:
        """The recorded moments most like a frame, as Replay-KL compares them."""
        with self._searching:
            return self._recall.like(frame, count)

    def like_recorded(self, index: int, step: int, count: int) -> Seen:
        """The recorded moments most like one of them, which need not be encoded again."""
        row = self.stage().row(index, step)
        with self._searching:
            return self._recall.like_row(row, count)

    def about(self) -> dict[str, Any]:
        """What it is, and how it is played, in plain JSON values."""
        told, memory = self._described(), self.world.memory
        playable = {"playable": False, "keys": None, "settings": None, "map": False, "real": False}
        try:
            stage = self.stage()
        except MemworldError as error:  # it is empty
            return {**told, **playable, "why_not": str(error), "why_not_real": None}
        try:
            world_of(memory)
            why_not_real = None
        except MemworldError as error:
            why_not_real = str(error)
        taken = np.concatenate([episode.actions for episode in memory.episodes])
        return {
            **told,
            "playable": True,
            "why_not": None,
            "keys": default_keys(self.info, taken),
            "settings": stage.choices.to_json(),
            "map": True,
            "real": why_not_real is None,
            "why_not_real": why_not_real,
        }
