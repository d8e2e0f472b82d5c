"""The numbers of a report as text: tables with intervals and verdicts, and the headline."""

import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from memworld.evaluate.results import KINDS, USES_TRUTH, Evaluation, MetricRow, Table, label_of

SHOWN = (1, 5, 10, 20)
"""Horizons in the tables, where the evaluation does not say which it shows."""

HEADLINE = (5, 20)
"""Horizons that the headline speaks about."""

MAIN = "moving_pixel_l1"
"""The metric to read first."""

NAMES = {
    "moving_pixel_l1": "error on moving pixels",
    "state_error": "error of the state",
    "kl": "KL divergence (nats)",
    "ssim": "structural similarity (SSIM)",
    "l1": "error of the whole frame",
}
"""What charts and tables call the metrics."""

ABOUT = {
    "moving_pixel_l1": "Mean absolute error, of frames in [0, 1], over the pixels where the true or the predicted "
    "frame differs from the median picture of the training data. Lower is better. Read this one first.",
    "state_error": "Mean absolute error of the world's state as a probe reads it from the predicted latents, in the "
    "state's own units. Lower is better. The encoder_bound row is the probe's own floor.",
    "kl": "KL(posterior of the true frame || predicted Gaussian) in nats, summed over latents. Lower is better; "
    "encoder_bound is 0 by definition.",
    "ssim": "Structural similarity of the whole frame; 1 is best. Hardly sees small things that move.",
    "l1": "Mean absolute error of the whole frame in [0, 1]. Lower is better. Rewards blur, and hardly sees small "
    "things that move.",
}
"""Each metric in a line, in the order of the tables."""


@dataclass(frozen=True)
class Cell:
    """One number of a table, as text.

    Attributes:
        value: the number; a dash where there is none.
        interval: its 95% interval, or why there is none.
        verdict: `better` or `worse` than persistence where the paired interval excludes 0, else "";
            always "" for a method that uses the truth.
    """

    value: str
    interval: str = ""
    verdict: str = ""


@dataclass(frozen=True)
class Line:
    """One row of a table: a method's label, what it is, and its cells."""

    label: str
    kind: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class View:
    """A metric's table: what it is called here and in `metrics.parquet`, what it means, and a line per method."""

    name: str
    metric: str
    about: str
    lines: tuple[Line, ...]


def shown_horizons(evaluation: Evaluation) -> tuple[int, ...]:
    """The horizons that the film strips show, else those of `SHOWN` in the table, else its last."""
    if evaluation.strips:
        return evaluation.strips[0].horizons
    horizons = evaluation.table.horizons
    return tuple(h for h in SHOWN if h in horizons) or (horizons[-1],)


def metric_tables(table: Table, horizons: Sequence[int]) -> list[View]:
    """The table of each metric that was measured: those of `ABOUT` first, then any other."""
    known = [metric for metric in ABOUT if metric in table.metrics]
    others = [
        metric
        for metric in table.metrics
        if metric not in ABOUT
        and metric != "support"
        and not metric.startswith("state_error:")
        and not metric.endswith("_minus_persistence")
    ]
    return [_view(table, metric, ABOUT.get(metric, ""), horizons) for metric in [*known, *others]]


def state_tables(table: Table, horizons: Sequence[int]) -> list[View]:
    """The tables of the state's single variables."""
    names = [metric for metric in table.metrics if metric.startswith("state_error:")]
    return [_view(table, name, "Mean absolute error of this variable.", horizons) for name in names]


def difference_table(table: Table, horizons: Sequence[int]) -> View:
    """The paired difference from persistence on moving pixels; below 0 is better."""
    about = (
        "Difference from persistence on the same windows, averaged by episode. Below 0 is better than persistence. "
        "The best of several methods is picked by these same numbers, so its interval flatters it a little."
    )
    return _view(table, f"{MAIN}_minus_persistence", about, horizons)


def support_table(table: Table, horizons: Sequence[int]) -> View:
    """How far each search's queries were from memory."""
    about = (
        "Distance from the query to its nearest retrieved row, as a quantile of the distances that memory has to "
        "itself across episodes: 0.5 is as near as usual, 1 is further than any. "
        "High numbers are weak support. In follow it is that of the search that the step rests on. Where a prediction "
        "is itself a stored row (replay_kl), searching for it again finds it at distance 0, and the number says "
        "nothing."
    )
    return _view(table, "support", about, horizons)


def headline(table: Table) -> list[str]:
    """What the table says in a few sentences, on moving pixels: against persistence, and the encoder's bound."""
    horizons = [h for h in HEADLINE if h in table.horizons] or table.horizons[-1:]
    said = [_against_persistence(table, horizon) for horizon in horizons]
    return [sentence for sentence in [*said, _bound(table)] if sentence]


def _against_persistence(table: Table, horizon: int) -> str:
    """The best search against persistence at one horizon, and any trained method that is ahead of it."""
    searches = _measured(table, "", horizon)
    persistence = table.get("persistence", "", MAIN, horizon)
    if not searches or persistence is None:
        return ""
    best, (row, difference) = min(searches.items(), key=lambda item: item[1][1].value)
    sure = sum(paired.high < 0 for _, paired in searches.values())
    role = "best" if difference.value < 0 else "closest"
    if sure:
        opening = f"{sure} of {len(searches)} search methods beat{'s' if sure == 1 else ''} persistence"
    elif difference.value < 0:
        opening = "no search method is shown to beat persistence"
    else:
        opening = "no search method beats persistence"
    interval = _interval(difference, table_decimals([difference]), "95% interval ")
    sentence = (
        f"At t = {horizon}, {opening} on moving pixels; the {role}, {best}, has an error of {number(row.value)} "
        f"against {number(persistence.value)} (difference {number(difference.value)}, {interval})."
    )
    trained = {label: found for label, (found, _) in _measured(table, "trained", horizon).items()}
    ahead = min(trained, key=lambda label: trained[label].value, default=None)
    if ahead is not None and trained[ahead].value < row.value:
        sentence += f" Trained on the same episodes, {ahead} is ahead of search with {number(trained[ahead].value)}."
    return sentence


