"""The memory on disk.

    memory.json                     what memory it is, and the list of its episodes with their checksums
    encoder/                        the encoder that made it
    episodes/<id>.safetensors       latents, actions, rewards, endings
    episodes/<id>.frames.npy        frames, if kept; not read when the memory is opened

An episode counts once `memory.json` lists it. That file is replaced in one rename, after the
episode's own files are written and synced, so a kill at any moment leaves the memory as it was
before or after, never between; files of episodes that are not listed are ignored and later cleaned
away. One process writes at a time, and nothing in the folder may be a link to what is outside.
"""

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from memworld.datasets import DatasetInfo, EpisodeEntry
from memworld.encoders import Encoder
from memworld.errors import MemworldError
from memworld.memory import Memory, MemoryEpisode
from memworld.memory_files.one_episode import ARRAYS, FRAMES, read_episode, same_episode, write_episode
from memworld.storage import (
    KIND_KEY,
    OnExisting,
    check_no_links,
    delete,
    locked,
    make_folder,
    one_line,
    prepare_folder,
    read_json,
    remove_unfinished,
    write_json,
)
from memworld.stored_frames import StoredFrames

FORMAT = 1
"""Version of the memory's files."""

INDEX = "memory.json"

LEARNED = "learned"
"""Folder of what dynamics have learned from the memory; it can be deleted, and is learned anew."""

_PARTS = (INDEX, "episodes", "encoder", LEARNED)

_EPISODE_FILE = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9._-]*({re.escape(FRAMES)}|{re.escape(ARRAYS)})")

_Listed = tuple[EpisodeEntry, str | None]
"""An episode in the list, and the SHA-256 of its arrays' file; older memories have none."""


def save_memory(
    memory: Memory, path: str | Path, on_existing: OnExisting = "error", encoder: Encoder | None = None
) -> None:
    """Bring the folder `path` up to date: add what it lacks, remove what was removed from `memory`.

    What another process has added to the folder in the meantime stays.

    Args:
        memory: what to save.
        path: the folder.
        on_existing: `resume` brings a folder of this very memory up to date; `overwrite` starts anew.
        encoder: saved beside it, so that `WorldModel.open` finds it.

    Raises:
        MemworldError: the folder cannot be used, is being written to, holds another memory or
            another episode under an id of this one, or the disk is full; what was stored before is
            unharmed, unless it was to be overwritten.
    """
    path = Path(path)
    if encoder is not None:
        memory.check_encoder(encoder)
    if on_existing == "overwrite":
        _check_frames_elsewhere(memory, path)
    with locked(path):
        prepare_folder(path, on_existing, INDEX, "memory")
        kept: list[MemoryEpisode] = []
        if (path / INDEX).exists():
            old = open_memory(path)
            check_same_memory(path, old, memory)
            kept = _kept(path, old, memory)
            if len(kept) < len(old.episodes):
                delete(path / LEARNED)  # it holds also of what is removed now
        else:
            begin_memory(memory, path)
        stored = {e.entry.id for e in kept}
        new = [e for e in memory.episodes if e.entry.id not in stored]
        if {e.entry.id for e in new} & memory.removed:
            # An episode that is another now has two files to replace: it leaves the list until both are.
            write_json(path / INDEX, _index(memory, map(_listed, kept)))
        if encoder is not None:
            encoder.save(path / "encoder")
        merged = _with_episodes(memory, [*kept, *new])
        sync_memory(merged, path, stored)
    memory.hold(*merged.episodes)
    memory.removed.clear()


def _kept(path: Path, old: Memory, memory: Memory) -> list[MemoryEpisode]:
    """The episodes of `old`, as stored, that stay: all that were not removed from `memory`."""
    kept = [e for e in old.episodes if e.entry.id not in memory.removed]
    mine = {e.entry.id: e for e in memory.episodes}
    for episode in kept:
        other = mine.get(episode.entry.id, episode)
        if other is not episode and not same_episode(episode, other):
            raise MemworldError(
                f"{path} holds another episode {episode.entry.id}: remove it from this memory first, or rename it"
            )
    return kept


def forget_episodes(path: str | Path, ids: Sequence[str]) -> int:
    """Remove episodes from the memory in the folder `path`, by its list alone: their files may be damaged.

    Returns:
        How many transitions are left.

    Raises:
        MemworldError: no memory is there, it lacks one of the episodes (then none is removed), or
            it is being written to.
    """
    path, gone = Path(path), set(ids)
    _read_list(path)  # a mistyped path is refused before a folder is made of it
    with locked(path):
        check_no_links(path, *_PARTS)
        settings, listed = _read_list(path)
        unknown = gone - {entry.id for entry, _ in listed}
        if unknown:
            raise MemworldError(f"the memory has no episode {min(unknown)!r}: see memworld inspect for those it has")
        left = [(entry, sha256) for entry, sha256 in listed if entry.id not in gone]
        write_json(path / INDEX, _index(settings, left))
        delete(path / LEARNED)  # it holds also of what is forgotten now
        _clean(path, [entry.id for entry, _ in left], settings.keep_frames)
    return sum(entry.steps for entry, _ in left)


def begin_memory(memory: Memory, path: Path) -> None:
    """Write an empty list: by it the folder is known as a memory's, should what follows be interrupted."""
    write_json(path / INDEX, _index(memory, []))


