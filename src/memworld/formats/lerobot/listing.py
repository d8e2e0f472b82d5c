"""What `meta/episodes` lists: which rows of which file, and which part of which video, an episode is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memworld.errors import MemworldError
from memworld.formats.lerobot.metadata import Metadata
from memworld.formats.tables import inside, open_parquet, read_parquet

_ROWS = ("dataset_from_index", "dataset_to_index", "data/chunk_index", "data/file_index", "length")
_PART = ("chunk_index", "file_index", "from_timestamp", "to_timestamp")
_MOST_INDEX = 10**12


@dataclass(frozen=True)
class Listed:
    """One row of the list.

    Attributes:
        index: the episode's number.
        table: the file of the list.
        values: what it says, by column; not checked yet.
    """

    index: int
    table: Path
    values: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The episode's id."""
        return f"episode-{self.index:06d}"

    @property
    def steps(self) -> int:
        """The number of transitions; 0 if the list is damaged there."""
        try:
            return max(self.whole("length") - 1, 0)
        except MemworldError:
            return 0

    def whole(self, name: str) -> int:
        """A whole number of the row, 0 or above.

        Raises:
            MemworldError: it is something else.
        """
        value = self.values.get(name)
        # Pandas turns integers into floats where one is missing.
        if isinstance(value, int | float) and value == value // 1 and 0 <= value <= _MOST_INDEX:
            return int(value)
        raise MemworldError(
            f"table {self.table} says {name} {value!r} of it: no whole number of 0 or above, correct it"
        )

    def seconds(self, name: str) -> float:
        """A time of the row, in seconds.

        Raises:
            MemworldError: it is none.
        """
        value = self.values.get(name)
        if isinstance(value, int | float) and math.isfinite(value) and value >= 0:
            return float(value)
        raise MemworldError(f"table {self.table} says {name} {value!r} of it: no time of 0 or above, correct it")

    @property
    def data(self) -> tuple[int, int]:
        """The chunk and the number of the file of its rows."""
        return self.whole("data/chunk_index"), self.whole("data/file_index")

    @property
    def tasks(self) -> list[str]:
        """What was to be done, in words."""
        tasks = self.values.get("tasks")
        return [str(task)[:500] for task in tasks[:20]] if isinstance(tasks, list) else []


def list_episodes(metadata: Metadata, video: str | None) -> list[Listed]:
    """Read the list of episodes.

    Args:
        metadata: of the data set.
        video: the camera whose videos are to be read; None if no videos are.

    Raises:
        MemworldError: it is missing, lacks a column, or has an episode twice.
    """
    folder = metadata.root / "meta" / "episodes"
    files = sorted(folder.glob("*/*.parquet"))
    if not files:
        raise MemworldError(f"{folder} holds no list of episodes (chunk-000/file-000.parquet): restore it")
    needed = ["episode_index", *_ROWS, *(f"videos/{video}/{name}" for name in _PART if video)]
    listed: dict[int, Listed] = {}
    for path in files:
        file = open_parquet(inside(metadata.root, path))
        names = [*needed, *(["tasks"] if "tasks" in file.schema_arrow.names else [])]
        for values in read_parquet(path, file, names).to_pylist():
            index = Listed(-1, path, values).whole("episode_index")
            if index in listed:
                raise MemworldError(f"table {path} lists the episode {index} again: remove one")
            listed[index] = Listed(index, path, values)
    return [listed[index] for index in sorted(listed)]


def first_rows(listed: list[Listed]) -> dict[tuple[int, int], int]:
    """The number that the first row of each file of rows has in the whole data set, by chunk and file."""
    firsts: dict[tuple[int, int], int] = {}
    for one in listed:
        try:
            place, row = one.data, one.whole("dataset_from_index")
        except MemworldError:  # which loading the episode raises
            continue
        firsts[place] = min(row, firsts.get(place, row))
    return firsts
