"""Does it know when it does not know: support against large errors, and predicted intervals against the truth.

Support is what a search says of itself while it imagines, without the truth. It is worth something if
the predictions that it doubts are those that turn out worst: of one of the worst tenth and one of the
others, how often is the former doubted more (the area under the curve, AUROC; 0.5 is chance)?
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from memworld.analogues import AnalogueConfig
from memworld.evaluate.config import paper_strategies
from memworld.evaluate.experiments.comparison import DEFAULT
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.measuring import (
    at_steps,
    curve,
    evaluation_config,
    evidence,
    gaps,
    numbers,
    ratio,
    windows_of,
)
from memworld.evaluate.experiments.result import Cell, Chart, Evidence, ExperimentResult, ResultTable, Row
from memworld.evaluate.experiments.signatures import drift
from memworld.evaluate.methods import Method, search_methods
from memworld.evaluate.metrics import StateProbe, mean_of_numbers, median_picture
from memworld.evaluate.protocol import Judge
from memworld.evaluate.windows import Windows
from memworld.gaussian import Latents
from memworld.world_model import WorldModel

HORIZON = 20
"""Most steps ahead."""

JUDGED_AT = 5
"""Steps ahead at which the claim about support is decided."""

WORST = 0.1
"""Share of the predictions that count as the worst."""

INTERVALS = (0.5, 0.9)
"""Central intervals of the predicted Gaussians that are held against the truth."""

BINS = 5
"""Parts of all predictions, by their support, whose errors are drawn."""

ERRORS = {
    "moving_pixel_l1": "error on moving pixels",
    "latents": "distance in latents",
    "state_error": "error of the world's state",
}
"""By what the worst are chosen."""


@dataclass
class Told:
    """What one search said of itself on every held-out episode, and how far off it was.

    Attributes:
        support: (S, H) each, at the shown steps.
        errors: by name in `ERRORS`, (S, H) each.
        covered: by interval, (S, H) shares of the latents that lie inside.
    """

    support: list[np.ndarray] = field(default_factory=list)
    errors: dict[str, list[np.ndarray]] = field(default_factory=dict)
    covered: dict[float, list[np.ndarray]] = field(default_factory=dict)


def run(lab: Laboratory) -> ExperimentResult:
    """Hold support and intervals against the truth on the held-out episodes."""
    began = time.perf_counter()
    horizon = min(HORIZON, lab.config.horizon)
    paper = {name: dynamics for name, dynamics in paper_strategies().items() if name in ("replay_l2", "replay_kl")}
    config = evaluation_config(lab, {**paper, DEFAULT: AnalogueConfig()}, ("requery",), horizon)
    shown = tuple(sorted({1, *config.shown_horizons}))
    probe = StateProbe.fit(lab.training, lab.memory) if lab.training.info.state_names else None
    judge = Judge(median_picture(lab.training), probe)
    methods = [
        method
        for name, dynamics in config.dynamics.items()
        for method in search_methods(WorldModel(lab.encoder, lab.memory, dynamics), name, config.modes, config.seed)
    ]
    told = {method.label: Told() for method in methods}
    for windows in windows_of(lab, config, "support"):
        for method in methods:
            _add(told[method.label], judge, method, windows, shown)
    seed = config.seed
    judged = JUDGED_AT if JUDGED_AT in shown else shown[-1]
    known = [error for error in ERRORS if all(error in one.errors for one in told.values())]
    place = shown.index(judged)
    return ExperimentResult(
        "support",
        lab.world,
        tables=(
            *(_ranks(told, error, shown, seed) for error in known),
            *(_coverage(told, share, shown, seed) for share in INTERVALS),
        ),
        charts=tuple(_reliability(told, place, judged, error, seed) for error in known),
        evidence=tuple(_evidence(told, place, judged)),
        notes=gaps(lab, horizon),
        seconds=time.perf_counter() - began,
    )


def _add(told: Told, judge: Judge, method: Method, windows: Windows, shown: tuple[int, ...]) -> None:
    """Take what a search said of one more episode."""
    predicted = method.predict(windows)
    assert predicted.rollout is not None
    at = [step - 1 for step in shown]
    told.support.append(predicted.rollout.support.numpy()[:, at])
    truth, there = at_steps(windows, predicted, shown)
    measured = {**judge.measure(truth, there), "latents": drift(truth, there)}
    for error in ERRORS:
        if error in measured:
            told.errors.setdefault(error, []).append(measured[error])
    for share in INTERVALS:
        told.covered.setdefault(share, []).append(coverage(truth.true_latents, there.latents, share))


def coverage(true: Latents, predicted: Latents, share: float) -> np.ndarray:
    """How much of the true posterior lies in the predicted central interval, mean over latents.

    Args:
        true: (..., D) posteriors of what came.
        predicted: (..., D) what was predicted.
        share: of the predicted Gaussian that is inside; as much of the truth should be.

    Returns:
        float64 (...).
    """
    half = torch.special.ndtri(torch.tensor((1 + share) / 2)) * predicted.sigma.double()
    off = (predicted.mu - true.mu).double()
    sigma = true.sigma.double()
    inside = torch.special.ndtr((off + half) / sigma) - torch.special.ndtr((off - half) / sigma)
    return np.asarray(inside.mean(-1).numpy())


def ranks(support: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of N predictions are among the worst, and of how many of the others each is doubted more.

    Args:
        support: (N,), 1 is worst.
        errors: (N,); those without a number are left out.

    Returns:
        worst: (N,) 1 for the worst tenth, else 0.
        above: (N,) of the worst, the share of the others with a better support, ties counting half; else 0.
        The sum of `above` over that of `worst` is the AUROC.
    """
    known = np.flatnonzero(~np.isnan(errors) & ~np.isnan(support))
    order = known[np.argsort(-errors[known], kind="stable")]
    few = max(1, round(WORST * len(order))) if len(order) > 1 else 0
    worst, above = np.zeros(len(errors)), np.zeros(len(errors))
    bad, good = order[:few], np.sort(support[order[few:]])
    worst[bad] = 1
    if few:
        sides = [np.searchsorted(good, support[bad], side=side) for side in ("left", "right")]
        above[bad] = np.mean(sides, 0) / len(good)
    return worst, above


