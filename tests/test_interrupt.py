"""A real Ctrl-C in the middle of long work: one line, exit code 130, and resuming gives what would have been."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from memworld.pipeline import RunResult
from tests.test_pipeline import contents

LIMIT = 120.0
"""Seconds after which a command that did nothing has failed."""


def memworld(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "memworld.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    return done


def interrupted(when: Callable[[], bool], *arguments: object) -> str:
    """Start a command, press Ctrl-C as soon as `when` holds, and return what it said."""
    command = [sys.executable, "-m", "memworld.cli", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + LIMIT
        while not when():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline, "the command did not get far enough"
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 130, (process.returncode, errors)
    assert "Traceback" not in errors
    assert "memworld: interrupted; what was finished is kept" in errors
    return errors


def listed(path: Path) -> int:
    """Episodes in a list on disk."""
    return len(json.loads(path.read_text())["episodes"]) if path.exists() else 0


def test_recording(tmp_path: Path) -> None:
    settings = ("--policy", "demonstrator", "--max-steps", 60, "-q")
    data = tmp_path / "data"
    interrupted(lambda: listed(data / "dataset.json") >= 2, "record", "pong", "-o", data, "-n", 1000, *settings)
    count = listed(data / "dataset.json")
    assert 2 <= count < 1000
    memworld("record", "pong", "-o", data, "-n", count + 1, "--resume", *settings)
    memworld("record", "pong", "-o", tmp_path / "whole", "-n", count + 1, *settings)
    assert contents(data) == contents(tmp_path / "whole")


def test_training(quick_run: tuple[Path, RunResult], tmp_path: Path) -> None:
    output, _ = quick_run
    command = ("train", output / "episodes", "--steps", 300, "--batch-size", 16, "-q", "-o")
    encoder = tmp_path / "encoder"
    interrupted((encoder / "checkpoint.safetensors").exists, *command, encoder)
    assert not (encoder / "encoder.json").exists()
    memworld(*command, encoder, "--resume")
    memworld(*command, tmp_path / "whole")
    assert contents(encoder) == contents(tmp_path / "whole")


@pytest.mark.parametrize("frames", ["--frames", "--no-frames"])
def test_remembering(quick_run: tuple[Path, RunResult], tmp_path: Path, frames: str) -> None:
    output, _ = quick_run
    data, memory = tmp_path / "data", tmp_path / "memory"
    memworld("record", "pong", "-o", data, "-n", 100, "--max-steps", 30, "--random-start", 5, "-q")
    command = ("remember", data, "--encoder", output / "encoder", "--held-out", 0, "-q", frames, "-o")
    interrupted(lambda: listed(memory / "memory.json") >= 2, *command, memory)
    assert 2 <= listed(memory / "memory.json") < 100
    described = json.loads(memworld("inspect", memory, "--json").stdout)
    assert described["episodes"] == listed(memory / "memory.json")
    memworld(*command, memory, "--resume")
    memworld(*command, tmp_path / "whole")
    assert contents(memory) == contents(tmp_path / "whole")
