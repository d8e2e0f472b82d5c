"""The engine in a process of its own: what befalls it there ends in one error, not in the program's end."""

import contextlib
import json
import multiprocessing
import shutil
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from memworld.errors import MemworldError
from memworld.storage import one_line
from memworld.worlds.supertuxkart.assets import engine_environment

_WORKER = Path(__file__).with_name("worker.py")

# Of the engine's last words, for errors.
_TAIL_BYTES = 400


class Engine:
    """A running engine. It ends when it fails, is closed, is no longer referred to, or the program ends.

    What it writes to its standard output and error is kept only for the words of errors.
    """

    def __init__(self, size: int) -> None:
        """Start the process; the engine in it starts with the first race.

        Args:
            size: height and width of the frames.

        Raises:
            MemworldError: the assets are missing, or the cache or the temporary folder cannot be written.
        """
        self._size = size
        with contextlib.ExitStack() as held:
            try:
                scratch = Path(tempfile.mkdtemp(prefix="memworld-supertuxkart-"))
                held.callback(shutil.rmtree, scratch, ignore_errors=True)
                self._words = held.enter_context(tempfile.TemporaryFile(dir=scratch))
                self._connection, far_end = multiprocessing.Pipe()
                held.enter_context(self._connection)
                with far_end:
                    self._process = _start_worker(far_end.fileno(), size, scratch, self._words)
            except OSError as error:
                raise MemworldError(
                    f"cannot start SuperTuxKart ({one_line(error)}): free memory and space in the temporary folder"
                ) from error
            held.callback(_kill, self._process)
            self.close: Callable[[], object] = weakref.finalize(self, held.pop_all().close)

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    @property
    def failed(self) -> bool:
        """Whether it has been closed, or has failed and been closed for that."""
        return self._connection.closed

    def ask(self, what: str, timeout: float, request: dict[str, Any]) -> tuple[dict[str, Any], np.ndarray]:
        """Send a request and wait for the reply. See `worker`.

        Args:
            what: what is asked for, for the error: "SuperTuxKart ... while ...".
            timeout: seconds to wait.
            request: what the worker is to do.

        Returns:
            the reply and the frame, uint8 (size, size, 3).

        Raises:
            MemworldError: the engine crashed, did not answer in time, or could not do it. It is
                closed then, and a new one must be started.
        """
        try:
            # Else it would grow for as long as the engine runs, which writes where this file is at.
            self._words.seek(0)
            self._words.truncate()
            self._connection.send_bytes(json.dumps(request).encode())
            reply = json.loads(self._receive(timeout))
            if "error" in reply:
                raise self._failure(f"failed while {what} ({reply['error']})")
            frame = np.frombuffer(self._receive(timeout), np.uint8)
        except TimeoutError as error:
            raise self._failure(f"did not answer for {timeout:g} s while {what}") from error
        except (EOFError, OSError) as error:
            raise self._failure(f"{self._manner_of_end()} while {what}") from error
        except BaseException:
            # An interrupt leaves a reply on its way, which the next request would take for its own.
            self.close()
            raise
        return reply, frame.reshape(self._size, self._size, 3).copy()

    def _receive(self, timeout: float) -> bytes:
        if not self._connection.poll(timeout):
            raise TimeoutError
        return self._connection.recv_bytes()

    def _manner_of_end(self) -> str:
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return "closed its connection"
        return f"crashed with {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def _failure(self, what: str) -> MemworldError:
        self._words.seek(0)
        said = one_line(self._words.read().decode(errors="replace")[-_TAIL_BYTES:])
        self.close()
        return MemworldError(
            f"SuperTuxKart {one_line(what)}: reset() starts it anew; if it fails again, reinstall the Debian package "
            f"supertuxkart-data and PySuperTuxKart2, or use another track{f'; it said last: {said}' if said else ''}"
        )


def _start_worker(socket: int, size: int, scratch: Path, words: IO[bytes]) -> "subprocess.Popen[bytes]":
    """Start the worker, which is to speak over the open `socket`, and write the rest to `words`."""
    return subprocess.Popen(
        # -P: the worker's folder is no place to import from.
        [sys.executable, "-P", str(_WORKER), str(socket), str(size), str(scratch)],
        stdin=subprocess.DEVNULL,
        stdout=words,
        stderr=subprocess.STDOUT,
        env=engine_environment(scratch),
        pass_fds=[socket],
        # A terminal's Ctrl-C is for the program, which then ends the engine in its own time.
        start_new_session=True,
    )


def _kill(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
