"""Results as a table to read and as a picture."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from memworld.bench.limits import Limits
from memworld.bench.results import Record, Results
from memworld.errors import MemworldError
from memworld.recorded import check_picture
from memworld.storage import write_atomic

Line = tuple[str, int, str, str, int, int]
"""What one line of the picture shows: strategy, k, index, precision, d, batch."""


def line_of(record: Record) -> Line:
    """The line that a record is a point of; its place on it is its rows."""
    return record.strategy, record.k, record.index, record.precision, record.d, record.batch


def lines_of(records: Sequence[Record]) -> dict[Line, list[Record]]:
    """Records by line, each from the fewest rows to the most."""
    lines: dict[Line, list[Record]] = {}
    for record in sorted(records, key=lambda r: (line_of(r), r.rows)):
        lines.setdefault(line_of(record), []).append(record)
    return lines


def growth(line: Sequence[Record]) -> float | None:
    """The exponent e by which time grows as rows^e, fitted over a line; None for a single point."""
    if len({r.rows for r in line}) < 2:
        return None
    slope, _ = np.polyfit(np.log([r.rows for r in line]), np.log([r.ms_per_query for r in line]), 1)
    return float(slope)


_KEY = (
    "x: times faster than the literal formulas (one query after another), NumPy and FAISS flat on the same queries.\n"
    "of limit: the least time that the machine allows over the time taken. bandwidth: to read the features once, at\n"
    "the rate of a copy; product: to multiply them once, at the rate of a large product."
)

_Cell = Callable[[Record], float | str | None]

_COLUMNS: dict[str, _Cell] = {
    "rows": lambda r: f"{r.rows:,}",
    "d": lambda r: str(r.d),
    "batch": lambda r: str(r.batch),
    "strategy": lambda r: r.strategy,
    "k": lambda r: str(r.k),
    "index": lambda r: r.index,
    "precision": lambda r: r.precision,
    "ms/query": lambda r: r.ms_per_query,
    "x literal": lambda r: r.times_faster_than_literal,
    "x numpy": lambda r: r.times_faster_than_numpy,
    "x faiss": lambda r: r.times_faster_than_faiss_flat,
    "of limit": lambda r: None if r.share_of_limit is None else f"{r.share_of_limit:.0%}",
    "limit": lambda r: r.limit,
    "recall": lambda r: None if r.recall is None else f"{r.recall:.3f}",
    "recall@1": lambda r: None if r.recall_at_1 is None else f"{r.recall_at_1:.3f}",
    "B/row": lambda r: f"{r.bytes_per_row:.0f}",
    "build s": lambda r: r.build_s,
}
"""Every column of the table but the last."""


def table(records: Sequence[Record]) -> str:
    """One line per record; `growth` is that of its line, see there, and - stands for what was not measured."""
    exponents = {line: growth(points) for line, points in lines_of(records).items()}
    rows = [[*_COLUMNS, "growth"]]
    for record in sorted(records, key=lambda r: (r.rows, r.d, r.index != "exact", r.strategy, r.k, r.batch)):
        exponent = exponents[line_of(record)]
        cells = [_text(cell(record)) for cell in _COLUMNS.values()]
        rows.append([*cells, "-" if exponent is None else f"{exponent:.2f}"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows)


def _text(value: float | str | None) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def limits_line(limits: Limits) -> str:
    """The machine's limits in a sentence."""
    coarse = "slower" if limits.gflops_bfloat16 is None else f"{limits.gflops_bfloat16:.0f} GFLOP/s"
    return (
        f"{limits.device}: copy {limits.copy_gb_s:.1f} GB/s (read plus written), read {limits.read_gb_s:.1f} GB/s, "
        f"matrix product {limits.gflops_float32:.0f} GFLOP/s in float32, {coarse} in bfloat16"
    )


def text(results: Results) -> str:
    """Everything for the terminal: limits, table, imagination, and what was left out."""
    parts = [limits_line(results.limits), "", table(results.cases)]
    if results.imagination:
        parts.append("")
    for r in results.imagination:
        parts.append(
            f"imagined steps per second: {r.steps_per_second:,.0f} ({'decoded' if r.decode else 'latents only'}, "
            f"conditioning {r.conditioning}, {r.batch} futures of {r.horizon} steps, {r.rows:,} rows, d={r.d})"
        )
    parts += ["", _KEY]
    if results.limits.device != "cpu":
        parts.append("NumPy and FAISS ran on the CPU.")
    if results.left_out:
        parts += ["", "left out:"]
    for left in results.left_out:
        needed = "" if left.bytes is None else f", needs {left.bytes / 1e9:.1f} GB"
        parts.append(f"  {left.case}: {left.why}{needed}")
    return "\n".join(parts)


def check_plot(path: Path) -> None:
    """Do nothing if a plot may be written to `path`.

    Raises:
        MemworldError: it is no name of a PNG, its folder is missing, or a file of another kind is there.
    """
    check_picture(path)
    if not path.parent.is_dir():
        raise MemworldError(f"there is no folder {path.parent}: make it, or name another file")


def write_plot(path: Path, results: Results) -> None:
    """Draw milliseconds per query against rows, both logarithmic, a panel per d and batch.

    A dotted line of the same colour is what the machine's limit allows.

    Raises:
        MemworldError: as `check_plot`, nothing to draw, or the file cannot be written.
    """
    check_plot(path)
    if not results.cases:
        raise MemworldError("nothing was measured, so there is nothing to draw")
    lines = lines_of(results.cases)
    dims, batches = sorted({line[4] for line in lines}), sorted({line[5] for line in lines})
    figure = Figure(figsize=(1.5 + 3.6 * len(batches), 1.2 + 3.0 * len(dims)), layout="constrained")
    axes = figure.subplots(len(dims), len(batches), squeeze=False, sharex=True, sharey=True)
    colours = {look: f"C{i % 10}" for i, look in enumerate(sorted({line[:4] for line in lines}))}
    labels = {}
    for line, points in lines.items():
        axis = axes[dims.index(line[4]), batches.index(line[5])]
        rows = [p.rows for p in points]
        dash = "-" if line[2] == "exact" else "--"
        (drawn,) = axis.plot(rows, [p.ms_per_query for p in points], dash, marker="o", ms=4, color=colours[line[:4]])
        labels[_label(line)] = drawn
        least = [math.nan if p.share_of_limit is None else p.ms_per_query * p.share_of_limit for p in points]
        axis.plot(rows, least, ":", marker=".", ms=3, color=colours[line[:4]])
    for (i, j), axis in np.ndenumerate(axes):
        axis.set(xscale="log", yscale="log", title=f"d={dims[i]}, batch {batches[j]}")
        axis.grid(alpha=0.3)
        if i == len(dims) - 1:
            axis.set_xlabel("rows")
        if j == 0:
            axis.set_ylabel("ms per query")
    title = f"dotted: what the machine allows ({results.limits.device})"
    figure.legend(labels.values(), labels.keys(), loc="outside lower center", ncols=3, fontsize=8, title=title)
    write_atomic(path, lambda temporary: figure.savefig(temporary, format="png", dpi=120))


def _label(line: Line) -> str:
    strategy, k, index, precision, _, _ = line
    extras = ([] if index == "exact" else [index]) + ([] if precision == "auto" else [precision])
    return " ".join([strategy, f"k={k}", *extras])
