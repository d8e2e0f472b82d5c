"""What is written of a life: `living.json`, and its report, one HTML page that opens without a network."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from memworld.control.growth import Growth, LivedEpisode
from memworld.control.videos import SHOWN
from memworld.evaluate.playing import PlayConfig
from memworld.memory import Memory
from memworld.report.charts import chart_groups
from memworld.report.environment import environment
from memworld.report.looks import looks_of
from memworld.report.result_tables import table_view, with_interval
from memworld.report.tables import with_minus
from memworld.storage import KIND_KEY, write_bytes, write_json

VERSION = 1


def write_living(
    path: Path,
    episodes: Sequence[LivedEpisode],
    growth: Growth,
    settings: Mapping[str, Any],
    versions: Mapping[str, str],
) -> None:
    """Write `living.json`, atomically; the same but for times if the same is lived again."""
    write_json(
        path,
        {
            KIND_KEY: "lived episodes",
            "version": VERSION,
            "world": settings["world"],
            "versions": dict(versions),
            "settings": dict(settings),
            "episodes": [asdict(episode) for episode in episodes],
            "start": growth.start.tolist(),
        },
    )


def write_living_page(
    path: Path,
    world: str,
    episodes: Sequence[LivedEpisode],
    growth: Growth,
    memory: Memory,
    settings: Mapping[str, Any],
    config: PlayConfig,
    command: str,
    seconds: float,
) -> None:
    """Write the page, atomically; the same input gives the same bytes.

    Args:
        path: the file to write; its folder must exist.
        world: name of the world.
        episodes: what was lived, in order.
        growth: what was found.
        memory: what memory holds by now; its last episode, the last that was lived, is shown if it keeps frames.
        settings: the run's, spelt out.
        config: how it was lived.
        command: makes the report again.
        seconds: that this call spent living.

    Raises:
        MemworldError: a frame cannot be shown, or the file cannot be written.
    """
    steps = np.unique(np.linspace(0, episodes[-1].steps, SHOWN).round().astype(int))
    first = len(memory) - episodes[-1].steps - 1
    looks = looks_of(curve.label for curve in growth.chart.curves)
    html = (
        environment()
        .get_template("living.html.jinja")
        .render(
            title=f"Living in {world}",
            world=world,
            episodes=episodes,
            max_steps=config.max_steps,
            growth=growth,
            said=with_minus(growth.sentence),
            with_interval=with_interval,
            table=table_view(growth.table),
            looks=looks,
            groups=chart_groups([growth.chart], looks, world),
            steps=steps.tolist(),
            frames=memory.frames((first + steps).tolist()) if memory.keep_frames else None,
            command=command,
            config=json.dumps(settings, indent=2),
            seconds=seconds,
        )
    )
    write_bytes(path, html.encode("utf-8", "backslashreplace"))
