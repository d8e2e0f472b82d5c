"""Charts as SVG: whole without a script, in the page's own colours, and wide as its column.

Names and axes' labels are the page's, not the drawing's: so they wrap, and are escaped as all text is.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from markupsafe import Markup

from memworld.evaluate.experiments.result import Chart, Heatmap, Number
from memworld.report.looks import Look
from memworld.report.pictures import data_uri
from memworld.report.scales import Scale, around, tick_words

WIDTH = 420.0
HEIGHT = 240.0
FOOT = 22.0
"""Room below an axis for its ticks, and by `RIGHT` for the half of the last one that sticks out."""

RIGHT = 14.0
ROW = 38.0
"""Height of a row of spreads: its name, and the line below it."""

MARKED = 12
"""Most points of a line that are marked each: of more, the line tells enough."""

SHORT = 18
"""Characters of a heatmap's label that are shown beside its row."""

WRITTEN = 10
"""Most rows of a heatmap whose numbers are written into it."""

_LETTER = 6.7
"""Width of a digit, in units of the drawing, whose text is at most 12.5 high."""

_SVG = Markup('<svg viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">{}</svg>')


def lines_scales(chart: Chart) -> tuple[Scale, Scale]:
    """The axes of a chart of which `charts.shown` has left only what has a place; it has a point."""
    points = np.array([y for curve in chart.curves for y in curve.y if math.isfinite(y)])
    ends = np.array([end for curve in chart.curves for end in (*curve.low, *curve.high) if math.isfinite(end)])
    # On a log axis a band that reaches 0 reaches the axis' foot.
    reached = np.concatenate([points, ends[ends > 0] if chart.log_y else ends])
    from_zero = bool(not chart.log_y and points.min() >= 0 and points.min() < 0.6 * points.max())
    up = around(reached, HEIGHT - FOOT, 8, log=chart.log_y, from_zero=from_zero)
    left = 8 + _LETTER * max(map(len, tick_words(up.ticks(), chart.log_y)))
    places = np.array([x for curve in chart.curves for x in curve.x])
    return around(places, left, WIDTH - RIGHT, log=chart.log_x), up


def draw_lines(chart: Chart, looks: Sequence[Look], keys: Sequence[int], name: str) -> Markup:
    """Lines with their bands over two axes.

    Args:
        chart: as for `lines_scales`.
        looks: of its curves.
        keys: numbers of its curves' entries in the legend.
        name: what the whole is, for those who do not see it.
    """
    across, up = lines_scales(chart)
    parts = [_grid(across, up, chart)]
    for curve, look, key in zip(chart.curves, looks, keys, strict=True):
        x, y = across.at(np.array(curve.x)), up.at(np.array(curve.y))
        marked = np.isfinite(y).sum() <= MARKED
        band = _band(x, up.at(np.array(curve.low)), up.at(np.array(curve.high))) if curve.low else ""
        dots = "".join(f"M{px:.1f},{py:.1f}h0" for px, py in zip(x, y, strict=True) if marked and math.isfinite(py))
        parts.append(
            Markup('<g class="series" data-key="{}" style="color:{}">{}<path class="line"{} d="{}"/>{}</g>').format(
                key,
                look.css,
                band,
                _dashes(look),
                _line(x, y),
                Markup('<path class="dots" d="{}"/>').format(dots) if dots else "",
            )
        )
    return _SVG.format(WIDTH, HEIGHT, name, Markup("").join(parts))


def spreads_scale(means: Sequence[Number], values: Sequence[Sequence[float]]) -> Scale:
    """The axis of spreads."""
    sides = [[mean.value, mean.low, mean.high, *of] for mean, of in zip(means, values, strict=True)]
    reached = np.array([side for row in sides for side in row])
    return around(reached[np.isfinite(reached)], 10, WIDTH - RIGHT)