def _split(told: Told, error: str, place: int) -> tuple[np.ndarray, np.ndarray]:
    """(E,) sums of `ranks` over every episode's predictions, all of them ranked together."""
    sizes = np.cumsum([len(one) for one in told.support])[:-1]
    worst, above = ranks(
        np.concatenate([one[:, place] for one in told.support]),
        np.concatenate([one[:, place] for one in told.errors[error]]),
    )
    return tuple(np.array([part.sum() for part in np.split(values, sizes)]) for values in (worst, above))  # type: ignore[return-value]


def _ranks(told: dict[str, Told], error: str, shown: tuple[int, ...], seed: int) -> ResultTable:
    rows = []
    for label, one in told.items():
        cells: list[Cell] = []
        for place in range(len(shown)):
            worst, above = _split(one, error, place)
            cells.append(ratio(above, worst, seed) if worst.any() else "")
        rows.append(Row(label, tuple(cells)))
    return ResultTable(
        f"Does support tell the worst tenth by {ERRORS[error]}?",
        "AUROC over all held-out predictions together: how often one of the worst tenth is doubted more than one of "
        "the others; 0.5 is chance, 1 tells them all. Intervals by bootstrap over episodes.",
        tuple(f"t={step}" for step in shown),
        tuple(rows),
    )


def _coverage(told: dict[str, Told], share: float, shown: tuple[int, ...], seed: int) -> ResultTable:
    rows = tuple(
        Row(label, numbers(np.stack([values.mean(0) for values in one.covered[share]]), seed))
        for label, one in told.items()
    )
    return ResultTable(
        f"How much of the truth lies in the {share:.0%} interval",
        f"Share of the true posterior inside the central {share:.0%} of the predicted Gaussian, mean over latents; "
        f"{share:g} is right, less is too sure, more is too careful.",
        tuple(f"t={step}" for step in shown),
        rows,
    )


def _reliability(told: dict[str, Told], place: int, step: int, error: str, seed: int) -> Chart:
    """Error over support, in equal parts of all predictions."""
    curves = []
    for label, one in told.items():
        support = np.concatenate([s[:, place] for s in one.support])
        edges = np.quantile(support, np.linspace(0, 1, BINS + 1)[1:-1]) if not np.isnan(support).any() else []
        if len(set(edges)) == BINS - 1:  # ties leave bins empty
            means = np.array(
                [
                    [float(mean_of_numbers(e[:, place][np.digitize(s[:, place], edges) == b])) for b in range(BINS)]
                    for s, e in zip(one.support, one.errors[error], strict=True)
                ]
            )
            curves.append(curve(label, means, seed, [(b + 0.5) / BINS for b in range(BINS)]))
    title = f"{ERRORS[error]} over support, t = {step}"
    return Chart(title, "support, as its quantile among these predictions; 1 is worst", ERRORS[error], tuple(curves))


def _evidence(told: dict[str, Told], place: int, step: int) -> Iterator[Evidence]:
    """One over the AUROC of the library's own dynamics, as a ratio of sums over episodes."""
    (own,) = (one for label, one in told.items() if label.startswith(DEFAULT))
    for error in ("moving_pixel_l1", "latents"):
        worst, above = _split(own, error, place)
        yield from evidence(f"support_tells_{error}", f"t = {step}", worst, above)
