import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings
from playwright.sync_api import Browser, sync_playwright
from typer.testing import CliRunner, Result

from memworld.cli import app
from memworld.demo import demo_config
from memworld.pipeline import run
from tests.browsers import CHROMIUM, INSTALL

# Tests press Ctrl-C, which programs ignore that were started in the background of a shell, and all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

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
def quick_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny run of the main job, on the real game, that many tests read; none may write to it."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    with FileLock(folder / "quick.lock"):  # one run for all processes that test
        if not (folder / "quick").exists():
            run(demo_config("pong", seed=0, quick=True), folder / "begun")
            (folder / "begun").rename(folder / "quick")
    return folder / "quick"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. A module's own, as it keeps an event loop running."""
    if not CHROMIUM.exists():
        if os.environ.get("MEMWORLD_BROWSER") == "required":
            pytest.fail(INSTALL)
        pytest.skip(INSTALL)
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots go: what MEMWORLD_SCREENSHOTS names, to look at them, or else this test's own folder."""
    folder = Path(os.environ.get("MEMWORLD_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
