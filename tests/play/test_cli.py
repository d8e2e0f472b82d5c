import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import Result
from websockets.sync.client import connect

LIMIT = 300.0
"""Seconds after which a command that did nothing has failed."""


@contextmanager
def started(folder: Path, *arguments: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The program as it serves, and the address that it said."""
    command = [sys.executable, "-m", "memworld.cli", *map(str, arguments), "--port", "0", "--no-open"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"http://\S+", said)
        try:
            assert found, said + process.communicate(timeout=LIMIT)[1]
            yield process, found[0]
        finally:
            process.kill()


def interrupted(process: subprocess.Popen[str]) -> None:
    """Press Ctrl-C; it must end at once, and cleanly."""
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert "memworld: interrupted" in said
    assert "terminate called" not in said


def about(address: str) -> dict[str, object]:
    base, _, query = address.partition("?")
    with urllib.request.urlopen(f"{base}api/about?{query}", timeout=LIMIT) as answer:
        told: dict[str, object] = json.load(answer)
    return told


def test_it_serves_until_it_is_interrupted(memory: Path, data: Path, tmp_path: Path) -> None:
    with started(tmp_path, "browse", memory, data, "--token") as (process, address):
        assert "?token=" in address
        told = about(address)
        assert told["opens"] == "browse"
        assert [source["name"] for source in told["sources"]] == ["memory", "episodes"]  # type: ignore[attr-defined]
        interrupted(process)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_a_session_learns(memory: Path, tmp_path: Path) -> None:
    with started(tmp_path, "play", memory) as (process, address):
        assert about(address)["opens"] == "play"
        with connect(address.replace("http", "ws") + "ws", open_timeout=LIMIT) as line:
            line.send(json.dumps({"n": 1, "do": "open", "source": "memory", "dreams": [{"strategy": "hybrid"}]}))
            time.sleep(1)
            interrupted(process)


def fails(result: Result, says: str) -> None:
    assert result.exit_code == 2
    assert result.stderr.startswith("memworld: error: ")
    assert result.stderr.count("\n") == 1
    assert re.search(says, result.stderr), result.stderr
    assert "http" not in result.stdout


@pytest.mark.parametrize("command", ["play", "browse"])
def test_what_is_not_there(call: Callable[..., Result], command: str, tmp_path: Path) -> None:
    fails(call(command, tmp_path / "none", "--no-open"), r"is no memory|no data set at .*\(nothing is there\)")


def test_what_cannot_be_played(call: Callable[..., Result], data: Path, memory: Path, tmp_path: Path) -> None:
    fails(call("play", data, "--no-open"), "is no memory.*memworld browse")
    fails(call("play", memory / "memory.json", "--no-open"), "is no memory")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "memory.json").write_text("{}")
    fails(call("play", tmp_path / "broken", "--no-open"), "broken")


def test_a_port_or_host_that_cannot_be_had(call: Callable[..., Result], memory: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        fails(call("play", memory, "--port", taken.getsockname()[1], "--no-open"), "cannot listen at port .* --port")
    fails(call("play", memory, "--host", "300.300.300.300", "--no-open"), "no address of this computer")
    assert call("play", memory, "--port", 70_000).exit_code == 2


def test_an_output_that_is_a_file(call: Callable[..., Result], memory: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    fails(call("play", memory, "--no-open", "-o", tmp_path / "file"), "is a file")


@pytest.mark.parametrize("package", ["starlette", "uvicorn", "websockets"])
def test_a_missing_extra(
    call: Callable[..., Result], memory: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    fails(call("play", memory, "--no-open"), rf'need the package {package} .*pip install "memworld\[play\]"')
