"""A copy of a memory as it counts now, and of nothing else."""

import contextlib
import logging
from pathlib import Path

from memworld.encoders import Encoder, open_encoder
from memworld.errors import MemworldError
from memworld.memory import Memory
from memworld.store import open_memory, read_index, read_version, save_memory
from memworld.store.first_format import is_first_format
from memworld.store.table import TABLE
from memworld.store.table_changes import clean_table

_log = logging.getLogger(__name__)


def copy_memory(path: Path, folder: Path) -> tuple[Memory, Encoder]:
    """Write a memory with its encoder into a new folder, in one version of its own.

    The table is written anew: files that are copied could hold rows that were removed, and even those that
    say which rows are gone name their episodes.

    Args:
        path: the memory, which is only read; others may write to it meanwhile.
        folder: the new folder.

    Returns:
        The memory, as the new folder holds it, and its encoder.

    Raises:
        MemworldError: the memory is missing, damaged, empty, has no encoder or was changed meanwhile, or the
            disk is full.
    """
    before = None if is_first_format(path) else read_index(path)[1]
    try:
        memory, encoder = _open(path)
        digests = [episode.sha256 for episode in memory.episodes]
        save_memory(memory, folder, encoder=encoder)
    except MemworldError as error:
        if before is not None and read_index(path)[1] != before:
            raise MemworldError(f"{path} was changed by another process while it was copied: push it again") from error
        raise
    for was, now in zip(digests, memory.episodes, strict=True):
        # Of a memory whose arrays take no time to read, `open_memory` has checked as much.
        if was not in (None, now.sha256):
            raise MemworldError(f"{path}: episode {now.entry.id} is damaged: see what memworld check says")
    # Lance writes notes of its own, which no memory needs.
    clean_table(folder / TABLE, [read_version(folder, read_index(folder)[1])])
    for child in (folder / TABLE).iterdir():
        with contextlib.suppress(OSError):  # not empty
            child.rmdir()
    _log.info("%s: copied %d episodes", path, len(memory.entries))
    return memory, encoder


def _open(path: Path) -> tuple[Memory, Encoder]:
    memory = open_memory(path)
    if not memory.entries:
        raise MemworldError(f"{path} is empty: remember at least one episode first")
    if not (path / "encoder").is_dir():
        raise MemworldError(f"{path} has no encoder, without which nobody can use it: save it with its encoder")
    return memory, open_encoder(path / "encoder")
