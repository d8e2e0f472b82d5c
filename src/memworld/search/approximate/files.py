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
from memworld.gaussian import seeded
from memworld.search import Candidates
from memworld.storage import make_folder, one_line, read_arrays, remove_unfinished, write_arrays

FORMAT = 1
"""Version of the file."""

_FILE = "approximate.safetensors"
_KEY = "memworld"
_CHUNK = 1 << 14
_MOST_CANDIDATES = 1 << 20
_UNSOUND = (KeyError, TypeError, ValueError, AttributeError)
_KINDS = {"metric": str, "memory": str, "codes": str, "probes": int, "candidates": int, "recall": float, "seed": int}


def write_index(path: Path, description: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write the file into the folder `path`; an interrupt leaves what was there before.

    Raises:
        MemworldError: the folder cannot be written.
    """
    make_folder(path)
    remove_unfinished(path)
    description = {"format": FORMAT, **description}
    text = json.dumps({**description, "sha256": _digest(description, arrays)}, sort_keys=True)
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
        version, digest = description["format"], description.pop("sha256")
        same = digest == _digest(description, arrays)
    except (OSError, safetensors.SafetensorError, *_UNSOUND, RecursionError) as error:
        raise damaged(path, error) from error
    if type(version) is not int or version != FORMAT:
        raise MemworldError(f"{file} has format {version!r}, this memworld reads {FORMAT}: build the index again")
    if not same:
        raise damaged(path, "it is not what was saved")
    try:
        _check(description, arrays)
    except _UNSOUND as error:
        raise damaged(path, error) from error
    return description, arrays


def _check(description: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Do nothing if every entry is of its type and in its range, as far as the entries alone can tell."""
    for name, kind in _KINDS.items():
        # A bool is an int to isinstance.
        if type(description[name]) is not kind:
            raise TypeError(f"{name} is {description[name]!r}")
    seeded(description["seed"])
    codes, probes, candidates, recall = (description[name] for name in ("codes", "probes", "candidates", "recall"))
    if codes not in ("exact", "proxy", "product") or not 0 <= recall <= 1:
        raise ValueError(f"codes {codes!r}, recall {recall}")
    if codes == "exact":
        if arrays or probes or candidates:
            raise ValueError(f"exact search with arrays {sorted(arrays)}, {probes} probes, {candidates} candidates")
    elif probes < 1 or not 1 <= candidates <= _MOST_CANDIDATES:
        raise ValueError(f"{probes} probes, {candidates} candidates")


def damaged(path: Path, why: object) -> MemworldError:
    """The error that says so."""
    kind = f"{type(why).__name__}: " if isinstance(why, Exception) else ""
    return MemworldError(f"approximate index {path / _FILE} is damaged ({kind}{one_line(why)}): build the index again")


def fingerprint(metric: str, candidates: Candidates) -> str:
    """SHA-256 of the metric and of all candidates' rows, episodes and latents, read a part at a time.

    Actions are not in it: nothing that is saved depends on them. They are sorted when a search first asks for
    them, so that an index may be opened on the same rows with other features of their actions.
    """
    digest = hashlib.sha256(f"{metric} {len(candidates)} {candidates.dim}".encode())
    for numbers in (candidates.rows, candidates.episodes):
        for part in torch.split(numbers, _CHUNK):
            digest.update(part.contiguous().numpy().data)
    for values in (candidates.latents.mu, candidates.latents.sigma, candidates.latents.z):
        digest.update(str(values.dtype).encode())
        for rows in torch.split(candidates.rows, _CHUNK):
            digest.update(values.index_select(0, rows).numpy().data)
    return digest.hexdigest()


def _digest(description: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of all that is saved but itself."""
    digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()
