"""What the experiments share: methods on a laboratory's held-out windows, and tables and charts of what they gave."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from tqdm import tqdm

from memworld.engine import DynamicsSettings
from memworld.evaluate.config import PAPER_MODES, EvaluationConfig, paper_strategies
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.result import Chart, Curve, Evidence, Number, ResultTable, Row
from memworld.evaluate.methods import Method, Predicted
from memworld.evaluate.protocol import all_methods
from memworld.evaluate.results import KINDS, RESAMPLES, MetricRow, Table, expanded_tail, interval, label_of
from memworld.evaluate.windows import Windows, episodes_of, held_out_windows
from memworld.imagine import Mode
from memworld.world_model import WorldModel

MEAN_OVER = (1, 5, 10, 20)
"""Horizons over which claims about no horizon in particular are decided."""

PerEpisode = Mapping[tuple[str, str, str], np.ndarray]
"""By method, mode and metric, (E, T): means over windows of every held-out episode."""


def evaluation_config(
    lab: Laboratory,
    dynamics: Mapping[str, DynamicsSettings] | None = None,
    modes: Sequence[Mode] = PAPER_MODES,
    horizon: int | None = None,
) -> EvaluationConfig:
    """The laboratory's sizes as settings of an evaluation; None is the paper's strategies, and its horizon."""
    config = lab.config
    return EvaluationConfig(
        horizon=horizon or config.horizon,
        starts=config.starts,
        shown=config.shown,
        dynamics=dynamics or paper_strategies(),
        modes=tuple(modes),
        seed=config.seed,
        timing_batch=config.timing_batch,
        strips=2,
        retrievals=0,
    )


def methods_of(lab: Laboratory, config: EvaluationConfig) -> list[Method]:
    """Bounds, baselines, trained models, the searches of `config`, and the oracle under its label."""
    worlds = {name: WorldModel(lab.encoder, lab.memory, dynamics) for name, dynamics in config.dynamics.items()}
    return all_methods(lab.encoder, lab.memory, lab.training, worlds, lab.models, config)


def windows_of(lab: Laboratory, config: EvaluationConfig, what: str) -> Iterator[Windows]:
    """The windows of every held-out episode, the same for every experiment of a horizon, with a progress bar."""
    windows = held_out_windows(
        lab.held_out, lab.encoder, config.horizon, config.starts, config.seed, past=config.context - 1
    )
    total = len(episodes_of(lab.held_out, config.horizon))
    yield from tqdm(windows, total=total, desc=f"{lab.world}: {what}", unit="episode", disable=not lab.progress)


def at_steps(windows: Windows, predicted: Predicted, steps: Sequence[int]) -> tuple[Windows, Predicted]:
    """Truth and prediction at some steps ahead alone, without the rollout: measuring takes longer than predicting."""
    at = [step - 1 for step in steps]
    states = windows.true_states
    truth = replace(
        windows,
        true_frames=windows.true_frames[:, at],
        true_latents=windows.true_latents[:, at],
        true_states=None if states is None else states[:, at],
    )
    known = None if predicted.states is None else predicted.states[:, at]
    return truth, Predicted(predicted.latents[:, at], predicted.frames[:, at], known)


def number(per_episode: np.ndarray, seed: int) -> Number:
    """The mean of (E,) numbers, one per held-out episode, and its 95% bootstrap interval."""
    mean, low, high = interval(np.asarray(per_episode, np.float64), seed)
    return Number(float(mean), float(low), float(high))


def gaps(lab: Laboratory, horizon: int) -> tuple[str, ...]:
    """What is missing in an experiment, in words: baselines that could not be trained, episodes that are too short."""
    missing = [f"{name} is missing: {why}." for name, why in lab.left_out.items()]
    short = len(lab.held_out) - len(episodes_of(lab.held_out, horizon))
    if short:
        missing.append(f"{short} held-out episodes of fewer than {horizon} steps are left out.")
    return tuple(missing)


def numbers(per_episode: np.ndarray, seed: int) -> tuple[Number, ...]:
    """(E, C) numbers, one row per held-out episode, to C means with their intervals, resampled together."""
    sides = interval(np.asarray(per_episode, np.float64), seed)
    return tuple(Number(*map(float, cell)) for cell in zip(*sides, strict=True))


def ratio(a: np.ndarray, b: np.ndarray, seed: int) -> Number:
    """The mean of (E,) numbers over that of others, and its 95% interval, of episodes drawn anew for both at once."""
    pairs = np.array([a, b], np.float64)
    pairs = pairs[:, np.isfinite(pairs).all(0)]
    count = pairs.shape[1]
    if count == 0:
        return Number(float("nan"))
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(np.divide(*pairs.mean(1)))
        if count == 1:
            return Number(value)
        chosen = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))
        draws = np.divide(*pairs[:, chosen].mean(2))
    if np.isnan(draws).all():  # nothing over nothing
        return Number(value)
    tail = expanded_tail(count)
    low, high = np.nanquantile(draws, [tail, 1 - tail], method="inverted_cdf")
    return Number(value, float(low), float(high))


def timed_in_turn(
    lab: Laboratory, dynamics: Sequence[DynamicsSettings], horizon: int, repetitions: int, batch: int | None = None
) -> list[tuple[float, ...]]:
    """Milliseconds per imagined step and world of several dynamics, one after the other in every repetition.

    Whatever else slows the machine slows all alike. Nothing is decoded.

    Args:
        lab: gives memory and starts.
        dynamics: what to time, each in its own mode.
        horizon: steps of an imagination.
        repetitions: of each, after a first one that also builds its index.
        batch: imagined worlds at once; None takes the laboratory's.
    """
    windows = next(held_out_windows(lab.held_out, lab.encoder, horizon, batch or lab.config.timing_batch, 0, past=3))
    worlds = [WorldModel(lab.encoder, lab.memory, settings) for settings in dynamics]
    spent: list[list[float]] = [[] for _ in worlds]
    for repetition in range(repetitions + 1):
        for world, times in zip(worlds, spent, strict=True):
            began = time.perf_counter()
            world.imagine(windows.start_latents, windows.actions, past=windows.past, seed=repetition, decode=False)
            times.append((time.perf_counter() - began) * 1000 / (horizon * len(windows.starts)))
    return [tuple(times[1:]) for times in spent]


def curve(label: str, per_episode: np.ndarray, seed: int, x: Iterable[float] | None = None) -> Curve:
    """(E, T) numbers, one row per held-out episode, to a line with its band; None of `x` takes the steps 1 to T."""
    y, low, high = (tuple(map(float, side)) for side in interval(np.asarray(per_episode, np.float64), seed))
    return Curve(label, tuple(map(float, range(1, len(y) + 1) if x is None else x)), y, low, high)


def kind_of(method: str) -> str:
    """What a method is, if it is no search."""
    return KINDS.get(method, "")


def metric_table(table: Table, metric: str, title: str, about: str, horizons: Iterable[int]) -> ResultTable | None:
    """One metric of every method that has it, over horizons; None if none has."""
    shown = tuple(horizons)
    rows = []
    for name, mode in table.methods:
        cells = [table.get(name, mode, metric, horizon) for horizon in shown]
        if any(cell is not None for cell in cells):
            rows.append(Row(label_of(name, mode), tuple(as_number(cell) for cell in cells), kind_of(name)))
    return ResultTable(title, about, tuple(f"t={h}" for h in shown), tuple(rows)) if rows else None


def as_number(row: MetricRow | None) -> Number:
    """A row of an evaluation's table as a cell."""
    return Number(float("nan")) if row is None else Number(row.value, row.low, row.high)


