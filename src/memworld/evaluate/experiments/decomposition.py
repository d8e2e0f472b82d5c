"""Error decomposition: latent drift against decoding loss, additive or compounding.

With x the true frame, r the decoder's picture of its posterior mean and p that of the predicted
latent, p - x = (p - r) + (r - x): what drift in latents does to the picture, and what decoding loses
even of the truth. In squared error, total = drift + decoding + 2 x cross term. All methods are decoded,
persistence and the data mean too, so that the sum holds for each.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from memworld.encoders import Encoder
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.measuring import evaluation_config, evidence, kind_of, methods_of, windows_of
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
from memworld.evaluate.methods import Method, Predicted
from memworld.evaluate.metrics import median_picture, moving_pixel_l1
from memworld.evaluate.results import interval, label_of
from memworld.evaluate.windows import Windows
from memworld.gaussian import Latents, at_mean
from memworld.memory import Rows
from memworld.search import Candidates, Query
from memworld.search.exact import ExactIndex

LONGEST = 20
"""Steps over which growth is fitted, and most steps ahead."""

OWN_DECODER = ("rssm_pixels",)
"""Trained models whose pictures are not decoded from the encoder's latents: there is nothing to take apart."""

ADDITIVE = 0.1
"""Drift and decoding loss add up where the cross term is surely less than this share of the total."""

ROUNDING = 1e-6
"""A power that differs by less from 1 is 1."""

MAIN = label_of("replay_kl", "requery")


@dataclass
class Parts:
    """What one method's error is made of; one array per held-out episode, means over windows.

    Attributes:
        kind: what the method is.
        pixels: (H, 2) moving-pixel L1 of the whole error and of drift alone, at the shown steps.
        squared: (T, 3) mean squared error of frames in [0, 1]: total, drift, decoding.
        drift: (T, 2) root mean squared distance to the true posterior mean, in typical steps, of the
            predicted mean and of its sample.
        remembered: (H, 2) mean distance of the predicted sample to the nearest remembered mean, and to
            the true one, in typical steps, at the shown steps.
    """

    kind: str
    pixels: list[np.ndarray] = field(default_factory=list)
    squared: list[np.ndarray] = field(default_factory=list)
    drift: list[np.ndarray] = field(default_factory=list)
    remembered: list[np.ndarray] = field(default_factory=list)


def run(lab: Laboratory) -> ExperimentResult:
    """Take every method's errors on the held-out episodes apart."""
    began = time.perf_counter()
    config = evaluation_config(lab, horizon=min(LONGEST, lab.config.horizon))
    seed, shown = config.seed, config.shown_horizons
    methods = [m for m in methods_of(lab, config) if m.name not in ("oracle", *OWN_DECODER)]
    ruler = Ruler.of(lab, shown)
    parts = {method.label: Parts(kind_of(method.name)) for method in methods}
    for windows in windows_of(lab, config, "decomposition"):
        bound = _decode(lab.encoder, windows.true_latents)
        for method in methods:
            ruler.measure(parts[method.label], windows, bound, _pictured(method, windows, lab.encoder))
    tables = [_apart(parts, place, horizon, seed) for place, horizon in enumerate(shown)]
    return ExperimentResult(
        "decomposition",
        lab.world,
        tables=(*tables, _growth(parts, seed), _coherence(parts, shown, seed)),
        charts=(_drift_chart(parts, seed), *_story_charts(parts, seed)),
        evidence=_evidence(parts, shown),
        notes=tuple(_notes(lab, parts, shown, seed)),
        seconds=time.perf_counter() - began,
    )


