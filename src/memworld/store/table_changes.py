"""Changes of the table, each synced and sealed; none counts until a version of the memory names it."""

import errno
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa

from memworld.errors import MemworldError
from memworld.memory import MemoryEpisode
from memworld.storage import sync_folder
from memworld.store.table import FILE_BYTES, check_seal, lance_at, manifest_of
from memworld.store.table_rows import batches_of, schema
from memworld.store.versions import Seal, Settings, Version

_FORMAT = "2.1"
"""Of Lance's files, so that older readers of Lance can read what newer writers write."""

_MANY_FILES = 100
"""Small files, as single appends leave them, from which they are written together."""


def change_table(
    path: Path, settings: Settings, version: Version, gone: Sequence[str], new: Sequence[MemoryEpisode]
) -> tuple[int, dict[str, Seal]]:
    """Take episodes out of the table and put others at its end; neither counts until the version does.

    Returns:
        The table's version, and the seals of the files that it needs.

    Raises:
        MemworldError: it cannot be written.
    """
    with lance_at(path, "write") as lance:
        opened = _newest(lance, path, version) if version.table else None
        if gone:
            assert opened is not None  # there is nothing else to remove from
            opened.delete(f"episode IN ({', '.join(map(_quoted, gone))})")
        if new:
            rows = (batch for episode in new for batch in batches_of(episode, settings))
            lance.write_dataset(
                pa.RecordBatchReader.from_batches(schema(settings), rows),
                path,
                mode="append" if version.table else "create",
                max_bytes_per_file=FILE_BYTES,
                data_storage_version=_FORMAT,
            )
    return _sealed(path, version)


def has_many_files(version: Version) -> bool:
    """Whether small files should be written together."""
    data = [seal.bytes for name, seal in version.files.items() if name.startswith("data/")]
    return sum(size < FILE_BYTES // 2 for size in data) > _MANY_FILES


def compact_table(path: Path, version: Version, *, drop_removed: bool) -> tuple[int, dict[str, Seal]]:
    """Write small files together and, if asked to, those with removed rows without them; see `change_table`."""
    total = sum(seal.bytes for name, seal in version.files.items() if name.startswith("data/"))
    with lance_at(path, "write") as lance:
        opened = _newest(lance, path, version)
        if rows := opened.count_rows():
            opened.optimize.compact_files(
                # Files of half the size and more are left as they are, unless rows were removed.
                target_rows_per_fragment=max(1, rows * FILE_BYTES // (2 * total)),
                max_bytes_per_file=FILE_BYTES,
                materialize_deletions=drop_removed,
                materialize_deletions_threshold=0.0,
            )
    return _sealed(path, version)


def go_back_in_table(path: Path, then: Version) -> tuple[int, dict[str, Seal]]:
    """Let the table be what it was in another version; see `change_table`."""
    if not then.table:
        return 0, {}
    with lance_at(path, "write") as lance:
        lance.dataset(path, version=then.table).restore()
    return _sealed(path, then)


def clean_table(path: Path, versions: Iterable[Version]) -> None:
    """Delete all files that no version needs."""
    needed = {name for version in versions for name in version.files}
    for file in sorted(path.rglob("*"), reverse=True) if path.is_dir() else ():
        if file.is_dir() and not file.is_symlink():
            continue
        if str(file.relative_to(path).as_posix()) not in needed:
            file.unlink(missing_ok=True)


def _newest(lance: ModuleType, path: Path, version: Version) -> Any:
    """The table as a version has it, as its newest state, which is what Lance changes.

    A newer one is there where another version was gone back from, or left by a killed change.

    Raises:
        MemworldError: what describes it, which Lance reads before all else, is damaged.
    """
    for name, seal in version.files.items():
        if not name.startswith("data/"):
            check_seal(path / name, seal)
    opened = lance.dataset(path, version=version.table)
    if opened.latest_version != version.table:
        opened.restore()
    return opened


def _sealed(path: Path, version: Version) -> tuple[int, dict[str, Seal]]:
    """Sync what the newest version of the table needs, and seal it."""
    with lance_at(path, "write") as lance:
        opened = lance.dataset(path)
        # By name, and of data the size that Lance thinks they have.
        names: dict[str, int | None] = {manifest_of(opened.version): None}
        for fragment in opened.get_fragments():
            names |= {f"data/{file.path}": file.file_size_bytes for file in fragment.metadata.files}
            if removed := fragment.deletion_file():
                names[removed] = None
                if removed not in version.files:
                    fragment.take([0], columns=["step"])  # which reads it: it too may have been cut short
    seals = {}
    try:
        for name in sorted(names):
            seals[name] = version.files.get(name) or _synced(path / name, names[name])
        for folder in sorted({(path / name).parent for name in names} | {path, path.parent}):
            sync_folder(folder)
    except OSError as error:
        raise MemworldError(
            f"cannot write {path} ({error.strerror or error}): free space or change its permissions; "
            "what was there before is unharmed"
        ) from error
    return int(opened.version), seals


def _synced(file: Path, size: int | None) -> Seal:
    """Sync a file that Lance has written, of this size if it is known, and seal it."""
    with file.open("rb+") as written:
        os.fsync(written.fileno())
    seal = Seal.of(file)
    if size not in (None, seal.bytes):
        # Lance does not notice if the disk becomes full in the last write to a file.
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {seal.bytes} of {size} bytes of {file.name}")
    return seal


def _quoted(text: str) -> str:
    escaped = text.replace("'", "''")
    return f"'{escaped}'"
