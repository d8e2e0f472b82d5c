"""The pictures of a report: frames as PNG data URIs, and error curves as SVG that follows the page's colours."""

import base64
import io
import re
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter
from PIL import Image

from memworld.errors import MemworldError
from memworld.evaluate.results import Table, label_of

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

INK = "#010203"
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


_VARIANTS: dict[str, tuple[float, ...]] = {
    "requery": (),
    "follow": (3.0, 1.5),
    "none": (),
    "soft": (4.0, 1.2, 1.0, 1.2),
    "hard": (1.4, 1.0),
}
"""Dashes of the words that may follow a method's name in its label: its mode, and how it heeds actions."""

_ROUNDS: tuple[tuple[float, ...], ...] = ((), (6.0, 2.0), (2.0, 2.0), (8.0, 1.5, 2.0, 1.5))
"""Dashes of the names for which the palette is gone through a second time, a third, and so on."""


def looks(table: Table) -> dict[str, Look]:
    """The look of every method, by its label and by its name alone."""
    return looks_of([*(name for name, _ in table.methods), *(label_of(name, mode) for name, mode in table.methods)])


def looks_of(labels: Iterable[str]) -> dict[str, Look]:
    """The look of every label, which depends on nothing but the order in which they first appear.

    Baselines are grey or the text's colour. Every other name has one colour: solid for `requery` and
    where no mode follows the name, dashed for the other words of `_VARIANTS`. A label such as
    "latent_gru, 27 s" beside the plain "latent_gru" has that one's colour, and dashes.
    """
    labels = list(dict.fromkeys(labels))
    plain = {_name_and_dashes(label)[0] for label in labels}
    split = {label: _name_and_dashes(label, plain) for label in labels}
    coloured = dict.fromkeys(name for name, _ in split.values() if name not in _BASELINES)
    place = {name: divmod(i, len(_PALETTE)) for i, name in enumerate(coloured)}
    further: dict[str, int] = {}
    found = {}
    for label, (name, dashes) in split.items():
        if name in _BASELINES:
            found[label] = _BASELINES[name]
            continue
        turn, colour = place[name]
        if dashes is None:
            further[name] = further.get(name, 0) + 1
            dashes = _ROUNDS[1:][(further[name] - 1) % (len(_ROUNDS) - 1)]
        found[label] = Look(_PALETTE[colour], dashes or _ROUNDS[turn % len(_ROUNDS)])
    return found


def _name_and_dashes(label: str, plain: Collection[str] = ()) -> tuple[str, tuple[float, ...] | None]:
    """A method's name without the words of `_VARIANTS`, and their dashes; any other label is a name of its own.

    What follows a comma is no part of a name that is among `plain`; its dashes are None, still to be chosen.
    """
    before, comma, _ = label.partition(", ")
    if comma and (name := _name_and_dashes(before)[0]) in plain:
        return name, None
    name, *words = label.split(" ")
    if not words or any(word not in _VARIANTS for word in words):
        return label, ()
    return name, next((_VARIANTS[word] for word in words if _VARIANTS[word]), ())


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
    with plain_style():
        figure = Figure(figsize=(4.6, 2.9), layout="constrained")
        axes = figure.add_subplot()
        for name, mode in table.methods:
            found = (table.get(name, mode, metric, horizon) for horizon in table.horizons)
            rows = [row for row in found if row is not None]
            x, y = [row.horizon for row in rows], [row.value for row in rows]
            draw_line(axes, x, y, [r.low for r in rows], [r.high for r in rows], look[label_of(name, mode)])
        _dress(axes, metric)
        return to_svg(figure, metric)


def plain_style() -> AbstractContextManager[None]:
    """Drawing that depends on this package alone.

    "default" puts aside the user's own matplotlibrc. The salt makes ids repeat from run to run; text
    stays text, so that the page's font applies.
    """
    own = {"svg.hashsalt": "memworld", "svg.fonttype": "none", "font.size": 8.0, "text.parse_math": False}
    return style.context(["default", own])


def draw_line(
    axes: Axes,
    x: Sequence[float],
    y: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    look: Look,
    *,
    ink: str = INK,
    marked: bool = False,
) -> None:
    """Draw one line and its band.

    Args:
        axes: to draw on.
        x: places.
        y: values; where one is NaN, the line has a gap.
        low: lower ends of the band; empty for no band.
        high: upper ends.
        look: of the line.
        ink: colour of text, in which `currentColor` is drawn.
        marked: whether to mark every point; a line of one point is marked in any case.
    """
    colour = ink if look.colour == "currentColor" else look.colour
    if len(low):
        axes.fill_between(x, low, high, color=colour, alpha=0.13, linewidth=0)
    axes.plot(
        x,
        y,
        color=colour,
        linewidth=1.3,
        linestyle=(0, look.dashes) if look.dashes else "solid",
        marker="o" if marked or len(x) == 1 else "",
        markersize=3,
    )


def _dress(axes: Axes, metric: str) -> None:
    """Axes of one metric over the horizon."""
    axes.set_title(PANELS[metric], loc="left", fontsize=8.5, fontweight="bold", color=INK)
    axes.set_xlabel("steps ahead, t", color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 5, 10]))
    if metric == "kl":
        # The bound's KL is exactly 0: its line has no place on a log axis and is left out.
        axes.set_yscale("log", nonpositive="mask")
        log_ticks(axes.yaxis)
    elif metric != "ssim":
        axes.set_ylim(bottom=0)
    dress(axes)


def log_ticks(axis: Axis, subs: Sequence[float] = (1, 2, 5)) -> None:
    """Ticks of a log axis as plain numbers, at `subs` times the powers of ten."""
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_locator(NullLocator())


def dress(axes: Axes, ink: str = INK) -> None:
    """Spines, ticks and grid in the text's colour."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(ink)
    axes.tick_params(which="both", color=ink, labelcolor=ink, width=0.6)
    axes.grid(color=ink, alpha=0.12, linewidth=0.6)


def to_svg(figure: Figure, prefix: str) -> str:
    """The figure as an SVG element whose ids start with `prefix`."""
    figure.patch.set_visible(False)
    for axes in figure.axes:
        axes.patch.set_visible(False)
    content = io.StringIO()
    # Unless told not to, matplotlib writes the date and its own address.
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(content, format="svg", metadata=metadata)
    svg = content.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    # Hundredths of a point are enough for a path, and halve the page.
    svg = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), svg)
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)