def sync_memory(memory: Memory, path: Path, stored: set[str]) -> set[str]:
    """Write the episodes that are not `stored` in the folder `path` yet, then the list; drop what is gone.

    Frames are left in the files that were just written, so that a memory that grows does not fill
    the machine's.

    Returns:
        The ids that are stored now.
    """
    make_folder(path / "episodes")
    memory.hold(*(write_episode(path / "episodes", e) for e in memory.episodes if e.entry.id not in stored))
    write_json(path / INDEX, _index(memory, map(_listed, memory.episodes)))
    _clean(path, memory.ids, memory.keep_frames)
    return set(memory.ids)


def check_same_memory(path: Path, stored: Memory, wanted: Memory) -> None:
    """Do nothing if what is stored can become `wanted` by adding and removing episodes.

    Raises:
        MemworldError: encoder, seed, frames or data differ; both values are named.
    """
    old, new = (_settings(memory) for memory in (stored, wanted))
    for name in old:
        if old[name] != new[name]:
            raise MemworldError(
                f"{path} holds a memory with {name} {old[name]}, this one has {new[name]}: "
                "name another folder, or use --overwrite"
            )


def open_memory(path: str | Path) -> Memory:
    """Open a memory; frames stay on disk until they are asked for.

    Raises:
        MemworldError: it is missing, damaged or of another version.
    """
    path = Path(path)
    check_no_links(path, *_PARTS)
    settings, listed = _read_list(path)
    dim = math.prod(settings.latent_shape)
    episodes = []
    for entry, sha256 in listed:
        try:
            episodes.append(read_episode(path / "episodes", entry, settings.info, dim, settings.keep_frames, sha256))
        except MemworldError as error:
            raise MemworldError(f"{error}; or drop the episode: memworld forget {path} {entry.id}") from error
    return _with_episodes(settings, episodes)


def _with_episodes(memory: Memory, episodes: Sequence[MemoryEpisode]) -> Memory:
    """A memory of the same settings with these episodes."""
    return Memory.restore(
        memory.info, memory.encoder_fingerprint, memory.latent_shape, memory.seed, memory.keep_frames, episodes
    )


def _read_list(path: Path) -> tuple[Memory, list[_Listed]]:
    """What `memory.json` says: an empty memory of its settings, and its episodes."""
    index = read_json(path / INDEX, "memory")
    try:
        if index["format"] != FORMAT:
            raise MemworldError(
                f"format {index['format']!r} is not {FORMAT}, which this version reads: update memworld"
            )
        info = DatasetInfo.from_json(index["info"])
        latent_shape, seed, keep_frames = tuple(index["latent_shape"]), index["seed"], index["frames"]
        if len(latent_shape) not in (1, 3) or not all(type(n) is int and n > 0 for n in latent_shape):
            raise ValueError(f"latent_shape {list(latent_shape)}")
        if type(seed) is not int or type(keep_frames) is not bool:
            raise TypeError(f"seed {seed!r}, frames {keep_frames!r}")
        listed = [_read_listed(value) for value in index["episodes"]]
        if len({entry.id for entry, _ in listed}) != len(listed):
            raise ValueError("an episode is listed twice")
        return Memory.restore(info, str(index["encoder"]), latent_shape, seed, keep_frames, ()), listed
    except MemworldError as error:
        raise MemworldError(f"{path / INDEX} cannot be used: {error}") from error
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise MemworldError(
            f"{path / INDEX} is damaged ({type(error).__name__}: {one_line(error)}): "
            "restore it or remember the episodes again"
        ) from error


def _read_listed(value: Any) -> _Listed:
    entry, sha256 = EpisodeEntry.from_json(value), value.get("sha256")
    if type(value["steps"]) is not int or entry.steps < 1 or not isinstance(sha256, str | None):
        raise ValueError(f"episode {entry.id} of {value['steps']!r} steps, sha256 {sha256!r}")
    return entry, sha256


def _listed(episode: MemoryEpisode) -> _Listed:
    return episode.entry, episode.sha256


def _index(memory: Memory, listed: Iterable[_Listed]) -> dict[str, object]:
    return {
        KIND_KEY: "memory",
        "format": FORMAT,
        "info": memory.info.to_json(),
        "encoder": memory.encoder_fingerprint,
        "latent_shape": list(memory.latent_shape),
        "seed": memory.seed,
        "frames": memory.keep_frames,
        "episodes": [e.to_json() | ({"sha256": sha256} if sha256 else {}) for e, sha256 in listed],
    }


def _settings(memory: Memory) -> dict[str, object]:
    """All of a memory but its episodes."""
    return {
        "encoder": memory.encoder_fingerprint,
        "seed": memory.seed,
        "keep_frames": memory.keep_frames,
        **memory.info.to_json(),
    }


def _check_frames_elsewhere(memory: Memory, path: Path) -> None:
    """Do nothing unless emptying the folder `path` would take the memory's own frames away."""
    for episode in memory.episodes:
        if isinstance(episode.frames, StoredFrames) and path.resolve() in episode.frames.path.resolve().parents:
            raise MemworldError(
                f"the memory's own frames are in {path}, so it cannot be overwritten: use --resume, or name another"
            )


def _clean(path: Path, ids: Iterable[str], frames_kept: bool) -> None:
    """Delete what killed writes left, and files of episodes that are not listed (any more)."""
    folder = path / "episodes"
    listed = {f"{i}{suffix}" for i in ids for suffix in ((ARRAYS, FRAMES) if frames_kept else (ARRAYS,))}
    remove_unfinished(path)
    remove_unfinished(folder)
    for file in folder.iterdir() if folder.is_dir() else ():
        if file.name not in listed and _EPISODE_FILE.fullmatch(file.name) and file.is_file():
            file.unlink(missing_ok=True)
