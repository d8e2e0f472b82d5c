"""Folders that belong to memworld: made, emptied, locked, and never followed to what is another's."""

import json
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from memworld.errors import MemworldError
from memworld.storage.files import TEMPORARY, delete, read_json, sync_folder, write_json

_log = logging.getLogger(__name__)

KIND_KEY = "memworld"
"""The entry of a marker file that says what kind of folder memworld made it for."""

OnExisting = Literal["error", "resume", "overwrite"]


def prepare_folder(path: Path, on_existing: OnExisting, marker: str, kind: str | None = None) -> None:
    """Make the folder `path` ready for output that belongs to memworld.

    Args:
        path: the folder.
        on_existing: what to do when it holds something: `error`, `resume` (keep what is there) or
            `overwrite` (remove it, but only if it holds `marker`, so that a mistyped path never
            deletes a folder that is not ours).
        marker: name of the file by which memworld knows its own folder.
        kind: what the JSON file `marker` must say under `KIND_KEY`; None asks for the file alone.

    Raises:
        MemworldError: the folder exists and must not, is a file, or cannot be written.
    """
    if on_existing not in ("error", "resume", "overwrite"):
        raise MemworldError(f"unknown on_existing {on_existing!r}: use error, resume or overwrite")
    try:
        _check_no_file(path)
        # What a killed first write left behind is nothing that anyone could lose.
        if path.is_dir() and any(not child.name.startswith(TEMPORARY) for child in path.iterdir()):
            if on_existing == "error":
                raise MemworldError(
                    f"output folder {path} exists and is not empty: name another, or use --resume or --overwrite"
                )
            if not (path / marker).is_file() or (kind is not None and _kind_of(path / marker) != kind):
                raise MemworldError(
                    f"output folder {path} exists and holds no {marker}{f' of a memworld {kind}' if kind else ''}, so "
                    f"it is not memworld's to {on_existing}: name another folder"
                )
            if on_existing == "overwrite":
                _empty(path, marker)
        make_folder(path)
        with tempfile.TemporaryFile(dir=path, prefix=TEMPORARY):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error


def begin_run(path: Path, kind: str, settings: Mapping[str, Any], on_existing: OnExisting) -> None:
    """Make the folder of a run and write its `config.json`, or check that it was begun with the same settings.

    Args:
        path: the folder.
        kind: of the run; `config.json` says it.
        settings: all that it depends on, in plain JSON values.
        on_existing: see `prepare_folder`.

    Raises:
        MemworldError: the folder cannot be used, or was begun with other settings.
    """
    wanted = {KIND_KEY: kind, **settings}
    prepare_folder(path, on_existing, "config.json", kind)
    config = path / "config.json"
    if not config.exists():
        write_json(config, wanted)
    elif (stored := read_json(config, kind)) != wanted:
        changed = [name for name in wanted if stored.get(name) != wanted[name]]
        raise MemworldError(
            f"{path} was begun with other settings (they differ in {', '.join(changed) or 'what is there'}): give "
            "the same, name another folder, or use --overwrite"
        )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let no other memworld write to the folder `path`, which is made unless it is there.

    The lock lies on the folder itself: it leaves no file, and the system takes it back however the
    process ends. Each folder can be locked once, by this process too; those in it have locks of
    their own.

    Raises:
        MemworldError: another holds the lock, or the folder cannot be made.
    """
    make_folder(path)
    if os.name == "nt":  # which has no such locks
        yield
        return
    import fcntl

    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise MemworldError(f"another memworld is writing to {path}: wait for it") from error
        except OSError as error:  # as on some network file systems
            _log.warning("%s cannot be locked (%s): let nothing else write to it", path, error.strerror)
        yield
    finally:
        os.close(handle)


def check_no_links(folder: Path, *names: str) -> None:
    """Do nothing unless one of these children of `folder`, or what lies in them, is a link: it could lead anywhere.

    Raises:
        MemworldError: one is, so that writing or deleting could touch files outside the folder.
    """
    for child in (folder / name for name in names):
        # What is deleted meanwhile, as by a writer beside this reader, is not looked at.
        inner = os.walk(child) if child.is_dir() and not child.is_symlink() else ()
        for file in (child, *(Path(here, name) for here, folders, files in inner for name in (*folders, *files))):
            if file.is_symlink():
                raise MemworldError(
                    f"{file} is a link, which could lead outside {folder}: put what it points to in its place"
                )


def remove_unfinished(folder: Path) -> None:
    """Delete what killed writes left in `folder`; nothing else may be writing there."""
    for file in folder.glob(f"{TEMPORARY}*"):
        if not file.is_dir():
            file.unlink(missing_ok=True)


def _check_no_file(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise MemworldError(f"output {path} is a file: name a folder")


def _kind_of(marker: Path) -> object:
    """What a marker file says that its folder is; None if it says nothing."""
    try:
        value = json.loads(marker.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return None
    return value.get(KIND_KEY) if isinstance(value, dict) else None


def make_folder(path: Path) -> None:
    """Make the folder `path`, and those above it, unless it is there.

    Raises:
        MemworldError: it is a file or cannot be made.
    """
    try:
        _check_no_file(path)
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for folder in missing:  # or all that is written into it may be lost with the power
            sync_folder(folder.parent)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> MemworldError:
    return MemworldError(
        f"output folder {path} cannot be written ({error.strerror or error}): name another or change its permissions"
    )


def _empty(path: Path, marker: str) -> None:
    """Remove everything in the folder, `marker` last: by it a removal that was killed can go on."""
    for child in sorted(path.iterdir(), key=lambda child: child.name == marker):
        delete(child)
