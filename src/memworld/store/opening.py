"""A memory as it lies in a folder: opened by mapping, read when asked for."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from memworld.actions import action_features
from memworld.datasets import EpisodeEntry
from memworld.errors import MemworldError
from memworld.gaussian import Latents
from memworld.memory import Memory, MemoryEpisode, Rows, assemble
from memworld.storage import check_no_links
from memworld.store.arrays import ARRAYS, LATENTS, Arrays, check_columns, episode_of
from memworld.store.first_format import is_first_format, open_first_format
from memworld.store.table import TABLE, Table, TableFrames
from memworld.store.versions import INDEX, VERSIONS, Seal, Settings, Version, read_index, read_version

LEARNED = "learned"
"""Folder of what dynamics have learned from the memory; it can be deleted, and is learned anew."""

PARTS = (INDEX, VERSIONS, ARRAYS, TABLE, "encoder", LEARNED)
"""All that lies in a memory's folder."""

_CHECKED_UP_TO = 1 << 26
"""Bytes of arrays that are checked against their SHA-256 on opening, a fraction of a second; `check` checks any."""

_TRIES = 5
"""Times that a memory is looked at anew, which another process may replace while it is opened."""


@dataclass(eq=False)
class Stored:
    """One version of a memory in a folder; a `memory.Source`.

    Attributes:
        path: the folder.
        settings: all of the memory but its episodes.
        version: which.
        arrays: its arrays, mapped.
        lineage: see `Source`.
        sound: the seals of files of the table that were found to fit, whatever version needs them.
    """

    path: Path
    settings: Settings
    version: Version
    arrays: Arrays
    lineage: object = field(default_factory=object)
    sound: dict[str, Seal] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> "Stored":
        """The version that counts.

        Raises:
            MemworldError: it is missing, damaged or of another format.
        """
        for left in reversed(range(_TRIES)):
            settings, number = read_index(path)
            try:
                version = read_version(path, number)
                return cls(path, settings, version, Arrays.open(path, settings, version))
            except MemworldError:
                # It may have been replaced, and its files deleted, since the index was read.
                if not left or read_index(path)[1] == number:
                    raise
        raise AssertionError

    @property
    def entries(self) -> tuple[EpisodeEntry, ...]:
        """Its episodes; see `Source`."""
        return tuple(one.entry for one in self.arrays.listed)

    def episodes(self) -> tuple[MemoryEpisode, ...]:
        """Its episodes, mapped; see `Source`."""
        found = []
        table = Table(self.path / TABLE, self.version, self.sound)
        starts = self.arrays.starts.tolist()
        for (listed, columns), start in zip(self.arrays.slices(), starts, strict=False):
            episode = episode_of(listed, columns)
            if self.settings.frames:
                shape = (listed.entry.steps + 1, *self.settings.info.observation_shape)
                episode = replace(episode, frames=TableFrames(table.path, shape, table, start))
            found.append(episode)
        return tuple(found)

    def rows(self) -> Rows:
        """Its episodes end to end, latents mapped; see `Source`."""
        return self._rows(0, len(self.arrays.listed), self.lineage)

    def some_rows(self, first: int, end: int) -> Rows:
        """The rows of episodes `first` up to `end`, as of a memory of these alone; nothing else is read."""
        return self._rows(first, end, None)

    def _rows(self, first: int, end: int, lineage: object | None) -> Rows:
        starts = self.arrays.starts[first : end + 1]
        columns = {name: column[starts[0] : starts[-1]] for name, column in self.arrays.columns.items()}
        last, actions = starts[1:] - 1 - starts[0], np.array(columns["actions"])
        actions[last] = actions[last - 1]  # for zero need not be in the space
        features = action_features(actions, self.settings.info.action_space)
        features[last] = 0
        return assemble(
            Latents(*(torch.from_numpy(columns[name]) for name in LATENTS)),
            torch.from_numpy(features),
            torch.from_numpy(np.asarray(columns["rewards"])),
            torch.from_numpy((columns["ends"] & 1).astype(bool)),
            np.array([one.entry.steps for one in self.arrays.listed[first:end]]),
            self.settings.info,
            lineage,
        )

    def newer(self) -> "Stored | None":
        """What counts now; see `Source`."""
        if self._counts():
            return None
        now = Stored.open(self.path)
        self.settings.check_same(self.path, now.settings)
        mine = self.arrays.listed
        if now.version.arrays == self.version.arrays and now.arrays.listed[: len(mine)] == mine:
            now.lineage = self.lineage
        now.sound = self.sound
        return now

    def _counts(self) -> bool:
        """Whether this version still does; its number alone does not tell, as what is overwritten begins again at 1."""
        settings, number = read_index(self.path)
        try:
            return (number, settings) == (self.version.number, self.settings) and (
                read_version(self.path, number) == self.version
            )
        except MemworldError:  # deleted since the index was read, or damaged, which opening will tell
            return False

    def check_arrays(self) -> None:
        """Check the arrays against the list, if that takes no time worth mentioning.

        Raises:
            MemworldError: an episode is damaged.
        """
        if self.arrays.nbytes <= _CHECKED_UP_TO:
            for listed, columns in self.arrays.slices():
                check_columns(listed, columns, self.settings, self.arrays.folder)


def settings_of(memory: Memory) -> Settings:
    """All of a memory but its episodes."""
    return Settings(memory.info, memory.encoder_fingerprint, memory.latent_shape, memory.seed, memory.keep_frames)


def empty_memory(settings: Settings, source: Stored | None = None) -> Memory:
    """A memory of these settings, with what is stored in a source, or with nothing."""
    s = settings
    return Memory.restore(s.info, s.encoder, s.latent_shape, s.seed, s.frames, source=source)


def open_memory(path: str | Path) -> Memory:
    """Open a memory by mapping its files: nothing is read until it is asked for, frames neither.

    A memory of up to 64 MB is checked to the last bit (but for its frames, which are when they are first
    asked for), of a larger one the sizes are; `check_memory` checks any.

    Raises:
        MemworldError: it is missing, damaged or of another version.
    """
    path = Path(path)
    check_no_links(path, *PARTS)
    if is_first_format(path):
        return open_first_format(path)
    stored = Stored.open(path)
    stored.check_arrays()
    return empty_memory(stored.settings, stored)
