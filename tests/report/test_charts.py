import math
import re
from dataclasses import replace

import numpy as np

from memworld.evaluate.experiments.result import Chart, Curve, Heatmap
from memworld.report.charts import chart_png, chart_svg, heatmap_svg, short, shown
from memworld.report.pictures import looks_of
from tests.report.test_report import image


def svg_texts(svg: str) -> list[str]:
    """The texts within an SVG element, as a reader of the page sees them."""
    return [found.strip() for found in re.findall(r">([^<]+)</text>", svg)]


def test_a_label_keeps_its_look_over_the_page() -> None:
    labels = ["persistence", "rollout requery", "rollout hard", "rollout follow", "5 episodes, for coverage", "rssm"]
    looks = looks_of([*labels, "rollout requery"])
    assert looks["persistence"].colour == "currentColor"
    assert len({looks[label].colour for label in labels}) == 4
    assert len({looks[label] for label in labels}) == len(labels), "told apart, by colour or by dashes"
    assert looks["rollout requery"].dashes == ()
    budgets = looks_of(["latent_gru", "latent_gru, 27 s", "latent_gru, 3.1 s", "5 episodes, for coverage"])
    assert len({look.colour for look in budgets.values()}) == 2
    assert len(set(budgets.values())) == 4
    many = looks_of(f"name {i}" for i in range(32))
    assert len(set(many.values())) == 32
    assert looks_of([*labels, "later"]) == looks | {"later": looks_of([*labels, "later"])["later"]}


def test_a_chart_shows_what_has_a_place_and_names_what_has_none() -> None:
    nan = math.nan
    chart = Chart(
        "t",
        "seconds",
        "error",
        (
            Curve("search", (0.0, 1.0, 10.0), (0.5, nan, 0.1), (0.4, nan, -0.1), (0.6, nan, 0.2)),
            Curve("one", (5.0,), (0.2,), (0.1,), (0.3,)),
            Curve("zero", (1.0, 10.0), (0.0, 0.0)),
            Curve("nothing", (1.0,), (nan,)),
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
    looks = looks_of(curve.label for curve in chart.curves)
    svg = chart_svg(chart, looks, "a")
    assert {"seconds", "error", "5", "10"} <= set(svg_texts(svg))
    assert all(re.search(f"<use[^>]*{looks[name].colour}", svg) for name in ("search", "one")), "few points are marked"
    assert "currentColor" in svg
    assert "NaN" not in svg
    assert "nan" not in svg
    assert chart_svg(replace(chart, curves=chart.curves[3:]), looks, "a") == ""
    assert chart_png(replace(chart, curves=()), looks) == b""


def test_labels_of_axes_are_text_and_no_mathematics() -> None:
    curve = Curve("a", (1.0, 2.0), (1.0, 2.0))
    svg = chart_svg(Chart("t", "$x$ < 3", "_y_ & 世界", (curve,)), looks_of(["a"]), "a")
    assert {"$x$ &lt; 3", "_y_ &amp; 世界"} <= set(svg_texts(svg))


def test_a_heatmap_names_its_rows_and_leaves_nan_blank() -> None:
    values = np.array([[0.0, 0.25], [np.nan, 1.0]])
    svg = heatmap_svg(Heatmap("t", ("first", "an-episode-with-a-long-name-0007"), values, "latents"), "m")
    texts = svg_texts(svg)
    assert texts.count("first") == 2, "beside its row and below its column"
    assert texts.count(short("an-episode-with-a-long-name-0007")) == 2
    assert short("an-episode-with-a-long-name-0007") == "an-episo…name-0007"
    assert {"0.25", "latents"} <= set(texts)
    assert "nan" not in svg
    pixels = re.search(r'xlink:href="data:image/png;base64,\s*([^"]+)"', svg)
    assert pixels
    cells = image({"src": "data:image/png;base64," + pixels[1].replace("\n", "")})
    assert sorted((cells[..., 3] == 0).ravel().tolist()) == [False, False, False, True]
    assert heatmap_svg(Heatmap("t", (), np.zeros((0, 0)), "u"), "m") == ""
    assert "<svg" in heatmap_svg(Heatmap("t", ("a",), np.full((1, 1), np.nan), "u"), "m")