def draw_spreads(
    names: Sequence[str], means: Sequence[Number], values: Sequence[Sequence[float]], looks: Sequence[Look], name: str
) -> Markup:
    """Means with their intervals, one below the other, and the values behind them.

    Args:
        names: of the rows, from the top.
        means: theirs.
        values: theirs.
        looks: theirs.
        name: what the whole is, for those who do not see it.
    """
    across, foot = spreads_scale(means, values), ROW * len(names) + 6
    ticks = across.ticks()
    lines = "".join(f"M{x:.1f},0V{foot:g}" for x in across.at(np.array(ticks)))
    parts = [Markup('<path class="grid" d="{}"/>').format(lines), _ticks_below(across, ticks, foot)]
    for row, (label, mean, of, look) in enumerate(zip(names, means, values, looks, strict=True)):
        y = spread_place(row)
        ticked = "".join(f"M{x:.1f},{y - 5:g}v10" for x in across.at(np.array(of)))
        low, value, high = across.at(np.array([mean.low, mean.value, mean.high]))
        bar = f"M{low:.1f},{y:g}H{high:.1f}" if math.isfinite(mean.low) else ""
        parts.append(
            Markup(
                '<g class="series" style="color:{}"><text class="name" x="10" y="{:g}">{}</text>'
                '<path class="values" d="{}"/><path class="whisker" d="{}"/><path class="mean" d="M{:.1f},{:g}h0"/></g>'
            ).format(look.css, y - 13, short(label, 56), ticked, bar, value, y)
        )
    return _SVG.format(WIDTH, foot + FOOT, name, Markup("").join(parts))


def spread_place(row: int) -> float:
    """How far from the top a row's mean lies."""
    return ROW * (row + 0.5) + 9


def heatmap_cells(count: int) -> tuple[float, float, float]:
    """Where the cells of a heatmap of so many rows begin, across and down, and how long a side one has."""
    left = 6.0 * (SHORT + 1)
    return left, 4.0, (WIDTH - left - 62) / count


def draw_heatmap(heatmap: Heatmap, name: str) -> Markup:
    """A matrix of at least one row as a picture with a bar of its colours; NaN is blank."""
    from matplotlib import colormaps  # it takes long to load

    count = len(heatmap.labels)
    left, top, side = heatmap_cells(count)
    values = np.asarray(heatmap.values, np.float64)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    shares = (values - low) / ((high - low) or 1.0)
    colours = (colormaps["viridis"](np.nan_to_num(shares)) * 255).round().astype(np.uint8)
    colours[~np.isfinite(values)] = 0
    wide = side * count
    bar = (colormaps["viridis"](np.linspace(1, 0, 64))[:, None, :3] * 255).round().astype(np.uint8)
    parts = [
        _image(left, top, wide, wide, colours),
        *_heatmap_names(heatmap.labels, left, top, side),
        _image(left + wide + 10, top, 10, wide, bar),
        *(
            Markup('<text x="{:.1f}" y="{:.1f}">{}</text>').format(left + wide + 24, y, f"{value:.3g}")
            for value, y in ((high, top + 10), ((low + high) / 2, top + wide / 2 + 4), (low, top + wide))
            if finite.size
        ),
    ]
    if count <= WRITTEN:
        parts += _written(values, colours, left, top, side)
    return _SVG.format(WIDTH, top + wide + left, name, Markup("").join(parts))


def short(label: str, most: int = SHORT) -> str:
    """A label of at most `most` characters: the middle gives way, as names differ at their ends."""
    return label if len(label) <= most else f"{label[: most // 2 - 1]}…{label[-most // 2 :]}"


def _heatmap_names(labels: Sequence[str], left: float, top: float, side: float) -> Iterator[Markup]:
    """Names of rows and columns; of very many only every second or third, so that none covers another."""
    size = max(7.0, min(11.0, 0.95 * side))
    for i in range(0, len(labels), math.ceil(size / side)):
        middle, words = side * (i + 0.5), short(labels[i])
        yield Markup('<text class="end" x="{:g}" y="{:.1f}" style="font-size:{:.1f}px">{}</text>').format(
            left - 4, top + middle + size / 3, size, words
        )
        x, y = left + middle + size / 3, top + side * len(labels) + 4
        yield Markup(
            '<text class="end" transform="translate({:.1f} {:.1f}) rotate(-90)" style="font-size:{:.1f}px">{}</text>'
        ).format(x, y, size, words)


