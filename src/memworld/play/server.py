"""The addresses and the socket."""

import asyncio
import json
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from memworld import __version__
from memworld.errors import MemworldError
from memworld.play.answers import Pictures, packed, panels_told
from memworld.play.library import Library
from memworld.play.session import PlaySession

PAGE = Path(__file__).parent / "page"


def make_app(library: Library, opens: str) -> Starlette:
    def page(request: Request) -> Response:
        return FileResponse(PAGE / "index.html")

    def static(request: Request) -> Response:
        files = {path.name: path for path in PAGE.iterdir() if path.is_file()}
        name = request.path_params["name"]
        if name not in files:
            return JSONResponse({"error": "there is no such file"}, 404)
        return FileResponse(files[name])

    def about(request: Request) -> Response:
        return JSONResponse(
            {"version": __version__, "opens": opens, "sources": [s.about() for s in library.sources.values()]}
        )

    async def socket(ws: WebSocket) -> None:
        await ws.accept()
        driver = Driver(library)
        try:
            while True:
                text = await ws.receive_text()
                await ws.send_bytes(await asyncio.to_thread(driver.answer, text))
        except WebSocketDisconnect:
            pass

    return Starlette(
        routes=[
            Route("/", page),
            Route("/static/{name}", static),
            Route("/api/about", about),
            WebSocketRoute("/ws", socket),
        ]
    )


class Driver:
    """Minimal."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.session: PlaySession | None = None

    def answer(self, text: str) -> bytes:
        message = json.loads(text)
        n = message.get("n")
        try:
            return self._do(n, message)
        except MemworldError as error:
            return packed({"n": n, "ok": False, "error": str(error), "fatal": False})

    def _do(self, n: Any, message: Any) -> bytes:
        do = message["do"]
        if do == "open":
            self.session = PlaySession(
                self.library.source(message["source"]).stage(), message["dreams"], message.get("start")
            )
        session = self.session
        if session is None:
            raise MemworldError("nothing is open")
        if do == "step":
            session.step(message["action"])
        elif do == "reset":
            session.reset(message.get("start"))
        elif do == "settings":
            session.change(message["dream"], message["settings"])
        elif do == "dreams":
            session.dream(message["count"])
        pictures = Pictures()
        panels = session.panels()
        thumbs = None
        if message.get("thumbs"):
            thumbs = [session.stage.frames([n.row for n in p.neighbours]) for p in panels]
        told = panels_told(panels, thumbs, pictures)
        episode, step = session.start
        return packed(
            {
                "n": n,
                "ok": True,
                "step": session.steps,
                "panels": told,
                "recording": False,
                "saved": [],
                "real": False,
                "settings": [s.to_json() for s in session.settings],
                "start": {"episode": episode, "step": step, "id": session.stage.starts.ids[episode]},
            },
            pictures,
        )
