"""Remembered episodes of one data set under one encoder."""

import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from memworld.datasets import DatasetInfo, EpisodeEntry, recorded_as
from memworld.encoders import Encoder, check_not_collapsed
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.memory.episode import MemoryEpisode, encode_episode
from memworld.memory.rows import Rows, lay_out
from memworld.memory.source import Source
from memworld.stored_frames import StoredFrames


class Memory:
    """Remembered episodes of one data set under one encoder."""

    def __init__(self, info: DatasetInfo, encoder: Encoder, seed: int = 0, keep_frames: bool = True) -> None:
        """An empty memory.

        Args:
            info: what its episodes share.
            encoder: the encoder that will encode them; the memory is tied to its fingerprint.
            seed: of the one sample z that is drawn of each posterior.
            keep_frames: whether to keep frames, so that retrieved moments can be shown.

        Raises:
            MemworldError: the encoder has collapsed, or takes frames of another size.
        """
        check_not_collapsed(encoder)
        if encoder.frame_shape != info.observation_shape:
            raise MemworldError(
                f"the encoder takes frames of {encoder.frame_shape}, the episodes have {info.observation_shape}: "
                "resize them, or train an encoder on them"
            )
        self._start(info, encoder.fingerprint, encoder.latent_shape, seed, keep_frames)

    @classmethod
    def restore(
        cls,
        info: DatasetInfo,
        encoder_fingerprint: str,
        latent_shape: tuple[int, ...],
        seed: int,
        keep_frames: bool,
        episodes: Sequence[MemoryEpisode] = (),
        source: Source | None = None,
    ) -> "Memory":
        """A memory from its parts, or as it is stored in a source."""
        memory = cls.__new__(cls)
        memory._start(info, encoder_fingerprint, latent_shape, seed, keep_frames)
        memory._episodes = tuple(episodes) if source is None else None
        memory._entries = tuple(e.entry for e in episodes) if source is None else source.entries
        memory._source = source
        return memory

    def _start(self, info: DatasetInfo, encoder: str, shape: tuple[int, ...], seed: int, keep_frames: bool) -> None:
        self.info = info
        self.encoder_fingerprint = encoder
        self.latent_shape = shape
        self.seed = _whole(seed, "seed")
        self.keep_frames = keep_frames
        # Since it was built, opened or saved: a folder may have grown, so a save takes no others out of it.
        self.removed: set[str] = set()
        self._source: Source | None = None
        self._entries: tuple[EpisodeEntry, ...] = ()
        self._episodes: tuple[MemoryEpisode, ...] | None = ()  # None: as in the source
        self._seen: tuple[MemoryEpisode, ...] | None = None  # those of the source, once asked for
        self._rows: Rows | None = None  # of the first episodes, all unless some were appended since

    @property
    def entries(self) -> tuple[EpisodeEntry, ...]:
        """Id, steps and source of the remembered episodes, in order of arrival."""
        return self._entries

    @property
    def episodes(self) -> tuple[MemoryEpisode, ...]:
        """The remembered episodes, in order of arrival."""
        if self._episodes is not None:
            return self._episodes
        if self._seen is None:
            assert self._source is not None
            self._seen = self._source.episodes()
        return self._seen

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the remembered episodes."""
        return tuple(entry.id for entry in self._entries)

    @property
    def origins(self) -> frozenset[str]:
        """The ids of the recorded episodes of which the memory holds anything, whole or in pieces."""
        return frozenset(entry.origin[0] for entry in self._entries)

    @property
    def steps(self) -> int:
        """Number of transitions, which is the number of search candidates."""
        return sum(entry.steps for entry in self._entries)

    def __len__(self) -> int:
        """Number of rows: transitions, and one last observation per episode."""
        return self.steps + len(self._entries)

    def __repr__(self) -> str:
        return f"Memory({len(self._entries)} episodes, {self.steps} transitions, latents {list(self.latent_shape)})"

    @property
    def stored(self) -> Source | None:
        """Where all of this lies as it is; None if it is stored nowhere, or was changed since."""
        return self._source if self._episodes is None else None

    def check_encoder(self, encoder: Encoder) -> None:
        """Do nothing if `encoder` made this memory.

        Raises:
            MemworldError: it is another one.
        """
        if encoder.fingerprint != self.encoder_fingerprint:
            raise MemworldError(
                f"the memory was made by encoder {self.encoder_fingerprint[:12]} with latents "
                f"{list(self.latent_shape)}, this is encoder {encoder.fingerprint[:12]} with latents "
                f"{list(encoder.latent_shape)}: use the memory's own, or remember the episodes again with this one"
            )

    def append(self, episode: Episode, encoder: Encoder) -> None:
        """Encode an episode and add it; it counts from the next search on.

        Raises:
            MemworldError: another encoder, an id that is there already, an episode that does not
                fit the memory's frames and actions, or codes that are not what an encoder promises.
        """
        self._check_new(episode.id)
        self.add(self.encode(episode, encoder))

    def encode(self, episode: Episode, encoder: Encoder) -> MemoryEpisode:
        """An episode as this memory would hold it; it is not added.

        Raises:
            MemworldError: as `append`, but for an id that is there already.
        """
        self.check_encoder(encoder)
        return encode_episode(self.info.check(episode), encoder, self.seed, self.keep_frames)

    def add(self, *episodes: MemoryEpisode) -> None:
        """Add episodes that `encode` made, in this process or another.

        Raises:
            MemworldError: an id is there already; then none is added.
        """
        self._check_new(*(e.entry.id for e in episodes))
        if episodes:
            self._episodes = (*self.episodes, *episodes)
            self._entries = (*self._entries, *(e.entry for e in episodes))

    def extend(self, episodes: Iterable[Episode], encoder: Encoder) -> None:
        """Append several episodes."""
        for episode in episodes:
            self.append(episode, encoder)

    def remove(self, ids: Sequence[str]) -> None:
        """Remove episodes and all pieces of them; they cannot be found from the next search on.

        Raises:
            MemworldError: an id is not there; then none is removed.
        """
        gone = set(recorded_as(self.entries, ids))
        if not gone:
            return
        # What was appended here alone is removed from no folder, where another may have stored one of its id.
        self.removed |= gone if self._source is None else gone & {e.id for e in self._source.entries}
        self._hold(tuple(e for e in self.episodes if e.entry.id not in gone))
        self._rows = None

    def refresh(self) -> bool:
        """Take in what has been stored since this memory was opened, saved or refreshed, by whatever process.

        What was appended or removed here and is not saved stays so. Searches that are made of the rows go on
        where memory has only grown: what is new is indexed, and nothing else.

        Returns:
            Whether anything has changed.

        Raises:
            MemworldError: the memory is stored nowhere, what is stored is damaged or now another memory, or
                holds another episode under the id of one that is not saved.
        """
        if self._source is None:
            raise MemworldError("the memory is stored nowhere: save it, or open one, and refresh that")
        newer = self._source.newer()
        if newer is None:
            if {e.id for e in self._source.entries} <= {*self.ids, *self.removed}:
                return False
            newer = self._source  # it held more when this memory was saved there
        stored, now = {e.id for e in self._source.entries} - self.removed, {e.id for e in newer.entries}
        own = tuple(e for e in self._episodes or () if e.entry.id not in stored)
        if both := [e.entry.id for e in own if e.entry.id in now - self.removed]:
            raise MemworldError(
                f"episode {both[0]} was appended here and is not saved, and another process has stored one of that id: "
                "rename or remove it here"
            )
        self._source, self._seen, self.removed = newer, None, self.removed & now
        if own or self.removed:
            self._hold((*(e for e in newer.episodes() if e.entry.id not in self.removed), *own))
        else:
            self._episodes, self._entries = None, newer.entries
        self._rows = None
        return True

    def stored_in(self, source: Source, *, all_of_it: bool) -> None:
        """Hold episodes as a source does that they were just saved in, frames in files rather than in memory.

        Args:
            source: what holds them.
            all_of_it: whether it holds these episodes and no others, in this order.
        """
        self._source, self._seen = source, None
        if all_of_it:
            self._episodes, self._entries = None, source.entries
            if self._rows is not None:
                source.lineage = self._rows.lineage
        else:
            same = {e.entry.id: e for e in source.episodes()}
            self._hold(tuple(same.get(e.entry.id, e) for e in self.episodes))
        self.removed.clear()

    @property
    def rows(self) -> Rows:
        """All episodes end to end.

        A new object after every change, so that whoever holds an index of the old one can tell;
        `Rows.grew_from` tells whether the old rows are still the first.

        Raises:
            MemworldError: the memory is empty.
        """
        if not self._entries:
            raise MemworldError("the memory is empty: remember at least one episode first")
        if self._rows is None and self._episodes is None:
            assert self._source is not None
            self._rows = self._source.rows()
        known = 0 if self._rows is None else int(self._rows.episodes[-1]) + 1
        if self._rows is None or known < len(self._entries):
            self._rows = lay_out(self.episodes[known:], self.info, self._rows)
            if self._source is not None and self._episodes is not None:
                self._source.lineage = object()  # what is stored next goes on without what was appended here
        return self._rows

    def row_of(self, episode_id: str, step: int) -> int:
        """The row of a step of an episode, as `Citation` names them.

        Raises:
            MemworldError: the memory has no such episode or step.
        """
        start, step = 0, _whole(step, "step")
        for entry in self._entries:
            if entry.id == episode_id:
                if not 0 <= step <= entry.steps:
                    raise MemworldError(f"episode {episode_id} has steps 0 to {entry.steps}, not {step}")
                return start + step
            start += entry.steps + 1
        raise MemworldError(f"the memory has no episode {episode_id!r}: see memworld inspect for those it has")

    def frames(self, rows: Sequence[int]) -> np.ndarray:
        """The recorded frames of these rows, uint8 (len(rows), H, W, C).

        Raises:
            MemworldError: the memory keeps no frames, or a row is none of its own (as -1, for none found).
        """
        if not self.keep_frames:
            raise MemworldError("the memory keeps no frames: remember the episodes with frames to see them")
        asked = np.array([_whole(row, "row") for row in rows], np.int64)
        for row in asked[(asked < 0) | (asked >= len(self))][:1]:
            raise MemworldError(f"the memory has no row {row}: give 0 to {len(self) - 1}")
        if not len(asked):
            return np.empty((0, *self.info.observation_shape), np.uint8)
        found: np.ndarray | None = None
        owners, steps = self.rows.episodes.numpy()[asked], self.rows.steps.numpy()[asked]
        for owner in np.unique(owners):
            places = np.flatnonzero(owners == owner)
            frames = self.episodes[owner].frames
            assert frames is not None  # keep_frames
            taken = frames.take(steps[places]) if isinstance(frames, StoredFrames) else frames[steps[places]]
            if found is None:  # not before: a damaged file may claim frames of any size
                found = np.empty((len(asked), *taken.shape[1:]), np.uint8)
            found[places] = taken
        assert found is not None
        return found

    def _hold(self, episodes: tuple[MemoryEpisode, ...]) -> None:
        self._episodes, self._entries = episodes, tuple(e.entry for e in episodes)

    def _check_new(self, *ids: str) -> None:
        """Do nothing if these are ids of new episodes."""
        mine = set(self.ids)
        for new in ids:
            if new in mine:
                raise MemworldError(f"the memory has an episode {new} already: remove it first or rename the new one")
            mine.add(new)


def _whole(number: Any, name: str) -> int:
    """A whole number of any type as Python's own."""
    try:
        if isinstance(number, bool):
            raise TypeError
        return operator.index(number)
    except TypeError:
        raise MemworldError(f"{name} must be a whole number, got {number!r}") from None
