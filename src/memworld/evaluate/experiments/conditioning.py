"""Action conditioning: what it does to the errors, how often support is then missing, and what that costs.

Every strategy is measured with rows of any action (`none`), of the asked action alone (`hard`), with
a penalty on other actions (`soft`) and, where some of an action is discrete and some continuous, hard
on the one and soft on the other (`mixed`); all on the same windows, so that differences are paired.
All search at every step (`requery`), as only there does every action of a sequence count.
"""

import time
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from memworld.actions import ActionSpace, discrete_features
from memworld.dynamics import DynamicsConfig
from memworld.errors import MemworldError
from memworld.evaluate.collect import Gallery
from memworld.evaluate.config import EvaluationConfig
from memworld.evaluate.experiments.conditioned import MODE, Gathered
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.measuring import (
    at_steps,
    curve,
    evaluation_config,
    evidence,
    gaps,
    methods_of,
    windows_of,
)
from memworld.evaluate.experiments.result import (
    Cell,
    Chart,
    Curve,
    Evidence,
    ExperimentResult,
    ResultTable,
    Row,
)
from memworld.evaluate.methods import Method, Predicted
from memworld.evaluate.metrics import StateProbe, mean_of_numbers, median_picture
from memworld.evaluate.protocol import Judge
from memworld.evaluate.windows import Windows
from memworld.retrieve import STRATEGIES
from memworld.rollout import Rollout
from memworld.search import Conditioning

LONGEST = 20
"""Most steps ahead: what conditioning does shows by then."""

PIXELS = "moving_pixel_l1"

METRICS = {
    PIXELS: ("error on moving pixels", "Moving-pixel L1; lower is better."),
    "state_error": (
        "error of the world's state",
        "In the state's own units; lower is better. The row encoder_bound is the probe's own floor: where it is not "
        "well below persistence, the metric says little.",
    ),
    "kl": ("KL to the true frame's posterior", "In nats; lower is better."),
}
"""The metrics in words, and how to read them."""

CONTROLS = ("persistence", "data_mean", "encoder_bound")
"""What tells whether windows are hard in themselves."""


def run(lab: Laboratory) -> ExperimentResult:
    """Measure every strategy under every conditioning on the held-out episodes."""
    began = time.perf_counter()
    ways = ways_of(lab.training.info.action_space)
    dynamics = {
        f"{strategy} {way}": DynamicsConfig(strategy, conditioning=way) for strategy in STRATEGIES for way in ways
    }
    config = evaluation_config(lab, dynamics, [MODE], min(LONGEST, lab.config.horizon))
    gathered = _measure(lab, config, ways)
    tables = [_errors(gathered, metric) for metric in METRICS] + [_costs(gathered, m) for m in (PIXELS, "state_error")]
    return ExperimentResult(
        "conditioning",
        lab.world,
        tables=(*(table for table in tables if table is not None), _support(gathered), *_where_short(gathered)),
        charts=(_error_chart(gathered), _short_chart(gathered)),
        strips=gathered.strips,
        evidence=_evidence(gathered),
        notes=(*gaps(lab, config.horizon), *_notes(gathered)),
        seconds=time.perf_counter() - began,
    )


def ways_of(space: ActionSpace) -> tuple[Conditioning, ...]:
    """The ways to heed actions of this space that differ from each other."""
    discrete = discrete_features(space)
    return ("none", "hard", "soft", "mixed") if discrete.any() and not discrete.all() else ("none", "hard", "soft")


def _measure(lab: Laboratory, config: EvaluationConfig, ways: tuple[Conditioning, ...]) -> Gathered:
    probe = StateProbe.fit(lab.training, lab.memory) if lab.training.info.state_names else None
    judge = Judge(median_picture(lab.training), probe)
    # The first step is always among them: there no search has yet been led astray by another.
    gathered = Gathered(ways, tuple(sorted({1, *config.shown_horizons})), config.seed)
    gallery = Gallery(config, lab.memory)
    methods = [method for method in methods_of(lab, config) if method.name != "oracle"]
    for windows in windows_of(lab, config, "conditioning"):
        for method in methods:
            predicted = _predict(method, windows, gathered.refused, searches=config.dynamics)
            if predicted is None:
                continue
            for metric, values in judge.measure(*at_steps(windows, predicted, gathered.steps)).items():
                gathered.errors.setdefault(method.name, {}).setdefault(metric, []).append(values)
            if predicted.rollout is not None:
                gathered.rollouts.setdefault(method.name, []).append(predicted.rollout)
            gallery.add(method, windows, predicted)
    gathered.strips = tuple(gallery.strips)
    return gathered


