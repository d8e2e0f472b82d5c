"""The tables of experiments as text, and the table that lays all worlds side by side."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from memworld.evaluate.experiments.result import Cell as ResultCell
from memworld.evaluate.experiments.result import ExperimentResult, Number, ResultTable, Row
from memworld.report.tables import Cell, Line, number

OVERVIEW = "error on moving pixels"
"""Title of the tables, one a world, that the overview lays side by side."""

OVERVIEW_HORIZONS = (1, 5, 10, 20)


@dataclass(frozen=True)
class TableView:
    """A table as text.

    Attributes:
        title: what it shows.
        about: how to read it.
        columns: the names of those that hold anything, and whether they hold words alone.
        lines: its rows.
    """

    title: str
    about: str
    columns: tuple[tuple[str, bool], ...]
    lines: tuple[Line, ...]


def table_view(table: ResultTable) -> TableView:
    """A table as text; the numbers of a column have the same decimals, so that they can be compared by eye.

    A column without anything in it is left out.
    """
    columns = [(name, [row.cells[i] for row in table.rows]) for i, name in enumerate(table.columns)]
    columns = [(name, column) for name, column in columns if any(cell != "" for cell in column) or not column]
    texts = [[_text(cell, _decimals(column)) for cell in column] for _, column in columns]
    names = tuple((name, any(column) and all(isinstance(cell, str) for cell in column)) for name, column in columns)
    lines = tuple(Line(row.label, row.kind, tuple(column[i] for column in texts)) for i, row in enumerate(table.rows))
    return TableView(table.title, table.about, names, lines)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of texts for a terminal, in columns as wide as their widest text."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def with_interval(value: float, low: float, high: float) -> str:
    """`1.32 [1.20, 1.45]`; a dash for NaN, and no brackets where there is no interval."""
    if not math.isfinite(value):
        return number(value)
    cell = _text(Number(value, low, high), max(0, 2 - _magnitude(value)))
    return f"{cell.value} {cell.interval}".strip()


def curves_over_worlds(
    results: Sequence[ExperimentResult], worlds: Sequence[str], missing: Mapping[str, str]
) -> list[ResultTable]:
    """The error on moving pixels at each of `OVERVIEW_HORIZONS`, worlds as columns, methods as rows.

    Args:
        results: of the experiment about horizons; a world's numbers come out of its table `OVERVIEW`.
        worlds: the columns, in order; one without numbers is a column of dashes.
        missing: by world, why it has none.
    """
    found = {r.world: table for r in results for table in r.tables if table.title == OVERVIEW}
    rows = {row.label: row for world in worlds if world in found for row in found[world].rows}
    reasons = "".join(f" No numbers for {world}: {why}." for world, why in missing.items() if world not in found)
    tables = []
    for horizon in OVERVIEW_HORIZONS:
        column = f"t={horizon}"
        if not any(column in table.columns for table in found.values()):
            continue
        numbers = {world: _column(table, column) for world, table in found.items()}
        tables.append(
            ResultTable(
                f"{OVERVIEW}, {column}, world by world",
                f"Lower is better. A dash: not measured in that world.{reasons}",
                tuple(worlds),
                tuple(
                    Row(label, tuple(numbers.get(w, {}).get(label, Number(math.nan)) for w in worlds), row.kind)
                    for label, row in rows.items()
                ),
            )
        )
    return tables


def _column(table: ResultTable, name: str) -> dict[str, ResultCell]:
    """A column's cells by their rows' labels; none if there is no such column."""
    if name not in table.columns:
        return {}
    return {row.label: row.cells[table.columns.index(name)] for row in table.rows}


def _text(cell: ResultCell, decimals: int) -> Cell:
    """A cell as text; a number much smaller than its column gets up to two more decimals."""
    if isinstance(cell, str):
        return Cell(cell)
    if not math.isfinite(cell.value):
        return Cell(number(cell.value))
    if cell.value != round(cell.value):
        decimals = max(decimals, min(1 - _magnitude(cell.value), decimals + 2))
    value, low, high = (number(side, decimals=decimals) for side in (cell.value, cell.low, cell.high))
    return Cell(value, "" if math.isnan(cell.low) or math.isnan(cell.high) else f"[{low}, {high}]")


def _decimals(column: Sequence[ResultCell]) -> int:
    """Decimals that give a column's typical number three digits; none where all are whole."""
    values = [side for c in column if isinstance(c, Number) for side in (c.value, c.low, c.high) if math.isfinite(side)]
    sizes = [abs(value) for value in values if value]
    if not sizes or all(value == round(value) for value in values):
        return 0
    return min(max(0, 2 - _magnitude(statistics.median(sizes))), 6)


def _magnitude(value: float) -> int:
    """The power of ten of a finite number; 0 for 0."""
    return math.floor(math.log10(abs(value))) if value else 0
