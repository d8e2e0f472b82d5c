"""How alike episodes are, and whether search errs less on an episode that is like a remembered one.

Two distances in latent space, both in units of a typical step within an episode: to the nearest
moments, whenever they were, and along the best alignment in time (dynamic time warping).
"""

import time
from collections.abc import Mapping, Sequence

import numpy as np

from memworld.evaluate.config import EvaluationConfig, paper_strategies
from memworld.evaluate.experiments.distances import (
    nearest_between,
    nearest_distances,
    rank_correlation,
    warping_between,
)
from memworld.evaluate.experiments.error_parts import typical_step
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.measuring import evaluation_config, kind_of, methods_of, number, windows_of
from memworld.evaluate.experiments.result import Cell, ExperimentResult, Heatmap, Number, ResultTable, Row
from memworld.evaluate.metrics import median_picture
from memworld.evaluate.results import RESAMPLES
from memworld.evaluate.windows import episodes_of
from memworld.pixels import moving_pixel_l1

HORIZON = 10
"""Steps that are imagined; errors are shown at the first and the last of them."""

MOST = 150
"""Moments of an episode, evenly spaced, that are aligned in time."""

FEW = 10
"""Held-out episodes below which a rank correlation says little."""

STRATEGY = "replay_kl"
LABELS = (f"{STRATEGY} requery", "persistence")
METHODS = (STRATEGY, "persistence", "data_mean", "encoder_bound")


def run(lab: Laboratory) -> ExperimentResult:
    """Compare every two of the remembered and held-out episodes, then distances with errors."""
    began = time.perf_counter()
    config = evaluation_config(
        lab, {STRATEGY: paper_strategies()[STRATEGY]}, ("requery",), min(HORIZON, lab.config.horizon)
    )
    places = episodes_of(lab.held_out, config.horizon)
    held_out = [lab.held_out.ids[place] for place in places]
    remembered = [episode.latents.mu for episode in lab.memory.episodes]
    unseen = [lab.encoder.encode(lab.held_out[place].observations)[0] for place in places]
    unit = typical_step(lab.memory.rows)
    nearest = nearest_between([*remembered, *unseen]) / unit
    aligned = warping_between([*remembered, *unseen], MOST) / unit
    known = len(remembered)
    distances = {
        "nearest moments": nearest[known:, :known].min(1),
        "aligned in time": aligned[known:, :known].min(1),
        "all of memory": np.array([nearest_distances(mu, remembered).min(1).mean() for mu in unseen]) / unit,
    }
    neighbours = {
        "nearest moments": [lab.memory.ids[i] for i in nearest[known:, :known].argmin(1)],
        "aligned in time": [lab.memory.ids[i] for i in aligned[known:, :known].argmin(1)],
    }
    errors = _errors(lab, config)
    labels = (*lab.memory.ids, *(f"held out: {name}" for name in held_out))
    told = _correlations(distances, errors, config)
    return ExperimentResult(
        "similarity",
        lab.world,
        tables=(_nearest_table(held_out, neighbours, distances, errors, config), told),
        heatmaps=(
            Heatmap("Distance to the nearest moments, whenever", labels, nearest, "typical steps"),
            Heatmap("Distance when aligned in time", labels, aligned, "typical steps"),
        ),
        notes=(
            *_about(lab, unit, len(places), config),
            _found(nearest[:known, :known], distances, told, len(places), config),
        ),
        seconds=time.perf_counter() - began,
    )


def _shown(config: EvaluationConfig) -> tuple[int, ...]:
    """The first and the last step."""
    return tuple(sorted({1, config.horizon}))


def _errors(lab: Laboratory, config: EvaluationConfig) -> dict[str, np.ndarray]:
    """By method, (E, shown): error on moving pixels, means over the windows of every held-out episode."""
    methods = [method for method in methods_of(lab, config) if method.name in METHODS]
    median, shown = median_picture(lab.training), [h - 1 for h in _shown(config)]
    found: dict[str, list[np.ndarray]] = {name: [] for name in METHODS}
    for windows in windows_of(lab, config, "similarity"):
        for method in methods:
            frames = method.predict(windows).frames
            values = [moving_pixel_l1(windows.true_frames[:, t], frames[:, t], median) for t in shown]
            # Without the windows in which nothing moves; NaN where that is so in all.
            found[method.name].append(
                np.array([v[~np.isnan(v)].mean() if not np.isnan(v).all() else np.nan for v in values])
            )
    return {name: np.stack(values) for name, values in found.items()}


