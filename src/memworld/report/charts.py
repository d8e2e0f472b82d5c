"""Charts and heatmaps of experiments: as SVG for the page, and as small PNGs for the documentation."""

import io
import math
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from PIL import Image

from memworld.evaluate.experiments.result import Chart, Curve, Heatmap, Number
from memworld.report.pictures import INK, Look, draw_line, dress, log_ticks, plain_style, to_svg

MARKED = 12
"""Most points of a line that are marked each: of more, the line tells enough."""

SHORT = 18
"""Characters of a heatmap's label that are shown beside its row."""

WRITTEN = 10
"""Most rows of a heatmap whose numbers are written into it."""

_PNG_INK = "#1c2126"
_PNG_COLOURS = 256

BANDS = 8
"""Most lines of a small picture that have their intervals drawn: those of more lie over each other."""


@dataclass(frozen=True)
class ChartView:
    """A chart as the page shows it; `svg` is "" if it has no point, `cut` names what a log axis has no place for."""

    title: str
    svg: str
    cut: tuple[str, ...]


@dataclass(frozen=True)
class ChartGroup:
    """Charts that share their labels, and so their legend."""

    labels: tuple[str, ...]
    charts: tuple[ChartView, ...]


@dataclass(frozen=True)
class Spread:
    """A mean with its interval, and the values that it is of."""

    label: str
    mean: Number
    values: tuple[float, ...]


def chart_groups(charts: Sequence[Chart], looks: Mapping[str, Look], prefix: str) -> tuple[ChartGroup, ...]:
    """Charts as a page shows them, those of the same labels together; `prefix` and a number begin the SVGs' ids."""
    groups: dict[tuple[str, ...], list[ChartView]] = {}
    for i, chart in enumerate(charts):
        view = ChartView(chart.title, chart_svg(chart, looks, f"{prefix}-{i}"), shown(chart)[1])
        groups.setdefault(tuple(dict.fromkeys(curve.label for curve in chart.curves)), []).append(view)
    return tuple(ChartGroup(labels, tuple(views)) for labels, views in groups.items())


def shown(chart: Chart) -> tuple[Chart, tuple[str, ...]]:
    """What of a chart has a place on its axes, and the labels of the curves that lose points by that.

    A log axis has no place for 0 and less, and nothing has one for NaN; NaN is a gap in the line and
    is not reported, as the table beside says it.
    """
    kept, cut = [], []
    for curve in chart.curves:
        x, y = np.array(curve.x, float), np.array(curve.y, float)
        off = (chart.log_x & (x <= 0)) | (chart.log_y & (y <= 0))
        if off.any():
            cut.append(curve.label)
        stays = np.isfinite(x) & ~(chart.log_x & (x <= 0))
        if not (np.isfinite(y) & stays & ~off).any():
            continue
        y = np.where(off | ~np.isfinite(y), np.nan, y)
        sides = (tuple(np.array(side, float)[stays]) if side else () for side in (curve.low, curve.high))
        kept.append(Curve(curve.label, tuple(x[stays]), tuple(y[stays]), *sides))
    return replace(chart, curves=tuple(kept)), tuple(dict.fromkeys(cut))


def chart_svg(chart: Chart, looks: Mapping[str, Look], prefix: str) -> str:
    """A chart without its title and legend, which the page writes; "" if it has no point to show.

    Args:
        chart: what to draw.
        looks: of its labels.
        prefix: of the SVG's ids; no two of a page may be the same.
    """
    chart, _ = shown(chart)
    if not chart.curves:
        return ""
    with _quiet(), plain_style():
        figure = Figure(figsize=(4.6, 2.9), layout="constrained")
        _draw(figure.add_subplot(), chart, looks, INK)
        return to_svg(figure, prefix)


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
    with _quiet(), plain_style():
        figure = Figure(figsize=(8.0, 4.4 + 0.2 * rows), layout="constrained", dpi=dpi)
        axes = figure.add_subplot()
        _draw(axes, chart, looks, _PNG_INK)
        figure.suptitle(
            _wrapped(title or chart.title, 78), x=0.01, ha="left", fontsize=11, fontweight="bold", color=_PNG_INK
        )
        keys = [_key(label, looks[label], marked=_is_marked(chart, label)) for label in labels]
        figure.legend(
            handles=keys, loc="outside lower center", ncols=columns, frameon=False, fontsize=9, labelcolor=_PNG_INK
        )
        if cut:
            note = f"No place on a log axis, at 0 or below: {', '.join(cut)}."
            figure.supxlabel(textwrap.fill(note, 110), fontsize=8, color=_PNG_INK)
        content = io.BytesIO()
        figure.savefig(content, format="png", metadata={"Software": None})
    small = Image.open(content).convert("RGB").quantize(_PNG_COLOURS, dither=Image.Dither.NONE)
    content = io.BytesIO()
    small.save(content, "PNG", optimize=True)
    return content.getvalue()


def spreads_svg(spreads: Sequence[Spread], looks: Mapping[str, Look], x_label: str, prefix: str) -> str:
    """Means with their intervals, one below the other, and the values behind them; "" if there are none.

    Args:
        spreads: what to draw, from the top.
        looks: of their labels.
        x_label: what the values are.
        prefix: of the SVG's ids; no two of a page may be the same.
    """
    if not spreads:
        return ""
    with _quiet(), plain_style():
        figure = Figure(figsize=(6.4, 0.8 + 0.36 * len(spreads)), layout="constrained")
        axes = figure.add_subplot()
        for place, spread in enumerate(spreads):
            colour = INK if looks[spread.label].colour == "currentColor" else looks[spread.label].colour
            axes.plot(spread.values, [place + 0.22] * len(spread.values), "|", color=colour, alpha=0.5, markersize=5)
            if math.isfinite(spread.mean.low):
                axes.hlines(place, spread.mean.low, spread.mean.high, color=colour, linewidth=1.6)
            axes.plot([spread.mean.value], [place], "o", color=colour, markersize=5)
        axes.set_yticks(range(len(spreads)), [spread.label for spread in spreads])
        axes.set_ylim(len(spreads) - 0.4, -0.6)
        axes.set_xlabel(x_label, color=INK)
        dress(axes)
        return to_svg(figure, prefix)


