"""The memory on disk.

    memory.json                     what memory it is, and the list of its episodes
    encoder/                        the encoder that made it
    episodes/<id>.safetensors       latents, actions, rewards, endings
    episodes/<id>.frames.npy        frames, if kept; not read when the memory is opened

An episode counts once `memory.json` lists it. That file is replaced in one rename, after the
episode's own files are written and synced, so a kill at any moment leaves the memory as it was
before or after, never between; files that are not listed are ignored and later cleaned away.
"""

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from memworld.datasets import DatasetInfo, EpisodeEntry
from memworld.encoders import Encoder
from memworld.errors import MemworldError
from memworld.gaussian import Latents
from memworld.memory import Memory, MemoryEpisode
from memworld.storage import (
    KIND_KEY,
    OnExisting,
    make_folder,
    one_line,
    prepare_folder,
    read_arrays,
    read_json,
    write_arrays,
    write_atomic,
    write_json,
)
from memworld.stored_frames import StoredFrames

FORMAT = 1
"""Version of the memory's files."""

INDEX = "memory.json"

_LATENTS = ("mu", "sigma", "z")


def save_memory(
    memory: Memory, path: str | Path, on_existing: OnExisting = "error", encoder: Encoder | None = None
) -> None:
    """Bring the folder `path` to what `memory` holds: add what is missing there, remove what is gone.

    Args:
        memory: what to save.
        path: the folder.
        on_existing: `resume` brings a folder of this very memory up to date; `overwrite` starts anew.
        encoder: saved beside it, so that `WorldModel.open` finds it.

    Raises:
        MemworldError: the folder cannot be used, holds another memory, or the disk is full; what
            was stored before is unharmed, unless it was to be overwritten.
    """
    path = Path(path)
    if encoder is not None:
        memory.check_encoder(encoder)
    if on_existing == "overwrite":
        _check_frames_elsewhere(memory, path)
    prepare_folder(path, on_existing, INDEX, "memory")
    stored: set[str] = set()
    if (path / INDEX).exists():
        old = open_memory(path)
        check_same_memory(path, old, memory)
        stored = _unchanged(old, memory)
        if stored != set(old.ids) & set(memory.ids):
            # An episode that is another now has two files to replace: it leaves the list until both are.
            write_json(path / INDEX, _index(old, [e for e in old.episodes if e.entry.id in stored]))
    else:
        begin_memory(memory, path)
    if encoder is not None:
        encoder.save(path / "encoder")
    sync_memory(memory, path, stored)


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
    for episode in memory.episodes:
        if episode.entry.id not in stored:
            _write_episode(path / "episodes", episode)
            if episode.frames is not None:
                file = _frames_file(path / "episodes", episode.entry.id)
                memory.replace_frames(episode.entry.id, StoredFrames(file, episode.frames.shape))
    write_json(path / INDEX, _index(memory, memory.episodes))
    _clean(path / "episodes", memory)
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
    index = read_json(path / INDEX, "memory")
    try:
        if index["format"] != FORMAT:
            raise MemworldError(
                f"format {index['format']!r} is not {FORMAT}, which this version reads: update memworld"
            )
        info = DatasetInfo.from_json(index["info"])
        latent_shape = tuple(int(n) for n in index["latent_shape"])
        entries = [EpisodeEntry.from_json(entry) for entry in index["episodes"]]
        fingerprint, seed, keep_frames = str(index["encoder"]), int(index["seed"]), bool(index["frames"])
        if len(latent_shape) not in (1, 3) or min(latent_shape) < 1:
            raise ValueError(f"latent_shape {list(latent_shape)}")
        if len({entry.id for entry in entries}) != len(entries):
            raise ValueError("an episode is listed twice")
    except MemworldError as error:
        raise MemworldError(f"{path / INDEX} cannot be used: {error}") from error
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise MemworldError(
            f"{path / INDEX} is damaged ({type(error).__name__}: {one_line(error)}): "
            "restore it or remember the episodes again"
        ) from error
    dim = math.prod(latent_shape)
    episodes = [_read_episode(path / "episodes", entry, info, dim, keep_frames) for entry in entries]
    return Memory.restore(info, fingerprint, latent_shape, seed, keep_frames, episodes)


def _index(memory: Memory, episodes: Iterable[MemoryEpisode]) -> dict[str, object]:
    return {
        KIND_KEY: "memory",
        "format": FORMAT,
        "info": memory.info.to_json(),
        "encoder": memory.encoder_fingerprint,
        "latent_shape": list(memory.latent_shape),
        "seed": memory.seed,
        "frames": memory.keep_frames,
        "episodes": [episode.entry.to_json() for episode in episodes],
    }


