"""One tab of a real browser that shows the player's page, and what tests ask of it."""

import re
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page

from tests.browsers import complaints_of

PATIENCE = 180.0
"""Seconds after which something is taken to never happen; computers that run tests are busy."""


class Tab:
    """A tab.

    Attributes:
        page: Playwright's.
        complaints: what the browser's console has complained of.
    """

    def __init__(self, page: Page, pictures: Path) -> None:
        """Listen to what goes wrong in it; screenshots go to the folder `pictures`."""
        self.page, self._pictures = page, pictures
        page.set_default_timeout(PATIENCE * 1000)
        self.complaints = complaints_of(page)

    def open(self, address: str, live: bool = True) -> "Tab":
        """Go there, and unless it is to browse, wait for the dream to begin."""
        self.page.goto(address)
        self.until("window.memworld")
        if live:
            self.until("memworld.state().live")
        return self

    def ask(self, script: str) -> Any:
        """What a piece of JavaScript gives."""
        return self.page.evaluate(script)

    def until(self, script: str, patience: float = PATIENCE) -> Any:
        """Wait until a piece of JavaScript gives something true, and return that.

        Playwright's own way to wait evaluates text within the page, which its content security policy forbids.
        """
        late = time.monotonic() + patience
        while not (found := self.ask(script)):
            alert = self.page.locator("#alert").inner_text() if self.page.locator("#alert").count() else ""
            assert time.monotonic() < late, f"never came: {script}; status {self.status!r}, alert {alert!r}"
            self.page.wait_for_timeout(30)
        return found

    @property
    def state(self) -> dict[str, Any]:
        """What the player does."""
        found: dict[str, Any] = self.ask("memworld.state()")
        return found

    @property
    def status(self) -> str:
        """The line of news."""
        return self.page.locator("#status").inner_text()

    def says(self, pattern: str) -> None:
        """Wait until the line of news matches."""
        late = time.monotonic() + PATIENCE
        while not re.search(pattern, self.status):
            assert time.monotonic() < late, f"the status line says {self.status!r}, not {pattern!r}"
            self.page.wait_for_timeout(30)

    def frame(self, panel: int = 0) -> list[int]:
        """The pixels of a panel's frame, as they are drawn: R, G, B, A, R, ..."""
        # A frame is drawn with the screen's next one, after its answer has come.
        script = """(i) => new Promise((told) => requestAnimationFrame(() => requestAnimationFrame(() => {
            const { width, height } = document.querySelectorAll("canvas.frame")[i];
            const copy = new OffscreenCanvas(width, height).getContext("2d");
            copy.drawImage(document.querySelectorAll("canvas.frame")[i], 0, 0);
            told([...copy.getImageData(0, 0, width, height).data]);
        })))"""
        pixels: list[int] = self.page.evaluate(script, panel)
        return pixels

    def steps(self, count: int, key: str | None = None) -> None:
        """Take single steps, by the keyboard, while a key is held."""
        self.page.locator("#stage").focus()
        if key and self.state["step"] == 0:
            # Who has stepped by hand goes on by hand; else the key would begin to play.
            self.page.keyboard.press(".")
            self.until("memworld.state().step === 1")
            self.page.keyboard.press("r")
            self.until("memworld.state().step === 0")
        for _ in range(count):
            before = self.state["step"]
            if key:
                # Held for each step anew, so that none goes by without it.
                self.page.keyboard.down(key)
            self.page.keyboard.press(".")
            self.until(f"memworld.state().step === {before + 1}")
            if key:
                self.page.keyboard.up(key)

    def shot(self, name: str, whole: bool = True) -> None:
        """Keep a picture of it for people to look at."""
        self.page.screenshot(path=self._pictures / f"{name}.png", full_page=whole, animations="disabled")

    def moment(self) -> Locator:
        """The dialog of a recorded moment, open and filled."""
        dialog = self.page.locator("dialog#moment")
        dialog.wait_for(state="visible")
        self.until("document.querySelector('#moment-where').textContent.startsWith('Step ')")
        return dialog