def _nearest_table(
    held_out: Sequence[str],
    neighbours: Mapping[str, Sequence[str]],
    distances: Mapping[str, np.ndarray],
    errors: Mapping[str, np.ndarray],
    config: EvaluationConfig,
) -> ResultTable:
    """Every held-out episode with the most similar remembered ones, and how far off predictions are on it."""
    of_errors = {f"{name} t={t}": errors[name][:, i] for i, t in enumerate(_shown(config)) for name in METHODS}
    columns = {**distances, **of_errors}
    rows = []
    for i, name in enumerate(held_out):
        cells: list[Cell] = [neighbours[kind][i] for kind in neighbours]
        rows.append(Row(name, (*cells, *(Number(float(values[i])) for values in columns.values()))))
    means = [number(values, config.seed) for values in columns.values()]
    rows.append(Row("mean", (*("" for _ in neighbours), *means)))
    return ResultTable(
        "Held-out episodes and the remembered one most like each",
        "Distances are in typical steps: to the nearest moments of the most similar remembered episode, to the one "
        "that is nearest when aligned in time, and to the nearest moments of all of memory. Errors are on moving "
        "pixels, means over windows; lower is better. Intervals are over held-out episodes.",
        (*(f"most like it: {kind}" for kind in neighbours), *columns),
        tuple(rows),
    )


def _correlations(
    distances: Mapping[str, np.ndarray], errors: Mapping[str, np.ndarray], config: EvaluationConfig
) -> ResultTable:
    """Whether distance to memory tells error, of search and of what does not search."""
    rows = [
        Row(
            f"{name} requery" if name == STRATEGY else name,
            tuple(
                correlation(far, errors[name][:, i], config.seed)
                for i in range(len(_shown(config)))
                for far in distances.values()
            ),
            kind_of(name),
        )
        for name in METHODS
    ]
    return ResultTable(
        "Does similarity tell the error?",
        "Spearman's rank correlation over held-out episodes of distance and error on moving pixels, with bootstrap "
        "intervals over them, which are left out where all resamples agree. Where it is as high "
        "for a method that does not search, far episodes are only harder.",
        tuple(f"t={t}: {kind}" for t in _shown(config) for kind in distances),
        tuple(rows),
    )


def correlation(a: np.ndarray, b: np.ndarray, seed: int) -> Number:
    """Spearman's rank correlation of two (N,) arrays and its 95% percentile bootstrap interval over pairs.

    Resamples that are constant have no correlation and are left out. The ends are NaN where the
    correlation is, and where all resamples agree: a perfect one stays perfect in every resample,
    which tells nothing of how others would do.
    """
    import scipy.stats  # here and not above, as it is slow to import and only an experiment needs it

    known = np.isfinite(a) & np.isfinite(b)
    pairs = np.stack([a, b])[:, known]
    value = rank_correlation(*pairs)
    if np.isnan(value):
        return Number(value)
    n = pairs.shape[1]
    drawn = np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))
    ranks = scipy.stats.rankdata(pairs[:, drawn], axis=2) - (n + 1) / 2
    covariance, scale = (ranks[0] * ranks[1]).sum(1), np.sqrt((ranks**2).sum(2).prod(0))
    resampled = covariance[scale > 0] / scale[scale > 0]
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Number(value, float(low), float(high)) if low < high else Number(value)


def _about(lab: Laboratory, unit: float, measured: int, config: EvaluationConfig) -> tuple[str, ...]:
    """What distances are, and which episodes are missing."""
    about = (
        f"Distances are between means of posteriors, in units of the typical step: {unit:.3g}, the mean distance from "
        f"one remembered moment to the next. In time, up to {MOST} evenly spaced moments of each episode are aligned, "
        "from the first to the last; with longer episodes even equal courses are then some steps apart where their "
        "moments fall between one another's.",
    )
    short = len(lab.held_out) - measured
    return (*about, f"{short} held-out episodes of fewer than {config.horizon} steps are left out.") if short else about


def _found(
    between: np.ndarray, distances: Mapping[str, np.ndarray], told: ResultTable, n: int, config: EvaluationConfig
) -> str:
    """What came out, in words."""
    others = between[~np.eye(len(between), dtype=bool)]
    typical = f"{others.mean():.2f}" if len(others) else "no number of"
    place = told.columns.index(f"t={config.horizon}: all of memory")
    search, still = (next(row.cells[place] for row in told.rows if row.label == label) for label in LABELS)
    few = f" {n} episodes are few: even a high correlation over them may be chance." if n < FEW else ""
    return (
        f"Remembered episodes are {typical} typical steps from one another, a held-out one is "
        f"{distances['nearest moments'].mean():.2f} from the one most like it. Distance to memory goes with the error "
        f"of {STRATEGY} at t = {config.horizon} at a rank correlation of {_words(search)}, and with that of "
        f"persistence, which searches nothing, of {_words(still)}.{few}"
    )


def _words(cell: Cell) -> str:
    """A correlation with its interval."""
    assert isinstance(cell, Number)
    if np.isnan(cell.value):
        return "none (too few episodes, or constant)"
    if np.isnan(cell.low):
        return f"{cell.value:+.2f} (without an interval)"
    return f"{cell.value:+.2f} (95% interval {cell.low:+.2f} to {cell.high:+.2f})"
