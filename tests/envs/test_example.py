"""The example trains in a small run of the demo, and plays the real game."""

import re
import runpy
import shutil
import sys
from pathlib import Path

import pytest

from memworld.control import read_returns

EXAMPLE = Path(__file__).parents[2] / "examples" / "train_in_imagination.py"


def test_it_trains_and_plays_beside_the_yardsticks(
    quick_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    memory = shutil.copytree(quick_run / "memory", tmp_path / "memory")  # what is learned is written beside it
    few = {"--steps": 512, "--num-envs": 4, "--horizon": 10, "--episodes": 2, "--max-steps": 30, "--action-repeat": 2}
    arguments = [
        str(memory),
        "--output",
        str(tmp_path / "ppo"),
        *(str(x) for option in few.items() for x in option),
    ]
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), *arguments])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    said = capsys.readouterr().out
    ended = re.search(r"of the last (\d+)", said)
    assert ended is not None
    assert int(ended[1]) >= 40
    ways = read_returns(tmp_path / "ppo" / "returns.json").ways
    assert {way: len(played) for way, played in ways.items()} == {
        "random": 2,
        "demonstrator": 2,
        "ppo": 2,
        "ppo_drawn": 2,
    }
    assert "ppo" in said
    assert (tmp_path / "ppo" / "report.html").exists()