def _settings(memory: Memory) -> dict[str, object]:
    """All of a memory but its episodes."""
    return {
        "encoder": memory.encoder_fingerprint,
        "seed": memory.seed,
        "keep_frames": memory.keep_frames,
        **memory.info.to_json(),
    }


def _unchanged(stored: Memory, wanted: Memory) -> set[str]:
    """The ids under which both memories hold the same episode."""
    by_id = {episode.entry.id: episode for episode in stored.episodes}
    both = [(by_id[e.entry.id], e) for e in wanted.episodes if e.entry.id in by_id]
    return {new.entry.id for old, new in both if _same(old, new)}


def _same(a: MemoryEpisode, b: MemoryEpisode) -> bool:
    """Whether all but the frames is equal; other frames would have other latents."""
    return a.entry.to_json() == b.entry.to_json() and all(
        np.array_equal(x, y) for x, y in zip(_arrays(a).values(), _arrays(b).values(), strict=True)
    )


def _check_frames_elsewhere(memory: Memory, path: Path) -> None:
    """Do nothing unless emptying the folder `path` would take the memory's own frames away."""
    for episode in memory.episodes:
        if isinstance(episode.frames, StoredFrames) and path.resolve() in episode.frames.path.resolve().parents:
            raise MemworldError(
                f"the memory's own frames are in {path}, so it cannot be overwritten: use --resume, or name another"
            )


def _frames_file(folder: Path, episode_id: str) -> Path:
    return folder / f"{episode_id}.frames.npy"


def _arrays_file(folder: Path, episode_id: str) -> Path:
    return folder / f"{episode_id}.safetensors"


def _write_episode(folder: Path, episode: MemoryEpisode) -> None:
    if episode.frames is not None:
        # NumPy stores an array in the memory order that it happens to have; equal frames must give equal bytes.
        frames = np.ascontiguousarray(episode.frames)
        target = _frames_file(folder, episode.entry.id)
        write_atomic(target, lambda temporary: np.save(temporary, frames, allow_pickle=False))
    write_arrays(_arrays_file(folder, episode.entry.id), _arrays(episode))


def _arrays(episode: MemoryEpisode) -> dict[str, np.ndarray]:
    return {
        **{name: getattr(episode.latents, name).numpy() for name in _LATENTS},
        "actions": episode.actions,
        "rewards": episode.rewards,
        "terminations": episode.terminations,
        "truncations": episode.truncations,
    }


def _read_episode(folder: Path, entry: EpisodeEntry, info: DatasetInfo, dim: int, frames: bool) -> MemoryEpisode:
    path = _arrays_file(folder, entry.id)
    arrays = read_arrays(path, "remembered episode")
    action_shape = info.action_space.shape or ()
    expected = dict.fromkeys(_LATENTS, ((entry.steps + 1, dim), np.float32)) | {
        "actions": ((entry.steps, *action_shape), np.float32 if action_shape else np.int64),
        "rewards": ((entry.steps,), np.float32),
        "terminations": ((entry.steps,), np.bool_),
        "truncations": ((entry.steps,), np.bool_),
    }
    for name, (shape, dtype) in expected.items():
        found = arrays.get(name)
        if found is None or found.shape != shape or found.dtype != dtype:
            got = "nothing" if found is None else f"{found.dtype} {list(found.shape)}"
            raise MemworldError(
                f"{path} is damaged: {name} should be {np.dtype(dtype)} {list(shape)}, got {got}; "
                "remember the episode again"
            )
    latents = Latents(*(torch.from_numpy(arrays[name]) for name in _LATENTS)).check(str(path))
    return MemoryEpisode(
        entry,
        latents,
        arrays["actions"],
        arrays["rewards"],
        arrays["terminations"],
        arrays["truncations"],
        StoredFrames(_frames_file(folder, entry.id), (entry.steps + 1, *info.observation_shape)) if frames else None,
    )


def _clean(folder: Path, memory: Memory) -> None:
    """Delete files of episodes that are not listed (any more)."""
    listed = {_arrays_file(folder, i) for i in memory.ids}
    if memory.keep_frames:
        listed |= {_frames_file(folder, i) for i in memory.ids}
    for file in folder.iterdir():
        if file not in listed and file.is_file():
            file.unlink(missing_ok=True)
