"""One step and many: every strategy, mode and baseline on every metric, over the horizon."""

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from memworld.engine import DynamicsSettings
from memworld.evaluate.experiments.config import VAST
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.measuring import (
    MEAN_OVER,
    at,
    evaluation_config,
    evidence,
    gaps,
    metric_chart,
    metric_table,
)
from memworld.evaluate.experiments.result import Chart, Evidence, ExperimentResult
from memworld.evaluate.protocol import evaluate
from memworld.evaluate.results import Evaluation

METRICS = {
    "moving_pixel_l1": ("error on moving pixels", False),
    "state_error": ("error of the world's state", False),
    "kl": ("KL to the true frame's posterior, nats", True),
    "l1": ("whole-frame L1", False),
    "ssim": ("SSIM (1 is best)", False),
}
"""The metrics, in words, and whether their axis is logarithmic."""


def run(lab: Laboratory) -> ExperimentResult:
    """Measure everything on the held-out episodes."""
    evaluation, result = measure(lab, "horizon")
    return replace(result, evidence=_evidence(lab.world, evaluation))


def measure(
    lab: Laboratory,
    experiment: str,
    dynamics: Mapping[str, DynamicsSettings] | None = None,
    horizon: int | None = None,
) -> tuple[Evaluation, ExperimentResult]:
    """Everything on the held-out episodes, as an evaluation, and as tables and charts without evidence.

    Args:
        lab: where.
        experiment: the result's name.
        dynamics: the searches; None takes the paper's strategies.
        horizon: steps ahead; None takes the laboratory's.
    """
    began = time.perf_counter()
    config = evaluation_config(lab, dynamics, horizon=horizon)
    evaluation = evaluate(
        lab.encoder, lab.memory, lab.training, lab.held_out, config, lab.models, progress=lab.progress
    )
    table = evaluation.table
    tables = [
        metric_table(table, metric, words, "Lower is better." if metric != "ssim" else "", config.shown_horizons)
        for metric, (words, _) in METRICS.items()
    ]
    charts: list[Chart] = [
        metric_chart(table, metric, words, metric, log_y)
        for metric, (words, log_y) in METRICS.items()
        if metric in table.metrics
    ]
    return evaluation, ExperimentResult(
        experiment,
        lab.world,
        tables=tuple(t for t in tables if t is not None),
        charts=tuple(charts),
        strips=evaluation.strips,
        metrics=table.rows,
        notes=(*gaps(lab, config.horizon), *evaluation.warnings, *evaluation.misses),
        seconds=time.perf_counter() - began,
    )


def _evidence(world: str, evaluation: Evaluation) -> tuple[Evidence, ...]:
    """What the numbers say about the claims that are about errors over the horizon."""
    found = evaluation.per_episode
    pixels, kl = "moving_pixel_l1", "kl"

    def search(metric: str, *horizons: int, name: str = "replay_kl") -> np.ndarray | None:
        return at(found, name, "requery", metric, horizons)

    def trained(name: str, metric: str, horizon: int) -> np.ndarray | None:
        return at(found, name, "", metric, [horizon])

    latents = "rssm_latents"
    parts = [
        evidence("one_step_comparable", "t = 1", search(pixels, 1), trained(latents, pixels, 1)),
        evidence("long_horizon_better", "t = 20", search(pixels, 20), trained(latents, pixels, 20)),
        evidence("long_horizon_better_than_pixels", "t = 20", search(pixels, 20), trained("rssm_pixels", pixels, 20)),
        evidence("long_horizon_latents", "t = 20", search(kl, 20), trained(latents, kl, 20)),
        evidence(
            "kl_sharper_than_l2",
            "mean over t = 1, 5, 10, 20",
            search(pixels, *MEAN_OVER),
            search(pixels, *MEAN_OVER, name="replay_l2"),
        ),
        evidence(
            "kl_closer_than_l2",
            "mean over t = 1, 5, 10, 20",
            search(kl, *MEAN_OVER),
            search(kl, *MEAN_OVER, name="replay_l2"),
        ),
    ]
    if world in VAST:
        parts.append(evidence("vast_worlds_fail", "t = 10", trained(latents, pixels, 10), search(pixels, 10)))
    return tuple(item for part in parts for item in part)
