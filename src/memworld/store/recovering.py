"""Back to an earlier version, and arrays made anew from the table."""

from dataclasses import replace
from pathlib import Path

from memworld.errors import MemworldError
from memworld.storage import check_no_links, delete, locked
from memworld.store.arrays import next_arrays
from memworld.store.opening import PARTS
from memworld.store.rewriting import arrays_from_table
from memworld.store.versions import VERSIONS, Version, name_of, read_index, read_version, write_index, write_version
from memworld.store.writing import writing


def go_back(path: str | Path, number: int) -> Version:
    """Let a memory be what it was in an earlier version; that is a new version, so one can go forth again.

    Raises:
        MemworldError: no memory is there, it has no such version, is damaged or being written to.
    """
    path = Path(path)
    check_no_links(path, *PARTS)
    read_index(path)  # a mistyped path is refused before a folder is made of it
    with locked(path):
        _, present = read_index(path)
        sound = True
        try:
            read_version(path, present)
        except MemworldError:  # nothing can be made of the present one: it is given up
            if not 0 < number < present:
                raise
            sound = False
            _from_table(path, number, f"went back to version {number}")
            delete(path / VERSIONS / name_of(present))
    with writing(path) as writer:
        return writer.go_back(number) if sound else writer.stored.version


def make_arrays_anew(path: Path) -> Version:
    """Write the arrays of the version that counts anew from the table.

    Raises:
        MemworldError: the table is damaged, or the disk is full.
    """
    with locked(path):
        _from_table(path, read_index(path)[1], "arrays made anew")
    with writing(path) as writer:  # which deletes the old ones
        return writer.stored.version


def _from_table(path: Path, number: int, change: str) -> None:
    """Let what the table holds in a version be the next version; the present one need not be readable."""
    settings, present = read_index(path)
    then = read_version(path, number)
    try:
        arrays, listing = arrays_from_table(path, settings, then, next_arrays(path))
    except OSError as error:
        raise MemworldError(f"cannot write {path} ({error.strerror or error}): free space") from error
    version = replace(then, number=present).following(change, arrays=arrays, listing=listing)
    write_version(path, version)
    write_index(path, settings, version.number)
