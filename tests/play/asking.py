"""A real server of the player in this process, and what asks it."""

import errno
import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from websockets.sync.client import ClientConnection, connect

from memworld.play.library import Library
from memworld.play.recorder import Recordings
from memworld.play.server import IDLE, PlayServer
from memworld.play.serving import Listening, configured, listen

LIMIT = 300.0
"""Seconds in which anything is answered on a busy machine."""


@dataclass(frozen=True)
class Answer:
    """What came back over HTTP."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def told(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        said = self.told["error"]
        assert isinstance(said, str)
        assert said
        assert "\n" not in said
        return said


@dataclass(frozen=True)
class Asked:
    """A server, and the port that it listens at."""

    at: Listening
    output: Path

    def get(self, path: str, *, method: str = "GET", body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Ask for exactly this path, whatever is in it."""
        line = http.client.HTTPConnection("127.0.0.1", self.at.port, timeout=LIMIT)
        line._validate_path = lambda path: None  # type: ignore[attr-defined]  # hostile ones too
        try:
            line.request(method, path, body=body, headers=headers or {})
            found = line.getresponse()
            return Answer(found.status, found.headers, found.read())
        finally:
            line.close()

    def raw(self, content: bytes) -> bytes:
        """Send these bytes, and read until the server closes or says no more."""
        with socket.create_connection(("127.0.0.1", self.at.port), timeout=LIMIT) as line:
            received = b""
            try:
                line.sendall(content)
                line.shutdown(socket.SHUT_WR)
                while piece := line.recv(65536):
                    received += piece
            except OSError as error:  # a server that hangs up amid what it will not read
                if not isinstance(error, ConnectionError) and error.errno != errno.ENOTCONN:
                    raise
        return received

    @contextmanager
    def page(self, **options: Any) -> Iterator["Page"]:
        """A socket, as a page opens one."""
        address = f"ws://127.0.0.1:{self.at.port}/ws" + options.pop("query", "")
        with connect(address, max_size=None, open_timeout=LIMIT, close_timeout=5, **options) as line:
            yield Page(line)


class Page:
    """One socket of the player."""

    def __init__(self, line: ClientConnection) -> None:
        self.line = line
        self._number = 0

    def ask(self, do: str, **message: Any) -> dict[str, Any]:
        """Send a message and take its answer, the pictures in the places of their descriptions."""
        self._number += 1
        self.line.send(json.dumps({"n": self._number, "do": do, **message}))
        told = self.heard()
        assert told["n"] == self._number
        return told

    def open(self, source: str = "memory", **message: Any) -> dict[str, Any]:
        told = self.ask("open", **{"source": source, "dreams": [{}], "start": {"episode": 1, "step": 3}, **message})
        assert told["ok"], told
        return told

    def refused(self, do: str, **message: Any) -> str:
        """Why a message is refused, though the session goes on."""
        told = self.ask(do, **message)
        assert (told["ok"], told["fatal"]) == (False, False), told
        error = told["error"]
        assert isinstance(error, str)
        assert "\n" not in error
        return error

    def heard(self) -> dict[str, Any]:
        """The next answer."""
        content = self.line.recv(timeout=LIMIT)
        assert isinstance(content, bytes)
        (length,) = struct.unpack("<I", content[:4])
        told = json.loads(content[4 : 4 + length])
        assert isinstance(told, dict)
        pictures = content[4 + length :]
        _unpack(told, pictures)
        return told


def _unpack(told: Any, pictures: bytes) -> None:
    """Put pictures in the places of what describes them."""
    for value in told.values() if isinstance(told, dict) else told if isinstance(told, list) else ():
        _unpack(value, pictures)
    if isinstance(told, dict):
        for name, value in told.items():
            if isinstance(value, dict) and "offset" in value:
                shape = value["height"], value["width"], value["channels"]
                flat = np.frombuffer(pictures, np.uint8, int(np.prod(shape)), value["offset"])
                told[name] = flat.reshape(shape)


@contextmanager
def asked(
    paths: list[Path],
    output: Path,
    *,
    opens: str = "play",
    host: str = "127.0.0.1",
    token: bool = False,
    idle: float = IDLE,
) -> Iterator[Asked]:
    """Serve paths until the block ends."""
    at = listen(host, 0, token)
    served = PlayServer(Library(paths), opens, Recordings(output), idle)
    server = uvicorn.Server(configured(served.app(at.host, at.port, at.token)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [at.socket]}, daemon=True)
    thread.start()
    late = time.monotonic() + LIMIT
    while not server.started:
        assert time.monotonic() < late
        time.sleep(0.01)
    try:
        yield Asked(at, output)
    finally:
        server.should_exit = True
        thread.join(LIMIT)
        assert not thread.is_alive()
