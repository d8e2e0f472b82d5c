"""The memory on disk.

    memory.json                     what memory it is, and the list of its episodes
    encoder/                        the encoder that made it
    episodes/<id>.safetensors       latents, actions, rewards, endings
    episodes/<id>.frames.npy        frames, if kept; mapped, not read, when the memory is opened

An episode counts once `memory.json` lists it. That file is replaced in one rename, after the
episode's own files are written and synced, so a kill at any moment leaves the memory as it was
before or after, never between; files that are not listed are ignored and later cleaned away.
"""

from pathlib import Path

import numpy as np
import torch

from memworld.encoders import Encoder
from memworld.episodes import DatasetInfo, EpisodeEntry
from memworld.errors import MemworldError
from memworld.gaussian import Latents
from memworld.memory import Memory, MemoryEpisode
from memworld.storage import OnExisting, prepare_folder, read_arrays, read_json, write_arrays, write_atomic, write_json

FORMAT = 1
"""Version of the memory's files."""

INDEX = "memory.json"

_LATENTS = ("mu", "sigma", "z")


def save_memory(memory: Memory, path: Path, on_existing: OnExisting = "error", encoder: Encoder | None = None) -> None:
    """Bring the folder `path` to what `memory` holds: add what is missing there, remove what is gone.

    Args:
        memory: what to save.
        path: the folder.
        on_existing: `resume` brings a folder of this very memory up to date; `overwrite` starts anew.
        encoder: saved beside it, so that `WorldModel.open` finds it.

    Raises:
        MemworldError: the folder cannot be used, holds another memory, or the disk is full; what
            was stored before is unharmed.
    """
    prepare_folder(path, on_existing, marker=INDEX)
    stored: set[str] = set()
    if (path / INDEX).exists():
        old = open_memory(path)
        check_same_memory(path, old, memory)
        stored = set(old.ids)
    elif encoder is not None:
        memory.check_encoder(encoder)
        encoder.save(path / "encoder")
    sync_memory(memory, path, stored)


def sync_memory(memory: Memory, path: Path, stored: set[str]) -> set[str]:
    """Write the episodes that are not `stored` in the folder `path` yet, then the list; drop what is gone.

    Frames are taken back from the files that were just written, so that a memory that grows does
    not fill the machine's.

    Returns:
        The ids that are stored now.
    """
    (path / "episodes").mkdir(exist_ok=True)
    for episode in memory.episodes:
        if episode.entry.id not in stored:
            _write_episode(path / "episodes", episode)
            if episode.frames is not None:
                file = _frames_file(path / "episodes", episode.entry.id)
                memory.replace_frames(episode.entry.id, _map_frames(file, episode.frames.shape))
    write_json(path / INDEX, _index(memory))
    ids = set(memory.ids)
    _clean(path / "episodes", ids)
    return ids


def check_same_memory(path: Path, stored: Memory, wanted: Memory) -> None:
    """Do nothing if what is stored can become `wanted` by adding and removing episodes.

    Raises:
        MemworldError: encoder, seed, frames or data differ; both values are named.
    """
    for name in ("encoder_fingerprint", "seed", "keep_frames", "info"):
        old, new = getattr(stored, name), getattr(wanted, name)
        if old != new:
            raise MemworldError(
                f"{path} holds a memory with {name} {old}, this one has {new}: name another folder, or use --overwrite"
            )


def open_memory(path: Path) -> Memory:
    """Open a memory; frames stay on disk until they are asked for.

    Raises:
        MemworldError: it is missing, damaged or of another version.
    """
    index = read_json(path / INDEX, "memory")
    try:
        if index["format"] != FORMAT:
            raise MemworldError(f"{path} is a memory of format {index['format']!r}, this version reads {FORMAT}")
        info = DatasetInfo.from_json(index["info"])
        latent_shape = tuple(int(n) for n in index["latent_shape"])
        entries = [EpisodeEntry.from_json(entry) for entry in index["episodes"]]
        fingerprint, seed, keep_frames = str(index["encoder"]), int(index["seed"]), bool(index["frames"])
    except MemworldError as error:
        raise MemworldError(f"{path / INDEX}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise MemworldError(
            f"{path / INDEX} is damaged ({error!r}): restore it or remember the episodes again"
        ) from error
    dim = int(np.prod(latent_shape))
    episodes = [_read_episode(path / "episodes", entry, info, dim, keep_frames) for entry in entries]
    return Memory.restore(info, fingerprint, latent_shape, seed, keep_frames, episodes)


def _index(memory: Memory) -> dict[str, object]:
    return {
        "format": FORMAT,
        "info": memory.info.to_json(),
        "encoder": memory.encoder_fingerprint,
        "latent_shape": list(memory.latent_shape),
        "seed": memory.seed,
        "frames": memory.keep_frames,
        "episodes": [episode.entry.to_json() for episode in memory.episodes],
    }


def _frames_file(folder: Path, episode_id: str) -> Path:
    return folder / f"{episode_id}.frames.npy"


def _write_episode(folder: Path, episode: MemoryEpisode) -> None:
    frames = episode.frames
    if frames is not None:
        target = _frames_file(folder, episode.entry.id)
        write_atomic(target, lambda temporary: np.save(temporary, frames, allow_pickle=False))
    write_arrays(
        folder / f"{episode.entry.id}.safetensors",
        {
            **{name: getattr(episode.latents, name).numpy() for name in _LATENTS},
            "actions": episode.actions,
            "rewards": episode.rewards,
            "terminations": episode.terminations,
            "truncations": episode.truncations,
        },
    )


def _read_episode(folder: Path, entry: EpisodeEntry, info: DatasetInfo, dim: int, frames: bool) -> MemoryEpisode:
    path = folder / f"{entry.id}.safetensors"
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
        _map_frames(_frames_file(folder, entry.id), (entry.steps + 1, *info.observation_shape)) if frames else None,
    )


def _map_frames(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    try:
        frames = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise MemworldError(f"remembered frames {path} are missing: remember the episode again") from error
    except (OSError, ValueError, EOFError) as error:
        raise MemworldError(
            f"remembered frames {path} are truncated or damaged ({error}): remember the episode again"
        ) from error
    if not isinstance(frames, np.ndarray) or frames.shape != shape or frames.dtype != np.uint8:
        raise MemworldError(f"remembered frames {path} are not uint8 {list(shape)}: remember the episode again")
    return frames


def _clean(folder: Path, ids: set[str]) -> None:
    """Delete files of episodes that are not listed (any more)."""
    for file in folder.iterdir():
        name = file.name.removesuffix(".safetensors").removesuffix(".frames.npy")
        if name not in ids:
            file.unlink(missing_ok=True)