@dataclass(frozen=True, eq=False)
class Ruler:
    """Measures the parts of an error.

    Attributes:
        median: uint8 (H, W, C) median picture of the training data.
        step: typical distance between consecutive remembered latents, `typical_step`.
        index: over the means of all remembered latents.
        shown: steps ahead that tables show.
    """

    median: np.ndarray
    step: float
    index: ExactIndex
    shown: tuple[int, ...]

    @classmethod
    def of(cls, lab: Laboratory, shown: tuple[int, ...]) -> "Ruler":
        """The ruler of a laboratory."""
        mu = lab.memory.rows.latents.mu
        every = torch.arange(len(mu))
        means = at_mean(mu, torch.ones_like(mu))
        index = ExactIndex("l2", Candidates(means, every, torch.zeros_like(every), torch.zeros(len(mu), 1)))
        return cls(median_picture(lab.training), typical_step(lab.memory.rows), index, shown)

    def measure(self, parts: Parts, windows: Windows, bound: np.ndarray, predicted: Predicted) -> None:
        """Add what one method says about one episode.

        Args:
            parts: what is added to.
            windows: of the episode.
            bound: uint8 (S, T, H, W, C) the decoder's pictures of the true latents.
            predicted: decoded predictions.
        """
        at = [step - 1 for step in self.shown]
        true, latents = windows.true_latents.mu, predicted.latents
        sides = [self._moving(other[:, at], predicted.frames[:, at]) for other in (windows.true_frames, bound)]
        parts.pixels.append(np.stack(sides, 1))
        parts.squared.append(squared_parts(windows.true_frames, bound, predicted.frames))
        distances = torch.stack([torch.linalg.vector_norm((x - true).double(), dim=2) for x in (latents.mu, latents.z)])
        parts.drift.append((distances**2).mean(1).sqrt().T.numpy() / self.step)
        z = latents.z[:, at].flatten(0, 1)
        nearest = self.index.nearest(Query(at_mean(z, torch.ones_like(z))), 1).distances[:, 0].sqrt()
        both = torch.stack([nearest.reshape(-1, len(at)), distances[1][:, at]], 2)
        parts.remembered.append(both.mean(0).numpy() / self.step)

    def _moving(self, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """(H,) moving-pixel L1 between (S, H) frames, the mean over windows in which something moves."""
        frame = true.shape[2:]
        values = moving_pixel_l1(true.reshape(-1, *frame), predicted.reshape(-1, *frame), self.median)
        values = values.reshape(true.shape[:2])
        moves = ~np.isnan(values)
        count = moves.sum(0)
        total = np.where(moves, values, 0).sum(0)
        return np.asarray(np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0))


def typical_step(rows: Rows) -> float:
    """Root mean squared distance between the means of consecutive rows: as far as a world moves in a step."""
    here = rows.candidates
    change = (rows.latents.mu[here + 1] - rows.latents.mu[here]).double()
    return float((change**2).sum(1).mean().sqrt().clamp(min=1e-12))


