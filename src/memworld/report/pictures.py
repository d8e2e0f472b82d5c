"""The pictures of a report: frames as PNG data URIs, and error curves as SVG that follows the page's colours."""

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter
from PIL import Image

from memworld.errors import MemworldError
from memworld.evaluate.results import MetricRow, Table, label_of

PANELS = {
    "moving_pixel_l1": "moving-pixel L1",
    "state_error": "state error",
    "kl": "KL (nats, log axis)",
    "ssim": "SSIM (1 is best)",
    "l1": "whole-frame L1",
}
"""Metrics that have a curve, in the order shown, with the words above their panel."""

_PALETTE = ("#3a86d4", "#e0642b", "#1f9e77", "#b65fc4", "#d19a00", "#d6456b", "#00a0b4", "#7c6ee0")
"""One colour a method: told apart on white and on near-black."""

_INK = "#010203"
"""Stands for the page's own text colour until the SVG is written: matplotlib has no `currentColor`."""


@dataclass(frozen=True)
class Look:
    """How a method is drawn, in curves and in the keys beside its name.

    Attributes:
        colour: CSS colour.
        dashes: lengths of dash and gap in line widths; empty for a solid line.
    """

    colour: str
    dashes: tuple[float, ...] = ()


_BASELINES = {
    "persistence": Look("currentColor"),
    "encoder_bound": Look("#8a9099", (6, 1.5, 1, 1.5)),
    "data_mean": Look("#8a9099", (1, 1.5)),
    "oracle": Look("#8a9099", (3, 1.5, 1, 1.5, 1, 1.5)),
}


def looks(table: Table) -> dict[str, Look]:
    """The look of every method, by its label and by its name alone.

    Baselines are grey or the text's colour; every other method has one colour, solid for `requery`
    and where there is no mode, dashed for `follow`.
    """
    names = list(dict.fromkeys(name for name, _ in table.methods if name not in _BASELINES))
    colours = {name: _PALETTE[i % len(_PALETTE)] for i, name in enumerate(names)}
    found = {name: Look(colour) for name, colour in colours.items()}
    for name, mode in table.methods:
        dashes = (3.0, 1.5) if mode == "follow" else ()
        found[label_of(name, mode)] = _BASELINES.get(name) or Look(colours[name], dashes)
    return found


def png(frame: np.ndarray) -> str:
    """A frame as a PNG data URI, in its own size: the page enlarges it.

    Args:
        frame: uint8 (H, W, C) with C of 1 or 3.

    Raises:
        MemworldError: another shape or dtype.
    """
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] not in (1, 3):
        raise MemworldError(
            f"a frame of {frame.dtype}{list(frame.shape)} cannot be shown: give uint8 (H, W, C) with C of 1 or 3"
        )
    content = io.BytesIO()
    Image.fromarray(frame[..., 0] if frame.shape[2] == 1 else frame).save(content, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def curves(table: Table) -> dict[str, str]:
    """One SVG per metric of `PANELS` that the table has: value over horizon, with interval bands.

    The SVG holds no name of the user's, no id that another one has, and no date.
    """
    return {metric: _panel(table, metric) for metric in PANELS if metric in table.metrics}


def _panel(table: Table, metric: str) -> str:
    """The curves of one metric as an SVG element."""
    look = looks(table)
    # "default" puts aside the user's own matplotlibrc. The salt makes ids repeat from run to run;
    # text stays text, so that the page's font applies.
    with style.context(["default", {"svg.hashsalt": "memworld", "svg.fonttype": "none", "font.size": 8.0}]):
        figure = Figure(figsize=(4.6, 2.9), layout="constrained")
        axes = figure.add_subplot()
        for name, mode in table.methods:
            found = (table.get(name, mode, metric, horizon) for horizon in table.horizons)
            _curve(axes, [row for row in found if row is not None], look[label_of(name, mode)])
        _dress(axes, metric)
        return _to_svg(figure, metric)


def _curve(axes: Axes, rows: Sequence[MetricRow], look: Look) -> None:
    """Draw one method's line and band."""
    colour = _INK if look.colour == "currentColor" else look.colour
    over = [row.horizon for row in rows]
    axes.fill_between(over, [r.low for r in rows], [r.high for r in rows], color=colour, alpha=0.13, linewidth=0)
    axes.plot(
        over,
        [row.value for row in rows],
        color=colour,
        linewidth=1.3,
        linestyle=(0, look.dashes) if look.dashes else "solid",
        marker="o" if len(rows) == 1 else "",
        markersize=3,
    )


def _dress(axes: Axes, metric: str) -> None:
    """Axes, in the page's text colour."""
    axes.set_title(PANELS[metric], loc="left", fontsize=8.5, fontweight="bold", color=_INK)
    axes.set_xlabel("steps ahead, t", color=_INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 5, 10]))
    if metric == "kl":
        # The bound's KL is exactly 0: its line has no place on a log axis and is left out.
        axes.set_yscale("log", nonpositive="mask")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    elif metric != "ssim":
        axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_INK)
    axes.tick_params(which="both", color=_INK, labelcolor=_INK, width=0.6)
    axes.grid(color=_INK, alpha=0.12, linewidth=0.6)


def _to_svg(figure: Figure, prefix: str) -> str:
    """The figure as an SVG element whose ids start with `prefix`."""
    figure.patch.set_visible(False)
    for axes in figure.axes:
        axes.patch.set_visible(False)
    content = io.StringIO()
    # Unless told not to, matplotlib writes the date and its own address.
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(content, format="svg", metadata=metadata)
    svg = content.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)
