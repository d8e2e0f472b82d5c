"""Real reports of every kind, and one of hostile names, in a real browser that opens them from disk."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from memworld.control import LivingResult, PlayConfig, control, live
from memworld.memory import Memory
from memworld.store import open_memory
from memworld.world_model import WorldModel
from memworld.worlds.policies import Policy
from tests.browsers import complaints_of
from tests.control.test_living import CORRIDOR, PLAN, WORLD
from tests.helpers import untrained_vae
from tests.report import test_report, test_study
from tests.report.made_up import make_evaluation

HOSTILE = """</script><img src=x onerror="document.title='taken'"><svg onload="document.title='taken'">"""

Open = Callable[..., Page]


@pytest.fixture(scope="session")
def life(tmp_path_factory: pytest.TempPathFactory) -> LivingResult:
    """A short life in a corridor."""
    folder = tmp_path_factory.mktemp("life")
    encoder = untrained_vae((16, 16, 1), (8,))
    WorldModel(encoder, Memory(CORRIDOR, encoder)).save(folder / "memory")
    return live(WORLD, folder / "memory", PLAN, PlayConfig(15, 25, 0), folder / "run", every=5, command="again")


def right(rng: np.random.Generator) -> Policy:
    """A way to act that goes right."""
    return lambda observation, info: 2


@pytest.fixture(scope="session")
def reports(quick_run: Path, life: LivingResult, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By kind, the file of a report."""
    folder = tmp_path_factory.mktemp("reports")
    ways = {"right": right, "left": lambda rng: lambda observation, info: 0}
    acted = control(WORLD, open_memory(life.memory), ways, PlayConfig(6, 20, 0), folder / "run")
    test_study.write(folder, test_study.made_up(worlds=test_study.WORLDS[:1]))
    (folder / "paper.html").rename(folder / "study.html")
    test_report.write(folder, make_evaluation(hostile=HOSTILE), title=f"A run {HOSTILE}")
    test_study.write(folder, test_study.made_up(HOSTILE, worlds=(f"pong{HOSTILE}",)), title=f"A study {HOSTILE}")
    return {
        "demo": quick_run / "report.html",
        "control": acted.report,
        "living": life.report,
        "study": folder / "study.html",
        "hostile": folder / "report.html",
        "hostile study": folder / "paper.html",
    }


@pytest.fixture
def opened(browser: Browser, reports: dict[str, Path]) -> Iterator[Open]:
    """Opens a report for a visitor of its own; in the end no page may have complained."""
    pages: list[tuple[Page, list[str]]] = []

    def open_report(kind: str, **visitor: Any) -> Page:
        visitor.setdefault("viewport", {"width": 1280, "height": 800})
        page = browser.new_context(**visitor).new_page()
        pages.append((page, complaints_of(page)))
        page.goto(reports[kind].as_uri())
        return page

    yield open_report
    for page, complaints in pages:
        page.context.close()
        assert not complaints, complaints
