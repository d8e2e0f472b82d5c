"""Memories and data sets as they are browsed: their episodes, frames and curves, and what looks like a frame."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from memworld.actions import column_names
from memworld.datasets import DatasetInfo, EpisodeEntry
from memworld.errors import MemworldError
from memworld.play.pngs import png_shape, read_png
from memworld.play.seen import Seen
from memworld.play.stage import Stage


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
    def like(self, frame: np.ndarray, count: int) -> Seen:
        """The recorded moments most like a frame, uint8 (H, W, C), the nearest first."""

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """What it is, in plain JSON values."""

    def like_recorded(self, index: int, step: int, count: int) -> Seen:
        """The recorded moments most like one of them."""
        return self.like(self.frame(index, step), count)

    def known(self, index: int) -> Curves | None:
        """One episode, if it need not be read for that."""
        return self.curves(index)

    def summed(self, index: int) -> Curves:
        """One episode, of which no frames are going to be asked for.

        Raises:
            MemworldError: it is damaged.
        """
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

    def listed(self, offset: int, limit: int, read: bool = False) -> dict[str, Any]:
        """Some of the episodes, in plain JSON values.

        Args:
            offset: the first of them.
            limit: how many.
            read: whether to read one of which not all is known, which may take a while.
        """
        first, limit = max(0, offset), 1 if read else limit
        told = []
        for index in range(first, min(len(self.entries), first + max(0, min(limit, 1000)))):
            known = self.summed(index) if read else self.known(index)
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

    def found(self, picture: bytes, count: int) -> tuple[Seen, tuple[int, int]]:
        """The recorded moments most like a picture, a PNG, which is resized for that; and its height and width.

        Raises:
            MemworldError: it is none, or is too large.
        """
        return self.like(read_png(picture, self.info.observation_shape), count), png_shape(picture)

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
