"""Reading frames in a process of its own.

A seal says that a file is as its author wrote it, and the author may be anyone. Lance believes what it reads: a
length in a file that is made so ends the process that reads it, and no `except` can help. So it is another process
that reads frames, one for all memories that are open; should it end, the next reading starts it anew.
"""

import atexit
import functools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from memworld.errors import MemworldError
from memworld.storage import one_line

_LIMIT = 60.0
"""Seconds that an answer of at most `_BYTES` may take."""

_BYTES = 1 << 26
"""Of frames that are asked for at once."""

_ROWS = 1 << 16
"""Rows that are asked for at once."""


@dataclass(frozen=True)
class State:
    """A state of a table.

    Attributes:
        path: of the table.
        table: its number, Lance's own.
        manifest: the file in `path` that describes it.
        sha256: of the manifest, so that no other is taken for it.
    """

    path: Path
    table: int
    manifest: str
    sha256: str

    def request(self) -> dict[str, Any]:
        """The same in plain JSON values."""
        path = str(self.path.absolute())
        return {"path": path, "table": self.table, "manifest": self.manifest, "sha256": self.sha256}


class Reader:
    """The process that reads; `reader` has the one that there is."""

    def __init__(self) -> None:
        """Nothing is started before something is asked."""
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def fragments(self, state: State) -> list[tuple[int, list[str]]]:
        """The parts of a table in order: how many rows each has, and the files that it needs.

        Raises:
            MemworldError: they cannot be read.
        """
        try:
            return [(int(part["rows"]), list(map(str, part["files"]))) for part in self._ask(state)["fragments"]]
        except (KeyError, TypeError, ValueError) as error:
            raise MemworldError(f"{state.path} is damaged ({one_line(error)}): see memworld check") from error

    def frames(self, state: State, rows: Sequence[int], width: int) -> np.ndarray:
        """The frames of rows, uint8 (n, width).

        Raises:
            MemworldError: they cannot be read.
        """
        found = np.empty((len(rows), width), np.uint8)
        step = max(1, min(_ROWS, _BYTES // width))
        for start in range(0, len(rows), step):
            some = found[start : start + step]
            self._ask(state, some.reshape(-1), rows=[int(row) for row in rows[start : start + step]], width=width)
        return found

    def close(self) -> None:
        """End the process, if it runs; what is asked next starts another."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _ask(self, state: State, into: np.ndarray | None = None, **asked: Any) -> dict[str, Any]:
        """Ask, and read the bytes of the answer `into` an array."""
        request = json.dumps(state.request() | asked).encode() + b"\n"
        with self._lock:
            served = self._process is not None
            answer = self._answer(request, into)
            if answer is None and served:  # by a process that may have ended for another reason
                answer = self._answer(request, into)
        if answer is None:
            raise MemworldError(f"{state.path} is damaged: reading it ended the process that did; see memworld check")
        if "error" in answer:
            raise MemworldError(
                f"cannot read {state.path} ({one_line(answer['error'])[:300]}): if the memory was written to since, "
                "refresh it; otherwise see memworld check"
            )
        return answer

    def _answer(self, request: bytes, into: np.ndarray | None) -> dict[str, Any] | None:
        """The answer; None if the process has ended before it was there."""
        process = self._process = self._process or _started()
        watch = threading.Timer(_LIMIT, process.kill)
        watch.daemon = True
        watch.start()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(request)
            process.stdin.flush()
            answer: dict[str, Any] = json.loads(process.stdout.readline())
            if "error" not in answer and into is not None:
                rest = into.data
                while rest.nbytes:
                    if not (count := process.stdout.readinto(rest)):  # type: ignore[attr-defined]
                        raise EOFError("the answer ends early")
                    rest = rest[count:]
            return answer
        except BaseException as error:  # an interrupt as well: what is left of an answer must not be the next
            self.close()
            if not isinstance(error, EOFError | OSError | ValueError):
                raise
            return None
        finally:
            watch.cancel()


def reader() -> Reader:
    """The reader of this process; one that was forked has another than its parent."""
    return _reader(os.getpid())


@functools.cache
def _reader(_: int) -> Reader:
    made = Reader()
    atexit.register(made.close)
    return made


def _started() -> subprocess.Popen[bytes]:
    """Start the process: by its file, as the whole package takes long to load.

    Raises:
        MemworldError: it cannot be started.
    """
    command = [sys.executable, "-P", str(Path(__file__).with_name("apart_process.py"))]
    # In a session of its own, as a Ctrl-C is for the process that asks; it ends when its input does.
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # it computes nothing
    try:
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nowhere, env=alone, start_new_session=True)
    except OSError as error:
        raise MemworldError(
            f"cannot start the process that reads frames ({error.strerror or error}): end others"
        ) from error
