"""The files of one remembered episode: written, read back and checked."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from memworld.actions import as_actions, stored_dtype, stored_shape
from memworld.datasets import DatasetInfo, EpisodeEntry
from memworld.errors import MemworldError
from memworld.gaussian import Latents
from memworld.memory import MemoryEpisode
from memworld.storage import read_arrays, write_arrays, write_atomic
from memworld.stored_frames import StoredFrames

ARRAYS = ".safetensors"
"""How the file of latents, actions, rewards and endings ends, after the episode's id."""

FRAMES = ".frames.npy"
"""How the file of frames ends."""

_LATENTS = ("mu", "sigma", "z")


def write_episode(folder: Path, episode: MemoryEpisode) -> MemoryEpisode:
    """Write an episode's files; return it with its frames in the one just written."""
    frames_file, arrays_file = folder / f"{episode.entry.id}{FRAMES}", folder / f"{episode.entry.id}{ARRAYS}"
    stored = None
    if episode.frames is not None:
        # NumPy stores an array in the memory order that it happens to have; equal frames must give equal bytes.
        frames = np.ascontiguousarray(episode.frames)
        write_atomic(frames_file, lambda temporary: np.save(temporary, frames, allow_pickle=False))
        stored = StoredFrames(frames_file, frames.shape)
    write_arrays(arrays_file, _arrays(episode))
    return replace(episode, frames=stored, sha256=_sha256(arrays_file))


def read_episode(
    folder: Path, entry: EpisodeEntry, info: DatasetInfo, dim: int, frames: bool, sha256: str | None
) -> MemoryEpisode:
    """Read an episode's files and check them.

    Latents, actions, rewards and endings are checked bit by bit, against `sha256` unless it is None.
    Frames stay where they are: of them only the header and the size of the file are.

    Args:
        folder: the folder of the files.
        entry: what the memory's list says of the episode.
        info: what all episodes share.
        dim: D, the number of latent variables.
        frames: whether frames were kept.
        sha256: of the arrays' file; older memories have none.

    Raises:
        MemworldError: a file is missing or damaged, or does not fit the list.
    """
    path = folder / f"{entry.id}{ARRAYS}"
    arrays = read_arrays(path, "remembered episode")
    digest = _sha256(path)
    if sha256 not in (None, digest):
        raise MemworldError(f"{path} is damaged: its SHA-256 is not the one in the memory's list; restore it")
    space = info.action_space
    expected: dict[str, tuple[tuple[int, ...], type[np.generic]]] = dict.fromkeys(
        _LATENTS, ((entry.steps + 1, dim), np.float32)
    ) | {
        "actions": ((entry.steps, *stored_shape(space)), stored_dtype(space)),
        "rewards": ((entry.steps,), np.float32),
        "terminations": ((entry.steps,), np.bool_),
        "truncations": ((entry.steps,), np.bool_),
    }
    for name, (shape, dtype) in expected.items():
        found = arrays.get(name)
        if found is None or found.shape != shape or found.dtype != dtype:
            got = "nothing" if found is None else f"{found.dtype} {list(found.shape)}"
            raise MemworldError(f"{path} is damaged: {name} should be {np.dtype(dtype)} {list(shape)}, got {got}")
    try:
        as_actions(arrays["actions"], space)
    except MemworldError as error:
        raise MemworldError(f"{path} is damaged: {error}") from error
    if not np.isfinite(arrays["rewards"]).all():
        raise MemworldError(f"{path} is damaged: its rewards hold NaN or infinity")
    if arrays["terminations"][:-1].any() or arrays["truncations"][:-1].any():
        raise MemworldError(f"{path} is damaged: the episode ends before its last step")
    latents = Latents(*(torch.from_numpy(arrays[name]) for name in _LATENTS)).check(str(path))
    return MemoryEpisode(
        entry,
        latents,
        arrays["actions"],
        arrays["rewards"],
        arrays["terminations"],
        arrays["truncations"],
        StoredFrames(folder / f"{entry.id}{FRAMES}", (entry.steps + 1, *info.observation_shape)) if frames else None,
        digest,
    )


def same_episode(a: MemoryEpisode, b: MemoryEpisode) -> bool:
    """Whether all but the frames is equal; other frames would have other latents."""
    return a.entry.to_json() == b.entry.to_json() and all(
        np.array_equal(x, y) for x, y in zip(_arrays(a).values(), _arrays(b).values(), strict=True)
    )


def _arrays(episode: MemoryEpisode) -> dict[str, np.ndarray]:
    return {
        **{name: getattr(episode.latents, name).numpy() for name in _LATENTS},
        "actions": episode.actions,
        "rewards": episode.rewards,
        "terminations": episode.terminations,
        "truncations": episode.truncations,
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
