"""What an experiment gives in one world: tables, charts, film strips and evidence, as plain data that lies on disk.

Nothing here draws: the report does. A result is written when its experiment ends, so that an
interrupted series goes on with the next one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from memworld.errors import MemworldError
from memworld.evaluate.results import MetricRow, Strip, read_metrics, write_metrics
from memworld.storage import KIND_KEY, make_folder, one_line, read_arrays, read_json, write_arrays, write_json

KIND = "experiment"
"""What `result.json` says that it is."""


@dataclass(frozen=True)
class Number:
    """A number with its interval.

    Attributes:
        value: the number; NaN where there is none.
        low: lower end of its 95% interval; NaN where there is none.
        high: upper end.
    """

    value: float
    low: float = float("nan")
    high: float = float("nan")


Cell = Number | str
"""One cell of a table: a number, or words; "" where there is nothing to say."""


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        label: method and mode, or whatever the rows of this table are.
        cells: one per column.
        kind: what the method is, if it is no search (`evaluate.results.KINDS`).
    """

    label: str
    cells: tuple[Cell, ...]
    kind: str = ""


@dataclass(frozen=True)
class ResultTable:
    """A table.

    Attributes:
        title: what it shows, in a few words.
        about: how to read it: what the numbers are, which way is better.
        columns: their names.
        rows: as many cells each as there are columns.
    """

    title: str
    about: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        assert all(len(row.cells) == len(self.columns) for row in self.rows), self.title


