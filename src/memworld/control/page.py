"""The report of a run of the closed loop: one HTML page that opens without a network."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from memworld.control.compare import Comparison, sentence
from memworld.control.videos import Reel
from memworld.evaluate.experiments.result import Number
from memworld.evaluate.playing import Outcome, PlayConfig
from memworld.evaluate.returns import gathered, returns_of
from memworld.report.charts import Spread, chart_groups, spreads_view
from memworld.report.environment import environment
from memworld.report.looks import looks_of
from memworld.report.result_tables import table_view, with_interval
from memworld.storage import write_bytes


def write_page(
    path: Path,
    world: str,
    outcomes: Mapping[str, Sequence[Outcome]],
    comparison: Comparison,
    reels: Sequence[Reel],
    settings: Mapping[str, Any],
    config: PlayConfig,
    command: str,
    seconds: float,
) -> None:
    """Write the page, atomically; the same input gives the same bytes.

    Args:
        path: the file to write; its folder must exist.
        world: name of the world.
        outcomes: by way to act, of its episodes.
        comparison: what was found.
        reels: episodes to look at.
        settings: the run's, spelt out.
        config: how it was played.
        command: makes the report again.
        seconds: that this call spent playing.

    Raises:
        MemworldError: a frame cannot be shown, or the file cannot be written.
    """
    looks = looks_of(outcomes)
    means = {row.label: row.cells[0] for row in comparison.table.rows}
    spreads = [
        Spread(way, mean, tuple(values.tolist()))
        for way, values in returns_of(outcomes).items()
        if isinstance(mean := means[way], Number)
    ]
    html = (
        environment()
        .get_template("control.html.jinja")
        .render(
            title=f"Acting in {world}",
            episodes=config.episodes,
            max_steps=config.max_steps,
            headline=[
                sentence(way, comparison.table, comparison.findings)
                for way in dict.fromkeys(finding.way for finding in comparison.findings)
            ]
            or [sentence(way, comparison.table, ()) for way in outcomes],
            notes=comparison.notes,
            findings=comparison.findings,
            with_interval=with_interval,
            table=table_view(comparison.table),
            looks=looks,
            kinds={},
            spreads=spreads_view("Return of every way to act", "return", spreads, looks),
            groups=chart_groups([gathered(outcomes, config)], looks, world),
            reels=reels,
            world=world,
            command=command,
            config=json.dumps(settings, indent=2),
            seconds=seconds,
        )
    )
    write_bytes(path, html.encode("utf-8", "backslashreplace"))
