"""Charts as a page holds them: drawn, and as the numbers from which its script reads out what one points at."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from markupsafe import Markup

from memworld.evaluate.experiments.result import Chart, Curve, Heatmap, Number
from memworld.report.drawing import (
    draw_heatmap,
    draw_lines,
    draw_spreads,
    heatmap_cells,
    lines_scales,
    short,
    spread_place,
    spreads_scale,
)
from memworld.report.looks import Look
from memworld.report.scales import Scale


@dataclass(frozen=True)
class ChartView:
    """A chart as the page shows it.

    Attributes:
        title: what it shows.
        across: what its axis from left to right is.
        up: what its axis from below upwards is; "" where the title says it.
        svg: the drawing; empty if there is no point to show.
        data: the numbers, as plain JSON values.
        cut: names of what a log axis has no place for.
        names: its rows' names in full, where the drawing shortens some.
    """

    title: str
    across: str
    up: str
    svg: Markup
    data: Mapping[str, Any]
    cut: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


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


def chart_groups(charts: Sequence[Chart], looks: Mapping[str, Look], where: str) -> tuple[ChartGroup, ...]:
    """Charts as a page shows them, those of the same labels together; `where` completes what they are called."""
    groups: dict[tuple[str, ...], list[Chart]] = {}
    for chart in charts:
        groups.setdefault(tuple(dict.fromkeys(curve.label for curve in chart.curves)), []).append(chart)
    return tuple(chart_group(labels, members, looks, where) for labels, members in groups.items())


def chart_group(labels: Iterable[str], charts: Iterable[Chart], looks: Mapping[str, Look], where: str) -> ChartGroup:
    """Charts under one legend, whose labels are all of theirs."""
    labels = tuple(labels)
    return ChartGroup(labels, tuple(chart_view(chart, labels, looks, where) for chart in charts))


def chart_view(chart: Chart, labels: Sequence[str], looks: Mapping[str, Look], where: str) -> ChartView:
    """Lines as the page shows them.

    Args:
        chart: what to draw.
        labels: the legend's entries, its curves' labels among them.
        looks: of its labels.
        where: the world that it is of.
    """
    visible, cut = shown(chart)
    up = chart.y_label if chart.y_label != chart.title else ""
    if not visible.curves:
        return ChartView(chart.title, chart.x_label, up, Markup(""), {}, cut)
    keys = [labels.index(curve.label) for curve in visible.curves]
    across, upwards = lines_scales(visible)
    name = _called(chart.title, where)
    svg = draw_lines(visible, [looks[curve.label] for curve in visible.curves], keys, name)
    data = {
        "kind": "lines",
        "across": chart.x_label,
        "x": _plain_scale(across),
        "y": _plain_scale(upwards),
        "series": list(_plain_curves(visible.curves, keys)),
    }
    return ChartView(chart.title, chart.x_label, up, svg, data, cut)


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


def spreads_view(title: str, across: str, spreads: Sequence[Spread], looks: Mapping[str, Look]) -> ChartView:
    """Means with their intervals, one below the other; those of which nothing is known are left out."""
    spreads = [spread for spread in spreads if math.isfinite(spread.mean.value)]
    if not spreads:
        return ChartView(title, across, "", Markup(""), {})
    names, means, values = ([getattr(s, part) for s in spreads] for part in ("label", "mean", "values"))
    svg = draw_spreads(names, means, values, [looks[name] for name in names], _called(title))
    data = {
        "kind": "spreads",
        "x": _plain_scale(spreads_scale(means, values)),
        "rows": [
            {
                "label": spread.label,
                "y": spread_place(row),
                "mean": _plain([spread.mean.value, spread.mean.low, spread.mean.high]),
                "values": _plain(spread.values),
            }
            for row, spread in enumerate(spreads)
        ],
    }
    return ChartView(title, across, "", svg, data)


def heatmap_view(heatmap: Heatmap, where: str) -> ChartView:
    """A matrix as the page shows it."""
    labels = heatmap.labels
    if not labels:
        return ChartView(heatmap.title, "", heatmap.unit, Markup(""), {})
    left, top, side = heatmap_cells(len(labels))
    data = {
        "kind": "heatmap",
        "labels": labels,
        "values": [_plain(row) for row in np.asarray(heatmap.values).tolist()],
        "cells": _plain([left, top, side]),
    }
    names = labels if any(short(label) != label for label in labels) else ()
    svg = draw_heatmap(heatmap, _called(heatmap.title, where))
    return ChartView(heatmap.title, "", heatmap.unit, svg, data, names=names)


def _called(title: str, where: str = "") -> str:
    """A drawing's name."""
    return f"{title}{', ' if where else ''}{where}; the tables give the numbers"


def _plain_curves(curves: Sequence[Curve], keys: Sequence[int]) -> Iterable[dict[str, Any]]:
    """Curves as JSON values; one without `x` has that of the curve before."""
    before: tuple[float, ...] = ()
    for curve, key in zip(curves, keys, strict=True):
        plain = {"key": key, "label": curve.label, "y": _plain(curve.y)}
        if curve.x != before:
            plain["x"] = _plain(curve.x)
        if curve.low:
            plain |= {"low": _plain(curve.low), "high": _plain(curve.high)}
        before = curve.x
        yield plain


def _plain_scale(scale: Scale) -> dict[str, Any]:
    """An axis as the script computes with it."""
    # Exact ends: places that are computed from rounded ones would lie beside the drawing's.
    return {"ends": [scale.low, scale.high], "places": [scale.start, scale.end], "log": scale.log}


def _plain(values: Iterable[float]) -> list[float | int | None]:
    """Numbers with five digits, more than anybody reads, or whole ones as they are; null for what is none."""
    return [
        None if not math.isfinite(value) else int(value) if value == int(value) else float(f"{value:.5g}")
        for value in values
    ]
