"""Episodes as they come, encoded and stored, several in one change."""

import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from memworld.encoders import Encoder, open_encoder
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.memory import Memory, MemoryEpisode
from memworld.storage import OnExisting, locked
from memworld.store import MemoryWriter, open_memory, prepare, settings_of, start

_BYTES = 1 << 26
"""Of frames that wait at most: a change of many episodes costs hardly more than one of a single."""

_SECONDS = 5.0
"""That an encoded episode waits at most for others, as long as more come."""


class MemoryStream:
    """Encodes episodes and stores them in a memory's folder, which nobody else writes to meanwhile.

    Use it in a `with` statement: what was appended is stored by its end at the latest, also after an
    interrupt. Worlds that are open on the folder see it after `refresh`.
    """

    def __init__(
        self,
        path: str | Path,
        memory: Memory,
        encoder: Encoder,
        *,
        on_existing: OnExisting = "resume",
        episodes: int | None = None,
    ) -> None:
        """Take up the folder, or begin it.

        Args:
            path: the folder.
            memory: the settings of what is to be there; an empty memory, or one opened from there.
            encoder: of the memory; saved beside it.
            on_existing: see `storage.prepare_folder`.
            episodes: how many are stored in one change; None decides by their bytes and by time.

        Raises:
            MemworldError: the folder cannot be used, is being written to, or holds another memory; another
                encoder; or a number of episodes below 1.
        """
        if episodes is not None and episodes < 1:
            raise MemworldError(f"a change stores at least 1 episode, not {episodes}")
        memory.check_encoder(encoder)
        self.path, self._encoder, self._episodes = Path(path), encoder, episodes
        self._waiting: list[MemoryEpisode] = []
        self._closed = False
        self._last = time.monotonic()
        with ExitStack() as held:
            held.enter_context(locked(self.path))
            prepare(self.path, on_existing)
            self._writer: MemoryWriter = start(self.path, settings_of(memory))
            encoder.save(self.path / "encoder")
            self._empty = memory
            self._ids = set(self.memory.ids)
            self._held = held.pop_all()

    @classmethod
    def open(cls, path: str | Path, *, episodes: int | None = None) -> Self:
        """The stream into a memory that is there, with its own encoder.

        Raises:
            MemworldError: there is none, or as above.
        """
        return cls(path, open_memory(path), open_encoder(Path(path) / "encoder"), episodes=episodes)

    @property
    def memory(self) -> Memory:
        """What has been stored so far."""
        return self._writer.memory

    @property
    def ids(self) -> frozenset[str]:
        """The ids of the episodes that are stored or wait to be."""
        return frozenset(self._ids)

    def append(self, episode: Episode) -> None:
        """Encode an episode; it is stored now, or with those that follow.

        Raises:
            MemworldError: see `Memory.append`; what was appended before is unharmed.
        """
        self._check_new(episode.id)
        self.add(self._empty.encode(episode, self._encoder))

    def add(self, episode: MemoryEpisode) -> None:
        """Store an episode that `Memory.encode` made, in this process or another; see `append`.

        Raises:
            MemworldError: an id that is there already.
        """
        self._check_new(episode.entry.id)
        self._waiting.append(episode)
        self._ids.add(episode.entry.id)
        size = sum(e.latents.mu.nbytes * 3 + (0 if e.frames is None else e.frames.nbytes) for e in self._waiting)
        late = time.monotonic() - self._last > _SECONDS
        if len(self._waiting) >= self._episodes if self._episodes else size > _BYTES or late:
            self.flush()

    def extend(self, episodes: Iterable[Episode]) -> None:
        """Append several episodes, from a generator if need be."""
        for episode in episodes:
            self.append(episode)

    def flush(self) -> None:
        """Store what waits.

        Raises:
            MemworldError: the disk is full; then what waits still does.
        """
        if not self._waiting:
            return
        there = self._writer.ids  # also some that wait, if an interrupt came just after they were stored
        self._writer.commit(append=[e for e in self._waiting if e.entry.id not in there])
        self._waiting = []
        self._last = time.monotonic()

    def close(self) -> None:
        """Store what waits, and let others write; nothing can be appended from then on."""
        if self._closed:
            return
        try:
            self.flush()
        finally:
            self._closed = True
            self._held.close()

    def _check_new(self, episode_id: str) -> None:
        if self._closed:  # and others may be writing
            raise MemworldError(f"the stream into {self.path} is closed: open another")
        if episode_id in self._ids:
            raise MemworldError(
                f"the memory has an episode {episode_id} already: remove it first or rename the new one"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
