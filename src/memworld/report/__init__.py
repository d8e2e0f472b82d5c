"""The report of a run: one HTML file that opens without a network, and is whole without its script and on paper."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memworld.errors import MemworldError
from memworld.evaluate.experiments.measuring import metric_chart
from memworld.evaluate.results import KINDS, Evaluation, Table, label_of
from memworld.report.charts import ChartGroup, chart_group
from memworld.report.environment import environment
from memworld.report.looks import looks
from memworld.report.summary import default_result
from memworld.report.tables import (
    NAMES,
    difference_table,
    headline,
    metric_tables,
    shown_horizons,
    state_tables,
    support_table,
)
from memworld.storage import write_bytes

__all__ = ["write_report"]

AXES = {"kl": "log axis", "ssim": "1 is best"}
"""What is said of the axis of a metric's chart."""


def write_report(
    path: Path,
    evaluation: Evaluation,
    *,
    title: str,
    config: Mapping[str, Any],
    stages: Mapping[str, float],
    command: str,
) -> None:
    """Write an evaluation as one HTML page, atomically; the same input gives the same bytes.

    Args:
        path: the file to write; its folder must exist.
        evaluation: what to show.
        title: heading of the page.
        config: resolved configuration of the run; what JSON does not know is shown as text.
        stages: seconds that each stage of the run took.
        command: the command that makes the report again.

    Raises:
        MemworldError: the table is empty, a frame cannot be shown, or the file cannot be written.
    """
    if not evaluation.table.rows:
        raise MemworldError(f"cannot write {path}: the evaluation has no numbers; evaluate at least one method")
    page = environment().get_template("evaluation.html.jinja")
    html = page.render(
        title=title,
        evaluation=evaluation,
        command=command,
        config=json.dumps(config, indent=2, default=str),
        stages=stages,
        horizons=shown_horizons(evaluation),
        **_views(evaluation),
    )
    write_bytes(path, html.encode())


def _views(evaluation: Evaluation) -> dict[str, Any]:
    """What the page shows of the numbers, by the names that the template uses."""
    table = evaluation.table
    horizons = shown_horizons(evaluation)
    return {
        "world": table.rows[0].world,
        "episodes": table.rows[0].n,
        "headline": [said for said in (default_result(evaluation), *headline(table)) if said],
        "labels": [label_of(name, mode) for name, mode in table.methods],
        "kinds": KINDS,
        "looks": looks(table),
        "curves": _curves(table),
        "tables": metric_tables(table, horizons),
        "state_tables": state_tables(table, horizons),
        "difference": difference_table(table, horizons),
        "support": support_table(table, horizons),
    }


def _curves(table: Table) -> ChartGroup:
    """A chart of each metric of `NAMES` that the table has: value over horizon, with interval bands."""
    charts = [
        metric_chart(table, metric, name, AXES.get(metric, name), log_y=metric == "kl")
        for metric, name in NAMES.items()
        if metric in table.metrics
    ]
    labels = (label_of(name, mode) for name, mode in table.methods)
    return chart_group(labels, charts, looks(table), table.rows[0].world)
