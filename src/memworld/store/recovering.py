"""Back to an earlier version, and arrays made anew from the table."""

from pathlib import Path

from memworld.errors import MemworldError
from memworld.storage import check_no_links, locked
from memworld.store.arrays import next_arrays
from memworld.store.opening import PARTS
from memworld.store.versions import Version, read_index, read_version, write_index, write_version
from memworld.store.writing import arrays_from_table, writing


def go_back(path: str | Path, number: int) -> Version:
    """Let a memory be what it was in an earlier version; that is a new version, so one can go forth again.

    Raises:
        MemworldError: no memory is there, it has no such version, is damaged or being written to.
    """
    path = Path(path)
    check_no_links(path, *PARTS)
    settings, present = read_index(path)
    try:
        read_version(path, present)
    except MemworldError:  # nothing can be made of the present one: it is given up
        with locked(path):
            if not 0 < number < present:
                raise
            read_version(path, number)
            write_index(path, settings, number)
        return make_arrays_anew(path)
    with writing(path) as writer:
        return writer.go_back(number)


def make_arrays_anew(path: Path) -> Version:
    """Write the arrays of the version that counts anew from the table.

    Raises:
        MemworldError: the table is damaged, or the disk is full.
    """
    with locked(path):
        settings, number = read_index(path)
        before = read_version(path, number)
        try:
            arrays, listing = arrays_from_table(path, settings, before, next_arrays(path))
        except OSError as error:
            raise MemworldError(f"cannot write {path} ({error.strerror or error}): free space") from error
        version = before.following("arrays made anew", arrays=arrays, listing=listing)
        write_version(path, version)
        write_index(path, settings, version.number)
    with writing(path) as writer:  # which deletes the old ones
        return writer.stored.version