@dataclass(frozen=True)
class Curve:
    """One line of a chart.

    Attributes:
        label: as `label_of` gives it for a method, so that it has the same colour in every chart.
        x: places on the axis, ascending.
        y: values.
        low: lower ends of 95% intervals; empty where there are none.
        high: upper ends.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        assert len(self.x) == len(self.y), self.label
        assert len(self.low) == len(self.high) and len(self.low) in (0, len(self.x)), self.label  # noqa: PT018


@dataclass(frozen=True)
class Chart:
    """Lines over one axis."""

    title: str
    x_label: str
    y_label: str
    curves: tuple[Curve, ...]
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True, eq=False)
class Heatmap:
    """A matrix as a picture.

    Attributes:
        title: what it shows.
        labels: names of rows, which are those of the columns.
        values: float64 (N, N); NaN is left blank.
        unit: what a number is.
    """

    title: str
    labels: tuple[str, ...]
    values: np.ndarray
    unit: str


@dataclass(frozen=True)
class Evidence:
    """What one world says about a claim: two quantities, measured on the same episodes.

    Attributes:
        claim: id of one of the study's claims.
        compared: what `a` and `b` are, in words.
        a: one number per episode.
        b: one number per episode, paired with `a`.
    """

    claim: str
    compared: str
    a: tuple[float, ...]
    b: tuple[float, ...]

    def __post_init__(self) -> None:
        assert len(self.a) == len(self.b) > 0, (self.claim, len(self.a), len(self.b))


@dataclass(frozen=True, eq=False)
class ExperimentResult:
    """Everything that one experiment found in one world.

    Attributes:
        experiment: its name.
        world: the world's name.
        tables: tables.
        charts: charts.
        heatmaps: matrices.
        strips: film strips.
        evidence: what it says about the study's claims.
        metrics: all numbers of an evaluation, if the experiment is one.
        notes: plain sentences about what was found, was left out, or does not hold.
        seconds: what it took.
    """

    experiment: str
    world: str
    tables: tuple[ResultTable, ...] = ()
    charts: tuple[Chart, ...] = ()
    heatmaps: tuple[Heatmap, ...] = ()
    strips: tuple[Strip, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    metrics: tuple[MetricRow, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


def write_result(folder: Path, result: ExperimentResult, settings: Mapping[str, Any]) -> None:
    """Write a result into `folder`: arrays and metrics, then `result.json`, by which it counts as finished."""
    make_folder(folder)
    arrays: dict[str, np.ndarray] = {}
    for i, heatmap in enumerate(result.heatmaps):
        arrays[f"heatmap.{i}"] = np.ascontiguousarray(heatmap.values, np.float64)
    for i, strip in enumerate(result.strips):
        arrays |= {f"strip.{i}.start": strip.start_frame, f"strip.{i}.truth": strip.truth}
        arrays |= {f"strip.{i}.row.{j}": frames for j, (_, frames) in enumerate(strip.rows)}
    write_arrays(folder / "arrays.safetensors", {k: np.ascontiguousarray(v) for k, v in arrays.items()})
    plain = asdict(replace(result, heatmaps=(), strips=(), metrics=()))
    plain["heatmaps"] = [{"title": h.title, "labels": h.labels, "unit": h.unit} for h in result.heatmaps]
    plain["strips"] = [
        {"episode": s.episode, "start": s.start, "horizons": s.horizons, "labels": [label for label, _ in s.rows]}
        for s in result.strips
    ]
    if result.metrics:
        write_metrics(folder / "metrics.parquet", result.metrics)
    write_json(
        folder / "result.json",
        {KIND_KEY: KIND, "settings": dict(settings), "metrics": bool(result.metrics), "result": _without_nan(plain)},
    )


def read_result(
    folder: Path, experiment: str, world: str, settings: Mapping[str, Any] | None = None
) -> ExperimentResult | None:
    """Read what `write_result` wrote; None if it is not there.

    Raises:
        MemworldError: it is of another experiment or world, was made with other settings, or is damaged.
    """
    path = folder / "result.json"
    if not path.exists():
        return None
    stored = read_json(path, KIND)
    metrics = folder / "metrics.parquet"
    try:
        if settings is not None and stored["settings"] != dict(settings):
            raise MemworldError(f"{path} was made with other settings: name another folder, or use --overwrite")
        if (stored["result"]["experiment"], stored["result"]["world"]) != (experiment, world):
            raise ValueError(f"it is of {stored['result']['experiment']} in {stored['result']['world']}")
        if stored["metrics"] != metrics.exists():
            raise ValueError("metrics.parquet is missing or another's")
        parsed = _parse(stored["result"], read_arrays(folder / "arrays.safetensors", "arrays of a result"))
        return replace(parsed, metrics=tuple(read_metrics(metrics)) if metrics.exists() else ())
    except (AssertionError, AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        if isinstance(error, MemworldError):
            raise
        raise MemworldError(
            f"{path} is damaged ({type(error).__name__}: {one_line(error)}): delete it, and it is made again"
        ) from error


def _parse(plain: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> ExperimentResult:
    return ExperimentResult(
        experiment=str(plain["experiment"]),
        world=str(plain["world"]),
        tables=tuple(_table(table) for table in plain["tables"]),
        charts=tuple(
            Chart(**{**chart, "curves": tuple(_curve(curve) for curve in chart["curves"])}) for chart in plain["charts"]
        ),
        heatmaps=tuple(
            Heatmap(h["title"], tuple(h["labels"]), arrays[f"heatmap.{i}"], h["unit"])
            for i, h in enumerate(plain["heatmaps"])
        ),
        strips=tuple(_strip(strip, i, arrays) for i, strip in enumerate(plain["strips"])),
        evidence=tuple(
            Evidence(e["claim"], e["compared"], tuple(_numbers(e["a"])), tuple(_numbers(e["b"])))
            for e in plain["evidence"]
        ),
        notes=tuple(map(str, plain["notes"])),
        seconds=float(plain["seconds"]),
    )


def _table(plain: Mapping[str, Any]) -> ResultTable:
    rows = tuple(Row(row["label"], tuple(_cell(c) for c in row["cells"]), row["kind"]) for row in plain["rows"])
    return ResultTable(plain["title"], plain["about"], tuple(plain["columns"]), rows)


def _cell(plain: Any) -> Cell:
    return plain if isinstance(plain, str) else Number(*_numbers([plain["value"], plain["low"], plain["high"]]))


def _curve(plain: Mapping[str, Any]) -> Curve:
    return Curve(plain["label"], *(tuple(_numbers(plain[name])) for name in ("x", "y", "low", "high")))


def _strip(plain: Mapping[str, Any], number: int, arrays: Mapping[str, np.ndarray]) -> Strip:
    rows = tuple((label, arrays[f"strip.{number}.row.{j}"]) for j, label in enumerate(plain["labels"]))
    start, truth = arrays[f"strip.{number}.start"], arrays[f"strip.{number}.truth"]
    if not all(len(frames) == len(plain["horizons"]) for frames in (truth, *(frames for _, frames in rows))):
        raise ValueError("a strip has as many frames as steps")
    return Strip(plain["episode"], int(plain["start"]), tuple(plain["horizons"]), start, truth, rows)


def _numbers(values: Sequence[Any]) -> list[float]:
    return [float("nan") if value is None else float(value) for value in values]


def _without_nan(value: Any) -> Any:
    """The same with null for every number that JSON does not know."""
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
