"""What is written anew from what is there: arrays from the table, and a memory of format 1 in the present one."""

from dataclasses import replace
from pathlib import Path

from memworld.errors import MemworldError
from memworld.storage import delete
from memworld.store.arrays import ARRAYS, Listed, append_arrays, columns_of, digest, write_arrays_anew
from memworld.store.first_format import is_first_format, open_first_format
from memworld.store.opening import LEARNED, settings_of
from memworld.store.table import TABLE, Table
from memworld.store.table_changes import change_table
from memworld.store.versions import VERSIONS, Seal, Settings, Version, write_index, write_version


def arrays_from_table(path: Path, settings: Settings, version: Version, number: int) -> tuple[int, Seal]:
    """Write the arrays of a version from the table alone, into a folder of another number.

    Returns:
        The number, and the seal of the list.

    Raises:
        MemworldError: the table is damaged.
        OSError: they cannot be written.
    """
    table = Table(path / TABLE, version)
    table.check()
    episodes, rows, listing = write_arrays_anew(path, settings, number, table.episodes(settings))
    if (episodes, rows) != (version.episodes, version.rows):
        raise MemworldError(
            f"{table.path} is damaged: it has {episodes} episodes of {rows} rows, not {version.episodes} of "
            f"{version.rows}"
        )
    return number, listing


def write_anew(path: Path) -> None:
    """Write a memory of format 1 in the present one, which counts once all of it is there; the folder is locked.

    Raises:
        MemworldError: it is damaged, or the disk is full; what was stored before is unharmed.
    """
    memory = open_first_format(path)
    settings, before = settings_of(memory), Version()
    delete(path / LEARNED)
    _drop_unfinished(path)
    try:
        if memory.episodes:
            table, files = change_table(path / TABLE, settings, before, (), memory.episodes)
            columns = [columns_of(episode) for episode in memory.episodes]
            parts = [Listed(e.entry, digest(c)) for e, c in zip(memory.episodes, columns, strict=True)]
            rows, listing = append_arrays(path, settings, replace(before, arrays=1), columns, parts)
            now = {"table": table, "files": files, "arrays": 1, "listing": listing}
            before = before.following("written anew from format 1", episodes=len(parts), rows=rows, **now)
            write_version(path, before)
        write_index(path, settings, before.number)
    except OSError as error:
        _drop_unfinished(path)
        raise MemworldError(
            f"cannot write {path} ({error.strerror or error}): free space or change its permissions; "
            "what was stored before is unharmed"
        ) from error
    except BaseException:
        _drop_unfinished(path)
        raise


def _drop_unfinished(path: Path) -> None:
    """Delete what was begun of a memory that is of format 1 still."""
    if is_first_format(path):
        for part in (VERSIONS, ARRAYS, TABLE):
            delete(path / part)
