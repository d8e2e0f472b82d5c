"""What tests in a real browser share: where it is, what it complains of, and barriers that axe-core finds."""

import time
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import ConsoleMessage, Page

CHROMIUM = Path("/usr/bin/chromium")
INSTALL = "no browser: apt-get install --no-install-recommends chromium"


def complaints_of(page: Page) -> list[str]:
    """What the browser's console will have complained of, and what scripts will have thrown; it grows as it happens."""
    complaints: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(f"{message.type}: {message.text}")

    page.on("console", heard)
    page.on("pageerror", lambda error: complaints.append(f"thrown: {error}"))
    return complaints


def no_barriers(page: Page) -> None:
    """No serious or critical violation on what is shown, once colours have stopped changing."""
    patience = time.monotonic() + 60
    while page.evaluate("document.getAnimations().some(one => one.playState === 'running')"):
        assert time.monotonic() < patience, "something moves on and on"
        time.sleep(0.05)
    found = Axe().run(page).response["violations"]
    grave = [
        (violation["id"], [node["html"][:120] + " " + node["failureSummary"][:300] for node in violation["nodes"]])
        for violation in found
        if violation["impact"] in ("serious", "critical")
    ]
    assert not grave, grave
