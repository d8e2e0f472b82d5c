"""How fast the player is in a real browser: frames a second, and time from a key press to the drawn frame.

    python benchmarks/player_page.py runs/demo/memory [--seconds 20]

Starts `memworld play`, opens its page in Debian's Chromium without a window, and presses keys of the world's actions
at the highest speed, for one dream and for two beside each other. The page itself measures: from the time stamp of the
browser's key event to the screen's frame in which the first picture that heeds the key has been drawn.
"""

import argparse
import itertools
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
NEEDED = {1: 30, 2: 15}
"""Frames a second that so many dreams are held to, at 15,000 rows on 2 cores."""


@contextmanager
def served(memory: Path) -> Iterator[str]:
    """`memworld play` in a process of its own; gives the page's address."""
    command = [sys.executable, "-m", "memworld.cli", "play", str(memory), "--port", "0", "--no-open"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        said = process.stdout.readline().split()
        if process.poll() is not None or not said:
            raise SystemExit(f"{' '.join(command)} failed")
        yield next(word for word in said if word.startswith("http"))
    finally:
        process.terminate()
        process.wait()


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    if not CHROMIUM.exists():
        raise SystemExit("no browser: apt-get install --no-install-recommends chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


def wait_for(page: Page, script: str, seconds: float = 300.0) -> Any:
    """Wait until a piece of JavaScript gives something true; the page's own rules forbid Playwright's way."""
    late = time.monotonic() + seconds
    while not (found := page.evaluate(script)):
        if time.monotonic() > late:
            raise SystemExit(f"never came: {script}; the page says {page.locator('#status').inner_text()!r}")
        page.wait_for_timeout(50)
    return found


def measure(
    browser: Browser, address: str, dreams: Sequence[str], keys: Sequence[str], seconds: float
) -> dict[str, Any]:
    """Play for some seconds, and read what the page has measured."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(f"{address}#tab=play&fps=60" + "".join(f"&dream=strategy:{name}" for name in dreams))
    wait_for(page, "window.memworld && memworld.state().live")
    page.locator("#stage").focus()
    page.keyboard.press("p")
    # The first search of each kind builds what later ones use.
    wait_for(page, "memworld.state().step > 60")
    page.evaluate("memworld.clear()")
    late = time.monotonic() + seconds
    for key in itertools.cycle(keys):
        page.keyboard.down(key)
        page.wait_for_timeout(130)
        page.keyboard.up(key)
        page.wait_for_timeout(70)
        if time.monotonic() > late:
            break
    told: dict[str, Any] = page.evaluate("memworld.stats()")
    page.close()
    return told


def main() -> None:
    """Measure one dream, and two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("memory", type=Path)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument(
        "--strategy", action="append", help="of each dream; default: analogues, and replay_kl beside it"
    )
    parser.add_argument("--keys", default="ArrowRight,ArrowLeft,Space", help="codes of keys to press in turn")
    options = parser.parse_args()
    strategies = options.strategy or ["analogues", "replay_kl"]
    keys = options.keys.split(",")
    print("| dreams | frames a second | key to frame, median | 99% within | presses |\n|---|---|---|---|---|")
    with served(options.memory) as address, chromium() as browser:
        for count in range(1, len(strategies) + 1):
            told = measure(browser, address, strategies[:count], keys, options.seconds)
            print(
                f"| {' and '.join(strategies[:count])} | {told['overall']:.1f} (needed: {NEEDED[count]}) | "
                f"{told['median']:.0f} ms | {told['p99']:.0f} ms | {told['presses']} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