def metric_chart(table: Table, metric: str, title: str, y_label: str, log_y: bool = False) -> Chart:
    """One metric of every method that has it, over all horizons."""
    curves = []
    for name, mode in table.methods:
        rows = [row for h in table.horizons if (row := table.get(name, mode, metric, h)) is not None]
        if rows:
            x, y = tuple(float(r.horizon) for r in rows), tuple(r.value for r in rows)
            curves.append(Curve(label_of(name, mode), x, y, tuple(r.low for r in rows), tuple(r.high for r in rows)))
    return Chart(title, "steps ahead, t", y_label, tuple(curves), log_y=log_y)


def at(per_episode: PerEpisode, method: str, mode: str, metric: str, horizons: Sequence[int]) -> np.ndarray | None:
    """(E,): a metric's mean over some horizons in every held-out episode; None if it was not measured so far ahead."""
    values = per_episode.get((method, mode, metric))
    if values is None or max(horizons) > values.shape[1]:
        return None
    return np.asarray(values[:, [h - 1 for h in horizons]].mean(1))


def evidence(claim: str, compared: str, a: np.ndarray | None, b: np.ndarray | None) -> tuple[Evidence, ...]:
    """Evidence on a claim from two (E,) arrays; none where one of them was not measured."""
    if a is None or b is None:
        return ()
    return (Evidence(claim, compared, tuple(map(float, a)), tuple(map(float, b))),)
