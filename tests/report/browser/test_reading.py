"""What a report's charts and frames say where one points: by the mouse, by touch, and by the keyboard alone."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page

from tests.report.browser.conftest import HOSTILE, Open
from tests.report.parsed import parse

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}


def read_out(plot: Locator) -> tuple[str, dict[str, str]]:
    """Where one points, and the value with its interval by name; "" and nothing if nothing is read out."""
    box = plot.locator(".readout")
    if not box.is_visible():
        return "", {}
    rows = [row.locator("> span").all_inner_texts() for row in box.locator("div").all()]
    return box.locator("strong").inner_text(), {name: " ".join(value.split()) for name, value in rows}


def chosen(plot: Locator) -> str:
    """The name of the line that one is nearest to."""
    return plot.locator(".readout .chosen > span").first.inner_text()


def point(plot: Locator, across: float, down: float) -> None:
    """Put the mouse at a share of a chart's width and height."""
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box
    plot.page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])


def data_of(page: Page, chart: int) -> Any:
    """The numbers of a chart."""
    return parse(page.content()).numbers[chart]


def of_table(page: Page, title: str, column: str) -> dict[str, str]:
    """A column of one of the page's tables, by the names of its rows without their badges."""
    table = page.get_by_role("group", name=f"Table: {title}", exact=True).locator("table")
    heads = table.locator("thead th").all_inner_texts()
    names = table.locator("tbody th").evaluate_all("all => all.map((th) => th.childNodes[1].textContent.trim())")
    cells = table.locator(f"tbody td:nth-child({heads.index(column) + 1})").all_inner_texts()
    return {name: " ".join(cell.split()) for name, cell in zip(names, cells, strict=True)}


def test_numbers_are_read_where_the_mouse_is(opened: Open, pictures: Path) -> None:
    page = opened("demo")
    plot = page.locator("#curves .plot").first
    data = data_of(page, 0)
    low, high = data["x"]["ends"]
    start, end = data["x"]["places"]
    point(plot, (start + (5 - low) / (high - low) * (end - start)) / 420, 0.5)
    where, values = read_out(plot)
    assert where == "steps ahead, t: 5"
    assert len(values) == len(data["series"])
    shown = [float(value.split(" ")[0]) for value in values.values()]
    assert shown == sorted(shown, reverse=True), "as the lines lie, from the top"
    for name, value in of_table(page, "error on moving pixels", "t = 5").items():
        # The table gives all of a metric the same decimals, the read-out each its own three digits.
        assert float(values[name].split(" ")[0]) == pytest.approx(float(value.split(" ")[0]), rel=0.06), name
    # The nearest line is the one that is marked.
    dot = plot.locator(".pointer circle[r='5']").bounding_box()
    assert dot
    page.mouse.move(dot["x"] + dot["width"] / 2, dot["y"] + dot["height"] / 2 + 1)
    assert read_out(plot)[0] == where
    page.screenshot(path=pictures / "report-read-out.png")
    page.mouse.move(2, 2)
    assert read_out(plot) == ("", {})


@pytest.mark.parametrize("width", [1280, 900, 700])
@pytest.mark.parametrize("kind", ["demo", "control", "living"])
def test_what_is_read_out_covers_nothing_of_its_chart(opened: Open, kind: str, width: int) -> None:
    page = opened(kind, viewport={"width": width, "height": 800})
    for plot in page.locator(".plot").all()[:3]:
        for across in (0.2, 0.5, 0.9):
            point(plot, across, 0.5)
            box, chart = plot.locator(".readout").bounding_box(), plot.bounding_box()
            assert box
            assert chart
            beside = box["x"] >= chart["x"] + chart["width"] or box["x"] + box["width"] <= chart["x"]
            assert beside or box["y"] >= chart["y"] + chart["height"] - 1
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width


def test_the_marks_lie_on_the_lines(opened: Open) -> None:
    page = opened("study")
    plots = page.locator("#experiment-0 .group .plot")
    for i in range(plots.count()):
        plot = plots.nth(i)
        for across in (0.2, 0.6, 0.9):
            point(plot, across, 0.4)
            marked = plot.locator(".pointer circle").evaluate_all(
                "all => all.map((c) => [c.cx.baseVal.value, c.cy.baseVal.value])"
            )
            lines = " ".join(plot.locator("path.line").evaluate_all("all => all.map((line) => line.getAttribute('d'))"))
            corners = {tuple(map(float, pair.split(","))) for pair in re.findall(r"[\d.]+,[\d.]+", lines)}
            for x, y in marked:
                assert any(abs(x - px) < 0.06 and abs(y - py) < 0.06 for px, py in corners), (x, y)


