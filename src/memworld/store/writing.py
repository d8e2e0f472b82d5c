"""The one writer of a memory's folder: every change counts whole, and once it counts it stays.

A change first goes into the table and the arrays, synced, where no version names it yet; then a new
version describes it; then `memory.json` is replaced in one rename. A kill at any moment leaves the
version before or the version after. What a killed change wrote belongs to no version, and the next
writer deletes it.
"""

import contextlib
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from memworld.errors import MemworldError
from memworld.memory import Memory, MemoryEpisode
from memworld.storage import check_no_links, delete, locked, remove_unfinished
from memworld.store.arrays import ARRAYS, Listed, append_arrays, columns_of, digest, next_arrays, write_arrays_anew
from memworld.store.first_format import EPISODES, is_first_format
from memworld.store.opening import LEARNED, PARTS, Stored, empty_memory
from memworld.store.rewriting import arrays_from_table, write_anew
from memworld.store.table import TABLE, Table
from memworld.store.table_changes import (
    change_table,
    clean_table,
    compact_table,
    go_back_in_table,
    has_many_files,
)
from memworld.store.versions import (
    KEPT,
    VERSIONS,
    Settings,
    Version,
    name_of,
    read_index,
    read_version,
    version_numbers,
    write_index,
    write_version,
)

_log = logging.getLogger(__name__)