def _measured(table: Table, kind: str, horizon: int) -> dict[str, tuple[MetricRow, MetricRow]]:
    """By label, the main error of each method of a kind and its difference from persistence, where it is a number."""
    found = {}
    for name, mode in table.methods:
        row = table.get(name, mode, MAIN, horizon)
        difference = table.get(name, mode, f"{MAIN}_minus_persistence", horizon)
        if (
            KINDS.get(name, "") == kind
            and row is not None
            and difference is not None
            and math.isfinite(difference.value)
        ):
            found[label_of(name, mode)] = row, difference
    return found


def _bound(table: Table) -> str:
    """What the encoder allows at one step."""
    first = table.horizons[0]
    bound, persistence = (table.get(name, "", MAIN, first) for name in ("encoder_bound", "persistence"))
    if bound is None or persistence is None or not persistence.value > 0 or not math.isfinite(bound.value):
        return ""
    ratio = bound.value / persistence.value
    if ratio < 1:
        return (
            f"The encoder's bound at t = {first} is {number(ratio, 2)} of persistence's error: "
            "what is decoded from these latents can hardly do better than that."
        )
    return (
        f"The encoder's bound at t = {first} is {number(ratio, 2)} times persistence's error: even the true frame, "
        "encoded and decoded, is no better than the last frame repeated, so a better encoder must come first."
    )


def _view(table: Table, metric: str, about: str, horizons: Sequence[int]) -> View:
    """One metric's table: the methods that have it, in the table's order."""
    rows = {
        (name, mode): [table.get(name, mode, metric, horizon) for horizon in horizons] for name, mode in table.methods
    }
    present = {key: found for key, found in rows.items() if any(found)}
    decimals = table_decimals([row for found in present.values() for row in found if row is not None])
    return View(
        _called(metric),
        metric,
        about,
        tuple(
            Line(label_of(name, mode), KINDS.get(name, ""), tuple(_cell(table, row, decimals) for row in found))
            for (name, mode), found in present.items()
        ),
    )


def _called(metric: str) -> str:
    """A metric's name for people."""
    main, difference, _ = metric.partition("_minus_persistence")
    whole, colon, variable = main.partition(":")
    name = f"{NAMES.get(whole, whole)}{colon}{' ' if colon else ''}{variable}"
    return f"{name}, less that of persistence" if difference else name


def _cell(table: Table, row: MetricRow | None, decimals: int) -> Cell:
    """A row as text; a small number gets up to two more decimals, so that it is not rounded away."""
    if row is None or math.isnan(row.value):
        return Cell("–")
    decimals = _cell_decimals(row, decimals)
    return Cell(number(row.value, decimals=decimals), _interval(row, decimals), _verdict(table, row))


def _verdict(table: Table, row: MetricRow) -> str:
    """Whether the paired difference from persistence is surely on one side of 0; "" for what uses the truth."""
    suffix = "_minus_persistence"
    metric = row.metric.removesuffix(suffix)
    difference = table.get(row.method, row.mode, metric + suffix, row.horizon)
    if difference is None or KINDS.get(row.method) == USES_TRUTH:
        return ""
    below, above = difference.high < 0, difference.low > 0
    better, worse = (above, below) if metric == "ssim" else (below, above)
    return "better" if better else "worse" if worse else ""


def _interval(row: MetricRow, decimals: int, prefix: str = "") -> str:
    """`[low, high]`, or that there is none."""
    if math.isnan(row.low) or math.isnan(row.high):
        return "no interval"
    return f"{prefix}[{number(row.low, decimals=decimals)}, {number(row.high, decimals=decimals)}]"


def table_decimals(rows: Sequence[MetricRow]) -> int:
    """Decimals that give a typical value of these rows three digits."""
    sizes = [abs(row.value) for row in rows if row.value and math.isfinite(row.value)]
    return min(max(0, 2 - _magnitude(statistics.median(sizes))), 6) if sizes else 2


def _cell_decimals(row: MetricRow, decimals: int) -> int:
    """`decimals`, or as many more, up to two, as give this row's value two digits."""
    return max(decimals, min(1 - _magnitude(row.value), decimals + 2)) if row.value else decimals


def _magnitude(value: float) -> int:
    """The power of ten of a number that is not 0."""
    return math.floor(math.log10(abs(value))) if math.isfinite(value) else 0


def with_minus(text: str) -> str:
    """A text whose negative numbers have the sign that tables write."""
    return re.sub(r"(?<![\w.])-(?=\.?\d)", "−", text)


def number(value: float, digits: int = 3, *, decimals: int | None = None) -> str:
    """A number for people: `digits` significant digits, or a fixed number of decimals; a dash for NaN."""
    if not math.isfinite(value):
        return "–" if math.isnan(value) else "∞" if value > 0 else "−∞"
    if decimals is None:
        decimals = min(max(0, digits - 1 - _magnitude(value)), 9) if value else 0
    text = f"{value:.{decimals}f}"
    # -0.000 is no number that anyone means.
    return text.replace("-", "−") if float(text) else text.lstrip("-")
