"""Memories and data sets as they are browsed: their episodes, frames and curves, and what looks like a frame."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from memworld.actions import column_names
from memworld.datasets import DatasetInfo, EpisodeDataset, EpisodeEntry
from memworld.errors import MemworldError
from memworld.formats import open_dataset
from memworld.play.keys import default_keys
from memworld.play.panels import Neighbour
from memworld.play.pngs import read_png
from memworld.play.real import world_of
from memworld.play.seen import PixelIndex, Recall
from memworld.play.stage import Stage
from memworld.world_model import WorldModel

_LOADED = 4
"""Episodes of a data set that are kept in memory."""


@dataclass(frozen=True, eq=False)
class Curves:
    """One episode without its frames.

    Attributes:
        actions: (T,) or (T, A), in the stored form.
        rewards: (T,).
        terminated: whether the world ended it.
    """

    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool


class Source(ABC):
    """A memory or a data set, by the name that addresses know it by."""

    kind: str

    def __init__(self, name: str, title: str) -> None:
        """Nothing is opened yet."""
        self.name, self.title = name, title
        self._lock, self._searching = threading.RLock(), threading.Lock()

    @property
    @abstractmethod
    def info(self) -> DatasetInfo:
        """What its episodes share."""

    @property
    @abstractmethod
    def entries(self) -> Sequence[EpisodeEntry]:
        """Its episodes."""

    @abstractmethod
    def curves(self, index: int) -> Curves:
        """One episode."""

    @abstractmethod
    def frames(self, index: int, steps: Sequence[int]) -> np.ndarray:
        """Frames of an episode, uint8 (n, H, W, C)."""

    @abstractmethod
    def like(self, frame: np.ndarray, count: int) -> list[Neighbour]:
        """The recorded moments most like a frame, uint8 (H, W, C), the nearest first."""

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """What it is, in plain JSON values."""

    def like_recorded(self, index: int, step: int, count: int) -> list[Neighbour]:
        """The recorded moments most like one of them."""
        return self.like(self.frame(index, step), count)

    def known(self, index: int) -> Curves | None:
        """One episode, if it need not be read for that."""
        return self.curves(index)

    def stage(self) -> Stage:
        """What dreams in it share.

        Raises:
            MemworldError: there are none.
        """
        count = len(self.entries)  # or what is wrong with it is said
        raise MemworldError(f"{self.title} holds {count} recorded episodes: remember them, and play the memory")

    def entry(self, index: int) -> EpisodeEntry:
        """What is known of an episode.

        Raises:
            MemworldError: there is no such episode.
        """
        if not 0 <= index < len(self.entries):
            raise MemworldError(f"{self.title} has episodes 0 to {len(self.entries) - 1}, not {index}")
        return self.entries[index]

    def frame(self, index: int, step: int) -> np.ndarray:
        """One frame, uint8 (H, W, C).

        Raises:
            MemworldError: there is no such moment, or it cannot be read.
        """
        steps = self.entry(index).steps
        if not 0 <= step <= steps:
            raise MemworldError(f"episode {index} has steps 0 to {steps}, not {step}")
        found: np.ndarray = self.frames(index, [step])[0]
        return found

    def strip(self, index: int, count: int) -> np.ndarray:
        """So many frames of an episode side by side, evenly spaced, uint8 (H, W, C)."""
        steps = np.unique(np.linspace(0, self.entry(index).steps, count).round().astype(int))
        return np.concatenate(list(self.frames(index, steps.tolist())), 1)

    def listed(self, offset: int, limit: int) -> dict[str, Any]:
        """Some of the episodes, in plain JSON values."""
        first = max(0, offset)
        told = []
        for index in range(first, min(len(self.entries), first + max(0, min(limit, 1000)))):
            known = self.known(index)
            about = {"index": index, "id": self.entries[index].id, "steps": self.entries[index].steps}
            gained = None if known is None else float(known.rewards.sum(dtype=np.float64))
            told.append({**about, "return": gained, "terminated": None if known is None else known.terminated})
        return {"total": len(self.entries), "episodes": told}

    def told(self, index: int) -> dict[str, Any]:
        """One episode, in plain JSON values."""
        entry, curves = self.entry(index), self.curves(index)
        discrete = curves.actions.ndim == 1
        return {
            "index": index,
            "id": entry.id,
            "steps": entry.steps,
            "rewards": curves.rewards.tolist(),
            "actions": curves.actions.tolist(),
            "labels": list(self.info.action_names) if discrete else [],
            "columns": list(column_names(self.info.action_space, self.info.action_names)),
            "terminated": curves.terminated,
            "source": dict(entry.source),
        }

    def found(self, picture: bytes, count: int) -> list[Neighbour]:
        """The recorded moments most like a picture, a PNG.

        Raises:
            MemworldError: it is none, or is too large.
        """
        return self.like(read_png(picture, self.info.observation_shape), count)

    def _described(self) -> dict[str, Any]:
        """What is said of memories and data sets alike."""
        info, entries = self.info, self.entries
        return {
            "name": self.name,
            "title": self.title,
            "kind": self.kind,
            "world": info.world,
            "episodes": len(entries),
            "steps": sum(entry.steps for entry in entries),
            "frame": list(info.observation_shape),
        }


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

    def like(self, frame: np.ndarray, count: int) -> list[Neighbour]:
        """The recorded moments most like a frame, as Replay-KL compares them."""
        with self._searching:
            return self._recall.like(frame, count)

    def like_recorded(self, index: int, step: int, count: int) -> list[Neighbour]:
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

    def frames(self, index: int, steps: Sequence[int]) -> np.ndarray:
        """Frames of an episode."""
        found: np.ndarray = self._episode(index)[1][np.asarray(steps, np.int64)]
        return found

    def like(self, frame: np.ndarray, count: int) -> list[Neighbour]:
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
                curves = Curves(episode.actions, episode.rewards, bool(episode.terminations[-1]))
                found = curves, episode.observations
                self._curves[index] = curves
            self._loaded[index] = found
            while len(self._loaded) > _LOADED:
                del self._loaded[next(iter(self._loaded))]
            return found
