"""Memories of format 1, as memworld wrote them before: read here, and written anew in the present format.

memory.json                     what memory it is, and the list of its episodes with their checksums
episodes/<id>.safetensors       latents, actions, rewards, endings
episodes/<id>.frames.npy        frames, if kept
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap

from memworld.actions import as_actions, stored_dtype, stored_shape
from memworld.datasets import DatasetInfo, EpisodeEntry
from memworld.errors import MemworldError
from memworld.gaussian import Latents
from memworld.memory import Memory, MemoryEpisode
from memworld.storage import check_file, check_no_links, one_line, read_arrays, read_json
from memworld.store.versions import INDEX, Settings
from memworld.stored_frames import StoredFrames

EPISODES = "episodes"

_LATENTS = ("mu", "sigma", "z")


def is_first_format(path: Path) -> bool:
    """Whether the folder `path` holds a memory of format 1."""
    try:
        check_file(path / INDEX)
        value = json.loads((path / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(value, dict) and value.get("format") == 1


def open_first_format(path: Path) -> Memory:
    """Open a memory of format 1; frames stay on disk.

    Raises:
        MemworldError: it is damaged.
    """
    check_no_links(path, EPISODES)
    index = read_json(path / INDEX, "memory")
    try:
        settings = Settings.from_json(index)
        listed = [(EpisodeEntry.from_json(value), value.get("sha256")) for value in index["episodes"]]
        if len({entry.id for entry, _ in listed}) != len(listed) or any(entry.steps < 1 for entry, _ in listed):
            raise ValueError("an episode is listed twice, or has no step")
    except MemworldError as error:
        raise MemworldError(f"{path / INDEX} cannot be used: {error}") from error
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise MemworldError(
            f"{path / INDEX} is damaged ({type(error).__name__}: {one_line(error)}): "
            "restore it or remember the episodes again"
        ) from error
    dim = math.prod(settings.latent_shape)
    episodes = [_read(path / EPISODES, entry, settings.info, dim, settings.frames, seal) for entry, seal in listed]
    return Memory.restore(
        settings.info, settings.encoder, settings.latent_shape, settings.seed, settings.frames, episodes
    )


def _read(
    folder: Path, entry: EpisodeEntry, info: DatasetInfo, dim: int, frames: bool, sha256: str | None
) -> MemoryEpisode:
    """Read an episode's files and check them, but for the frames, of which the sizes are checked."""
    path = folder / f"{entry.id}.safetensors"
    arrays = read_arrays(path, "remembered episode")
    with path.open("rb") as file:
        if sha256 not in (None, hashlib.file_digest(file, "sha256").hexdigest()):
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
        NpyFrames(folder / f"{entry.id}.frames.npy", (entry.steps + 1, *info.observation_shape)) if frames else None,
    )


@dataclass(frozen=True)
class NpyFrames(StoredFrames):
    """Frames in a `.npy` file, mapped anew for each reading, as a map holds an open file for as long as it lives."""

    def __post_init__(self) -> None:
        """Check that the file holds frames of this shape, without reading them.

        Raises:
            MemworldError: it is missing, truncated, damaged or of another shape.
        """
        self._map()

    def take(self, steps: Sequence[int] | np.ndarray) -> np.ndarray:
        """The frames of these steps; see `StoredFrames`."""
        return np.array(self._map()[np.asarray(steps)])

    def _map(self) -> np.ndarray:
        try:
            check_file(self.path)
            # Not `np.load`, which opens archives and pickles too.
            frames: Any = open_memmap(self.path, mode="r")
        except FileNotFoundError as error:
            raise MemworldError(f"remembered frames {self.path} are missing: remember the episode again") from error
        except Exception as error:  # NumPy promises no set of errors on damaged files
            raise MemworldError(
                f"remembered frames {self.path} are truncated or damaged ({one_line(error)}): "
                "remember the episode again"
            ) from error
        whole = self.path.stat().st_size == frames.offset + frames.nbytes and frames.flags.c_contiguous
        if frames.shape != self.shape or frames.dtype != np.uint8 or not whole:
            raise MemworldError(
                f"remembered frames {self.path} are not uint8 {list(self.shape)}: remember the episode again"
            )
        return np.asarray(frames)
