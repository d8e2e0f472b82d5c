"""What can be opened and browsed: memories and data sets, by the names that addresses know them by."""

import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from memworld.errors import MemworldError
from memworld.inspection import is_memory
from memworld.play.keys import default_keys
from memworld.play.stage import Stage
from memworld.world_model import WorldModel


class Source:
    """A memory or a data set."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path
        self._lock = threading.Lock()
        self._stage: Stage | None = None
        self._about: dict[str, Any] | None = None

    def stage(self) -> Stage:
        """The memory, opened when it is first asked for.

        Raises:
            MemworldError: it is no memory, or is empty or damaged.
        """
        with self._lock:
            if self._stage is None:
                self._stage = Stage(WorldModel.open(self.path))
            return self._stage

    def about(self) -> dict[str, Any]:
        """What it is, in plain JSON values."""
        stage = self.stage()
        info = stage.memory.info
        taken = np.concatenate([episode.actions for episode in stage.memory.episodes])
        return {
            "name": self.name,
            "title": str(self.path),
            "kind": "memory",
            "path": str(self.path),
            "world": info.world,
            "episodes": len(stage.memory.entries),
            "steps": stage.memory.steps,
            "frame": list(info.observation_shape),
            "playable": True,
            "why_not": None,
            "keys": default_keys(info, taken),
            "settings": stage.choices.to_json(),
            "map": True,
            "real": False,
            "why_not_real": "not yet",
        }


class Library:
    """All that one server shows."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.sources: dict[str, Source] = {}
        for path in paths:
            name = re.sub(r"[^A-Za-z0-9_-]+", "-", path.name).strip("-") or "source"
            while name in self.sources:
                name += "-2"
            self.sources[name] = Source(name, path)

    def source(self, name: str) -> Source:
        """The source of a name.

        Raises:
            MemworldError: there is none.
        """
        if name not in self.sources:
            raise MemworldError(f"there is no source {name[:60]!r}")
        return self.sources[name]
