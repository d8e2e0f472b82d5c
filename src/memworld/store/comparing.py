"""Whether the table holds what the arrays hold; also as a process of its own: `python -m memworld.store.comparing`.

Its files can have been made to do harm: a reader of them may be ended, and should be one that nobody misses.
"""

import itertools
import json
import sys
from pathlib import Path

from memworld.errors import MemworldError
from memworld.storage import one_line
from memworld.store.opening import Stored
from memworld.store.table import TABLE, Table
from memworld.store.versions import read_index

_TRIES = 5
"""Times that tables are compared anew whose files another process has deleted meanwhile."""


def table_problems(path: Path) -> list[str]:
    """Episodes that differ in the table and in the arrays, one sentence each."""
    try:
        for left in reversed(range(_TRIES)):
            stored = Stored.open(path)
            found = _differences(path, stored)
            if not found or not left or read_index(path)[1] == stored.version.number:
                return found
    except MemworldError as error:
        return [str(error)]
    raise AssertionError


def _differences(path: Path, stored: Stored) -> list[str]:
    found = []
    try:
        there = Table(path / TABLE, stored.version).episodes(stored.settings)
        for mine, its in itertools.zip_longest(stored.arrays.listed, (listed for listed, _ in there)):
            if mine != its:
                name = (mine or its).entry.id
                found.append(f"{path}: episode {name} is not the same in the table and in the arrays")
    except MemworldError as error:
        found.append(str(error))
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        found.append(f"{path / TABLE} is damaged ({type(error).__name__}: {one_line(error)})")
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(table_problems(Path(sys.argv[1]))))
