"""A real server of the player, in a process of its own."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

STARTED = 300.0
"""Seconds in which a server is to answer on a busy machine."""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Served:
    """A server of the player.

    Attributes:
        port: where it listens, also after it is started again.
        log: what it said.
    """

    def __init__(self, folder: Path, *arguments: object) -> None:
        """Start it.

        Args:
            folder: its working directory, where it also writes what it says.
            arguments: of the program, but for the port, and that no browser is to be opened.
        """
        self.port, self.log = free_port(), folder / "server.log"
        self._folder = folder
        self._command = [sys.executable, "-m", "memworld.cli", *map(str, arguments), "--port", str(self.port)]
        self._command.append("--no-open")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def address(self) -> str:
        """Of the page, as the program tells it."""
        return next(word for word in self.log.read_text().split() if word.startswith("http"))

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self.log.open("ab") as log:
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        late = time.monotonic() + STARTED
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/about", timeout=60).close()
                return
            except urllib.error.HTTPError:
                return  # it wants a token
            except (urllib.error.URLError, ConnectionError):
                assert self._process.poll() is None, self.log.read_text()
                assert time.monotonic() < late, self.log.read_text()
                time.sleep(0.1)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
