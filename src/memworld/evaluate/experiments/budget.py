"""Quality against seconds: how far from the truth every method is, beside the time since the episodes arrived."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from memworld.baselines import Baseline
from memworld.evaluate.config import EvaluationConfig, paper_strategies
from memworld.evaluate.experiments.fairness import fairness, validation_looks
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.measuring import (
    as_number,
    at,
    evaluation_config,
    evidence,
    gaps,
    kind_of,
    timed_in_turn,
)
from memworld.evaluate.experiments.result import (
    Cell,
    Chart,
    Curve,
    Evidence,
    ExperimentResult,
    Number,
    ResultTable,
    Row,
)
from memworld.evaluate.protocol import evaluate
from memworld.evaluate.results import Evaluation, interval, label_of

HORIZONS = (1, 5, 10, 20)
"""Steps ahead of the tables."""

DRAWN = (5, 20)
"""Steps ahead of the charts."""

PIXELS = "moving_pixel_l1"

METRICS = {PIXELS: "error on moving pixels", "kl": "KL to the true frame's posterior, nats"}

OWN_ENCODER = ("rssm_pixels",)
"""Baselines that need no encoder but their own, whose training is part of theirs."""

SITUATIONS = ("encoder given", "from nothing")
"""Whether an encoder is there when the episodes arrive, or must be trained on them first."""

REPETITIONS = 7
"""Times that a search is timed."""


@dataclass(frozen=True)
class Contender:
    """A method, and when its predictions are to be had.

    Attributes:
        method: its name in the evaluation.
        mode: its mode there.
        label: its row's name in tables.
        curve: its curve's name in charts, which a baseline's budgets share.
        kind: what it is, if it is no search.
        ready: seconds since the episodes arrived, in either of `SITUATIONS`; NaN if not known, and of what is
            always there.
    """

    method: str
    mode: str
    label: str
    curve: str
    kind: str
    ready: tuple[float, float]


def run(lab: Laboratory) -> ExperimentResult:
    """Measure all methods, and the baselines at every training budget, on the held-out episodes."""
    began = time.perf_counter()
    config = evaluation_config(lab, horizon=min(max(HORIZONS), lab.config.horizon))
    models = {name: model for name, (_, model) in _trainings(lab).items()}
    evaluation = evaluate(lab.encoder, lab.memory, lab.training, lab.held_out, config, models, progress=lab.progress)
    contenders = _contenders(lab, evaluation)
    drawn = [h for h in DRAWN if h <= config.horizon] or [config.horizon]
    return ExperimentResult(
        "budget",
        lab.world,
        tables=tuple(_table(metric, contenders, evaluation, config) for metric in METRICS),
        charts=(
            *(_chart(h, place, contenders, evaluation) for place in range(len(SITUATIONS)) for h in drawn),
            *_histories(lab),
        ),
        evidence=(*_zero_shot(lab, evaluation), _alternating(lab, config.horizon)),
        notes=(
            *gaps(lab, config.horizon),
            *fairness(lab),
            *_overtaking(contenders, evaluation, drawn),
            *_missing(lab),
        ),
        seconds=time.perf_counter() - began,
    )


def _trainings(lab: Laboratory) -> dict[str, tuple[float, Baseline]]:
    """Seconds and model of every training, by the name in the evaluation: those for less, then the full one."""
    found: dict[str, tuple[float, Baseline]] = {}
    for name, model in lab.models.items():
        found |= {_less(name, i): training for i, training in enumerate(lab.budgets.get(name, ()))}
        found[name] = (lab.seconds.get(name, float("nan")), model)
    return found


def _less(name: str, place: int) -> str:
    """The name in the evaluation of a baseline trained for less."""
    return f"{name}, budget {place + 1}"


def _contenders(lab: Laboratory, evaluation: Evaluation) -> list[Contender]:
    """All methods but the oracle, in the evaluation's order."""
    encoder, remember = (lab.seconds.get(stage, float("nan")) for stage in ("encoder", "remember"))
    trainings = _trainings(lab)
    names = {_less(name, i): name for name in lab.models for i in range(len(lab.budgets.get(name, ())))}
    found = []
    for method, mode in evaluation.table.methods:
        name, label = names.get(method, method), label_of(method, mode)
        if method in trainings:
            seconds = trainings[method][0]
            from_nothing = seconds if name in OWN_ENCODER else encoder + seconds
            label = f"{name}, {seconds:.3g} s" if np.isfinite(seconds) else method
            found.append(Contender(method, mode, label, name, kind_of(name) or "trained", (seconds, from_nothing)))
        elif not kind_of(method):
            found.append(Contender(method, mode, label, label, "", (remember, encoder + remember)))
        elif method != "oracle":
            found.append(Contender(method, mode, label, label, kind_of(method), (float("nan"), float("nan"))))
    return found


