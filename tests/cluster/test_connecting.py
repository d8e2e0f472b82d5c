"""Connections that cannot be made; those that can are in the files `inside_*.py`."""

import functools
import http.server
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import Result

from memworld.cluster import connect
from memworld.dynamics import DynamicsConfig
from memworld.world_model import WorldModel
from tests.cluster.toys import remember
from tests.helpers import one_clear_error


@pytest.fixture
def something_else() -> Iterator[str]:
    """The address of a server that is no Ray."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        serving = threading.Thread(target=functools.partial(server.serve_forever, poll_interval=0.05))
        serving.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_where_nothing_answers() -> None:
    with one_clear_error(r"no Ray cluster answers at 127.0.0.1:\d+ \(.*refused.*\): start one with ray start --head"):
        connect(f"127.0.0.1:{free_port()}")


def test_where_something_else_answers(something_else: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memworld.cluster.connecting._PROBE", 4)
    with one_clear_error("what answers at 127.0.0.1:.* is no Ray cluster, or one that has died"):
        connect(something_else)


def test_where_none_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with one_clear_error("no Ray cluster lets us in at auto: .*Could not find any running Ray instance"):
        connect("auto")


@pytest.mark.parametrize("address", ["here", "ray://head:10001", "head:", ":6379", "head:port", "head:6379\nx"])
def test_addresses_that_mean_nothing(address: str) -> None:
    with one_clear_error("is no address of a cluster: give host:port of its head, auto, or local"):
        connect(address)


def test_numbers_that_mean_nothing() -> None:
    for name in ("workers", "threads"):
        with one_clear_error(f"{name} must be at least 1, got 0"):
            connect(**{name: 0})  # type: ignore[arg-type]
    for timeout in (0, -1.0, float("inf"), float("nan")):
        with one_clear_error("the timeout must be a number of seconds above 0, got"):
            connect(timeout=timeout)


def test_without_ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, call: Callable[..., Result]) -> None:
    remember(tmp_path / "memory", [5, 6])
    monkeypatch.setitem(sys.modules, "ray", None)
    with one_clear_error(r"clusters need the package ray .*: pip install \"memworld\[cluster\]\""):
        connect()
    with one_clear_error("clusters need the package ray"):
        WorldModel.open(tmp_path / "memory", DynamicsConfig(), index="cluster")