def test_numbers_are_read_by_the_keyboard_alone(opened: Open) -> None:
    page = opened("demo")
    plot = page.locator("#curves .plot").first
    page.locator("#curves .legend button").last.focus()
    page.keyboard.press("Tab")
    assert plot.evaluate("plot => plot === document.activeElement")
    assert plot.evaluate("plot => getComputedStyle(plot).outlineStyle") != "none", "one sees where one is"
    assert read_out(plot)[0] == "steps ahead, t: 1"
    spoken = page.get_by_role("status")
    assert spoken.inner_text().startswith("steps ahead, t: 1; ")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    where, values = read_out(plot)
    assert where == "steps ahead, t: 3"
    assert spoken.inner_text() == "; ".join([where, *(f"{name} {value}" for name, value in values.items())])
    names = list(values)
    assert chosen(plot) == names[0]
    page.keyboard.press("ArrowDown")
    assert chosen(plot) == names[1]
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert chosen(plot) == names[0]
    page.keyboard.press("End")
    last = max(data_of(page, 0)["series"][0]["x"])
    assert read_out(plot)[0] == f"steps ahead, t: {last}"
    page.keyboard.press("ArrowRight")
    assert read_out(plot)[0] == f"steps ahead, t: {last}"
    page.keyboard.press("Home")
    assert read_out(plot)[0] == "steps ahead, t: 1"
    page.keyboard.press("Escape")
    assert read_out(plot) == ("", {})
    page.keyboard.press("ArrowRight")
    assert read_out(plot)[0] == "steps ahead, t: 2"
    page.keyboard.press("Tab")
    assert read_out(plot) == ("", {}), "it goes with who read it"


def test_a_line_is_hidden_and_shown_by_its_name(opened: Open, pictures: Path) -> None:
    page = opened("demo")
    group = page.locator("#curves .group")
    name = group.get_by_role("button", name="persistence")
    key = group.locator("li", has_text="persistence").get_attribute("data-key")
    lines = group.locator(f".series[data-key='{key}']")
    assert lines.count() > 2, "in several charts"
    plot = group.locator(".plot").first
    page.keyboard.press("Tab")
    name.focus()
    page.keyboard.press("Enter")
    assert name.get_attribute("aria-pressed") == "false"
    for _ in range(2):  # focused, then under the mouse as well
        assert "line-through" in name.evaluate("one => getComputedStyle(one).textDecorationLine")
        name.hover()
    assert not any(line.is_visible() for line in lines.all())
    point(plot, 0.5, 0.5)
    assert "persistence" not in read_out(plot)[1]
    page.screenshot(path=pictures / "report-hidden.png")
    name.click()
    assert name.get_attribute("aria-pressed") == "true"
    assert all(line.is_visible() for line in lines.all())
    point(plot, 0.5, 0.5)
    assert "persistence" in read_out(plot)[1]
    for button in group.locator(".legend button").all():
        button.click()
    point(plot, 0.5, 0.5)
    assert read_out(plot) == ("", {}), "nothing is left to point at"
    plot.focus()
    page.keyboard.press("ArrowRight")


def test_a_life_s_chart_is_read_too(opened: Open) -> None:
    page = opened("living")
    plot = page.locator("#returns .plot")
    plot.focus()
    where, values = read_out(plot)
    assert where == "real steps lived before: 0"
    assert list(values) == ["an episode"], "the mean of five begins at the fifth"
    page.keyboard.press("End")
    assert set(read_out(plot)[1]) == {"an episode", "mean of 5 episodes, up to that one"}
    page.get_by_role("button", name="an episode").click()
    plot.focus()
    assert list(read_out(plot)[1]) == ["mean of 5 episodes, up to that one"]
    assert read_out(plot)[0] == "real steps lived before: 100"


def test_means_are_read_with_the_episodes_behind_them(opened: Open) -> None:
    page = opened("control")
    plot = page.locator("#returns .plot")
    rows = {row["label"]: row for row in data_of(page, 0)["rows"]}
    plot.focus()
    for name in rows:
        where, values = read_out(plot)
        assert where == name
        assert values["6 episodes"].split(", ") == [f"{value:g}".replace("-", "−") for value in rows[name]["values"]]
        page.keyboard.press("ArrowDown")
    assert list(rows) == ["random", "right", "left"]
    box = plot.bounding_box()
    assert box
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    assert read_out(plot)[0] == "random"


def test_a_matrix_is_read_cell_by_cell(opened: Open) -> None:
    page = opened("study")
    plot = page.locator(".chart:has(image) .plot").first
    plot.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    data = next(data for data in parse(page.content()).numbers if data["kind"] == "heatmap")
    assert read_out(plot) == (f"{data['labels'][2]} and {data['labels'][1]}", {"": "1.00"})
    page.keyboard.press("ArrowUp")
    assert read_out(plot)[1] == {"": "–"}, "which is blank"