def _table(
    metric: str, contenders: Sequence[Contender], evaluation: Evaluation, config: EvaluationConfig
) -> ResultTable:
    timings = {(t.method, t.mode): t for t in evaluation.timings}
    batch = max((t.batch for t in evaluation.timings), default=1)
    shown = [h for h in HORIZONS if h <= config.horizon]
    rows = []
    for one in contenders:
        timing = timings.get((one.method, one.mode))
        costs = (timing.single_ms, timing.batch_ms) if timing else (float("nan"),) * 2
        errors = [as_number(evaluation.table.get(one.method, one.mode, metric, h)) for h in shown]
        cells: list[Cell] = [Number(x) if np.isfinite(x) else "" for x in (*one.ready, *costs)]
        rows.append(Row(one.label, (*cells, *errors), one.kind))
    return ResultTable(
        METRICS[metric],
        "Lower is better. Seconds are counted from the episodes' arrival: building the memory, or training the "
        "baseline (its gradient steps alone), and from nothing the encoder's training too, where it is not the "
        "baseline's own. A baseline's rows are trainings of different length. Milliseconds are per imagined step, "
        "encoding and decoding included; what else the machine does slows all alike, so that their ratios tell more "
        "than they do.",
        (
            *(f"seconds, {situation}" for situation in SITUATIONS),
            "ms per step, single",
            f"ms per step, batch of {batch}",
            *(f"t={h}" for h in shown),
        ),
        tuple(rows),
    )


def _chart(horizon: int, situation: int, contenders: Sequence[Contender], evaluation: Evaluation) -> Chart:
    """Error over seconds: baselines by their budgets, searches from their time on, and lines across for the rest."""
    known = [c.ready[situation] for c in contenders if np.isfinite(c.ready[situation]) and c.ready[situation] > 0]
    first, last = (min(known) / 1.5, max(known) * 1.5) if known else (1.0, 10.0)
    points: dict[str, list[tuple[float, Number]]] = {}
    for one in contenders:
        error = as_number(evaluation.table.get(one.method, one.mode, PIXELS, horizon))
        ready = one.ready[situation]
        if one.kind == "trained":
            points.setdefault(one.curve, []).extend([(ready, error)] if np.isfinite(ready) else [])
        elif one.kind or np.isfinite(ready):
            since = first if one.kind else max(ready, first)
            points[one.curve] = [(since, error), (last, error)]
    curves = []
    for label, unordered in points.items():
        if ordered := sorted(unordered, key=lambda point: point[0]):
            x, y = zip(*ordered, strict=True)
            sides = (tuple(getattr(e, side) for e in y) for side in ("value", "low", "high"))
            curves.append(Curve(label, x, *sides))
    return Chart(
        f"error on moving pixels at t = {horizon}, {SITUATIONS[situation]}",
        "seconds since the episodes arrived",
        PIXELS,
        tuple(curves),
        log_x=True,
    )


def _zero_shot(lab: Laboratory, evaluation: Evaluation) -> tuple[Evidence, ...]:
    """Search against PlaNet in the same latents at its smallest budget."""
    name = "rssm_latents"
    if not lab.budgets.get(name):
        return ()
    search = at(evaluation.per_episode, "replay_kl", "requery", PIXELS, [10])
    trained = at(evaluation.per_episode, _less(name, 0), "", PIXELS, [10])
    seconds = lab.seconds.get("remember", float("nan"))
    compared = f"t = 10, {name} after {lab.budgets[name][0][0]:.3g} s of training, memory after {seconds:.3g} s"
    return evidence("zero_shot_time", compared, search, trained)


def _alternating(lab: Laboratory, horizon: int) -> Evidence:
    """Rollout and Replay-KL timed in turn, so that whatever else slows the machine slows both."""
    dynamics = [paper_strategies()[name] for name in ("rollout", "replay_kl")]
    a, b = timed_in_turn(lab, dynamics, horizon, REPETITIONS, batch=1)
    compared = f"ms per step of one imagined world, {REPETITIONS} times in turn, not decoded; memory {lab.memory.steps}"
    return Evidence("kl_slower", compared, a, b)


def _histories(lab: Laboratory) -> Iterator[Chart]:
    """Validation loss against training time, a chart a baseline, with all its trainings."""
    trainings = _trainings(lab)
    for name in lab.models:
        curves = []
        for training in [name, *(_less(name, i) for i in range(len(lab.budgets.get(name, ()))))]:
            seconds, model = trainings[training]
            if looks := validation_looks(model):
                label = name if training == name else f"{name}, {seconds:.3g} s"
                curves.append(
                    Curve(label, tuple(look["seconds"] for look in looks), tuple(look["loss"] for look in looks))
                )
        if curves:
            yield Chart(f"{name}: validation loss", "seconds of training", "loss", tuple(curves))


def _overtaking(contenders: Sequence[Contender], evaluation: Evaluation, horizons: Sequence[int]) -> Iterator[str]:
    """From which budget on a baseline is ahead of the search that does best, in words."""
    found = evaluation.per_episode
    names = dict.fromkeys(c.curve for c in contenders if c.kind == "trained")
    for horizon in horizons:
        errors = {c: at(found, c.method, c.mode, PIXELS, [horizon]) for c in contenders}
        known = {c: error for c, error in errors.items() if error is not None}
        best = min((c for c in known if not c.kind), key=lambda c: float(np.nanmean(known[c])))
        for name in names:
            said = []
            for one in (c for c in known if c.curve == name):
                _, low, high = interval(known[one] - known[best], 0)
                verdict = "ahead" if high < 0 else "behind" if low > 0 else "undecided"
                said.append(f"{one.label}: {verdict}")
            yield f"On moving pixels at t = {horizon}, against {best.label}, the best search there: {'; '.join(said)}."


def _missing(lab: Laboratory) -> Iterator[str]:
    """What could not be placed in time."""
    lacking = [stage for stage in ("encoder", "remember", *lab.models) if stage not in lab.seconds]
    if lacking:
        yield f"How long these took is not known, so that they are missing in charts over time: {', '.join(lacking)}."
    if not lab.models:
        yield "No trained baseline is there: search is beside the baselines that need no training alone."