class MemoryWriter:
    """Writes to the memory in a folder; make it with `writing`, which lets no other write meanwhile."""

    def __init__(self, path: Path, new: Settings | None = None) -> None:
        """Take up the memory in the folder `path`, or begin a `new` one; the folder is locked already.

        Raises:
            MemworldError: it is damaged, or cannot be written.
        """
        check_no_links(path, *PARTS)
        self.path = path
        if new is not None:
            write_index(path, new, 0)  # by it the folder is known as a memory's, should what follows be interrupted
        elif is_first_format(path):
            write_anew(path)
        self.stored = Stored.open(path)
        self._versions: dict[int, Version] = {}
        self._begun = False  # a change that has not come to count
        self._tidy()

    @property
    def memory(self) -> Memory:
        """What is stored."""
        return empty_memory(self.stored.settings, self.stored)

    @property
    def ids(self) -> frozenset[str]:
        """The ids of the episodes that are stored."""
        self._catch_up()
        return frozenset(one.entry.id for one in self.stored.arrays.listed)

    def commit(
        self, *, append: Sequence[MemoryEpisode] = (), remove: Sequence[str] = (), change: str | None = None
    ) -> Version:
        """Remove episodes and append others, in one change.

        Args:
            append: what is new.
            remove: ids of what goes; they may be among those that are appended anew.
            change: what was done, in words; None says so itself.

        Returns:
            The version that counts now.

        Raises:
            MemworldError: an id is not there or is there already, or the disk is full; nothing was changed.
        """
        gone, listed = set(remove), self.ids
        if unknown := gone - listed:
            raise MemworldError(f"the memory has no episode {min(unknown)!r}: see memworld inspect for those it has")
        if twice := (listed - gone) & {e.entry.id for e in append}:
            raise MemworldError(
                f"the memory has an episode {min(twice)} already: remove it first or rename the new one"
            )
        if not gone and not append:
            return self.stored.version
        done = [_counted("removed", len(gone)), _counted("appended", len(append))]

        def write(before: Version) -> Version:
            settings = self.stored.settings
            table, files = change_table(self.path / TABLE, settings, before, sorted(gone), append)
            columns = [columns_of(episode) for episode in append]
            new = [Listed(e.entry, digest(c)) for e, c in zip(append, columns, strict=True)]
            if gone:
                number = next_arrays(self.path)
                kept = ((one, c) for one, c in self.stored.arrays.slices() if one.entry.id not in gone)
                parts = itertools.chain(kept, zip(new, columns, strict=True))
                episodes, rows, listing = write_arrays_anew(self.path, settings, number, parts)
            else:
                number, episodes = max(1, before.arrays), before.episodes + len(new)
                there = replace(before, arrays=number)
                rows, listing = append_arrays(self.path, settings, there, columns, new)
            return before.following(
                change or ", ".join(filter(None, done)),
                episodes=episodes,
                rows=rows,
                table=table,
                files=files,
                arrays=number,
                listing=listing,
            )

        if gone:
            delete(self.path / LEARNED)  # it holds also of what is removed now
        version = self._change(write)
        if has_many_files(version):
            try:
                return self._change(self._joined)
            except MemworldError as error:  # what was asked for is done, and the next commit tries again
                _log.warning("%s", error)
        return version

    def compact(self) -> Version:
        """Write small files together, and take all that was removed, and every earlier version, off the disk.

        Raises:
            MemworldError: the disk is full, or the table is damaged; what is stored is unharmed.
        """
        version = self._change(self._compacted)
        for number in version_numbers(self.path):  # the damaged ones as well
            if number != version.number:
                self._forget(number)
        self._tidy()
        return version

    def go_back(self, number: int) -> Version:
        """Let the memory be what it was in an earlier version, as a new one.

        Raises:
            MemworldError: there is no such version, it is damaged, or the disk is full.
        """
        if number not in self._versions:
            there = ", ".join(map(str, sorted(self._versions))) or "none"
            raise MemworldError(f"{self.path} has no version {number} to go back to: it has {there}")
        return self._go_back(self._versions[number], f"went back to version {number}")

    def _joined(self, before: Version) -> Version:
        Table(self.path / TABLE, before).check_small()
        table, files = compact_table(self.path / TABLE, before, drop_removed=False)
        return before.following("wrote small files together", table=table, files=files)

    def _compacted(self, before: Version) -> Version:
        if not before.table:
            return before.following("compacted")
        Table(self.path / TABLE, before).check()
        table, files = compact_table(self.path / TABLE, before, drop_removed=True)
        return before.following("compacted", table=table, files=files)

    def _go_back(self, then: Version, change: str) -> Version:
        def write(before: Version) -> Version:
            Table(self.path / TABLE, then).check()
            table, files = go_back_in_table(self.path / TABLE, then)
            there = replace(then, table=table, files=files)
            arrays, listing = arrays_from_table(self.path, self.stored.settings, there, next_arrays(self.path))
            now = {"table": table, "files": files, "arrays": arrays, "listing": listing}
            return before.following(change, episodes=then.episodes, rows=then.rows, **now)

        delete(self.path / LEARNED)
        return self._change(write)

    def _change(self, write: Callable[[Version], Version]) -> Version:
        """Let `write` write what follows the present version, and make it count."""
        self._catch_up()
        if self._begun:  # and whose traces an interrupt, or the disk, left where they were
            self._tidy()
        before, self._begun = self.stored, True
        try:
            version = write(before.version)
            write_version(self.path, version)
            write_index(self.path, before.settings, version.number)
        except OSError as error:
            self._give_up()
            raise MemworldError(
                f"cannot write {self.path} ({error.strerror or error}): free space or change its permissions; "
                "what was stored before is unharmed"
            ) from error
        except BaseException:
            self._give_up()
            raise
        self._catch_up()
        self._begun = False
        self._drop_old()
        return version

    def _catch_up(self) -> None:
        """Hold what counts: this writer may have been interrupted after a change of its own had come to."""
        if newer := self.stored.newer():
            self.stored = newer
            self._versions[newer.version.number] = newer.version

    def _give_up(self) -> None:
        """Free the space of a change that did not come to count, if that can be done."""
        with contextlib.suppress(MemworldError, OSError):
            self.stored = Stored.open(self.path)
            self._tidy()

    def _drop_old(self) -> None:
        """Delete versions beyond those that are kept, and arrays of others than the present one."""
        old = version_numbers(self.path)[:-KEPT]
        for number in old:
            self._forget(number)
        if old:
            self._clean_table()
        self._clean_arrays()

    def _tidy(self) -> None:
        """Delete what killed changes left."""
        number = self.stored.version.number
        self._versions = {number: self.stored.version} if number else {}
        for other in version_numbers(self.path):
            if other > number:
                self._forget(other)
            elif other < number:
                try:
                    self._versions[other] = read_version(self.path, other)
                except MemworldError as error:
                    _log.warning("%s", error)
        remove_unfinished(self.path)
        remove_unfinished(self.path / VERSIONS)
        self._clean_arrays()
        self._clean_table()
        delete(self.path / EPISODES)  # of format 1, should its reader have been killed

    def _clean_table(self) -> None:
        if self._versions.keys() >= set(version_numbers(self.path)):  # which files a damaged one needs is not known
            clean_table(self.path / TABLE, self._versions.values())

    def _clean_arrays(self) -> None:
        folder = self.path / ARRAYS
        for child in folder.iterdir() if folder.is_dir() else ():
            if child.name != str(self.stored.version.arrays):
                delete(child)

    def _forget(self, number: int) -> None:
        self._versions.pop(number, None)
        delete(self.path / VERSIONS / name_of(number))


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[MemoryWriter]:
    """The writer of the memory in a folder.

    Raises:
        MemworldError: there is none, it is damaged, or another process is writing to it.
    """
    path = Path(path)
    if not is_first_format(path):
        read_index(path)  # a mistyped path is refused before a folder is made of it
    with locked(path):
        yield MemoryWriter(path)


def _counted(done: str, number: int) -> str:
    return f"{done} {number} episode{'s' if number > 1 else ''}" if number else ""
