"""The comparison as text for a terminal."""

from memworld.evaluate.experiments.result import ResultTable
from memworld.report.result_tables import table_view


def table_text(table: ResultTable) -> str:
    """A table in columns of equal width; a column without anything in it is left out."""
    view = table_view(table)
    columns = [("", [line.label for line in view.lines])]
    for place, (name, _) in enumerate(view.columns):
        cells = [f"{line.cells[place].value} {line.cells[place].interval}".strip() for line in view.lines]
        if any(cells):
            columns.append((name, cells))
    lines = []
    for row in zip(*([name, *cells] for name, cells in columns), strict=True):
        widths = (max(map(len, [name, *cells])) for name, cells in columns)
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return "\n".join(lines)