def _predict(method: Method, windows: Windows, refused: dict[str, str], searches: Iterable[str]) -> Predicted | None:
    """What a method says; None of a search that memory cannot answer, with the reason in `refused`."""
    if method.name in refused:
        return None
    try:
        return method.predict(windows)
    except MemworldError as error:
        if method.name not in searches:
            raise
        refused[method.name] = str(error)
        return None


def _errors(gathered: Gathered, metric: str) -> ResultTable | None:
    """One metric of every method; None if none has it."""
    measured = {name: gathered.per_episode(name, metric) for name in gathered.errors}
    rows = [gathered.row(name, gathered.numbers(values)) for name, values in measured.items() if values is not None]
    title, about = METRICS[metric]
    return ResultTable(title[0].upper() + title[1:], about, _columns(gathered), tuple(rows)) if rows else None


def _costs(gathered: Gathered, metric: str) -> ResultTable | None:
    """What each conditioning adds to a strategy's error; None if the metric was not measured."""
    rows = [
        Row(f"{strategy}: {way} - none", gathered.numbers(difference))
        for strategy, way, difference in gathered.differences(metric)
    ]
    if not rows:
        return None
    blank = ("",) * len(gathered.steps)
    others = [gathered.row(name, blank) for name in gathered.errors if name not in gathered.rollouts]
    return ResultTable(
        f"What conditioning costs: {METRICS[metric][0]}",
        "Error of a strategy with conditioning, less its error without, on the same windows: above 0 it costs, below "
        "0 it gains. Methods that search nothing have no such choice.",
        _columns(gathered),
        (*others, *rows),
    )


def _support(gathered: Gathered) -> ResultTable:
    """How often rows were missing."""
    columns = ("rows asked for", "searches short, t=1", "searches short", "rows missing per search", "nothing found")
    rows = []
    for name in gathered.errors:
        found = gathered.rollouts.get(name)
        cells: tuple[Cell, ...] = ("",) * len(columns)
        if found is not None:
            cells = (str(found[0].rows.shape[2]), *gathered.numbers(np.array([_missing(r) for r in found])))
        rows.append(gathered.row(name, cells))
    return ResultTable(
        "How often support is missing",
        "Share of searches that found fewer rows than asked for, at the first step and over all steps; how many were "
        "missing on average; and the share of searches that found none at all, where the state stays as it was.",
        columns,
        tuple(rows),
    )


def _missing(rollout: Rollout) -> tuple[float, float, float, float]:
    """Shares of searches that were short at t = 1 and at any step, mean rows missing, share that found none."""
    missing, nothing = rollout.shortfall.numpy(), rollout.found_nothing.numpy()
    short = missing > 0
    return float(short[:, 0].mean()), float(short.mean()), float(missing.mean()), float(nothing.mean())


def _where_short(gathered: Gathered) -> tuple[ResultTable, ...]:
    """Errors at t = 1 where a search was short of rows against those where it was not; none if no search was."""
    rows: list[Row] = []
    for name, rollouts in gathered.rollouts.items():
        short = [rollout.shortfall[:, 0].numpy() > 0 for rollout in rollouts]
        if not any(s.any() for s in short):
            continue
        strategy = name.split()[0]
        share = gathered.numbers(np.array([[s.mean()] for s in short]))
        rows.append(gathered.row(name, (*share, *_split(gathered, name, short))))
        rows += [
            gathered.row(other, ("", *_split(gathered, other, short)), "{}, same windows")
            for other in (f"{strategy} none", *CONTROLS)
        ]
    if not rows:
        return ()
    about = (
        "Moving-pixel L1 at t = 1 over the windows in which a search found fewer rows than asked for, over the others, "
        "and the difference in those episodes that have both; below each search, what others do on the very same "
        "windows, as those may be harder in themselves."
    )
    columns = ("windows short", "where short", "where not", "difference")
    return (ResultTable("Errors where support is missing", about, columns, tuple(rows)),)


