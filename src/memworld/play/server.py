"""The addresses and the socket, and the program that serves them."""

import asyncio
import contextlib
import functools
import json
import logging
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from memworld import __version__
from memworld.errors import MemworldError
from memworld.play.answers import neighbour_told, packed
from memworld.play.conversation import Conversation
from memworld.play.library import Library
from memworld.play.pngs import write_png
from memworld.play.recorder import Recordings
from memworld.play.safety import Guard, Seats, read_body
from memworld.play.sources import Source
from memworld.play.worker import Worker
from memworld.storage import one_line

_log = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "page"

SESSIONS = 8
"""Sockets at once."""

IDLE = 30 * 60.0
"""Seconds without a message after which a session ends."""

MOST_SHOWN = 48
"""Frames of a strip, and moments that a search answers with."""

_PNG_BYTES = 4 << 20
_JSON_BYTES = 1 << 10

_KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}


class _Json(JSONResponse):
    """JSON in plain ASCII: names of files may hold bytes that are no characters, which UTF-8 cannot hold."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


class PlayServer:
    """Serves a library: the page, what it browses, and the sessions that it plays."""

    def __init__(self, library: Library, opens: str, recordings: Recordings, idle: float = IDLE) -> None:
        """Serve.

        Args:
            library: memories and data sets.
            opens: the tab that the page shows first, `play` or `browse`.
            recordings: where recordings go.
            idle: seconds after which a session that says nothing ends.
        """
        self._library, self._opens, self._recordings, self._idle = library, opens, recordings, idle
        self._seats, self._looking = Seats(SESSIONS), asyncio.Semaphore(2)
        self._workers: weakref.WeakSet[Worker] = weakref.WeakSet()
        # The list is made once: whatever an address says, nothing else is ever looked for on disk.
        self._files = {path.name: path for path in sorted(PAGE.iterdir()) if path.suffix in _KINDS}

    def app(self, host: str, port: int, token: str | None) -> Guard:
        """The application as it is to be served at an address, behind its guard; see `Guard`."""
        source = "/api/sources/{name}"
        episode = f"{source}/episodes/{{index}}"
        routes = [
            Route("/", self._page),
            Route("/static/{file}", self._static),
            Route("/api/about", _plain(lambda request: self._about())),
            Route(f"{source}/episodes", _plain(self._episodes)),
            Route(episode, _plain(lambda request: self._source(request).told(_index(request)))),
            Route(f"{episode}/frames/{{step}}", _picture(self._frame)),
            Route(f"{episode}/strip", _picture(self._strip)),
            Route(f"{source}/map", _plain(self._map)),
            Route(f"{source}/search", self._search, methods=["POST"]),
            Route(
                "/api/recordings",
                _plain(lambda request: {"recordings": self._recordings.listed(), "folder": self._recordings.folder}),
            ),
            Route("/api/recordings/{file}", self._recording),
            WebSocketRoute("/ws", self._socket),
        ]
        handlers: Any = {MemworldError: _told, HTTPException: _told_http, Exception: _told_failure}
        return Guard(Starlette(routes=routes, exception_handlers=handlers), host, port, token)

    @property
    def computing(self) -> bool:
        """Whether a session works on something that nothing can interrupt."""
        return any(worker.busy for worker in self._workers)

    async def _page(self, request: Request) -> Response:
        return self._file("index.html")

    async def _static(self, request: Request) -> Response:
        return self._file(request.path_params["file"])

    def _file(self, name: str) -> Response:
        path = self._files.get(name)
        if path is None:
            raise HTTPException(404, "there is no such file")
        return FileResponse(path, media_type=_KINDS[path.suffix], headers={"Cache-Control": "no-cache"})

    def _about(self) -> dict[str, Any]:
        return {"version": __version__, "opens": self._opens, "sources": self._library.about()}

    def _source(self, request: Request) -> Source:
        return self._library.source(request.path_params["name"])

    def _episodes(self, request: Request) -> dict[str, Any]:
        read = request.query_params.get("read") == "1"
        return self._source(request).listed(_number(request, "offset", 0), _number(request, "limit", 100), read)

    def _frame(self, request: Request) -> bytes:
        return write_png(self._source(request).frame(_index(request), _whole(request.path_params["step"], "step")))

    def _strip(self, request: Request) -> bytes:
        return write_png(self._source(request).strip(_index(request), _count(request)))

    def _map(self, request: Request) -> dict[str, Any]:
        stage = self._source(request).stage()
        projection, rows = stage.projection, stage.memory.rows
        columns = rows.episodes[projection.rows].tolist(), rows.steps[projection.rows].tolist()
        moments = list(zip(*columns, strict=True))
        points = projection.points.astype(float).round(4).tolist()
        ids = [stage.memory.ids[episode] for episode, _ in moments]
        return {"points": points, "rows": moments, "ids": ids, "explained": list(projection.explained)}

    async def _search(self, request: Request) -> Response:
        source, count, resized = self._source(request), _count(request), None
        if request.headers.get("content-type", "").split(";")[0].strip() == "application/json":
            episode, step = _moment(await read_body(request, _JSON_BYTES))
            seen = await run_in_threadpool(source.like_recorded, episode, step, count)
        else:
            picture = await read_body(request, _PNG_BYTES)
            async with self._looking:  # decoded, a picture may fill fifty megabytes
                seen, shape = await run_in_threadpool(source.found, picture, count)
            if shape != source.info.observation_shape[:2]:
                resized = list(shape)
        found = [neighbour_told(neighbour) for neighbour in seen.found]
        return JSONResponse({"found": found, "usual": seen.usual, "unlike": seen.unlike, "resized": resized})

    async def _recording(self, request: Request) -> Response:
        path = self._recordings.video(request.path_params["file"])
        return FileResponse(path, media_type="video/mp4", filename=path.name)

    async def _socket(self, socket: WebSocket) -> None:
        await socket.accept()
        if not self._seats.take():
            told = {"n": None, "ok": False, "fatal": True, "error": f"{SESSIONS} pages play already: close one"}
            await socket.send_bytes(packed(told))
            await socket.close(1013)
            return
        conversation, worker = Conversation(self._library, self._recordings), Worker("memworld session")
        self._workers.add(worker)
        try:
            await self._converse(socket, conversation, worker)
            await worker.do(conversation.close)
        except asyncio.CancelledError:  # the server ends, and waits for nobody who computes
            worker.later(conversation.close)
        finally:
            worker.end()
            self._seats.leave()

    async def _converse(self, socket: WebSocket, conversation: Conversation, worker: Worker) -> None:
        try:
            while not conversation.closed:
                message = await asyncio.wait_for(socket.receive(), self._idle)
                if message["type"] == "websocket.disconnect":
                    return
                said = functools.partial(conversation.answer, message.get("text"))
                answer = await worker.do(said)
                await asyncio.wait_for(socket.send_bytes(answer), self._idle)
            await asyncio.wait_for(socket.close(1000), self._idle)
        except TimeoutError:
            with contextlib.suppress(TimeoutError):  # whoever reads nothing is not told that either
                await asyncio.wait_for(socket.close(1000, "nothing was said for a long time"), self._idle)
        except (WebSocketDisconnect, RuntimeError):
            # Whoever has gone cannot be answered.
            if socket.application_state is WebSocketState.CONNECTED and socket.client_state is WebSocketState.CONNECTED:
                raise


def _plain(answer: Callable[[Request], Any]) -> Callable[[Request], Awaitable[Response]]:
    """An address that answers in JSON, made in a thread."""

    async def respond(request: Request) -> Response:
        return _Json(await run_in_threadpool(answer, request))

    return respond


def _picture(answer: Callable[[Request], bytes]) -> Callable[[Request], Awaitable[Response]]:
    """An address that answers with a PNG, made in a thread."""

    async def respond(request: Request) -> Response:
        content = await run_in_threadpool(answer, request)
        # Not for long: another server may soon show another memory of this name at this address.
        return Response(content, media_type="image/png", headers={"Cache-Control": "private, max-age=60"})

    return respond


def _index(request: Request) -> int:
    return _whole(request.path_params["index"], "the number of an episode")


def _number(request: Request, name: str, usual: int) -> int:
    """A whole number out of the address.

    Raises:
        MemworldError: it is none.
    """
    return _whole(request.query_params.get(name, str(usual)), name)


def _count(request: Request) -> int:
    """How many moments or frames an address asks for, within what is sensible."""
    return max(1, min(_number(request, "count", 12), MOST_SHOWN))


def _whole(text: str, name: str) -> int:
    """A text out of an address as the whole number that it is.

    Raises:
        MemworldError: it is none, or too long for one that means something here.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise MemworldError(f"{name} is to be a whole number from 0, not {text[:40]!r}")
    return int(text)


def _moment(content: bytes) -> tuple[int, int]:
    """The episode and the step that a JSON body names.

    Raises:
        MemworldError: it names none.
    """
    try:
        said = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise MemworldError("what was sent is no JSON") from error
    episode, step = (said.get("episode"), said.get("step")) if isinstance(said, dict) else (None, None)
    if type(episode) is not int or type(step) is not int:
        raise MemworldError("name a moment by the numbers of its episode and step")
    return episode, step


async def _told(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": one_line(error)}, 400)


async def _told_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": one_line(error.detail)}, error.status_code, headers=error.headers)


async def _told_failure(request: Request, error: Exception) -> Response:
    _log.error("an answer has failed", exc_info=error)
    return JSONResponse({"error": "memworld has failed at this; the server's output says how"}, 500)
