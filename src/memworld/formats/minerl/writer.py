"""Writes episodes as MineRL's folders, which its own loader reads, and memworld without loss."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from memworld.datasets import EpisodeEntry
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.formats.folder_writer import FolderWriter
from memworld.formats.minerl.layout import (
    ARRAYS,
    KIND,
    MARKER,
    METADATA,
    NEWEST,
    VERSION_FILE,
    VIDEO,
    is_own,
    printable_errors,
    read_metadata,
)
from memworld.formats.minerl.own import OWN_KEY, VERSION, Digest, OwnRecord, to_arrays
from memworld.formats.video_frames import import_av, write_frames
from memworld.storage import (
    KIND_KEY,
    OnExisting,
    check_no_links,
    delete,
    prepare_folder,
    read_json,
    sync_folder,
    write_atomic,
    write_bytes,
    write_json,
)

FRAMES_A_SECOND = 20
"""How often MineRL's players acted."""

# memworld's worlds that are made in the terms of MineRL's.
_ENVIRONMENTS = {"minetest/navigate": "MineRLNavigate-v0", "minetest/treechop": "MineRLTreechop-v0"}
_UNFINISHED = ".tmp-"


def environment_name(world: str) -> str:
    """The name of the folder for episodes of a world, none of those of the files beside it."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", _ENVIRONMENTS.get(world, world)).strip(".-")[:128] or "episodes"
    # On some disks, "version" is the same as "VERSION".
    return f"world-{name}" if name.casefold() in (MARKER.casefold(), VERSION_FILE.casefold()) else name


class MineRLWriter(FolderWriter):
    """Writes episodes one at a time into ROOT/<environment>/v4_<id>; see `FolderWriter`. It needs PyAV.

    A recording is made under a hidden name and renamed when it is complete: a kill at any moment
    leaves a folder that opens with every episode appended before. Frames are kept bit for bit. The
    same episodes give the same bytes.
    """

    def _import(self) -> None:
        import_av()

    def _begin(self, on_existing: OnExisting) -> tuple[EpisodeEntry, ...]:
        self._folder = self.path / environment_name(self.info.world)
        with self._one_error(self.path):
            if on_existing == "overwrite" and is_own(self.path):
                self._hide_recordings()
            prepare_folder(self.path, on_existing, MARKER, KIND)
            self._mark()
            for unfinished in self.path.glob(f"{_UNFINISHED}*"):
                delete(unfinished)
            check_no_links(self.path, self._folder.name)
            self._folder.mkdir(exist_ok=True)
            records = self._read_records()
        self._next = records[-1].number + 1 if records else 0
        return tuple(record.entry for record in records)

    def _mark(self) -> None:
        """Write the files by which the folder is known, or check those that are there."""
        if (self.path / MARKER).is_file():
            marker = read_json(self.path / MARKER, KIND)
            version = marker.get("version") if isinstance(marker, dict) else None
            if version != VERSION:
                raise MemworldError(f"{self.path} is of version {version!r}, this memworld writes {VERSION}")
            self._check_same(marker.get("info"))
        else:
            # Written before anything else: by this file the folder is known as ours after a kill.
            write_json(self.path / MARKER, {KIND_KEY: KIND, "version": VERSION, "info": self.info.to_json()})
        if not (self.path / VERSION_FILE).is_file():
            write_bytes(self.path / VERSION_FILE, f"{NEWEST}\n".encode())

    def _hide_recordings(self) -> None:
        """Take the recordings away at once, so that a kill while they are deleted leaves no halves."""
        for number, folder in enumerate(sorted(self.path.iterdir())):
            if folder.is_dir() and not folder.is_symlink() and not folder.name.startswith("."):
                hidden = self.path / f"{_UNFINISHED}overwritten-{number}"
                delete(hidden)
                folder.rename(hidden)

    @printable_errors()
    def _read_records(self) -> list[OwnRecord]:
        """What is known of the recordings that are there, in order."""
        records = []
        for folder in sorted(self._folder.iterdir()):
            value = read_metadata(folder).get(OWN_KEY) if folder.is_dir() else None
            record = OwnRecord.from_json(value, folder / METADATA)
            missing = [name for name in (VIDEO, ARRAYS) if not (folder / name).is_file()]
            if missing or record.info != self.info:
                why = f"lacks {missing[0]}" if missing else "is of another data set"
                raise MemworldError(f"{folder} {why}: restore or remove it, or overwrite the data set")
            records.append(record)
        return sorted(records, key=lambda record: record.number)

    def _store(self, episode: Episode, entry: EpisodeEntry) -> None:
        stream = f"v{NEWEST}_{episode.id}"
        folder = self._folder / stream
        unfinished = self.path / f"{_UNFINISHED}{stream}"
        with self._one_error(folder):
            if os.path.lexists(folder):
                raise MemworldError(f"{folder} is in the way of episode {episode.id}: remove it")
            try:
                unfinished.mkdir()
                self._write(episode, entry, unfinished, stream)
                unfinished.rename(folder)
                sync_folder(self._folder)
            finally:
                delete(unfinished)
        self._next += 1

    def _write(self, episode: Episode, entry: EpisodeEntry, folder: Path, stream: str) -> None:
        """Write the three files of a recording."""
        digest = Digest()
        write_frames(folder / VIDEO, digest.watch(episode.observations), FRAMES_A_SECOND)
        arrays: dict[str, Any] = to_arrays(episode, self.info)
        write_atomic(folder / ARRAYS, lambda temporary: np.savez_compressed(temporary, **arrays))
        terminated, truncated = bool(episode.terminations[-1]), bool(episode.truncations[-1])
        record = OwnRecord(self._next, entry, terminated, truncated, str(digest), self.info)
        metadata = {
            "success": terminated,
            "duration_ms": len(episode) * 1000 // FRAMES_A_SECOND,
            "duration_steps": len(episode),
            "total_reward": float(episode.rewards.astype(np.float64).sum()),
            "stream_name": stream,
            "true_video_frame_count": len(episode) + 1,
            OWN_KEY: record.to_json(),
        }
        write_json(folder / METADATA, metadata)

    @contextmanager
    def _one_error(self, path: Path) -> Iterator[None]:
        """Say in one line what the system raises while `path` is written."""
        try:
            yield
        except OSError as error:
            raise MemworldError(
                f"cannot write {path} ({error.strerror or error}): free space or change its permissions; what was "
                "there before is unharmed"
            ) from error
