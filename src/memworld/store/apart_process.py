"""Reads tables for `apart`, as a process of its own: Lance is all that it loads.

A request is a line of JSON, the answer a line of JSON, and after that of frames as many bytes as it says.
"""

import hashlib
import json
import os
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa

_KEPT = 8
"""Tables that are kept open."""

_CACHE = 64 << 20
"""Bytes that Lance keeps of each."""

_BYTES = 8 << 30
"""Of memory that may be asked of the system; some files are made to ask for more. Lance begins with over 1 GB."""

Answer = tuple[dict[str, Any], memoryview]


def answer(request: dict[str, Any], opened: OrderedDict[str, Any]) -> Answer:
    """What is asked about the state of a table that a manifest describes: its parts, or frames of rows."""
    manifest = Path(request["path"], request["manifest"])
    key = json.dumps([request["path"], request["table"], request["sha256"]])
    if key not in opened:
        if hashlib.sha256(manifest.read_bytes()).hexdigest() != request["sha256"]:
            raise ValueError(f"{manifest.name} is not what it was")
        # With a cache of its own, as another table may lie there that is called the same.
        opened[key] = lance.dataset(
            request["path"],
            version=request["table"],
            metadata_cache_size_bytes=_CACHE,
            index_cache_size_bytes=_CACHE,
        )
        while len(opened) > _KEPT:
            opened.popitem(last=False)
    opened.move_to_end(key)
    if "rows" in request:
        return _frames(opened[key], request["rows"], request["width"])
    return {"fragments": [_fragment(fragment) for fragment in opened[key].get_fragments()]}, memoryview(b"")


def _fragment(fragment: Any) -> dict[str, Any]:
    """How many rows a part of a table has, and the files that hold them."""
    if any(file.base_id is not None for file in fragment.metadata.files):
        raise ValueError("it has rows elsewhere")
    names = [f"data/{file.path}" for file in fragment.metadata.files]
    removed = fragment.deletion_file()
    return {"rows": fragment.count_rows(), "files": [*names, removed] if removed else names}


def _frames(table: Any, rows: list[int], width: int) -> Answer:
    """The frames of rows, each of so many bytes."""
    column = table.take(rows, columns=["frame"])["frame"].combine_chunks()
    if column.type != pa.large_binary() or len(column) != len(rows) or column.null_count:
        raise ValueError(f"its frames are {len(column)} of {column.type}, not {len(rows)} of {width} bytes")
    column.validate(full=True)
    _, offsets, content = column.buffers()
    ends = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(rows) + 1]
    if not (np.diff(ends) == width).all():
        raise ValueError(f"its frames have other sizes than {width} bytes")
    found = memoryview(content)[ends[0] : ends[-1]] if width else memoryview(b"")
    return {"bytes": found.nbytes}, found


def _limit() -> None:
    """Let no file take all memory, and leave no traces of a crash."""
    if os.name == "posix":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (_BYTES if hard < 0 else min(_BYTES, hard), hard))


def main() -> None:
    """Answer until nothing more is asked."""
    _limit()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is said goes with the errors
    opened: OrderedDict[str, Any] = OrderedDict()
    for line in sys.stdin.buffer:
        try:
            head, body = answer(json.loads(line), opened)
        except BaseException as error:  # also Lance's panics, which are no `Exception`s
            head, body = {"error": f"{type(error).__name__}: {error}"}, memoryview(b"")
        answers.write(json.dumps(head).encode() + b"\n")
        answers.write(body)
        answers.flush()


if __name__ == "__main__":
    main()
