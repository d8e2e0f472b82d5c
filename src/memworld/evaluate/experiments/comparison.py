"""The library's own dynamics beside the paper's strategies, persistence and the trained baselines.

What an encoder cannot show, no dynamics can predict. So errors are compared above the encoder's
bound, and relative to whichever of the paper's strategies and modes is best at that horizon, in
hindsight: the hardest yardstick that the paper gives.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from memworld.analogues import AnalogueConfig
from memworld.evaluate.config import PAPER_MODES, paper_strategies, usual_dynamics
from memworld.evaluate.experiments.fairness import fairness
from memworld.evaluate.experiments.horizon import measure
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.measuring import MEAN_OVER, at, evidence, ratio, timed_in_turn
from memworld.evaluate.experiments.result import Cell, Evidence, ExperimentResult, ResultTable, Row
from memworld.evaluate.results import Evaluation, label_of
from memworld.retrieve import STRATEGIES

DEFAULT, GRU, RSSM = "default", "latent_gru", "rssm_latents"

PIXELS, STATE = "moving_pixel_l1", "state_error"

CLAIMED = (1, 5, 20)
"""Steps ahead at which it is claimed how much of the paper's error is left."""

REPETITIONS = 7
"""Times that two dynamics are timed in turn."""


@dataclass(frozen=True)
class Compared:
    """Errors of an evaluation, (E,) per held-out episode."""

    evaluation: Evaluation
    mode: str

    def own(self, metric: str, *horizons: int) -> np.ndarray | None:
        """Of the library's own dynamics."""
        return at(self.evaluation.per_episode, DEFAULT, self.mode, metric, horizons)

    def other(self, name: str, metric: str, *horizons: int) -> np.ndarray | None:
        """Of a bound or a baseline."""
        return at(self.evaluation.per_episode, name, "", metric, horizons)

    def paper(self, metric: str, *horizons: int) -> tuple[str, np.ndarray] | None:
        """Of the strategy and mode of the paper with the least mean error, and its label; None if none was measured."""
        found = {
            label_of(name, mode): at(self.evaluation.per_episode, name, mode, metric, horizons)
            for name in STRATEGIES
            for mode in PAPER_MODES
        }
        known = {label: error for label, error in found.items() if error is not None and not np.isnan(error).all()}
        best = min(known, key=lambda label: float(np.nanmean(known[label])), default=None)
        return None if best is None else (best, known[best])


def run(lab: Laboratory) -> ExperimentResult:
    """Measure everything on the held-out episodes."""
    began = time.perf_counter()
    evaluation, result = measure(lab, "comparison", usual_dynamics())
    mode = next(mode for name, mode in evaluation.table.methods if name == DEFAULT)
    compared = Compared(evaluation, mode)
    horizons = [h for h in MEAN_OVER if h <= evaluation.table.horizons[-1]]
    return replace(
        result,
        tables=(_shares(compared, horizons, lab.config.seed), *result.tables),
        evidence=(*_evidence(compared, horizons), _speed(lab, horizons[-1])),
        notes=(*result.notes, *fairness(lab)),
        seconds=time.perf_counter() - began,
    )


def excess(errors: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """(E,) errors above the encoder's bound; a picture that keeps what it saw may lie below it, which counts as 0."""
    return np.asarray(np.maximum(errors - bound, 0.0))


def _shares(compared: Compared, horizons: Sequence[int], seed: int) -> ResultTable:
    """What is left of the paper's error, and how much of its distance to the GRU is closed."""
    left: list[Cell] = []
    closed: list[Cell] = []
    names: list[Cell] = []
    for h in horizons:
        own, bound, best = _sides(compared, h)
        left.append(ratio(excess(own, bound), excess(best[1], bound), seed))
        gru = compared.other(GRU, PIXELS, h)
        closed.append("" if gru is None else ratio(best[1] - own, best[1] - gru, seed))
        names.append(best[0])
    return ResultTable(
        "What is left of the paper's error on moving pixels",
        "Error above the encoder's bound, as a share: 0 is the bound, 1 the best of the paper's strategies and modes "
        "at that horizon. Of the gap, 1 is latent_gru, above 1 is better than it. Ratios of means over episodes.",
        tuple(f"t={h}" for h in horizons),
        (
            Row("share of the paper's error above the bound", tuple(left)),
            Row("share of the gap from the paper's to latent_gru that is closed", tuple(closed)),
            Row("the best of the paper's", tuple(names)),
        ),
    )


def _sides(compared: Compared, horizon: int) -> tuple[np.ndarray, np.ndarray, tuple[str, np.ndarray]]:
    """Errors on moving pixels: the library's own, the bound's, and the best of the paper's with its label."""
    own, bound = compared.own(PIXELS, horizon), compared.other("encoder_bound", PIXELS, horizon)
    best = compared.paper(PIXELS, horizon)
    assert own is not None
    assert bound is not None
    assert best is not None  # an evaluation measures all three at every horizon
    return own, bound, best


def _evidence(compared: Compared, horizons: Sequence[int]) -> Iterator[Evidence]:
    """What the numbers say about every claim."""
    for h in horizons:
        own, bound, best = _sides(compared, h)
        above = f"t = {h}, above the bound, against {best[0]}"
        if h in CLAIMED:
            yield from evidence(f"better_than_paper_{h}", above, excess(own, bound), excess(best[1], bound))
        for name in ("persistence", GRU, RSSM):
            yield from evidence(f"better_than_{name}_{h}", f"t = {h}", own, compared.other(name, PIXELS, h))
        states = compared.own(STATE, h)
        yield from evidence(f"state_better_than_{RSSM}_{h}", f"t = {h}", states, compared.other(RSSM, STATE, h))
    yield from _at_its_worst(compared, "never_worse_than_paper", PIXELS, horizons)
    yield from _at_its_worst(compared, "state_as_good_as_paper", STATE, horizons)


def _at_its_worst(compared: Compared, claim: str, metric: str, horizons: Sequence[int]) -> tuple[Evidence, ...]:
    """Against the best of the paper's at the horizon at which that comparison is the least favourable."""
    found = []
    for h in horizons:
        own, best = compared.own(metric, h), compared.paper(metric, h)
        if own is not None and best is not None:
            found.append((float(np.nanmean(own) / np.nanmean(best[1])), h, own, best))
    if not found:
        return ()
    _, h, own, (label, other) = max(found, key=lambda one: one[0])
    return evidence(claim, f"t = {h}, its least favourable, against {label}", own, other)


def _speed(lab: Laboratory, horizon: int) -> Evidence:
    """The library's own dynamics and Replay-L2, timed in turn, so that what slows one slows both."""
    own, theirs = timed_in_turn(lab, (AnalogueConfig(), paper_strategies()["replay_l2"]), horizon, REPETITIONS)
    compared = f"ms per step and world, batches of {lab.config.timing_batch}, {REPETITIONS} times in turn, not decoded"
    return Evidence("fast_enough", f"{compared}; memory {lab.memory.steps}", own, theirs)
