"""Claims, each with the comparison that decides it, and the verdicts.

A claim is about two quantities, measured on the same held-out episodes in several worlds. In a world
it holds where the 95% bootstrap interval over episodes of their ratio (or difference) lies wholly
below the claim's bound, does not hold where it lies wholly above, and is undecided else. Over all
worlds the ratios' geometric mean (the differences' mean) decides in the same way, each world
counting once, unless it holds in one world and does not in another: then it depends on the world,
and is undecided. A claim about a share of the worlds is decided by the last world that must be among
them: a claim about all, by the worst. With fewer than five episodes in a world nothing is decided.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from memworld.evaluate.experiments.result import Evidence, ExperimentResult
from memworld.evaluate.results import RESAMPLES, expanded_tail
from memworld.gaussian import derived_seed

Verdict = Literal["holds", "does not hold", "undecided"]

FEWEST = 5
"""With fewer episodes than this in a world, nothing is decided."""


@dataclass(frozen=True)
class Claim:
    """One claim.

    Attributes:
        id: its name in `claims.json`.
        text: what is claimed.
        decided_by: what is compared, in words.
        compare: whether `a / b` or `a - b` must lie below `bound`.
        bound: of the comparison; 1.1 for a ratio that must be "comparable".
        share: of the worlds in which it is claimed; None for their mean.
    """

    id: str
    text: str
    decided_by: str
    compare: Literal["ratio", "difference"] = "ratio"
    bound: float = 1.0
    share: float | None = None


@dataclass(frozen=True)
class Judged:
    """A claim in one world, or over all.

    Attributes:
        world: its name; "" over all.
        compared: what was compared.
        value: ratio or difference; NaN without evidence.
        low: lower end of its 95% interval.
        high: upper end.
        episodes: how many episodes tell.
        verdict: what follows.
    """

    world: str
    compared: str
    value: float
    low: float
    high: float
    episodes: int
    verdict: Verdict


@dataclass(frozen=True)
class Verdicts:
    """A claim with its verdict over all worlds, and in each."""

    claim: Claim
    overall: Judged
    worlds: tuple[Judged, ...]


def judge(claims: Sequence[Claim], results: Iterable[ExperimentResult], seed: int = 0) -> list[Verdicts]:
    """The verdict of every claim; one without evidence is undecided."""
    found = list(results)
    return [_judge(claim, found, seed) for claim in claims]


def _judge(claim: Claim, results: Sequence[ExperimentResult], seed: int) -> Verdicts:
    pairs = [(r.world, e) for r in results for e in r.evidence if e.claim == claim.id]
    resampled = [_resample(claim, evidence, derived_seed(seed, claim.id, world)) for world, evidence in pairs]
    worlds = tuple(
        _verdict(claim, world, evidence.compared, value, draws, [_told(evidence)])
        for (world, evidence), (value, draws) in zip(pairs, resampled, strict=True)
    )
    # A world in which there is nothing on either side tells nothing.
    telling = [
        (found, world.episodes)
        for found, world in zip(resampled, worlds, strict=True)
        if world.episodes and not np.isnan(found[0])
    ]
    if not telling:
        nan = float("nan")
        return Verdicts(claim, Judged("", claim.decided_by, nan, nan, nan, 0, "undecided"), worlds)
    value = float(_over_worlds(claim, np.array([value for (value, _), _ in telling])))
    draws = _over_worlds(claim, np.array([draws for (_, draws), _ in telling]))
    overall = _verdict(claim, "", claim.decided_by, value, draws, [episodes for _, episodes in telling])
    if claim.share is None and {"holds", "does not hold"} <= {w.verdict for w in worlds}:
        overall = replace(overall, verdict="undecided")
    return Verdicts(claim, overall, worlds)


def _over_worlds(claim: Claim, values: np.ndarray) -> np.ndarray:
    """(W, ...) numbers of as many worlds as one (...)."""
    if claim.share is None:
        return np.asarray(values.mean(0))
    return np.asarray(np.quantile(values, claim.share, axis=0, method="inverted_cdf"))


def _told(evidence: Evidence) -> int:
    """How many episodes have both numbers."""
    return int(np.isfinite([evidence.a, evidence.b]).all(0).sum())


def _resample(claim: Claim, evidence: Evidence, seed: int) -> tuple[float, np.ndarray]:
    """The comparison, and (RESAMPLES,) of it on episodes drawn anew; ratios as logarithms, so that means are fair.

    The seed is the world's own: its episodes have nothing to do with another's.
    """
    pairs = np.array([evidence.a, evidence.b])
    pairs = pairs[:, np.isfinite(pairs).all(0)]
    if pairs.shape[1] == 0:
        return float("nan"), np.full(RESAMPLES, np.nan)
    chosen = np.random.default_rng(seed).integers(0, pairs.shape[1], (RESAMPLES, pairs.shape[1]))
    means = pairs[:, chosen].mean(2)
    value = pairs.mean(1)
    if claim.compare == "difference":
        return float(value[0] - value[1]), means[0] - means[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.log(value[0] / value[1])), np.log(means[0] / means[1])


def _verdict(claim: Claim, world: str, compared: str, value: float, draws: np.ndarray, counts: Sequence[int]) -> Judged:
    """The verdict on (RESAMPLES,) comparisons, of so many episodes in every world behind them."""
    fewest = min(counts)
    low = high = float("nan")
    if fewest > 1 and not np.isnan(draws).all():
        tail = expanded_tail(fewest)
        # No interpolation: a ratio of 0 is a logarithm of minus infinity, which has no place between others.
        low, high = map(float, np.nanquantile(draws, [tail, 1 - tail], method="inverted_cdf"))
    if claim.compare == "ratio":
        value, low, high = (float(np.exp(number)) for number in (value, low, high))
    verdict: Verdict = "undecided"
    if fewest >= FEWEST:
        verdict = "holds" if high < claim.bound else "does not hold" if low > claim.bound else "undecided"
    return Judged(world, compared, value, low, high, sum(counts), verdict)
