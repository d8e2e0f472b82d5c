from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from typer.testing import CliRunner, Result

from memworld.cli import app
from memworld.demo import demo_config
from memworld.pipeline import RunResult, run

# No test is timed: a first call loads libraries, and computers are busy.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture
def call() -> Callable[..., Result]:
    """Calls the program with arguments, in this process."""

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(a) for a in arguments])

    return invoke


@pytest.fixture(scope="session")
def quick_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    """A tiny run of the main job, on the real game, that many tests read; none may write to it."""
    output = tmp_path_factory.mktemp("quick") / "demo"
    return output, run(demo_config("pong", seed=0, quick=True), output)
