"""A hub on loopback, of as much as the hub's own client asks for when memories are pushed and pulled."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_test"
SMALL = 2048
"""Bytes up to which a file goes into the commit itself; larger ones go the way of large files."""

Files = dict[str, bytes]


@dataclass
class Repo:
    """A repository: its commits, the newest last."""

    private: bool
    commits: list[tuple[str, str, Files]] = field(default_factory=list)

    def commit(self, message: str, files: Files) -> str:
        sha = hashlib.sha1(f"{message}{len(self.commits)}{sorted(files)}".encode()).hexdigest()
        self.commits.append((sha, message, files))
        return sha

    @property
    def files(self) -> Files:
        return self.commits[-1][2]

    def at(self, revision: str) -> tuple[str, Files] | None:
        for sha, _, files in reversed(self.commits):
            if revision in ("main", sha):
                return sha, files
        return None


@dataclass
class Hub:
    """What the server holds, and what tests do to it.

    Attributes:
        repos: by owner/name.
        asked: method and path of every request.
        fault: looked at before every request; a status to answer with, with an error code of the hub or "".
        ignored: paths that a `.gitignore` keeps out of commits.
    """

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    fault: Callable[[str, str], tuple[int, str] | None] = lambda method, path: None
    ignored: set[str] = field(default_factory=set)

    def make(self, name: str, files: Files, private: bool = False) -> Repo:
        self.repos[name] = Repo(private)
        self.repos[name].commit("first", {".gitattributes": b"* text\n"} | files)
        return self.repos[name]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, status: int, value: Any = None, headers: dict[str, str] | None = None) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, header in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, header)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def refuse(self, status: int, code: str = "", message: str = "") -> None:
        named = {"X-Error-Code": code, "X-Error-Message": message}
        self.answer(status, {"error": message}, {name: value for name, value in named.items() if value})

    def handle_any(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.hub.asked.append(f"{self.command} {path}")
        if fault := self.hub.fault(self.command, path):
            return self.refuse(*fault)
        if path.startswith("/large/"):
            self.hub.large[path.removeprefix("/large/")] = body
            return self.answer(200)
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if not known and (self.command == "POST" or "whoami" in path):
            return self.refuse(401, message="Invalid credentials in Authorization header")
        if path == "/api/whoami-v2":
            return self.answer(200, {"name": "somebody"})
        if path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        asked = re.fullmatch(r"(?:/api)?/datasets/([^/]+/[^/]+?)(?:\.git/info)?(?:/(\w+)/([^/]+)(?:/(.+))?)?", path)
        if asked is None:
            return self.refuse(404)
        name, what, revision, rest = asked.groups()
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and not known):
            return self.refuse(404, "RepoNotFound")
        if what == "lfs":
            return self.batch(json.loads(body))
        if what == "preupload":
            return self.preupload(json.loads(body))
        if what == "commit":
            return self.commit(name, repo, body)
        found = repo.at(revision or "main")
        if found is None:
            return self.refuse(404, "RevisionNotFound")
        sha, files = found
        if what == "resolve":
            if rest not in files:
                return self.refuse(404, "EntryNotFound")
            digest = hashlib.sha256(files[rest]).hexdigest()
            return self.answer(200, files[rest], {"X-Repo-Commit": sha, "ETag": f'"{digest}"'})
        if what == "tree":
            return self.answer(
                200,
                [{"type": "file", "path": p, "size": len(c), "oid": "0"} for p, c in files.items()]
                + [{"type": "directory", "path": "encoder", "oid": "0"}],
            )
        return self.answer(200, {"id": name, "sha": sha, "private": repo.private})

    def create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        url = f"{self.hub.url}/datasets/{name}"
        if name in self.hub.repos:
            return self.answer(409, {"url": url})
        self.hub.make(name, {}, asked.get("visibility") == "private")
        return self.answer(200, {"url": url})

    def preupload(self, asked: dict[str, Any]) -> None:
        self.answer(
            200,
            {
                "files": [
                    {
                        "path": file["path"],
                        "uploadMode": "regular" if file["size"] <= SMALL else "lfs",
                        "shouldIgnore": file["path"] in self.hub.ignored,
                    }
                    for file in asked["files"]
                ]
            },
        )

    def batch(self, asked: dict[str, Any]) -> None:
        objects = []
        for one in asked["objects"]:
            upload = {"actions": {"upload": {"href": f"{self.hub.url}/large/{one['oid']}"}}}
            objects.append(one | ({} if one["oid"] in self.hub.large else upload))
        self.answer(200, {"objects": objects, "transfer": "basic"})

    def commit(self, name: str, repo: Repo, body: bytes) -> None:
        message, files = "", dict(repo.files)
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                if value.get("parentCommit", repo.commits[-1][0]) != repo.commits[-1][0]:
                    return self.refuse(412, message="A commit has happened since")
                message = value["summary"]
            elif item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
            else:
                assert item["key"] == "deletedFile"
                del files[value["path"]]
        sha = repo.commit(message, files)
        return self.answer(200, {"commitUrl": f"{self.hub.url}/datasets/{name}/commit/{sha}", "commitOid": sha})

    do_GET = do_HEAD = do_POST = do_PUT = handle_any


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub that answers until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
