"""What a memory asks of where it is stored; `store` has the folders that answer."""

from typing import Protocol

from memworld.datasets import EpisodeEntry
from memworld.memory.episode import MemoryEpisode
from memworld.memory.rows import Rows


class Source(Protocol):
    """Where a memory is stored: what it holds, read when asked for.

    Attributes:
        lineage: of `rows`.
    """

    lineage: object

    @property
    def entries(self) -> tuple[EpisodeEntry, ...]:
        """The stored episodes, in order of arrival."""
        ...

    def episodes(self) -> tuple[MemoryEpisode, ...]:
        """The stored episodes, their arrays mapped or read."""
        ...

    def rows(self) -> Rows:
        """The stored episodes end to end."""
        ...

    def newer(self) -> "Source | None":
        """What is stored there now; None if that is still this."""
        ...
