"""What one server shows: memories and data sets, by the names that addresses know them by."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from memworld.errors import MemworldError
from memworld.inspection import is_memory
from memworld.play.dataset_source import DatasetSource
from memworld.play.memory_source import MemorySource
from memworld.play.sources import Source


class Library:
    """Memories and data sets, opened when they are first asked for."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Give each path a name.

        Args:
            paths: folders of memories, and what `open_dataset` takes.
        """
        self.sources: dict[str, Source] = {}
        for path in paths:
            name = self._free_name(path)
            make = MemorySource if is_memory(path) else DatasetSource
            self.sources[name] = make(name, str(path), path)
        self._about: dict[str, dict[str, Any]] = {}

    def source(self, name: Any) -> Source:
        """The source of a name.

        Raises:
            MemworldError: there is none.
        """
        if not isinstance(name, str) or name not in self.sources:
            raise MemworldError(f"there is no source {str(name)[:60]!r}: use {', '.join(self.sources)}")
        return self.sources[name]

    def about(self) -> list[dict[str, Any]]:
        """All sources in plain JSON values; of one that cannot be opened, why."""
        for name, source in self.sources.items():
            if name not in self._about:
                try:
                    self._about[name] = source.about()
                except MemworldError as error:
                    self._about[name] = _damaged(source, str(error))
        return list(self._about.values())

    def _free_name(self, path: Path) -> str:
        """A name for a path that no other has, of letters that stand in an address as they are."""
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", path.resolve().name).strip("-")[:40] or "source"
        name, number = stem, 2
        while name in self.sources:
            name, number = f"{stem}-{number}", number + 1
        return name


def _damaged(source: Source, why: str) -> dict[str, Any]:
    """What is said of a source that cannot be opened."""
    nothing = dict.fromkeys(("episodes", "steps", "frame", "keys", "settings", "why_not_real"))
    return {
        "name": source.name,
        "title": source.title,
        "kind": source.kind,
        "world": "",
        "playable": False,
        "why_not": why,
        "map": False,
        "real": False,
        **nothing,
    }
