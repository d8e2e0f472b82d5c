"""Charts as small pictures, for what is no page: the documentation, a memory's card."""

import io
import math
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter
from PIL import Image

from memworld.evaluate.experiments.result import Chart, Curve
from memworld.report.charts import shown
from memworld.report.drawing import MARKED
from memworld.report.looks import COLOURS, Look

BANDS = 8
"""Most lines that have their intervals drawn: those of more lie over each other."""

_INK = COLOURS["text"][0]
_COLOURS = 256


def chart_png(chart: Chart, looks: Mapping[str, Look], *, title: str = "", dpi: int = 80) -> bytes:
    """A chart with its title and its legend below, on white, as a small PNG; b"" if it has no point to show.

    Of more than `BANDS` lines no intervals are drawn.
    """
    chart, cut = shown(chart)
    if not chart.curves:
        return b""
    labels = list(dict.fromkeys(curve.label for curve in chart.curves))
    if len(labels) > BANDS:
        chart = replace(chart, curves=tuple(replace(curve, low=(), high=()) for curve in chart.curves))
    columns = min(3 if max(map(len, labels)) < 30 else 2, len(labels))
    rows = math.ceil(len(labels) / columns)
    with _plain_style():
        figure = Figure(figsize=(8.0, 4.4 + 0.2 * rows), layout="constrained", dpi=dpi)
        _draw(figure.add_subplot(), chart, looks)
        figure.suptitle(
            _wrapped(title or chart.title, 78), x=0.01, ha="left", fontsize=11, fontweight="bold", color=_INK
        )
        keys = [_key(label, looks[label], marked=_is_marked(chart, label)) for label in labels]
        figure.legend(
            handles=keys, loc="outside lower center", ncols=columns, frameon=False, fontsize=9, labelcolor=_INK
        )
        if cut:
            note = f"No place on a log axis, at 0 or below: {', '.join(cut)}."
            figure.supxlabel(textwrap.fill(note, 110), fontsize=8, color=_INK)
        content = io.BytesIO()
        figure.savefig(content, format="png", metadata={"Software": None})
    small = Image.open(content).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    content = io.BytesIO()
    small.save(content, "PNG", optimize=True)
    return content.getvalue()


def _draw(axes: Axes, chart: Chart, looks: Mapping[str, Look]) -> None:
    """Draw a chart of which `shown` has left only what has a place."""
    points = np.array([y for curve in chart.curves for y in curve.y if math.isfinite(y)])
    ends = np.array([end for curve in chart.curves for end in (*curve.low, *curve.high) if math.isfinite(end)])
    positive = np.concatenate([points, ends[ends > 0]]) if chart.log_y else points
    floor = float(positive.min()) / 1.2
    for curve in chart.curves:
        _draw_line(axes, curve, looks[curve.label], floor if chart.log_y else -math.inf, _is_marked(chart, curve.label))
    axes.set_xlabel(_wrapped(chart.x_label, 70), color=_INK)
    axes.set_title(_wrapped(chart.y_label, 70), loc="left", fontsize="medium", color=_INK)
    places = np.array([x for curve in chart.curves for x in curve.x])
    _scale(axes.xaxis, chart.log_x, places)
    _scale(axes.yaxis, chart.log_y, positive)
    if chart.log_y:
        axes.set_ylim(bottom=floor)
    elif points.min() >= 0 and points.min() < 0.6 * points.max():
        axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_INK)
    axes.tick_params(which="both", color=_INK, labelcolor=_INK, width=0.6)
    axes.grid(color=_INK, alpha=0.12, linewidth=0.6)


def _draw_line(axes: Axes, curve: Curve, look: Look, floor: float, marked: bool) -> None:
    """Draw a line and its band, which is cut at `floor`; a line of one point is marked in any case."""
    low, high = (np.maximum(side, floor) for side in (curve.low, curve.high))
    if len(low):
        axes.fill_between(curve.x, low, high, color=look.on_white, alpha=0.13, linewidth=0)
        if len(low) == 1:
            # A band over one place has no width.
            axes.vlines(curve.x, low, high, color=look.on_white, linewidth=1, alpha=0.6)
    axes.plot(
        curve.x,
        curve.y,
        color=look.on_white,
        linewidth=1.3,
        linestyle=(0, look.dashes) if look.dashes else "solid",
        marker="o" if marked or len(curve.x) == 1 else "",
        markersize=3,
    )


def _scale(axis: Axis, log: bool, values: np.ndarray) -> None:
    """A log axis with few ticks over many powers of ten, or a linear one with whole ticks for whole numbers."""
    if log:
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})  # type: ignore[attr-defined]
        reach = values.max() / values.min()
        subs: Sequence[float] = (1, 1.5, 2, 3, 4, 5, 7) if reach < 6 else (1, 2, 5) if reach < 300 else (1,)
        axis.set_major_locator(LogLocator(subs=subs))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_locator(NullLocator())
    else:
        whole = bool((values == np.round(values)).all()) and np.ptp(values) >= 2
        axis.set_major_locator(MaxNLocator(integer=whole, steps=[1, 2, 5, 10], nbins=7))


def _is_marked(chart: Chart, label: str) -> bool:
    """Whether a label's line is of so few points that each is marked."""
    return any(c.label == label and np.isfinite(c.y).sum() <= MARKED for c in chart.curves)


def _key(label: str, look: Look, marked: bool) -> Line2D:
    """A legend's entry."""
    return Line2D(
        [],
        [],
        color=look.on_white,
        linestyle=(0, look.dashes) if look.dashes else "solid",
        linewidth=1.3,
        marker="o" if marked else "",
        markersize=3,
        # matplotlib leaves out an entry whose label starts with an underscore.
        label=f"\u200b{label}" if label.startswith("_") else label,
    )


def _wrapped(text: str, width: int) -> str:
    """A label in lines of at most `width` characters, four lines at most."""
    return textwrap.fill(text, width, max_lines=4, placeholder=" …")


@contextmanager
def _plain_style() -> Iterator[None]:
    """Drawing that depends on this package alone: "default" puts aside the user's own matplotlibrc.

    Without matplotlib's complaints about characters that its own font lacks.
    """
    with warnings.catch_warnings(), style.context(["default", {"font.size": 8.0, "text.parse_math": False}]):
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield
