import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from memworld.evaluate.experiments.result import Chart, Curve, Heatmap, Number
from memworld.report.chart_pngs import chart_png
from memworld.report.charts import ChartView, Spread, chart_groups, chart_view, heatmap_view, shown, spreads_view
from memworld.report.drawing import short
from memworld.report.looks import COLOURS, looks_of
from tests.report.parsed import Page, image, parse

NAN = math.nan


def texts(view: ChartView) -> list[str]:
    """The texts within a drawing, as a reader of the page sees them."""
    return [found.strip() for found in re.findall(r">([^<]+)</text>", view.svg)]


def view_of(chart: Chart) -> ChartView:
    labels = list(dict.fromkeys(curve.label for curve in chart.curves))
    return chart_view(chart, labels, looks_of(labels), "pong")


def series(page: Page) -> list[list[dict[str, str]]]:
    """The attributes of each line's parts."""
    parts: list[list[dict[str, str]]] = []
    for tag, attributes in page.tags:
        if attributes.get("class") == "series":
            parts.append([])
        if parts and tag == "path":
            parts[-1].append(attributes)
    return parts


def test_a_label_keeps_its_look_over_the_page() -> None:
    labels = ["persistence", "rollout requery", "rollout hard", "rollout follow", "5 episodes, for coverage", "rssm"]
    looks = looks_of([*labels, "rollout requery"])
    assert looks["persistence"].colour == "text"
    assert len({looks[label].colour for label in labels}) == 4
    assert len({looks[label] for label in labels}) == len(labels), "told apart, by colour or by dashes"
    assert looks["rollout requery"].dashes == ()
    budgets = looks_of(["latent_gru", "latent_gru, 27 s", "latent_gru, 3.1 s", "5 episodes, for coverage"])
    assert len({look.colour for look in budgets.values()}) == 2
    assert len(set(budgets.values())) == 4
    many = looks_of(f"name {i}" for i in range(32))
    assert len(set(many.values())) == 32
    assert looks_of([*labels, "later"]) == looks | {"later": looks_of([*labels, "later"])["later"]}


@pytest.mark.parametrize("name", COLOURS)
def test_a_line_is_seen_on_white_and_on_near_black(name: str) -> None:
    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for colour, ground in zip(COLOURS[name], ("#ffffff", "#14171a"), strict=True):
        sides = sorted((luminance(colour), luminance(ground)))
        assert (sides[1] + 0.05) / (sides[0] + 0.05) >= 3


def test_a_chart_shows_what_has_a_place_and_names_what_has_none() -> None:
    chart = Chart(
        "t",
        "seconds",
        "error",
        (
            Curve("search", (0.0, 1.0, 10.0), (0.5, NAN, 0.1), (0.4, NAN, -0.1), (0.6, NAN, 0.2)),
            Curve("one", (5.0,), (0.2,), (0.1,), (0.3,)),
            Curve("zero", (1.0, 10.0), (0.0, 0.0)),
            Curve("nothing", (1.0,), (NAN,)),
            Curve("empty", (), ()),
        ),
        log_x=True,
        log_y=True,
    )
    visible, cut = shown(chart)
    assert cut == ("search", "zero")
    assert [curve.label for curve in visible.curves] == ["search", "one"]
    assert visible.curves[0].x == (1.0, 10.0)
    linear, cut = shown(replace(chart, log_x=False, log_y=False))
    assert cut == ()
    assert [curve.label for curve in linear.curves] == ["search", "one", "zero"]
    view = view_of(chart)
    assert (view.across, view.up, view.cut) == ("seconds", "error", ("search", "zero"))
    assert {"5", "10"} <= set(texts(view))
    assert [line["key"] for line in view.data["series"]] == [0, 1]
    assert [[part["class"] for part in parts] for parts in series(parse(view.svg))] == [
        ["whisker", "line", "dots"], ["whisker", "line", "dots"],
    ]  # fmt: skip
    assert "nan" not in view.svg.lower()
    assert view.data["series"][0]["y"] == [None, 0.1]
    empty = view_of(replace(chart, curves=chart.curves[3:]))
    assert (empty.svg, empty.data) == ("", {})
    assert chart_png(replace(chart, curves=()), looks_of([])) == b""


def places(path: str) -> np.ndarray:
    """(N, 2) the corners of a path."""
    return np.array([pair.split(",") for pair in re.findall(r"[\d.]+,[\d.]+", path)], float)


def on_axis(axis: dict[str, Any], values: list[float]) -> np.ndarray:
    """Where a page's script finds values, written down once more."""
    (low, high), (start, end) = axis["ends"], axis["places"]
    scaled = np.log([low, high, *values]) if axis["log"] else np.array([low, high, *values])
    return np.asarray(start + (scaled[2:] - scaled[0]) / (scaled[1] - scaled[0]) * (end - start))