def _split(gathered: Gathered, name: str, short: Sequence[np.ndarray]) -> tuple[Cell, ...]:
    """A method's error at t = 1 on windows that are short, on the others, and the difference."""
    found = gathered.errors.get(name, {}).get(PIXELS)
    if found is None:
        return ("",) * 3
    sides = np.array(
        [[mean_of_numbers(e[s, 0]), mean_of_numbers(e[~s, 0])] for e, s in zip(found, short, strict=True)], np.float64
    )
    return gathered.numbers(np.column_stack([sides, sides[:, 0] - sides[:, 1]]))


def _error_chart(gathered: Gathered) -> Chart:
    measured = {name: gathered.per_episode(name, PIXELS) for name in gathered.errors}
    curves = [_curve(gathered, name, gathered.steps, v) for name, v in measured.items() if v is not None]
    return Chart("Error on moving pixels", "steps ahead, t", PIXELS, tuple(curves))


def _short_chart(gathered: Gathered) -> Chart:
    shares = {n: np.stack([(r.shortfall.numpy() > 0).mean(0) for r in rs]) for n, rs in gathered.rollouts.items()}
    curves = [_curve(gathered, name, range(1, v.shape[1] + 1), v) for name, v in shares.items() if v.any()]
    title = "Searches that found fewer rows than asked for; methods of which none did are left out"
    return Chart(title, "steps ahead, t", "share of searches", tuple(curves))


def _curve(gathered: Gathered, name: str, x: Iterable[int], per_episode: np.ndarray) -> Curve:
    return curve(gathered.row(name, ()).label, per_episode, gathered.seed, x)


def _evidence(gathered: Gathered) -> tuple[Evidence, ...]:
    """Per episode, how many times larger hard conditioning makes the error of replay_l2, and of rollout."""
    ratios: dict[str, np.ndarray] = {}
    for strategy in ("replay_l2", "rollout"):
        hard, none = (gathered.per_episode(f"{strategy} {way}", PIXELS) for way in ("hard", "none"))
        if hard is not None and none is not None:
            ratios[strategy] = np.divide(
                hard[:, 0], none[:, 0], out=np.full(len(none), np.nan), where=np.asarray(none[:, 0] > 0)
            )
    compared = "hard / none at t = 1, of replay_l2 / of rollout"
    return evidence("hard_conditioning_starves_rollout", compared, ratios.get("replay_l2"), ratios.get("rollout"))


def _notes(gathered: Gathered) -> Iterator[str]:
    """What was found, and what was left out."""
    for name, reason in gathered.refused.items():
        yield f"{name} is left out: {reason}."
    short = {name: np.mean([_missing(r)[1] for r in rollouts]) for name, rollouts in gathered.rollouts.items()}
    missing = ", ".join(f"{name} in {share:.1%}" for name, share in short.items() if share > 0)
    yield f"Searches short of rows: {missing}." if missing else "No search was short of rows."
    for place in sorted({0, len(gathered.steps) - 1}):
        found: dict[str, list[str]] = {"costs": [], "gains": [], "is undecided": []}
        for strategy, way, difference in gathered.differences(PIXELS):
            cell = gathered.numbers(difference)[place]
            what = "costs" if cell.low > 0 else "gains" if cell.high < 0 else "is undecided"
            found[what].append(f"{strategy} {way}")
        told = "; ".join(f"{what}: {', '.join(labels)}" for what, labels in found.items() if labels)
        if told:
            yield f"On moving pixels at t={gathered.steps[place]}, conditioning {told}."


def _columns(gathered: Gathered) -> tuple[str, ...]:
    return tuple(f"t={step}" for step in gathered.steps)
