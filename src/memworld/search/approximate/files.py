"""An approximate index on disk: one file, so that its parts always belong together.

approximate.safetensors     the arrays that make the codes; its header holds the rest as JSON
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch

from memworld.errors import MemworldError
from memworld.search import Candidates
from memworld.storage import make_folder, one_line, read_arrays, remove_unfinished, write_arrays

FORMAT = 1
"""Version of the file."""

_FILE = "approximate.safetensors"
_KEY = "memworld"
_CHUNK = 1 << 14


def write_index(path: Path, description: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write the file into the folder `path`; an interrupt leaves what was there before.

    Raises:
        MemworldError: the folder cannot be written.
    """
    make_folder(path)
    remove_unfinished(path)
    text = json.dumps({"format": FORMAT, "sha256": _digest(arrays), **description})
    write_arrays(path / _FILE, arrays, {_KEY: text})


def read_index(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what `write_index` wrote.

    Raises:
        MemworldError: it is missing, damaged or of another version.
    """
    file = path / _FILE
    arrays = read_arrays(file, "approximate index")
    try:
        with safetensors.safe_open(file, "np") as opened:
            description = json.loads(opened.metadata()[_KEY])
        version, digest = description["format"], description["sha256"]
    except (OSError, safetensors.SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise damaged(path, error) from error
    if version != FORMAT:
        raise MemworldError(f"{file} has format {version!r}, this memworld reads {FORMAT}: build the index again")
    if digest != _digest(arrays):
        raise damaged(path, "its arrays are not those that were saved")
    return description, arrays


def damaged(path: Path, why: object) -> MemworldError:
    """The error that says so."""
    kind = f"{type(why).__name__}: " if isinstance(why, Exception) else ""
    return MemworldError(f"approximate index {path / _FILE} is damaged ({kind}{one_line(why)}): build the index again")


def fingerprint(metric: str, candidates: Candidates) -> str:
    """SHA-256 of the metric and of all candidates' rows, episodes and latents, read a part at a time."""
    digest = hashlib.sha256(f"{metric} {len(candidates)} {candidates.dim}".encode())
    for numbers in (candidates.rows, candidates.episodes):
        for part in torch.split(numbers, _CHUNK):
            digest.update(part.contiguous().numpy().data)
    for values in (candidates.latents.mu, candidates.latents.sigma, candidates.latents.z):
        digest.update(str(values.dtype).encode())
        for rows in torch.split(candidates.rows, _CHUNK):
            digest.update(values.index_select(0, rows).numpy().data)
    return digest.hexdigest()


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()
