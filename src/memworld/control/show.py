"""The comparison as text for a terminal."""

from memworld.evaluate.experiments.result import ResultTable
from memworld.report.result_tables import aligned, table_view


def table_text(table: ResultTable) -> str:
    """A table in columns of equal width."""
    view = table_view(table)
    rows = [[line.label, *(f"{cell.value} {cell.interval}".strip() for cell in line.cells)] for line in view.lines]
    return aligned([["", *(name for name, _ in view.columns)], *rows])