def heatmap_svg(heatmap: Heatmap, prefix: str) -> str:
    """A matrix as a picture with a colour bar; NaN is blank; "" if it has no rows."""
    count = len(heatmap.labels)
    if count == 0:
        return ""
    values = np.asarray(heatmap.values, np.float64)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    labels = [short(label) for label in heatmap.labels]
    # Of many rows only every second or third is named, so that names do not cover each other.
    ticks = range(0, count, math.ceil(count / 30))
    with _quiet(), plain_style():
        figure = Figure(figsize=(6.4, 5.4), layout="constrained")
        axes = figure.add_subplot()
        # "none" stores one pixel a cell; the rest is left to the page.
        picture = axes.imshow(
            np.where(np.isfinite(values), values, np.nan), "viridis", vmin=low, vmax=high, interpolation="none"
        )
        axes.set_xticks(ticks, [labels[i] for i in ticks], rotation=90)
        axes.set_yticks(ticks, [labels[i] for i in ticks])
        axes.tick_params(color=INK, labelcolor=INK, length=0, labelsize=7)
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(picture, ax=axes, shrink=0.8)
        bar.set_label(_wrapped(heatmap.unit, 60), color=INK)
        bar.outline.set_visible(False)
        bar.ax.tick_params(color=INK, labelcolor=INK, width=0.6)
        if count <= WRITTEN:
            _write_numbers(axes, values, low, high)
        return to_svg(figure, prefix)


def short(label: str) -> str:
    """A label of at most `SHORT` characters: the middle gives way, as names differ at their ends."""
    return label if len(label) <= SHORT else f"{label[: SHORT // 2 - 1]}…{label[-SHORT // 2 :]}"


def _draw(axes: Axes, chart: Chart, looks: Mapping[str, Look], ink: str) -> None:
    """Draw a chart of which `shown` has left only what has a place."""
    points = np.array([y for curve in chart.curves for y in curve.y if math.isfinite(y)])
    ends = np.array([end for curve in chart.curves for end in (*curve.low, *curve.high) if math.isfinite(end)])
    positive = np.concatenate([points, ends[ends > 0]]) if chart.log_y else points
    floor = float(positive.min()) / 1.2
    for curve in chart.curves:
        # On a log axis a band that reaches 0 reaches the axis' foot.
        low = np.maximum(curve.low, floor) if chart.log_y and curve.low else np.array(curve.low)
        high = np.maximum(curve.high, floor) if chart.log_y and curve.high else np.array(curve.high)
        marked = _is_marked(chart, curve.label)
        draw_line(axes, curve.x, curve.y, low.tolist(), high.tolist(), looks[curve.label], ink=ink, marked=marked)
        if len(curve.x) == 1 and curve.low:
            # A band over one place has no width.
            colour = ink if looks[curve.label].colour == "currentColor" else looks[curve.label].colour
            axes.vlines(curve.x, low.tolist(), high.tolist(), color=colour, linewidth=1, alpha=0.6)
    axes.set_xlabel(_wrapped(chart.x_label, 70), color=ink)
    axes.set_title(_wrapped(chart.y_label, 70), loc="left", fontsize="medium", color=ink)
    places = np.array([x for curve in chart.curves for x in curve.x])
    _scale(axes.xaxis, chart.log_x, places)
    _scale(axes.yaxis, chart.log_y, positive)
    if chart.log_y:
        axes.set_ylim(bottom=floor)
    elif points.min() >= 0 and points.min() < 0.6 * points.max():
        axes.set_ylim(bottom=0)
    dress(axes, ink)


def _scale(axis: Axis, log: bool, values: np.ndarray) -> None:
    """A log axis with few ticks over many powers of ten, or a linear one with whole ticks for whole numbers."""
    if log:
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})  # type: ignore[attr-defined]
        reach = values.max() / values.min()
        log_ticks(axis, (1, 1.5, 2, 3, 4, 5, 7) if reach < 6 else (1, 2, 5) if reach < 300 else (1,))
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
        color=_PNG_INK if look.colour == "currentColor" else look.colour,
        linestyle=(0, look.dashes) if look.dashes else "solid",
        linewidth=1.3,
        marker="o" if marked else "",
        markersize=3,
        # matplotlib leaves out an entry whose label starts with an underscore.
        label=f"\u200b{label}" if label.startswith("_") else label,
    )


def _write_numbers(axes: Axes, values: np.ndarray, low: float, high: float) -> None:
    """Write each cell's number into it, dark on light and light on dark."""
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            red, green, blue, _ = colormaps["viridis"]((value - low) / (high - low) if high > low else 0.0)
            light = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
            axes.text(column, row, f"{value:.3g}", ha="center", va="center", color="#000" if light else "#fff")


def _wrapped(text: str, width: int) -> str:
    """A label in lines of at most `width` characters, four lines at most."""
    return textwrap.fill(text, width, max_lines=4, placeholder=" …")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without matplotlib's complaints about characters that its own font lacks: the page's font has the last word."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield
