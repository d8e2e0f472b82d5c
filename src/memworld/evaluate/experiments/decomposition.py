"""Error decomposition: latent drift against decoding loss, additive or compounding.

With x the true frame, r the decoder's picture of its posterior mean and p that of the predicted
latent, p - x = (p - r) + (r - x): what drift in latents does to the picture, and what decoding loses
even of the truth. In squared error, total = drift + decoding + 2 x cross term. All methods are decoded,
persistence and the data mean too, so that the sum holds for each.
"""

import time
from collections.abc import Iterator, Sequence

import numpy as np

from memworld.encoders import Encoder
from memworld.evaluate.experiments.error_parts import Parts, Ruler, growth, shares
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.measuring import (
    curve,
    evaluation_config,
    evidence,
    gaps,
    kind_of,
    methods_of,
    numbers,
    windows_of,
)
from memworld.evaluate.experiments.result import (
    Cell,
    Chart,
    Evidence,
    ExperimentResult,
    Number,
    ResultTable,
    Row,
)
from memworld.evaluate.methods import Method, Predicted
from memworld.evaluate.results import label_of
from memworld.evaluate.windows import Windows
from memworld.gaussian import Latents

LONGEST = 20
"""Steps over which growth is fitted, and most steps ahead."""

OWN_DECODER = ("rssm_pixels",)
"""Trained models whose pictures are not decoded from the encoder's latents: there is nothing to take apart."""

ADDITIVE = 0.1
"""Drift and decoding loss add up where the cross term is surely less than this share of the total."""

ROUNDING = 1e-6
"""A power that differs by less from 1 is 1."""

MAIN = label_of("replay_kl", "requery")


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
        notes=(*gaps(lab, config.horizon), *_notes(lab, parts, shown, seed)),
        seconds=time.perf_counter() - began,
    )


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
        rows.append(Row(label, numbers(cells, seed), part.kind))
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
        (power,) = numbers(growth(drift)[:, None], seed)
        ends = numbers(drift[:, [0, -1]], seed)
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
        rows.append(Row(label, numbers(np.concatenate([both[..., 0], both[..., 1]], 1), seed), part.kind))
    about = (
        "Distance of the predicted latent, a sample, to the nearest of all remembered means, and to the true frame's, "
        "in typical steps. A prediction that stays near memory and leaves the truth is coherent but drifting; the row "
        "encoder_bound is how near memory the truth itself is. What replay_kl predicts is a remembered latent and its "
        "noise: it stays near memory by construction."
    )
    columns = (*(f"to memory, t={h}" for h in shown), *(f"to the truth, t={h}" for h in shown))
    return ResultTable("Coherent, and true", about, columns, tuple(rows))


def _drift_chart(parts: dict[str, Parts], seed: int) -> Chart:
    drawn = [curve(label, np.stack(part.drift)[:, :, 0], seed) for label, part in parts.items()]
    curves = [line for line in drawn if any(line.y)]
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
        curves = tuple(curve(name, values, seed) for name, values in lines.items())
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
            cross = numbers(shares(np.stack(part.squared)[:, horizon - 1]), seed)[2]
            surely = cross.low > -ADDITIVE and cross.high < ADDITIVE
            never = cross.low > ADDITIVE or cross.high < -ADDITIVE
            told["add up" if surely else "do not" if never else "may or may not"].append(f"{label} {cross.value:+.0%}")
        lists = "; ".join(f"{verdict}: {', '.join(labels)}" for verdict, labels in told.items() if labels)
        yield (
            f"At t={horizon}, drift and decoding loss as squared errors (cross term below {ADDITIVE:.0%} of the total) "
            f"{lists}."
        )
