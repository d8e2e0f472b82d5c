"""The report of a study: one HTML page, `claims.json`, and figures for the documentation."""

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memworld.evaluate.experiments import claims
from memworld.evaluate.experiments.claims import Verdicts
from memworld.evaluate.experiments.result import ExperimentResult, Number, ResultTable, Row
from memworld.evaluate.results import KINDS
from memworld.report.chart_pngs import chart_png
from memworld.report.charts import ChartGroup, ChartView, chart_groups, heatmap_view
from memworld.report.environment import environment
from memworld.report.looks import Look, looks_of
from memworld.report.result_tables import TableView, curves_over_worlds, table_view
from memworld.report.verdicts import bar, claims_markdown, decided_by, evidence, write_claims
from memworld.storage import make_folder, write_bytes

__all__ = ["Gap", "claims_markdown", "figures", "write_claims", "write_study_report"]

OVERVIEW_OF = "horizon"
"""The experiment that opens with a table of all worlds."""

_VERDICTS = ("holds", "does not hold", "undecided")


@dataclass(frozen=True)
class Gap:
    """What is missing, and why.

    Attributes:
        world: where.
        experiment: its name; "" where the whole world is missing.
        why: the reason, in words.
    """

    world: str
    experiment: str
    why: str


@dataclass(frozen=True)
class _Part:
    """One experiment in one world; without results where it is missing, and `gaps` say why."""

    id: str
    world: str
    command: str
    gaps: tuple[str, ...]
    result: ExperimentResult | None = None
    tables: tuple[TableView, ...] = ()
    chart_groups: tuple[ChartGroup, ...] = ()
    heatmaps: tuple[ChartView, ...] = ()


@dataclass(frozen=True)
class _Section:
    """One experiment in all worlds."""

    id: str
    name: str
    title: str
    question: str
    overview: tuple[TableView, ...]
    parts: tuple[_Part, ...]


def write_study_report(
    path: Path,
    results: Sequence[ExperimentResult],
    verdicts: Sequence[Verdicts],
    *,
    title: str,
    gaps: Sequence[Gap],
    experiments: Mapping[str, tuple[str, str]],
    commands: Mapping[tuple[str, str], str],
    command: str,
    config: Mapping[str, Any],
    facts: Mapping[str, Mapping[str, str]],
) -> None:
    """Write the experiments as one HTML page, atomically; the same input gives the same bytes.

    Every experiment has a place for every world that any argument names: with its results, or with
    the reason why there are none.

    Args:
        path: the file to write; its folder must exist.
        results: of every experiment and world that was measured.
        verdicts: on the claims.
        title: the page's heading.
        gaps: what is missing or incomplete, and why.
        experiments: by name, (title, question), in the order of the page.
        commands: by (experiment, world), what makes this part again; else `command` does.
        command: what makes the whole page again.
        config: resolved configuration; what JSON does not know is shown as text.
        facts: by world, what was measured on what, in words.

    Raises:
        MemworldError: a frame cannot be shown, or the file cannot be written.
    """
    worlds = tuple(
        dict.fromkeys(
            [*(w for _, w in commands), *facts, *(r.world for r in results), *(g.world for g in gaps if g.world)]
        )
    )
    # What the caller did not announce is shown too, under its bare name.
    known = {**experiments, **{r.experiment: (r.experiment, "") for r in results if r.experiment not in experiments}}
    looks = looks_of(_labels(results, known))
    sections = tuple(
        _section(i, name, words, worlds, results, gaps, commands, command, looks)
        for i, (name, words) in enumerate(known.items())
    )
    page = environment().get_template("study.html.jinja")
    html = page.render(
        title=title,
        verdicts=verdicts,
        counts={said: sum(v.overall.verdict == said for v in verdicts) for said in _VERDICTS},
        without_evidence=sum(not v.worlds for v in verdicts),
        evidence=evidence,
        decided_by=decided_by,
        bar=bar,
        rule=_rule(),
        gaps=_all_gaps(gaps, sections),
        sections=sections,
        worlds=worlds,
        looks=looks,
        kinds=KINDS,
        command=command,
        config=json.dumps(config, indent=2, default=str),
        facts=facts,
        seconds=_seconds(results, known, worlds),
    )
    # Names of files may hold what UTF-8 does not.
    write_bytes(path, html.encode("utf-8", "backslashreplace"))


