"""A report in either theme, on a phone, on paper, without its script, and for those who do not see it."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browsers import no_barriers
from tests.report.browser.conftest import Open
from tests.report.parsed import parse

KINDS = ["demo", "control", "living", "study"]

GROUND = "getComputedStyle(document.body).backgroundColor"
INK = "getComputedStyle(document.querySelector('.plot .series')).color"
OPEN_ALL = "document.querySelectorAll('details').forEach((one) => (one.open = true))"


def drawn(page: Page) -> int:
    """How many charts are on the page; each of them must be seen."""
    charts = page.locator("svg[role=img]")
    for chart in charts.all():
        box = chart.bounding_box()
        assert box
        assert box["width"] > 100
        assert box["height"] > 60
    return charts.count()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_barriers_in_either_theme(opened: Open, kind: str, theme: str, pictures: Path) -> None:
    page = opened(kind, color_scheme=theme)
    page.screenshot(path=pictures / f"report-{kind}-{theme}.png", full_page=True)
    page.evaluate(OPEN_ALL)
    page.wait_for_timeout(300)
    assert drawn(page) == len(parse(page.content()).numbers)
    page.locator(".plot").first.focus()
    no_barriers(page)
    if page.locator(".frame").count():
        page.locator(".frame").first.click()
        no_barriers(page)


def test_the_theme_can_be_chosen_and_is_kept_for_all_reports(opened: Open, reports: dict[str, Path]) -> None:
    page = opened("living", color_scheme="light")
    light = page.evaluate(GROUND), page.evaluate(INK)
    toggle = page.get_by_role("button", name="Theme")
    assert toggle.get_attribute("aria-label") == "Theme: as the system"
    toggle.click()
    assert toggle.get_attribute("aria-label") == "Theme: light"
    page.keyboard.press("Enter")
    assert toggle.get_attribute("aria-label") == "Theme: dark"
    dark = page.evaluate(GROUND), page.evaluate(INK)
    assert dark[0] != light[0]
    assert dark[1] != light[1], "charts have the page's colours"
    page.reload()
    assert (page.evaluate(GROUND), page.evaluate(INK)) == dark
    page.goto(reports["control"].as_uri())
    assert page.evaluate(GROUND) == dark[0]
    page.emulate_media(media="print")
    assert page.evaluate(GROUND) == light[0], "paper is white"
    page.emulate_media(media="screen")
    page.get_by_role("button", name="Theme: dark").click()
    page.reload()
    assert page.evaluate(GROUND) == light[0]


def test_the_system_s_theme_is_followed(opened: Open) -> None:
    page = opened("living", color_scheme="light")
    light = page.evaluate(GROUND)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(GROUND) != light


@pytest.mark.parametrize("kind", [*KINDS, "hostile study"])
def test_a_phone_shows_all_of_it(opened: Open, kind: str, pictures: Path) -> None:
    page = opened(kind, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True, color_scheme="dark")
    page.evaluate(OPEN_ALL)
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") == 390, "nothing hangs out sideways"
    drawn(page)
    page.screenshot(path=pictures / f"report-{kind.replace(' ', '-')}-phone.png", full_page=True)


@pytest.mark.parametrize("kind", ["demo", "control"])
def test_a_wide_table_scrolls_in_its_box_and_its_headings_stay(opened: Open, kind: str) -> None:
    page = opened(kind, viewport={"width": 390, "height": 500})
    box = page.locator(".scroll[tabindex='0']:has(table.numbers)").first
    table = box.locator("table")
    assert box.get_attribute("aria-label")
    box.scroll_into_view_if_needed()
    name, top = table.locator("tbody th").last, table.locator("thead th").last
    before = name.bounding_box()
    box.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(400)
    assert box.evaluate("box => box.scrollLeft") > 0
    box.evaluate("box => box.scrollTo(9999, 9999)")
    after, head, frame = name.bounding_box(), top.bounding_box(), box.bounding_box()
    assert before
    assert after
    assert head
    assert frame
    assert abs(after["x"] - before["x"]) < 1, "names of rows stay at the left"
    assert abs(head["y"] - frame["y"]) < 1, "names of columns stay at the top"
    assert head["x"] + head["width"] <= frame["x"] + frame["width"] + 1, "the last column is reached"


def test_what_fits_has_no_box_and_its_names_stay_at_the_window_s_top(opened: Open) -> None:
    page = opened("demo", viewport={"width": 1280, "height": 300})
    table = page.locator("#tables table").first
    assert page.locator(".scroll[tabindex]").count() == 0
    table.locator("tbody tr").last.evaluate("row => row.scrollIntoView()")
    head = table.locator("thead th").first.bounding_box()
    assert head
    assert 0 <= head["y"] < 1


@pytest.mark.parametrize("kind", KINDS)
def test_paper_has_all_figures_and_nothing_to_press(opened: Open, kind: str, pictures: Path) -> None:
    page = opened(kind, color_scheme="dark", viewport={"width": 688, "height": 900})
    page.locator(".plot").first.focus()
    page.emulate_media(media="print")
    assert page.evaluate(GROUND) == "rgb(255, 255, 255)"
    for name in (".theme", ".hint", ".screen", ".config", ".readout", ".pointer", ".all", "nav"):
        assert not any(found.is_visible() for found in page.locator(name).all()), name
    drawings = parse(page.content()).drawings
    assert drawn(page) == len(drawings)
    for table in page.locator("table").all():
        box = table.bounding_box()
        assert box
        assert box["x"] + box["width"] < 690, "no table is cut off"
    intervals = page.locator("table.numbers small").all()
    assert intervals or kind == "living"
    for interval in intervals:
        lines = interval.evaluate("one => one.offsetHeight / parseFloat(getComputedStyle(one).lineHeight)")
        assert lines < 1.5, f"{interval.inner_text()} is broken"
        sizes = interval.evaluate(
            "one => [one, one.parentElement].map((it) => parseFloat(getComputedStyle(it).fontSize))"
        )
        assert sizes[0] < sizes[1], "an interval is smaller than what it is of"
    paper = page.pdf(path=pictures / f"report-{kind}.pdf", format="A4", tagged=True)
    assert paper.startswith(b"%PDF")
    # Each figure is there under its name, which a tagged PDF keeps for those who do not see it.
    said = [text_of(found) for found in re.findall(rb"/Alt \((?:[^()\\]|\\.)*\)|/Alt <[0-9A-Fa-f]*>", paper)]
    assert set(drawings) <= set(said)


def text_of(entry: bytes) -> str:
    """The words of an /Alt entry of a PDF."""
    if entry.startswith(b"/Alt <"):
        content = bytes.fromhex(entry[6:-1].decode())
    else:
        content = re.sub(rb"\\(.)", rb"\1", entry[6:-1])
    return content.decode("utf-16" if content.startswith(b"\xfe\xff") else "latin-1")


@pytest.mark.parametrize("kind", KINDS)
def test_without_its_script_a_report_is_whole(browser: Browser, reports: dict[str, Path], kind: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(reports[kind].as_uri())
    found = parse(reports[kind].read_text())
    closed = page.locator("details:not([open]) > summary")
    while closed.count():
        closed.first.click()
    assert drawn(page) == len(found.drawings) > 0
    assert page.get_by_role("button").count() == 0, "nothing that would do nothing"
    assert not page.locator(".hint").first.is_visible()
    assert page.locator("table").count() == len(found.tables)
    context.close()