def _written(values: np.ndarray, colours: np.ndarray, left: float, top: float, side: float) -> Iterator[Markup]:
    """Each cell's number, dark on light and light on dark."""
    light = colours[..., :3] @ (0.299, 0.587, 0.114) > 127
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            x, y = left + side * (column + 0.5), top + side * (row + 0.5) + 4
            yield Markup('<text class="cell" x="{:.1f}" y="{:.1f}" style="fill:{}">{}</text>').format(
                x, y, "#000" if light[row, column] else "#fff", f"{value:.3g}"
            )


def _image(x: float, y: float, width: float, height: float, pixels: np.ndarray) -> Markup:
    """Pixels, (H, W, C), each a rectangle of one colour."""
    return Markup('<image x="{:g}" y="{:g}" width="{:g}" height="{:g}" preserveAspectRatio="none" href="{}"/>').format(
        x, y, width, height, data_uri(pixels)
    )


def _grid(across: Scale, up: Scale, chart: Chart) -> Markup:
    """Lines at the ticks, and what is written there."""
    whole = [all(v == round(v) for v in side) and np.ptp(side) >= 2 for side in _sides(chart)]
    beside, below = up.ticks(bool(whole[1])), across.ticks(bool(whole[0]))
    lines = [f"M{across.start:.1f},{y:.1f}H{across.end:.1f}" for y in up.at(np.array(beside))]
    lines += [f"M{x:.1f},{up.start:.1f}V{up.end:.1f}" for x in across.at(np.array(below))]
    words = [
        Markup('<text class="end" x="{:.1f}" y="{:.1f}">{}</text>').format(across.start - 5, y + 4, word)
        for y, word in zip(up.at(np.array(beside)), tick_words(beside, up.log), strict=True)
    ]
    return Markup('<path class="grid" d="{}"/>{}{}').format(
        "".join(lines), Markup("").join(words), _ticks_below(across, below, up.start)
    )


def _sides(chart: Chart) -> tuple[list[float], list[float]]:
    """All places and all values."""
    places = [x for curve in chart.curves for x in curve.x]
    return places, [y for curve in chart.curves for y in curve.y if math.isfinite(y)]


def _ticks_below(across: Scale, ticks: Sequence[float], foot: float) -> Markup:
    """What is written below an axis, and the axis."""
    words = [
        Markup('<text class="middle" x="{:.1f}" y="{:.1f}">{}</text>').format(x, foot + 16, word)
        for x, word in zip(across.at(np.array(ticks)), tick_words(list(ticks), across.log), strict=True)
    ]
    return Markup('<path class="axis" d="M{:.1f},{:.1f}H{:.1f}"/>{}').format(
        across.start, foot, across.end, Markup("").join(words)
    )


def _line(x: np.ndarray, y: np.ndarray) -> str:
    """A path through points; NaN is a gap, and a point alone between gaps is a dot."""
    return "".join(
        "M" + "L".join(f"{x[i]:.1f},{y[i]:.1f}" for i in run) + ("h0" if len(run) == 1 else "") for run in _runs(y)
    )


def _band(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> Markup:
    """The area between two lines; over a single place, which has no width, a bar."""
    runs = list(_runs(low + high))
    areas = [[*zip(x[run], low[run], strict=True), *zip(x[run][::-1], high[run][::-1], strict=True)] for run in runs]
    wide = "".join("M" + "L".join(f"{px:.1f},{py:.1f}" for px, py in area) + "Z" for area in areas if len(area) > 2)
    bars = "".join(f"M{x[i]:.1f},{low[i]:.1f}V{high[i]:.1f}" for run in runs if len(run) == 1 for i in run)
    return Markup("").join(
        Markup('<path class="{}" d="{}"/>').format(kind, path)
        for kind, path in (("band", wide), ("whisker", bars))
        if path
    )


def _runs(values: np.ndarray) -> Iterator[np.ndarray]:
    """The stretches of indices that have a number."""
    there = np.flatnonzero(np.isfinite(values))
    if len(there):
        yield from np.split(there, np.flatnonzero(np.diff(there) > 1) + 1)


def _dashes(look: Look) -> Markup:
    """A line's dashes, of which a look gives lengths in line widths."""
    lengths = " ".join(f"{1.6 * dash:g}" for dash in look.dashes)
    return Markup(' stroke-dasharray="{}"').format(lengths) if lengths else Markup("")
