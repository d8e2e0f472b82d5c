"""The program that serves: where it listens, what it lets through, and how it ends."""

import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import uvicorn

from memworld.errors import MemworldError
from memworld.formats import open_dataset
from memworld.play.conversation import MOST_BYTES
from memworld.play.library import Library
from memworld.play.safety import is_loopback, new_token
from memworld.play.server import PlayServer
from memworld.store import open_memory

CONNECTIONS = 100
"""At once; those after them are told to come again."""


@dataclass(frozen=True)
class Listening:
    """A place to serve at, which nobody else can take any more.

    Attributes:
        socket: on which connections wait.
        host: as it was asked for.
        port: of it.
        token: what everybody who asks must know; None lets all on this computer in.
    """

    socket: socket.socket
    host: str
    port: int
    token: str | None

    @property
    def address(self) -> str:
        """To be opened in a browser."""
        host = "127.0.0.1" if self.host in ("", "0.0.0.0") else "::1" if self.host == "::" else self.host
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{self.port}/" + ("" if self.token is None else f"?token={self.token}")


def listen(host: str, port: int, with_token: bool) -> Listening:
    """Take a place to serve at.

    Args:
        host: name or number of an interface of this computer.
        port: 0 takes any that is free.
        with_token: whether to ask for a token on this computer too; others must always know it.

    Raises:
        MemworldError: it is in use, or none of this computer.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)[0]
        taken = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise MemworldError(f"{host[:80]!r} is no address of this computer ({error}): use 127.0.0.1") from error
    try:
        if os.name == "posix":  # elsewhere it would let two listen at one place
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(place)
        taken.listen(128)
    except OSError as error:
        taken.close()
        raise MemworldError(
            f"cannot listen at port {port} of {host} ({error.strerror or error}): give another --port, or 0 for any "
            "that is free"
        ) from error
    token = new_token() if with_token or not is_loopback(host) else None
    return Listening(taken, host, int(taken.getsockname()[1]), token)


def open_library(paths: Sequence[Path], plays: bool) -> Library:
    """What is to be shown.

    Args:
        paths: memories, and data sets of any format.
        plays: whether all of them must be memories that can be played.

    Raises:
        MemworldError: nothing is at one of the paths, or it cannot be played and must.
    """
    library = Library(paths)
    for path, source in zip(paths, library.sources.values(), strict=True):
        if plays:
            open_memory(path)  # which says best what is missing
            source.stage()
        elif not path.exists():  # it may still be the id of a Minari set; what is damaged is shown with the reason
            open_dataset(path)
    return library


def serve(server: PlayServer, at: Listening, show: bool) -> None:
    """Serve until Ctrl-C.

    Args:
        server: what answers.
        at: where.
        show: whether to open a browser, if there is one to open.

    Raises:
        KeyboardInterrupt: at Ctrl-C, when all sessions have ended but those that compute (`PlayServer.computing`).
    """
    # The browser needs the other half; and threads that wait for each other cost a step more than they save.
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))
    if show and _has_display():
        threading.Thread(target=webbrowser.open, args=(at.address,), daemon=True).start()
    uvicorn.Server(configured(server.app(at.host, at.port, at.token))).run(sockets=[at.socket])


def configured(app: Any) -> uvicorn.Config:
    """How an application is served: what is taken in is bounded, and nothing is believed of who sends it."""
    return uvicorn.Config(
        app,
        http="h11",
        ws="websockets-sansio",
        ws_max_size=MOST_BYTES,
        ws_per_message_deflate=False,  # packing pictures costs more than sending them
        lifespan="off",
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=1,
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        log_level="critical",  # what fails is logged where it does
    )


def _has_display() -> bool:
    """Whether a browser would open in a window, and not in the terminal."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
