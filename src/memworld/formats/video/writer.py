"""Writes episodes as lossless videos with a table each; see `written` for what lies on disk."""

import pyarrow.parquet as pq

from memworld.datasets import EpisodeEntry
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.formats.folder_writer import FolderWriter
from memworld.formats.video.pairs import find_pairs
from memworld.formats.video.written import (
    KIND,
    MARKER,
    episode_table,
    is_overwriting,
    mark_overwriting,
    marker_of,
    read_marker,
    read_written,
)
from memworld.formats.video_frames import import_av, write_frames
from memworld.storage import OnExisting, prepare_folder, remove_unfinished, write_atomic, write_json

FRAMES_A_SECOND = 30
"""How fast the videos play; episodes do not say how long a step is."""


class VideoWriter(FolderWriter):
    """Writes episodes one at a time into a folder of videos and tables; see `FolderWriter`. It needs PyAV.

    A kill at any moment leaves a folder that opens with every episode appended before; at most a
    video without a table stays behind, which readers ignore and a later `append` of its id replaces.
    """

    def _import(self) -> None:
        import_av()

    def _begin(self, on_existing: OnExisting) -> tuple[EpisodeEntry, ...]:
        self._next = 0
        if on_existing == "overwrite":
            # A kill while the files go must leave neither halves of pairs nor some of the old episodes.
            mark_overwriting(self.path, self.info)
        elif on_existing == "resume" and is_overwriting(self.path):
            on_existing = "overwrite"
        prepare_folder(self.path, on_existing, MARKER, KIND)
        remove_unfinished(self.path)
        if not (self.path / MARKER).is_file():
            # Written before anything else: by this file the folder is known as ours after a kill.
            write_json(self.path / MARKER, marker_of(self.info))
            return ()
        self._check_same(read_marker(self.path).to_json())
        found = []
        for pair in find_pairs(self.path):
            if not pair.tables:
                continue
            written = read_written(pair)
            if written is None or written.info != self.info:
                raise MemworldError(f"table {pair.table} is not of the data set {self.path}: keep it elsewhere")
            assert pair.video  # raises if it is gone
            found.append((written.number, EpisodeEntry(pair.id, written.steps, written.source)))
        found.sort(key=lambda numbered: numbered[0])
        self._next = found[-1][0] + 1 if found else 0
        return tuple(entry for _, entry in found)

    def _store(self, episode: Episode, entry: EpisodeEntry) -> None:
        table = episode_table(episode, self.info, self._next)
        write_frames(self.path / f"{episode.id}.mp4", episode.observations, FRAMES_A_SECOND)
        write_atomic(self.path / f"{episode.id}.parquet", lambda temporary: pq.write_table(table, temporary))
        self._next += 1
