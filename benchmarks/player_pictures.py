"""Ten-second moving pictures of the player and of a film strip, for the README.

    python benchmarks/player_pictures.py runs/demo/memory [--output docs/images]

Plays Pong in a real browser, as somebody would: keys follow the ball that the dream shows, a recorded moment is opened
and gone through, and the dream begins again there. Every step of the dream is one picture, so that what is seen does
not depend on how fast this computer takes pictures. Needs a memory of Pong.
"""

import argparse
import io
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from player_page import chromium, served, wait_for
from playwright.sync_api import Page, ViewportSize

FPS = 10
SECONDS = 10
MOST_BYTES = 3_000_000
SIZE = ViewportSize(width=1200, height=900)

LOOK = """() => {
    const canvas = document.querySelector("canvas.frame");
    const { width, height } = canvas;
    const copy = new OffscreenCanvas(width, height).getContext("2d");
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, width, height);
    const top = Math.round(height * 0.18), bottom = Math.round(height * 0.92);
    let ball = [0, 0], paddle = [0, 0];
    for (let y = top; y < bottom; y++) for (let x = 0; x < width; x++) {
        const [r, g, b] = data.slice(4 * (y * width + x));
        const [white, green] = [Math.min(r, g, b) - 70, x > width * 0.8 ? g - r : 0];
        if (white > 0) ball = [ball[0] + white * y, ball[1] + white];
        if (green > 0) paddle = [paddle[0] + green * y, paddle[1] + green];
    }
    return ball[1] && paddle[1] ? ball[0] / ball[1] - paddle[0] / paddle[1] : 0;
}"""
"""How many pixels the ball lies below the paddle, as the dream shows them; 0 if it shows no ball."""


class Film:
    """Pictures of a page, one after the other."""

    def __init__(self, page: Page, selector: str | None = None) -> None:
        """Of the whole window, or of one part of it."""
        self._page, self._selector = page, selector
        self.pictures: list[Image.Image] = []

    def take(self, times: int = 1) -> None:
        """Take a picture that stays for so many tenths of a second."""
        self._page.wait_for_timeout(60)  # it is drawn with the screen's next frame
        seen = self._page if self._selector is None else self._page.locator(self._selector)
        picture = Image.open(io.BytesIO(seen.screenshot())).convert("RGB")
        self.pictures += [picture] * times

    def save(self, path: Path, width: int) -> None:
        """Write what was taken as an animated WebP of this width."""
        height = round(self.pictures[0].height * width / self.pictures[0].width)
        small = [picture.resize((width, height), Image.Resampling.LANCZOS) for picture in self.pictures]
        path.parent.mkdir(parents=True, exist_ok=True)
        small[0].save(
            path, save_all=True, append_images=small[1:], duration=1000 // FPS, loop=0, quality=75, method=6, kmax=30
        )
        size = path.stat().st_size
        print(f"{path}: {len(small) / FPS:.0f} s, {width} x {height}, {size / 1e6:.2f} MB")
        if size > MOST_BYTES:
            raise SystemExit(f"{path} is larger than {MOST_BYTES / 1e6:.0f} MB: make it narrower")


def play(page: Page, film: Film, steps: int) -> None:
    """Take steps by keys that follow the ball."""
    for _ in range(steps):
        below = page.evaluate(LOOK)
        key = "ArrowLeft" if below > 1 else "ArrowRight" if below < -1 else None
        step = page.evaluate("memworld.state().step")
        if key:
            page.keyboard.down(key)
        page.keyboard.press(".")
        wait_for(page, f"memworld.state().step === {step + 1}")
        film.take()
        if key:
            page.keyboard.up(key)


def player(page: Page, address: str, start: str) -> Film:
    """Play beside the real world, open a recorded moment, and go on from there."""
    page.goto(f"{address}#tab=play&real=1&start={start}")
    wait_for(page, "window.memworld && memworld.state().live")
    wait_for(page, "document.querySelector('#map-caption').textContent.includes('varies most')")
    # What it measures would be how fast pictures are taken.
    page.evaluate("document.querySelector('#performance').style.visibility = 'hidden'")
    film = Film(page)
    page.locator("#stage").focus()
    page.keyboard.press(".")
    wait_for(page, "memworld.state().step === 1")
    page.keyboard.press("r")
    wait_for(page, "memworld.state().step === 0")
    film.take(4)
    play(page, film, 44)
    page.locator("#sources button").first.click()
    wait_for(page, "document.querySelector('#moment-where').textContent.startsWith('Step ')")
    page.wait_for_timeout(400)
    film.take(8)
    for _ in range(8):
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(250)
        film.take()
    film.take(6)
    page.get_by_role("button", name="Start here").click()
    wait_for(page, "memworld.state().step === 0")
    film.take(3)
    play(page, film, SECONDS * FPS - len(film.pictures))
    return film


def strip(page: Page, address: str) -> Film:
    """Go along an episode's film strip and curves."""
    page.goto(f"{address}#tab=browse")
    wait_for(page, "document.querySelector('#strip-image')?.complete && window.memworld")
    page.wait_for_timeout(1000)
    film = Film(page, ".episode.card")
    page.locator("#scrubber").focus()
    last = int(page.locator("#scrubber").get_attribute("max") or 0)
    for at in range(SECONDS * FPS):
        page.locator("#scrubber").fill(str(round(at * min(last, 400) / (SECONDS * FPS - 1))))
        wait_for(page, "document.querySelector('#episode-frame').complete")
        film.take()
    return film


def main() -> None:
    """Make both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("memory", type=Path)
    parser.add_argument("--output", type=Path, default=Path("docs/images"))
    parser.add_argument("--start", default="11.200", help="episode and step that the dream begins at")
    parser.add_argument("--theme", choices=["light", "dark"], default="light")
    options = parser.parse_args()
    parts: dict[str, tuple[Callable[[Page, str], Film], int]] = {
        "player.webp": (lambda page, address: player(page, address, options.start), 960),
        "film-strip.webp": (strip, 720),
    }
    with served(options.memory) as address, chromium() as browser:
        for name, (shoot, width) in parts.items():
            page = browser.new_page(viewport=SIZE, color_scheme=options.theme)
            shoot(page, address).save(options.output / name, width)
            page.close()


if __name__ == "__main__":
    main()
