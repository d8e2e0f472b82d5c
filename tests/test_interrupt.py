"""A real Ctrl-C in the middle of long work: one line, exit code 130, and resuming gives what would have been."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from memworld.store import open_memory
from tests.store.contents import assert_same_stored
from tests.test_pipeline import contents

LIMIT = 300.0
"""Seconds after which a command that did nothing has failed."""


def memworld(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "memworld.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    return done


def interrupted(said: Path, when: Callable[[], bool], *arguments: object) -> None:
    """Start a command whose standard error goes into the file `said`, and press Ctrl-C as soon as `when` holds."""
    command = [sys.executable, "-m", "memworld.cli", *map(str, arguments)]
    with said.open("w") as errors, subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors) as process:
        try:
            deadline = time.monotonic() + LIMIT
            while not when():
                assert process.poll() is None, said.read_text()
                assert time.monotonic() < deadline, "the command did not get far enough"
                time.sleep(0.005)
            process.send_signal(signal.SIGINT)
            process.wait(timeout=LIMIT)
        finally:
            process.kill()
    text = said.read_text()
    assert process.returncode == 130, (process.returncode, text)
    assert "Traceback" not in text
    assert "memworld: interrupted; what was finished is kept" in text


def listed(path: Path) -> int:
    """Episodes in a list on disk."""
    return len(json.loads(path.read_text())["episodes"]) if path.exists() else 0


def test_recording(tmp_path: Path) -> None:
    settings = ("--policy", "demonstrator", "--max-steps", 60, "-q")
    data = tmp_path / "data"
    said = tmp_path / "said.txt"
    interrupted(said, lambda: listed(data / "dataset.json") >= 2, "record", "pong", "-o", data, "-n", 1000, *settings)
    count = listed(data / "dataset.json")
    assert 2 <= count < 1000
    memworld("record", "pong", "-o", data, "-n", count + 1, "--resume", *settings)
    memworld("record", "pong", "-o", tmp_path / "whole", "-n", count + 1, *settings)
    assert contents(data) == contents(tmp_path / "whole")


def test_training(quick_run: Path, tmp_path: Path) -> None:
    command = ("train", quick_run / "episodes", "--steps", 150, "--batch-size", 16, "-q", "-o")
    encoder = tmp_path / "encoder"
    interrupted(tmp_path / "said.txt", (encoder / "checkpoint.safetensors").exists, *command, encoder)
    assert not (encoder / "encoder.json").exists()
    memworld(*command, encoder, "--resume")
    memworld(*command, tmp_path / "whole")
    assert contents(encoder) == contents(tmp_path / "whole")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred episodes."""
    folder = tmp_path_factory.mktemp("many") / "data"
    memworld("record", "pong", "-o", folder, "-n", 100, "--max-steps", 30, "--random-start", 5, "-q")
    return folder


@pytest.mark.parametrize("frames", ["--frames", "--no-frames"])
def test_remembering(quick_run: Path, data: Path, tmp_path: Path, frames: str) -> None:
    memory = tmp_path / "memory"
    command = ("remember", data, "--encoder", quick_run / "encoder", "--held-out", 0, frames, "-o")
    said = tmp_path / "said.txt"
    # Its progress, as what it has encoded waits in its memory: the interrupt is what stores it.
    interrupted(said, lambda: bool(re.search(r" [1-9]\d*/100 ", said.read_text())), *command, memory)
    kept = len(open_memory(memory).ids)
    assert 1 <= kept < 100
    assert f"sound: {kept} episodes" in memworld("check", memory).stdout
    memworld(*command, memory, "--resume")
    memworld(*command, tmp_path / "whole")
    assert_same_stored(memory, tmp_path / "whole")
