"""Made-up results of experiments, with all that their report shows."""

import math
from collections.abc import Sequence

import numpy as np

from memworld.evaluate.experiments.result import (
    Chart,
    Curve,
    Evidence,
    ExperimentResult,
    Heatmap,
    Number,
    ResultTable,
    Row,
)
from memworld.evaluate.results import KINDS, Strip
from memworld.studies import PAPER

METHODS = (
    "encoder_bound", "persistence", "data_mean", "rssm_pixels", "rssm_latents", "latent_gru",
    "rollout requery", "rollout follow", "replay_l2 requery", "replay_l2 follow",
    "replay_kl requery", "replay_kl follow", "oracle",
)  # fmt: skip
HORIZONS = (1, 5, 10, 20, 50)
HEIGHT, WIDTH = 6, 9


def error(method: str, horizon: int, scale: float = 0.05) -> float:
    """Grows with the horizon, a little differently for every method."""
    if method == "encoder_bound":
        return scale / 2
    return scale * (0.6 + METHODS.index(method) / 20 + math.log1p(horizon) / 3)


def horizon_result(world: str, hostile: str = "", scale: float = 0.05, strips: int = 1) -> ExperimentResult:
    """The experiment about horizons: five tables and charts of all methods, in which a bound is 0 on a log axis."""
    tables, charts = [], []
    for title, log_y, factor in (("error on moving pixels", False, 1.0), ("KL", True, 4000.0)):
        rows, curves = [], []
        for method in METHODS:
            zero = log_y and method == "encoder_bound"
            values = [0.0 if zero else factor * error(method, h, scale) for h in range(1, 51)]
            numbers = [Number(values[h - 1], values[h - 1] * 0.9, values[h - 1] * 1.12) for h in HORIZONS]
            rows.append(Row(method, tuple(numbers), KINDS.get(method.split()[0], "")))
            x = tuple(float(h) for h in range(1, 51))
            curves.append(
                Curve(method, x, tuple(values), tuple(v * 0.9 for v in values), tuple(v * 1.12 for v in values))
            )
        tables.append(ResultTable(title, "Lower is better." + hostile, tuple(f"t={h}" for h in HORIZONS), tuple(rows)))
        y_label = "moving_pixel_l1" if not log_y else "kl, nats"
        charts.append(Chart(title + hostile, "steps ahead, t", y_label + hostile, tuple(curves), log_y=log_y))
    return ExperimentResult(
        "horizon",
        world,
        tables=tuple(tables),
        charts=tuple(charts),
        strips=tuple(make_strip(f"e{i}{hostile}", i) for i in range(strips)),
        notes=(f"A note.{hostile}", "Another."),
        seconds=12.34,
    )


def make_strip(episode: str, seed: int, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> Strip:
    """A film strip of noise."""
    rng = np.random.default_rng(seed)

    def frames(*leading: int) -> np.ndarray:
        return rng.integers(0, 256, (*leading, *shape, 3), np.uint8)

    shown = HORIZONS[:4]
    return Strip(episode, 7, shown, frames(), frames(4), tuple((name, frames(4)) for name in METHODS[:4]))


def coverage_result(world: str, hostile: str = "") -> ExperimentResult:
    """Few points, with names that are no method's, and a matrix."""
    sizes = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
    curves = [
        Curve(
            f"{words}{hostile}",
            sizes,
            tuple(0.12 - 0.01 * i * (1 + k) / 2 for i in range(6)),
            tuple(0.11 - 0.01 * i * (1 + k) / 2 for i in range(6)),
            tuple(0.13 - 0.01 * i * (1 + k) / 2 for i in range(6)),
        )
        for k, words in enumerate(("at random", "for coverage", "for the lack of it"))
    ]
    curves.append(Curve("persistence", (30.0,), (0.1,), (0.09,), (0.115,)))
    table = ResultTable(
        "share covered" + hostile,
        "Higher is more.",
        ("episodes", "covered" + hostile, "what it says"),
        (
            Row("5 episodes, for coverage", (Number(5), Number(0.71, 0.65, 0.78), "enough" + hostile)),
            Row("30 episodes, for the lack of it", (Number(30), Number(math.nan), "")),
        ),
    )
    names = tuple(f"{world}-episode_{i:04d}{hostile}" for i in range(7))
    values = np.abs(np.subtract.outer(np.arange(7.0), np.arange(7.0)))
    np.fill_diagonal(values, np.nan)
    chart = Chart("error over episodes" + hostile, "episodes" + hostile, "moving_pixel_l1", tuple(curves), log_x=True)
    return ExperimentResult(
        "coverage",
        world,
        tables=(table,),
        charts=(chart, Chart("nothing" + hostile, "x", "y", ())),
        heatmaps=(Heatmap("distance between episodes" + hostile, names, values, "latent distance" + hostile),),
        seconds=3.0,
    )


def with_evidence(result: ExperimentResult, ratios: Sequence[float]) -> ExperimentResult:
    """The same result with evidence on the first claims: in each, `a` is so many times `b`."""
    b = np.random.default_rng(len(ratios)).uniform(0.9, 1.1, 8)
    noise = np.random.default_rng(1).uniform(0.95, 1.05, 8)
    evidence = tuple(
        Evidence(claim.id, f"t = 1 in {result.world}", tuple((ratio * b * noise).tolist()), tuple(b.tolist()))
        for claim, ratio in zip(PAPER.claims, ratios, strict=False)
    )
    return ExperimentResult(**{**vars(result), "evidence": evidence})
