"""Who may ask, and what becomes of those who ask for what they should not: the server stays up, and others go on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from memworld.errors import MemworldError
from memworld.play.safety import Guard, is_loopback
from memworld.play.serving import listen
from tests.play.asking import Asked, asked

# Each of these holds one session beside what it does to others, and asks it again in the end.
pytestmark = pytest.mark.usefixtures("unharmed")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:{port}"}, 200),
        ({"Host": "localhost"}, 200),
        ({"Host": "LOCALHOST:{port}"}, 200),
        ({"Host": "[::1]:{port}"}, 200),
        ({"Host": "127.0.0.1:{port}", "Origin": "http://127.0.0.1:{port}"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:{port}"}, 403),
        ({"Host": "evil.example#127.0.0.1"}, 403),
        ({"Host": "127.0.0.1@evil.example"}, 403),
        ({"Host": "127.0.0.2"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "127.0.0.1:{port}", "Origin": "http://evil.example"}, 403),
        ({"Host": "127.0.0.1:{port}", "Origin": "http://127.0.0.1:1"}, 403),
        ({"Host": "127.0.0.1:{port}", "Origin": "https://127.0.0.1:{port}"}, 403),
        ({"Host": "127.0.0.1:{port}", "Origin": "http://localhost:{port}"}, 403),
        ({"Host": "127.0.0.1:{port}", "Origin": "null"}, 403),
        ({"Host": "127.0.0.1:{port}", "Origin": ""}, 403),
    ],
    ids=str,
)
def test_host_and_origin(server: Asked, headers: dict[str, str], status: int) -> None:
    sent = {name: value.format(port=server.at.port) for name, value in headers.items()}
    answer = server.get("/api/about", headers=sent)
    assert answer.status == status
    if status != 200:
        assert answer.error
    handshake = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    host = sent.get("Host", f"127.0.0.1:{server.at.port}")
    key = {"Host": host, "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw==", **handshake, **sent}
    lines = "".join(f"{name}: {value}\r\n" for name, value in key.items())
    first = server.raw(f"GET /ws HTTP/1.1\r\n{lines}\r\n".encode()).split(b"\r\n")[0]
    assert first == (b"HTTP/1.1 101 Switching Protocols" if status == 200 else b"HTTP/1.1 403 Forbidden")


def test_two_hosts_are_none(server: Asked) -> None:
    hosts = f"Host: 127.0.0.1:{server.at.port}\r\nHost: evil.example"
    sent = f"GET /api/about HTTP/1.1\r\n{hosts}\r\nConnection: close\r\n\r\n"
    assert server.raw(sent.encode()).startswith((b"HTTP/1.1 403", b"HTTP/1.1 400"))


@pytest.mark.parametrize("path", ["/", "/static/none", "/api/about", "/api/sources/none/map", "/none"])
def test_every_answer_tells_the_browser_what_not_to_do(server: Asked, path: str) -> None:
    headers = server.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "Access-Control-Allow-Origin" not in headers
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["object-src"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert "server" not in headers


def test_the_token(memory: Path, tmp_path: Path) -> None:
    with asked([memory], tmp_path, token=True) as server:
        token = server.at.token
        assert token is not None
        assert len(token) >= 32
        assert server.at.address == f"http://127.0.0.1:{server.at.port}/?token={token}"
        for path in (
            "/",
            "/static/main.js",
            "/api/about",
            "/api/recordings",
            f"/?token={token[:-1]}",
            "/?token=",
            "/?token=%00",
        ):
            answer = server.get(path)
            assert (answer.status, "Set-Cookie" in answer.headers) == (401, False)
            assert "token" in answer.error
        for headers in (
            {"Authorization": f"Bearer {token}x"},
            {"Authorization": token},
            {"Authorization": "Bearer"},
            {"Cookie": f"memworld={token}"},
            {"Cookie": f"memworld-{server.at.port}="},
            {"Cookie": "\xff=\xff; ;;="},
        ):
            assert server.get("/api/about", headers=headers).status == 401
        opened = server.get(f"/?token={token}")
        assert opened.status == 200
        cookie = opened.headers["Set-Cookie"]
        assert cookie == f"memworld-{server.at.port}={token}; Path=/; HttpOnly; SameSite=Strict"
        by_cookie = {"Cookie": f"other=1; {cookie.split(';')[0]}"}
        assert server.get("/api/about", headers=by_cookie).status == 200
        assert server.get("/api/about", headers={"Authorization": f"Bearer {token}"}).status == 200
        for options in ({}, {"query": "?token=x"}, {"additional_headers": {"Authorization": "Bearer x"}}):
            with pytest.raises(InvalidStatus, match="403"), server.page(**options):
                pass
        for options in (
            {"query": f"?token={token}"},
            {"additional_headers": by_cookie},
            {"additional_headers": {"Authorization": f"Bearer {token}"}},
        ):
            with server.page(**options) as page:
                page.open()


def test_others_need_a_token() -> None:
    for host, needed in (("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True), ("", True)):
        at = listen(host, 0, False)
        assert (at.token is not None) == needed
        assert not is_loopback(host) or not needed
        at.socket.close()
    again = {listen_token() for _ in range(5)}
    assert len(again) == 5
    assert [is_loopback(h) for h in ("127.8.8.8", "::1", "[::1]", "LocalHost", "localhost.evil", "10.0.0.1", "::")] == [
        True, True, True, True, False, False, False,
    ]  # fmt: skip


def listen_token() -> str:
    at = listen("127.0.0.1", 0, True)
    at.socket.close()
    assert at.token is not None
    return at.token


def test_whoever_listens_everywhere_goes_by_numbers() -> None:
    async def nobody(*_: Any) -> None: ...

    everywhere = Guard(nobody, "0.0.0.0", 80, "token")
    assert all(map(everywhere._known, ("10.1.2.3:80", "[fe80::1]:80", "localhost")))
    assert not any(map(everywhere._known, ("evil.example", "10.1.2.3.evil", "[evil]", "1.2.3.4/", "a b", "x" * 5000)))
    one = Guard(nobody, "10.1.2.3", 80, "token")
    assert one._known("10.1.2.3:80")
    assert not one._known("10.1.2.4:80")


HOSTILE = [
    *(
        "../secret.mp4",
        "..%2fsecret.mp4",
        "%2e%2e/secret.mp4",
        "%2e%2e%2fsecret.mp4",
        "..%5csecret.mp4",
        "..;/secret.mp4",
    ),
    *("....//secret.mp4", "%252e%252e%252fsecret.mp4", "..%c0%afsecret.mp4", "secret.mp4%00", "index.html%00.js"),
    *("/etc/passwd", "//etc/passwd", "%2fetc%2fpasswd", "file:///etc/passwd", ".%2e/.%2e/.%2e/.%2e/etc/passwd"),
    *("C:%5cWindows", "__init__.py", "../server.py", "%ff%fe", "%", "%zz", "?", "..", "."),
]
STARTS = ("/static/", "/api/recordings/", "/api/sources/", "/api/sources/memory/episodes/", "/")
PATHS = [f"{start}{hostile}" for start in STARTS for hostile in (*HOSTILE, "a" * 4000)]


def test_hostile_paths(server: Asked) -> None:
    server.output.mkdir(exist_ok=True)
    (server.output.parent / "secret.mp4").write_bytes(b"a secret")
    for path in PATHS:
        answer = server.get(path)
        for secret in (b"a secret", b"root:", b"def "):
            assert secret not in answer.body, path
        if path not in ("/?", "/.", "/.."):  # which are /
            assert answer.status in (307, 400, 404), (path, answer.status)
            assert answer.status == 307 or answer.error, path


def test_what_is_no_http(server: Asked) -> None:
    for content in (
        b"\x00" * 100,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET " + b"/" * 200_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
        b"POST /api/sources/memory/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /api/sources/memory/search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /api/sources/memory/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000000\r\n\r\nshort",
    ):
        said = server.raw(content)
        assert not said or said.startswith(b"HTTP/1.1 4"), said[:80]
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        assert server.get("/api/about", method=method).status == 405
    assert server.get("/api/sources/memory/search").status == 405


def test_bodies_are_bounded_while_they_are_read(server: Asked) -> None:
    path, sent = "/api/sources/memory/search", 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 1 << 30:
            sent += 1 << 16
            yield bytes(1 << 16)

    try:
        answer = server.get(path, method="POST", body=endless(), headers={"Transfer-Encoding": "chunked"})
        assert "longer than" in answer.error
    except (BrokenPipeError, ConnectionResetError):  # the server has hung up
        pass
    assert sent < 1 << 28
    for size in ((4 << 20) + 1, 1 << 23):
        answer = server.get(path, method="POST", body=bytes(size))
        assert (answer.status, "longer than" in answer.error) == (400, True)
    large = server.get(path, method="POST", body=b" " * 2000, headers={"Content-Type": "application/json"})
    assert "longer than" in large.error


def test_a_port_that_is_taken() -> None:
    at = listen("127.0.0.1", 0, False)
    with pytest.raises(MemworldError, match=f"cannot listen at port {at.port}"):
        listen("127.0.0.1", at.port, False)
    at.socket.close()
    for host in ("no.such.host.invalid", "300.1.1.1", "x" * 300):
        with pytest.raises(MemworldError, match=r"no address of this computer|cannot listen"):
            listen(host, 0, False)
