"""What dynamics learn from a memory, kept while it still holds, in memory and on disk.

What is learned holds for the memory that it was learned from, and for that memory grown by up to a
quarter: what is added is searched at once. Once anything is removed it is learned anew, so that
nothing of what was removed remains.
"""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from memworld.analogues import AnalogueConfig, AnalogueDynamics
from memworld.dynamics import ResolvedDynamics
from memworld.errors import MemworldError
from memworld.hybrid import HybridConfig, HybridDynamics
from memworld.imagine import Dynamics
from memworld.learned.arrays import Learned, from_arrays, to_arrays
from memworld.memory import Memory
from memworld.storage import KIND_KEY, make_folder, read_arrays, read_json, to_json, write_arrays, write_json
from memworld.store import LEARNED
from memworld.support import MOST_GROWTH

_log = logging.getLogger(__name__)

LearningSettings = AnalogueConfig | HybridConfig
"""Settings of dynamics that learn something."""

Settings = LearningSettings | ResolvedDynamics
"""Settings of any."""


def learned(dynamics: Dynamics) -> Learned | None:
    """What a dynamics has learned; None of the paper's strategies, which learn nothing."""
    if not isinstance(dynamics, AnalogueDynamics):
        return None
    return dynamics.analogues.fit, dynamics.correction if isinstance(dynamics, HybridDynamics) else None


class Shelf:
    """Where what was learned of one memory is kept for the next time."""

    def __init__(self, folder: Path | None = None) -> None:
        """Keep it beside the memory that lies in `folder`, or nowhere but with the dynamics that has learned it."""
        self._folder = None if folder is None else folder / LEARNED

    def find(self, settings: Settings, memory: Memory, before: Dynamics | None) -> Learned | None:
        """What was learned and still holds.

        Args:
            settings: of the dynamics.
            memory: as it is now.
            before: what was in use until this memory grew to what it is; None if it has not just grown.
        """
        if isinstance(settings, ResolvedDynamics):
            return None
        known = learned(before) if before is not None else None
        if known is not None and len(memory) <= MOST_GROWTH * known[0].rows:
            return known
        try:
            return None if self._folder is None else read_learned(self._folder, settings, memory)
        except MemworldError as error:  # it can be learned anew
            _log.warning("%s", error)
            return None

    def keep(self, settings: Settings, memory: Memory, made: Dynamics) -> None:
        """Write what a dynamics has learned, if there is a place and it can be written."""
        known = learned(made)
        if known is None or self._folder is None or isinstance(settings, ResolvedDynamics):
            return
        try:
            # What was removed there must not come back with what those learned who have not heard of it.
            if memory.stored is not None and memory.stored.newer() is None:
                write_learned(self._folder, settings, memory, known)
        except MemworldError as error:  # it is there to be used all the same
            _log.info("%s", error)


def write_learned(folder: Path, settings: LearningSettings, memory: Memory, known: Learned) -> None:
    """Write what was learned from a memory into `folder`, in the place of what was there of these settings.

    Nothing is written of a memory that is not stored itself.

    Raises:
        MemworldError: it cannot be written.
    """
    if (episodes := _episodes(memory)) is None:
        return
    make_folder(folder)
    name = _name(settings)
    arrays = {key: np.asarray(value) for key, value in to_arrays(known).items()}
    write_arrays(folder / f"{name}.safetensors", arrays)
    index = {KIND_KEY: "learned", "settings": _plain(settings), "encoder": memory.encoder_fingerprint}
    # By the list, written last, what was learned counts.
    write_json(folder / f"{name}.json", {**index, "episodes": episodes, "arrays": _digest(arrays)})


def read_learned(folder: Path, settings: LearningSettings, memory: Memory) -> Learned | None:
    """What was learned, if it holds for a memory; None if it does not, or is not there.

    Raises:
        MemworldError: it is there, and damaged.
    """
    name = _name(settings)
    path = folder / f"{name}.json"
    if not path.exists():
        return None
    index = read_json(path, "learned")
    try:
        if index["settings"] != _plain(settings) or index["encoder"] != memory.encoder_fingerprint:
            return None
        then, now = index["episodes"], _episodes(memory)
        if now is None or now[: len(then)] != then:
            return None
        arrays = read_arrays(folder / f"{name}.safetensors", "what was learned")
        if _digest(arrays) != index["arrays"]:
            raise ValueError("its arrays are another's")
        known = from_arrays({key: torch.from_numpy(value) for key, value in arrays.items()}, settings, memory)
        return known if len(memory.rows.steps) <= MOST_GROWTH * known[0].rows else None
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise MemworldError(f"{path} is damaged: delete {folder}, and it is learned anew") from error


def _name(settings: LearningSettings) -> str:
    kind = "hybrid" if isinstance(settings, HybridConfig) else "analogues"
    return f"{kind}-{hashlib.sha256(json.dumps(_plain(settings), sort_keys=True).encode()).hexdigest()[:8]}"


def _plain(settings: LearningSettings) -> Any:
    """The settings as JSON gives them back."""
    return json.loads(json.dumps(to_json(settings)))


def _episodes(memory: Memory) -> list[list[str]] | None:
    """Every episode with its file's digest; None where one has no file."""
    found = [[episode.entry.id, episode.sha256] for episode in memory.episodes]
    return None if any(digest is None for _, digest in found) else [[str(part) for part in one] for one in found]


def _digest(arrays: dict[str, np.ndarray]) -> str:
    found = hashlib.sha256()
    for key in sorted(arrays):
        found.update(key.encode())
        found.update(np.ascontiguousarray(arrays[key]).tobytes())
    return found.hexdigest()