def figures(
    results: Sequence[ExperimentResult],
    folder: Path,
    wanted: Mapping[str, tuple[str, str]],
    worlds: Sequence[str] = (),
) -> dict[tuple[str, str], Path]:
    """Write the figures of the documentation as small PNGs, `<figure>-<world>.png`; the same input, the same bytes.

    Args:
        results: of the experiments.
        folder: where to write; made if it is not there.
        wanted: name -> (experiment, what its chart's title or y-label says).
        worlds: those to draw; empty for all.

    Returns:
        The files by (figure, world). What was not measured has none.

    Raises:
        MemworldError: a file cannot be written.
    """
    make_folder(folder)
    looks = looks_of(_labels(results, dict.fromkeys(r.experiment for r in results)))
    written = {}
    for result in results:
        for name, (experiment, words) in wanted.items():
            if result.experiment != experiment or (worlds and result.world not in worlds):
                continue
            chart = next((c for c in result.charts if words in f"{c.title}\n{c.y_label}"), None)
            content = chart_png(chart, looks, title=f"{result.world}: {chart.title}") if chart else b""
            if content:
                path = folder / f"{name}-{re.sub(r'[^A-Za-z0-9_.]+', '-', result.world)}.png"
                write_bytes(path, content)
                written[name, result.world] = path
    return written


def _labels(results: Sequence[ExperimentResult], order: Mapping[str, Any]) -> list[str]:
    """The labels of all charts in the page's order, then of all film strips: this is what fixes colours."""
    ordered = [result for name in order for result in results if result.experiment == name]
    charts = [curve.label for result in ordered for chart in result.charts for curve in chart.curves]
    return charts + [label for result in ordered for strip in result.strips for label, _ in strip.rows]


def _section(
    number: int,
    name: str,
    words: tuple[str, str],
    worlds: Sequence[str],
    results: Sequence[ExperimentResult],
    gaps: Sequence[Gap],
    commands: Mapping[tuple[str, str], str],
    command: str,
    looks: Mapping[str, Look],
) -> _Section:
    """One experiment: a part for each of its results, and one for each world that has none."""
    of_experiment = [r for r in results if r.experiment == name]
    parts: list[_Part] = []
    for world in worlds:
        why = tuple(g.why for g in gaps if g.world == world and g.experiment in (name, ""))
        again = commands.get((name, world), command)
        found = [r for r in of_experiment if r.world == world]
        if not found:
            parts.append(_Part(f"part-{number}-{len(parts)}", world, again, why or ("no result was found",)))
        for result in found:
            parts.append(_part(f"part-{number}-{len(parts)}", result, again, why, looks))
    missing = {part.world: "; ".join(part.gaps) for part in parts if part.result is None}
    overview = curves_over_worlds(of_experiment, worlds, missing) if name == OVERVIEW_OF else []
    return _Section(f"experiment-{number}", name, *words, tuple(map(table_view, overview)), tuple(parts))


def _part(id: str, result: ExperimentResult, command: str, gaps: tuple[str, ...], looks: Mapping[str, Look]) -> _Part:
    """One experiment in one world, drawn."""
    heatmaps = tuple(heatmap_view(heatmap, result.world) for heatmap in result.heatmaps)
    groups = chart_groups(result.charts, looks, result.world)
    return _Part(id, result.world, command, gaps, result, tuple(map(table_view, result.tables)), groups, heatmaps)


def _all_gaps(gaps: Sequence[Gap], sections: Sequence[_Section]) -> list[Gap]:
    """The announced gaps, and those that nobody announced, under the experiments' titles."""
    titles = {section.name: section.title for section in sections}
    announced = [Gap(g.world, titles.get(g.experiment, g.experiment), g.why) for g in gaps]
    places = {(g.world, g.experiment) for g in gaps} | {
        (g.world, s.name) for g in gaps if not g.experiment for s in sections
    }
    found = [
        Gap(part.world, section.title, "; ".join(part.gaps))
        for section in sections
        for part in section.parts
        if part.result is None and (part.world, section.name) not in places
    ]
    return announced + found


def _seconds(
    results: Sequence[ExperimentResult], experiments: Mapping[str, tuple[str, str]], worlds: Sequence[str]
) -> TableView:
    """What each part took."""
    took = {(r.experiment, r.world): Number(round(r.seconds, 1)) for r in results}
    rows = tuple(
        Row(title, tuple(took.get((name, world), Number(float("nan"))) for world in worlds))
        for name, (title, _) in experiments.items()
    )
    return table_view(ResultTable("Seconds of each part", "", tuple(worlds), rows))


def _rule() -> list[str]:
    """The paragraphs of the verdicts' own documentation, less the line that names the module."""
    return inspect.cleandoc(claims.__doc__ or "").split("\n\n")[1:]
