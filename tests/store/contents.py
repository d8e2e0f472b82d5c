"""What the folder of a memory holds, whatever its files are called."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa

from memworld.store import open_memory, read_index, read_version
from memworld.store.versions import _digest
from tests.helpers import assert_same_memory, folder_bytes


def table_of(folder: Path) -> pa.Table:
    """The rows of a memory's table as Lance itself reads them, without memworld."""
    return lance.dataset(folder / "rows.lance").to_table()


def assert_same_stored(one: Path, other: Path) -> None:
    """The folders hold the same memory, the same rows and the same encoder; their histories may differ."""
    assert_same_memory(open_memory(one), open_memory(other))
    versions = [read_version(folder, read_index(folder)[1]) for folder in (one, other)]
    assert (versions[0].episodes, versions[0].rows) == (versions[1].episodes, versions[1].rows)
    if versions[0].rows:
        assert table_of(one).equals(table_of(other))
    assert folder_bytes(one / "encoder") == folder_bytes(other / "encoder")


def lasting_bytes(folder: Path) -> dict[str, bytes]:
    """Every file but what Lance leaves lying about, which no version needs and the next writer deletes."""
    found = folder_bytes(folder)
    return {name: found[name] for name in found if "/_transactions/" not in name and not name.endswith("_hint.json")}


def files_with(folder: Path, content: bytes) -> list[str]:
    """The files in which these bytes are found, by their paths in the folder."""
    return [name for name, found in folder_bytes(folder).items() if content in found]


def edit(file: Path, change: Callable[[dict[str, Any]], Any], *, seal: bool = True) -> None:
    """Change a sealed JSON file as someone would who also mends its seal, or leaves it."""
    value = json.loads(file.read_text())
    change(value)
    if seal:
        value.pop("sha256", None)
        value["sha256"] = _digest(value)
    file.write_text(json.dumps(value))


def newest_version(folder: Path) -> Path:
    """The file that describes the version that counts."""
    return folder / "versions" / f"{read_index(folder)[1]:08}.json"
