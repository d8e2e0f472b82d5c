"""A small memory of real Pong, and real episodes played by what it knows."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from memworld.cli import app
from memworld.memory import Memory
from memworld.record import record
from memworld.world_model import WorldModel
from memworld.worlds import open_world
from tests.helpers import untrained_vae

SMALL = ("-n", 3, "--max-steps", 40, "--random-start", 10, "--horizon", 4, "--candidates", 6, "--commit", 2, "-q")
"""Options of episodes that take a second."""


@pytest.fixture(scope="session")
def pong_memory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a memory of four real episodes of Pong, by a good and a bad player in turn, with rewards."""
    folder = tmp_path_factory.mktemp("pong")
    world = open_world("pong")
    data = record(world, "demonstrator", folder / "data", episodes=4, max_steps=120, skills=(1.0, 0.0))
    encoder = untrained_vae((64, 64, 3))
    memory = Memory(data.info, encoder)
    memory.extend(data, encoder)
    WorldModel(encoder, memory).save(folder / "memory")
    return folder / "memory"


@pytest.fixture(scope="session")
def played(pong_memory: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """The folder of a run with two planners, and what the command said; no test may write to it."""
    output = tmp_path_factory.mktemp("played") / "run"
    planners = ("--planner", "behaviour", "--planner", "mppi")
    command = ("control", "pong", "--memory", pong_memory, *planners, "--output", output, *SMALL)
    return output, CliRunner().invoke(app, [str(word) for word in command])
