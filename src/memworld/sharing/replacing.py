"""A folder that is written beside its place and takes it in one step, once all has gone well."""

import ctypes
import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from memworld.errors import MemworldError
from memworld.storage import KIND_KEY, delete, locked, make_folder, read_json, sync_folder
from memworld.storage.files import TEMPORARY
from memworld.store import INDEX
from memworld.store.first_format import is_first_format

_LONGEST = 200
"""Bytes of a name that still leave room for what is put before it."""

_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of Linux."""


@contextmanager
def replacing(target: Path, overwrite: bool) -> Iterator[Path]:
    """Where to write a folder that is to be `target`; it takes its place when the block has ended well.

    If the block fails or is killed, `target` is what it was. What a killed one left beside it is deleted
    by the next.

    Args:
        target: the folder; a link to one is followed.
        overwrite: whether a memory may be there already.

    Raises:
        MemworldError: `target` is there and may not be replaced, another process is writing it, or the
            disk is full.
    """
    target = target.resolve()
    make_folder(target.parent)
    name = os.fsencode(target.name)
    beside = target.parent / (
        TEMPORARY + (target.name if len(name) <= _LONGEST else hashlib.sha256(name).hexdigest()[:32])
    )
    with locked(beside):
        try:
            _clear(beside, target)
            check_target(target, overwrite)
            yield beside / "new"
            check_target(target, overwrite)
            _put(beside / "new", target)
        except OSError as error:
            raise MemworldError(
                f"cannot write {target} ({error.strerror or error}): free space, change permissions, or name another "
                "folder; what was there before is unharmed"
            ) from error
        finally:
            _clear(beside, target)
            delete(beside)


def check_target(target: Path, overwrite: bool) -> None:
    """Do nothing if a memory may be written to `target`: nothing is there, or a memory that may be overwritten.

    Raises:
        MemworldError: it may not.
        OSError: it cannot be looked at.
    """
    if target.exists() and not target.is_dir():
        raise MemworldError(f"output {target} is a file: name a folder")
    if not target.is_dir() or not any(target.iterdir()):
        return
    if not overwrite:
        raise MemworldError(f"{target} exists and is not empty: name another folder, or use --overwrite")
    if not is_memory(target):
        raise MemworldError(f"{target} holds no memory, so it is not memworld's to overwrite: name another folder")


def is_memory(folder: Path) -> bool:
    """Whether a folder holds a memory of memworld, by its `memory.json`."""
    try:
        index = read_json(folder / INDEX, "memory")
    except MemworldError:
        return False
    return isinstance(index, dict) and (index.get(KIND_KEY) == "memory" or is_first_format(folder))


def _put(new: Path, target: Path) -> None:
    """Let `new` take the place of `target`, whose former content is then somewhere beside `new`, if there was any."""
    if target.exists():
        with locked(target):
            if not _exchange(new, target):
                target.rename(new.parent / "old")
                new.rename(target)
    else:
        new.rename(target)
    sync_folder(target.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change places in one step; whether the system could."""
    if sys.platform != "linux":
        return False
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    return bool(rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0)


def _clear(beside: Path, target: Path) -> None:
    """Empty the folder `beside`, once what it holds of `target` is back in its place."""
    if (beside / "old").exists() and not target.exists():
        (beside / "old").rename(target)
    for child in beside.iterdir():
        delete(child)