def rows_of(table: Locator) -> list[Sequence[str]]:
    """Its rows of texts, once it is there."""
    table.wait_for()
    return [
        [" ".join(cell.split()) for cell in row.locator("th, td").all_inner_texts()]
        for row in table.locator("tr").all()
    ]


def test_all_numbers_of_a_chart_are_a_table(opened: Open) -> None:
    page = opened("control")
    chart = page.locator("#curves .chart")
    chart.get_by_text("Numbers").click()
    heads, *rows = rows_of(chart.locator("table"))
    data = data_of(page, 1)
    assert heads == ["steps", *(line["label"] for line in data["series"])]
    assert len(rows) == len(data["series"][0]["x"])
    assert rows[-1][0] == f"{data['series'][0]['x'][-1]:g}"
    assert [float(cell.split(" ")[0].replace("−", "-")) for cell in rows[-1][1:]] == pytest.approx(
        [line["y"][-1] for line in data["series"]], abs=0.01
    )
    spreads = page.locator("#returns .chart")
    spreads.get_by_text("Numbers").click()
    assert [row[0] for row in rows_of(spreads.locator("table"))[1:]] == ["random", "right", "left"]


def test_a_finger_reads_a_chart_on_a_phone(opened: Open, pictures: Path) -> None:
    page = opened("demo", **PHONE)
    plot = page.locator("#curves .plot").first
    plot.tap()
    where, values = read_out(plot)
    assert where.startswith("steps ahead, t: ")
    assert len(values) > 3
    chart, box = plot.bounding_box(), plot.locator(".readout").bounding_box()
    assert chart
    assert box
    assert box["y"] >= chart["y"] + chart["height"] - 1, "the finger and the read-out cover nothing of it"
    assert box["width"] <= 390
    page.screenshot(path=pictures / "report-phone-read-out.png")
    page.locator("#curves h2").tap()
    assert read_out(plot) == ("", {})


def test_a_frame_is_enlarged_and_its_strip_gone_through(opened: Open, pictures: Path) -> None:
    page = opened("demo")
    strip = page.locator(".film").first
    frames = strip.get_by_role("button")
    assert strip.locator("button:not([tabindex='-1'])").count() == 1, "one stop of the keyboard a strip"
    strip.locator("tbody tr").first.get_by_role("button").nth(1).click()
    dialog = page.get_by_role("dialog", name="Frame, enlarged")
    image = dialog.get_by_role("img")
    assert image.get_attribute("alt") == "encoder_bound, t = 5"
    box = image.bounding_box()
    assert box
    assert box["width"] > 400
    assert "from step" in dialog.inner_text()
    page.screenshot(path=pictures / "report-frame.png")
    page.keyboard.press("ArrowUp")
    assert image.get_attribute("alt") == "truth, t = 5", "the same step, one row up"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert image.get_attribute("alt") == "start frame"
    assert image.get_attribute("src") == frames.first.locator("img").get_attribute("src")
    dialog.get_by_role("button", name="Frame after").click()
    assert image.get_attribute("alt") == "truth, t = 1"
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    frames.first.focus()
    page.keyboard.press("Enter")
    assert dialog.is_visible()
    dialog.get_by_role("button", name="Close").click()
    assert frames.first.evaluate("button => button === document.activeElement"), "back where one came from"
    page.locator("#neighbours article").first.get_by_role("button").nth(1).click()
    assert image.get_attribute("alt") == "truth, one step on"


@pytest.mark.parametrize("kind", ["hostile", "hostile study"])
def test_hostile_names_are_text_wherever_they_are_read(opened: Open, kind: str, pictures: Path) -> None:
    page = opened(kind)
    title = page.title()
    images = page.locator("img").count()
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    page.wait_for_timeout(200)
    for plot in page.locator(".plot").all():
        plot.focus()
        page.keyboard.press("ArrowRight")
        assert read_out(plot)[0]
    if kind == "hostile study":
        plot = page.locator(".chart:has(image) .plot").first
        plot.focus()
        assert HOSTILE in read_out(plot)[0]
        assert HOSTILE in page.get_by_role("status").inner_text()
        assert HOSTILE in page.locator(".chart:has(image) .all th").nth(1).inner_text()
        page.locator(".legend button", has_text="at random").click()
    page.locator(".film .frame").first.click()
    assert HOSTILE in page.locator("dialog p").inner_text()
    page.screenshot(path=pictures / f"report-{kind.replace(' ', '-')}.png")
    assert page.title() == title
    assert HOSTILE in title
    assert page.locator("img").count() == images, "but for the dialog's nothing was made an image"
    assert page.locator("[onerror], [onload]").count() == 0