def squared_parts(true: np.ndarray, bound: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Mean squared errors of frames in [0, 1]: uint8 (S, T, H, W, C) three times to float64 (T, 3).

    Total, drift (predicted against bound) and decoding (bound against true). Half of what the total
    is above the other two is the cross term.
    """
    pairs = ((predicted, true), (predicted, bound), (bound, true))
    return np.stack([_mean_squares(a, b) for a, b in pairs], 1) / 255**2


def _mean_squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(T,) mean squared difference of uint8 (S, T, H, W, C)."""
    difference = np.maximum(a, b) - np.minimum(a, b)
    # Squares of one byte fit into two.
    return np.asarray(np.square(difference, dtype=np.uint16).mean((0, 2, 3, 4), dtype=np.float64))


def _pictured(method: Method, windows: Windows, encoder: Encoder) -> Predicted:
    """A prediction whose frames are decoded from its latents; searches and trained models give them so."""
    predicted = method.predict(windows)
    if method.name not in ("persistence", "data_mean"):
        return predicted
    return Predicted(predicted.latents, _decode(encoder, predicted.latents))


def _decode(encoder: Encoder, latents: Latents) -> np.ndarray:
    """(S, T, D) latents to uint8 (S, T, H, W, C)."""
    return encoder.decode(latents.z.flatten(0, 1)).reshape(*latents.z.shape[:2], *encoder.frame_shape)


def _apart(parts: dict[str, Parts], place: int, horizon: int, seed: int) -> ResultTable:
    """All parts of every method's error at one step."""
    rows = []
    for label, part in parts.items():
        squared = np.stack(part.squared)[:, horizon - 1]
        pixels, drift = np.stack(part.pixels)[:, place], np.stack(part.drift)[:, horizon - 1]
        cells = np.concatenate([pixels, np.sqrt(squared[:, :1]), shares(squared), drift], 1)
        rows.append(Row(label, _numbers(cells, seed), part.kind))
    about = (
        "Moving-pixel L1 of the decoded prediction against the true frame, and against the decoder's picture of the "
        "true latent, which is drift alone (decoding alone is the row encoder_bound); root mean squared error of the "
        "whole frame, and the shares of its square that are drift, decoding loss and twice their cross term: near 0, "
        "errors add up; below 0, they partly cancel. Latent drift is the root mean squared distance to the true "
        "posterior's mean, of the predicted mean and of its sample, in typical steps: root mean squared distances "
        "between consecutive latents of memory. Persistence and the data mean are decoded too, unlike elsewhere."
    )
    columns = ("L1", "L1 of drift", "RMSE", "drift", "decoding", "cross", "latent drift: mean", "sample")
    return ResultTable(f"What the error is made of, t={horizon}", about, columns, tuple(rows))


def shares(squared: np.ndarray) -> np.ndarray:
    """(..., 3) total, drift and decoding to the shares (..., 3) of drift, decoding and twice the cross term."""
    total, drift, decoding = np.moveaxis(squared, -1, 0)
    each = np.stack([drift, decoding, total - drift - decoding], -1)
    whole = np.broadcast_to(total[..., None], each.shape)
    return np.asarray(np.divide(each, whole, out=np.full(each.shape, np.nan), where=whole > 0))


def growth(drift: np.ndarray) -> np.ndarray:
    """The power p of drift(t) ~ t^p, by least squares in logarithms: (E, T) to (E,).

    Steps without any drift are left out; NaN where fewer than two have some.
    """
    powers = np.full(len(drift), np.nan)
    for i, values in enumerate(drift):
        steps = np.flatnonzero(values > 0)
        if len(steps) > 1:
            powers[i] = np.polyfit(np.log(steps + 1), np.log(values[steps]), 1)[0]
    return powers


def in_words(power: Number) -> str:
    """What a power of growth and its interval say."""
    if np.isnan(power.value):
        return "no drift"
    if np.isnan(power.low):
        return "one episode: no interval"
    if power.low > 1 + ROUNDING:
        return "compounding: faster than in proportion to the steps"
    if power.high < 0:
        return "shrinking"
    if power.high >= 1 - ROUNDING:
        return "cannot be told from proportional"
    return "saturating: slower than in proportion to the steps" if power.low > 0 else "no growth that shows"


def _growth(parts: dict[str, Parts], seed: int) -> ResultTable:
    steps = len(next(iter(parts.values())).drift[0])
    rows = []
    for label, part in parts.items():
        drift = np.stack(part.drift)[:, :, 0]
        (power,) = _numbers(growth(drift)[:, None], seed)
        ends = _numbers(drift[:, [0, -1]], seed)
        cells: tuple[Cell, ...] = ("" if np.isnan(power.value) else power, *ends, in_words(power))
        rows.append(Row(label, cells, part.kind))
    about = (
        f"Drift of the predicted mean as t^p, fitted over t = 1 to {steps} in every episode: p below 1 saturates, 1 is "
        "in proportion, above 1 compounds. What starts far off has a small p however it goes on: see drift itself, in "
        "typical steps."
    )
    return ResultTable(
        "How latent drift grows", about, ("p", "drift, t=1", f"drift, t={steps}", "in words"), tuple(rows)
    )


def _coherence(parts: dict[str, Parts], shown: Sequence[int], seed: int) -> ResultTable:
    rows = []
    for label, part in parts.items():
        both = np.stack(part.remembered)
        rows.append(Row(label, _numbers(np.concatenate([both[..., 0], both[..., 1]], 1), seed), part.kind))
    about = (
        "Distance of the predicted latent, a sample, to the nearest of all remembered means, and to the true frame's, "
        "in typical steps. A prediction that stays near memory and leaves the truth is coherent but drifting; the row "
        "encoder_bound is how near memory the truth itself is. What replay_kl predicts is a remembered latent and its "
        "noise: it stays near memory by construction."
    )
    columns = (*(f"to memory, t={h}" for h in shown), *(f"to the truth, t={h}" for h in shown))
    return ResultTable("Coherent, and true", about, columns, tuple(rows))


def _drift_chart(parts: dict[str, Parts], seed: int) -> Chart:
    curves = [_curve(label, np.stack(part.drift)[:, :, 0], seed) for label, part in parts.items()]
    curves = [curve for curve in curves if any(curve.y)]
    return Chart("Latent drift of the predicted mean", "steps ahead, t", "typical steps", tuple(curves), True, True)


def _story_charts(parts: dict[str, Parts], seed: int) -> Iterator[Chart]:
    """What squared error is made of, for every search that searches at every step and every trained model."""
    for label, part in parts.items():
        if not label.endswith("requery") and part.kind != "trained":
            continue
        squared = np.stack(part.squared)
        both = squared[..., 1] + squared[..., 2]
        lines = {
            "total": squared[..., 0],
            "drift": squared[..., 1],
            "decoding": squared[..., 2],
            "drift + decoding": both,
        }
        curves = tuple(_curve(name, values, seed) for name, values in lines.items())
        yield Chart(f"What the squared error is made of: {label}", "steps ahead, t", "mean squared error", curves)


def _evidence(parts: dict[str, Parts], shown: Sequence[int]) -> tuple[Evidence, ...]:
    drift = np.stack(parts[MAIN].drift)[:, :, 0]
    found: tuple[Evidence, ...] = ()
    if drift.shape[1] >= 20:
        compared = "latent error of the predicted mean: 20 times that at t = 1 / that at t = 20"
        found += evidence("errors_compound", compared, 20 * drift[:, 0], drift[:, 19])
    if 20 in shown:
        both = np.stack(parts[MAIN].remembered)[:, shown.index(20)]
        compared = "distance of the predicted sample at t = 20, to the nearest remembered mean / to the true one"
        found += evidence("coherent_but_drifting", compared, both[:, 0], both[:, 1])
    return found


def _notes(lab: Laboratory, parts: dict[str, Parts], shown: Sequence[int], seed: int) -> Iterator[str]:
    left_out = [name for name in lab.models if name in OWN_DECODER]
    if left_out:
        yield f"Left out, as its pictures are decoded from other latents: {', '.join(left_out)}."
    for horizon in sorted({shown[0], shown[-1]}):
        told: dict[str, list[str]] = {"add up": [], "do not": [], "may or may not": []}
        for label, part in parts.items():
            if part.kind and part.kind != "trained":
                continue
            cross = _numbers(shares(np.stack(part.squared)[:, horizon - 1]), seed)[2]
            surely = cross.low > -ADDITIVE and cross.high < ADDITIVE
            never = cross.low > ADDITIVE or cross.high < -ADDITIVE
            told["add up" if surely else "do not" if never else "may or may not"].append(f"{label} {cross.value:+.0%}")
        lists = "; ".join(f"{verdict}: {', '.join(labels)}" for verdict, labels in told.items() if labels)
        yield (
            f"At t={horizon}, drift and decoding loss as squared errors (cross term below {ADDITIVE:.0%} of the total) "
            f"{lists}."
        )


def _numbers(per_episode: np.ndarray, seed: int) -> tuple[Number, ...]:
    """(E, C) to C numbers with their intervals."""
    return tuple(Number(*map(float, cell)) for cell in zip(*interval(per_episode, seed), strict=True))


def _curve(label: str, per_episode: np.ndarray, seed: int) -> Curve:
    """(E, T) to a line over the steps ahead."""
    y, low, high = (tuple(map(float, side)) for side in interval(per_episode, seed))
    return Curve(label, tuple(float(t) for t in range(1, len(y) + 1)), y, low, high)
