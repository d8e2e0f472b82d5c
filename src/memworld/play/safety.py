"""Who may ask, and how much.

The server listens on this computer alone unless it is told otherwise. A page of somebody else's in the same browser
could still send requests here: its `Origin` gives it away, or, where it has made its own name point to this computer,
the `Host` it asks for. Others on the network need the token.
"""

import ipaddress
import re
import secrets
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request, cookie_parser
from starlette.responses import JSONResponse

from memworld.errors import MemworldError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_EVERYWHERE = ("0.0.0.0", "::", "")
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?")


def is_loopback(host: str) -> bool:
    """Whether only this computer reaches what listens there."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def new_token() -> str:
    """A secret that cannot be guessed."""
    return secrets.token_urlsafe(24)


class Guard:
    """Lets nobody past who may not ask, and adds to every answer what a browser must not do with it."""

    def __init__(self, app: App, host: str, port: int, token: str | None) -> None:
        """Stand before an application.

        Args:
            app: it.
            host: where it listens.
            port: likewise.
            token: what everybody must know; None lets all on this computer in.
        """
        self._app, self._token = app, token
        self.cookie = f"memworld-{port}"
        """Its name: cookies are shared by all ports of a host."""
        self._everywhere = host in _EVERYWHERE
        given = f"[{host}]" if ":" in host else host
        here = (socket.gethostname(), socket.getfqdn()) if self._everywhere else (given,)
        self._hosts = {name.lower() for name in (*_LOOPBACK, *here)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if scope["type"] == "websocket":
            if refusal is None:
                await self._app(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008, "reason": refusal[1][:100]})
            return
        protected = self._protected(headers.get("host", ""), self._asked_by_address(scope), send)
        if refusal is None:
            await self._app(scope, receive, protected)
        else:
            await JSONResponse({"error": refusal[1]}, refusal[0])(scope, receive, protected)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """The status and the reason for which a request is refused; None if it is not."""
        host = headers.get("host", "")
        if len(headers.getlist("host")) != 1 or not self._known(host):
            return 403, "this host is none that the server goes by: open the address that memworld printed"
        origins = headers.getlist("origin")
        # Browsers send it with all that could do harm; programs need not.
        if any(origin != f"{_scheme(scope)}://{host}" for origin in origins):
            return 403, "another page sent this request: only memworld's own may"
        if self._token is not None and not self._knows(scope, headers):
            return 401, "the token is missing or wrong: open the address that memworld printed"
        return None

    def _known(self, host: str) -> bool:
        """Whether a `Host` header is one that nobody else can make point here."""
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].lower()
        if name in self._hosts:
            return True
        if not self._everywhere:
            return False
        try:  # numbers are no names
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True

    def _knows(self, scope: Scope, headers: Headers) -> bool:
        """Whether whoever asks knows the token."""
        said = [self._asked_by_address(scope) or ""]
        said += [cookie_parser(cookies).get(self.cookie, "") for cookies in headers.getlist("cookie")]
        said += [value[len("Bearer ") :] for value in headers.getlist("authorization") if value.startswith("Bearer ")]
        return any(secrets.compare_digest(word.encode(), (self._token or "").encode()) for word in said)

    def _asked_by_address(self, scope: Scope) -> str | None:
        """The token in the address, if there is one."""
        try:
            query = parse_qs(scope.get("query_string", b"").decode("ascii"), max_num_fields=20)
        except ValueError:
            return None
        return query["token"][0] if query.get("token") else None

    def _protected(self, host: str, told: str | None, send: Send) -> Send:
        """The same `send`, with headers for the browser, and a cookie for whoever came with the token."""

        async def protected(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                # Not every browser takes 'self' to mean the socket too.
                connect = f"'self' ws://{host}" if _HOST.fullmatch(host) else "'self'"
                headers["Content-Security-Policy"] = (
                    f"default-src 'self'; connect-src {connect}; img-src 'self' data: blob:; object-src 'none'; "
                    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
                )
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                headers["Cross-Origin-Resource-Policy"] = "same-origin"
                headers.setdefault("Cache-Control", "no-store")
                if self._token is not None and told is not None and message["status"] < 400:
                    cookie = f"{self.cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
                    headers.append("Set-Cookie", cookie)
            await send(message)

        return protected


async def read_body(request: Request, most: int) -> bytes:
    """The body of a request, of which no more is kept than is allowed, whatever it says of its length.

    Raises:
        MemworldError: it is longer.
    """
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > most:
            raise MemworldError(f"what was sent is longer than {most} bytes")
    return bytes(content)


class Seats:
    """How many may play at once."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._left = count

    def take(self) -> bool:
        """Take a seat, if one is left."""
        if self._left == 0:
            return False
        self._left -= 1
        return True

    def leave(self) -> None:
        """Give it back."""
        self._left += 1


def _scheme(scope: Scope) -> str:
    return {"ws": "http", "wss": "https"}.get(scope["scheme"], str(scope["scheme"]))