@pytest.mark.parametrize(("log_x", "log_y"), [(False, False), (True, True)])
def test_the_drawing_and_its_numbers_agree(log_x: bool, log_y: bool) -> None:
    x, y = (1.0, 4.0, 9.0, 400.0), (0.3, 7.0, 2.0, 50.0)
    curves = (
        Curve("a", x, y, tuple(v / 2 for v in y), tuple(2 * v for v in y)),
        Curve("b", x, (0.1, NAN, NAN, 3.0)),
    )
    view = view_of(Chart("t", "x", "y", curves, log_x=log_x, log_y=log_y))
    data = view.data
    first, second = series(parse(view.svg))
    parts = {part["class"]: part["d"] for part in first}
    expected = np.stack([on_axis(data["x"], list(x)), on_axis(data["y"], list(y))], 1)
    np.testing.assert_allclose(places(parts["line"]), expected, atol=0.051)
    np.testing.assert_allclose(places(parts["dots"]), expected, atol=0.051)
    low = on_axis(data["y"], data["series"][0]["low"])
    np.testing.assert_allclose(places(parts["band"])[:4, 1], low, atol=0.051)
    assert data["series"][1]["y"] == [0.1, None, None, 3]
    assert "x" not in data["series"][1]
    assert next(part["d"] for part in second if part["class"] == "line").count("M") == 2, "a gap is a gap"
    corners = np.concatenate([places(part["d"]) for part in (*first, *second)])
    assert (corners >= 0).all()
    assert (corners <= (420, 240)).all()


def test_what_reaches_beyond_an_axis_ends_at_it() -> None:
    curves = (Curve("a", (1.0, 2.0), (0.1, 1.0), (-5.0, 0.0), (0.2, 1.5)),)
    view = view_of(Chart("t", "x", "y", curves))
    assert view.data["y"]["ends"][0] == 0, "errors begin at 0"
    band = next(part["d"] for part in series(parse(view.svg))[0] if part["class"] == "band")
    assert places(band)[:, 1].max() == view.data["y"]["places"][0]


def test_names_are_text_and_no_mathematics() -> None:
    curve = Curve("</svg><b>", (1.0, 2.0), (1.0, 2.0))
    view = view_of(Chart("$x$ < 3", "</script>", "_y_ & 世界", (curve,)))
    assert 'aria-label="$x$ &lt; 3, pong; the tables give the numbers"' in view.svg
    assert parse(view.svg).drawings == ["$x$ < 3, pong; the tables give the numbers"]
    assert view.data["series"][0]["label"] == "</svg><b>", "the page escapes it"


def test_charts_of_the_same_labels_share_a_legend() -> None:
    curves = tuple(Curve(label, (1.0, 2.0), (1.0, 2.0)) for label in ("a", "b", "a"))
    charts = (Chart("one", "x", "y", curves), Chart("two", "x", "y", curves[1:]), Chart("three", "x", "y", curves[:2]))
    groups = chart_groups(charts, looks_of(["a", "b"]), "pong")
    assert [(group.labels, [view.title for view in group.charts]) for group in groups] == [
        (("a", "b"), ["one", "three"]), (("b", "a"), ["two"]),
    ]  # fmt: skip
    assert [line["key"] for line in groups[0].charts[0].data["series"]] == [0, 1, 0]
    assert [line["key"] for line in groups[1].charts[0].data["series"]] == [0, 1]


def test_spreads_name_their_rows_and_show_the_values_behind_a_mean() -> None:
    spreads = [
        Spread("mppi <b>", Number(2.0, 1.0, 3.0), (1.0, 3.0)),
        Spread("one", Number(5.0), (5.0,)),
        Spread("none", Number(NAN), ()),
    ]
    view = spreads_view("Return", "return", spreads, looks_of(s.label for s in spreads))
    assert texts(view)[-2:] == ["mppi &lt;b&gt;", "one"]
    assert [(row["label"], row["mean"], row["values"]) for row in view.data["rows"]] == [
        ("mppi <b>", [2, 1, 3], [1, 3]), ("one", [5, None, None], [5]),
    ]  # fmt: skip
    first, second = ({part["class"]: part["d"] for part in parts} for parts in series(parse(view.svg)))
    (x, y), mean = places(first["mean"])[0], on_axis(view.data["x"], [2.0])[0]
    assert (x, y) == (pytest.approx(mean, abs=0.051), view.data["rows"][0]["y"])
    assert first["whisker"]
    assert second["whisker"] == "", "a single value has no interval"
    assert spreads_view("Return", "return", spreads[2:], {}).svg == ""
    level = spreads_view("t", "x", [Spread("a", Number(0.0), (0.0, 0.0))], looks_of("a"))
    assert "nan" not in level.svg


def test_a_heatmap_names_its_rows_and_leaves_nan_blank() -> None:
    values = np.array([[0.0, 0.25], [np.nan, 1.0]])
    view = heatmap_view(Heatmap("t", ("first", "an-episode-with-a-long-name-0007"), values, "latents"), "pong")
    assert texts(view).count("first") == 2, "beside its row and below its column"
    assert texts(view).count(short("an-episode-with-a-long-name-0007")) == 2
    assert short("an-episode-with-a-long-name-0007") == "an-episo…name-0007"
    assert view.names == ("first", "an-episode-with-a-long-name-0007")
    assert "0.25" in texts(view)
    assert view.up == "latents"
    assert view.data["values"] == [[0, 0.25], [None, 1]]
    assert "nan" not in view.svg
    cells = image(parse(view.svg).all("image")[0])
    assert (cells[..., 3] == 0).tolist() == [[False, False], [True, False]]
    assert heatmap_view(Heatmap("t", (), np.zeros((0, 0)), "u"), "pong").svg == ""
    assert "<svg" in heatmap_view(Heatmap("t", ("a",), np.full((1, 1), np.nan), "u"), "pong").svg
    many = heatmap_view(Heatmap("t", tuple(f"e{i}" for i in range(90)), np.eye(90), "u"), "pong")
    assert len(texts(many)) < 2 * 90, "so many names would cover each other"
