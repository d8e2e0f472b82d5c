"""What all writers of a folder of episodes share: its lock, its list, and what they refuse."""

from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from memworld.datasets import DatasetInfo, EpisodeEntry
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.storage import OnExisting, locked


class FolderWriter(ABC):
    """Writes episodes one at a time into a folder; an `EpisodeWriter`.

    A format says what it does with the folder in `_begin` and with an episode in `_store`.
    """

    def __init__(self, path: str | Path, info: DatasetInfo, on_existing: OnExisting = "error") -> None:
        """Make or reopen the folder.

        Args:
            path: the folder.
            info: what all its episodes share.
            on_existing: what to do if the folder holds something, see `storage.prepare_folder`.

        Raises:
            MemworldError: the folder exists and must not, is not a data set that this class made,
                cannot be written, is being written to, was begun with another `info`, or lacks or
                has damaged what it lists; or a package that the format needs is not installed.
        """
        self.path = Path(path)
        self.info = info
        self._entries: tuple[EpisodeEntry, ...] = ()
        self._held = ExitStack()
        self._import()
        with ExitStack() as held:
            held.enter_context(locked(self.path))
            self._entries = self._begin(on_existing)
            self._held = held.pop_all()

    def _import(self) -> None:  # noqa: B027, a format that needs nothing imports nothing
        """Import what the format needs, before anything is made on disk."""

    @abstractmethod
    def _begin(self, on_existing: OnExisting) -> tuple[EpisodeEntry, ...]:
        """Prepare the folder, which is locked; what is known of the episodes in it, in order."""

    @abstractmethod
    def _store(self, episode: Episode, entry: EpisodeEntry) -> None:
        """Write an episode that has been checked, so that a kill leaves it whole or not there."""

    @property
    def entries(self) -> tuple[EpisodeEntry, ...]:
        """What is known of the episodes that are stored, in order."""
        return self._entries

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the episodes that are stored, in order."""
        return tuple(entry.id for entry in self._entries)

    def append(self, episode: Episode) -> None:
        """Store `episode`.

        Raises:
            MemworldError: it does not fit `info`, its id is taken, or the disk refuses it.
        """
        episode = self.info.check(episode)
        if episode.id in self.ids:
            raise MemworldError(f"{self.path} already has an episode {episode.id}: give this one another id")
        entry = EpisodeEntry(episode.id, len(episode), episode.source)
        self._store(episode, entry)
        self._entries = (*self._entries, entry)

    def close(self) -> None:
        """Let others write to the folder."""
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _check_same(self, stored: Any) -> None:
        """Raise unless `stored`, what a file says of the data set in JSON, is this writer's `info`."""
        old = stored if isinstance(stored, dict) else {}
        for name, new in self.info.to_json().items():
            if old.get(name) != new:
                raise MemworldError(
                    f"{self.path} was begun with {name} {old.get(name)!r}, now it is {new!r}: "
                    "resume with the same settings, or write to another folder"
                )
