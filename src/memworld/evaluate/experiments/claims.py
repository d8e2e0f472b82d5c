"""The paper's claims, each with the comparison that decides it, and the verdicts.

A claim is about two quantities, measured on the same held-out episodes in several worlds. In a world
it holds where the 95% bootstrap interval over episodes of their ratio (or difference) lies wholly
below the claim's bound, does not hold where it lies wholly above, and is undecided else. Over all
worlds the ratios' geometric mean (the differences' mean) decides in the same way, each world
counting once, unless it holds in one world and does not in another: then it depends on the world,
and is undecided. With fewer than five episodes in a world nothing is decided.
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
        text: what the paper claims.
        decided_by: what is compared, in words.
        compare: whether `a / b` or `a - b` must lie below `bound`.
        bound: of the comparison; 1.1 for a ratio that must be "comparable".
    """

    id: str
    text: str
    decided_by: str
    compare: Literal["ratio", "difference"] = "ratio"
    bound: float = 1.0


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "one_step_comparable",
        "One step ahead, search predicts about as well as a trained PlaNet.",
        "moving-pixel L1 of replay_kl (requery) / rssm_latents at t = 1; comparable: below 1.1",
        bound=1.1,
    ),
    Claim(
        "long_horizon_better",
        "Over long horizons, search predicts better than a trained PlaNet.",
        "moving-pixel L1 of replay_kl (requery) / rssm_latents at t = 20",
    ),
    Claim(
        "long_horizon_better_than_pixels",
        "Over long horizons, search predicts better than PlaNet as published, from pixels.",
        "moving-pixel L1 of replay_kl (requery) / rssm_pixels at t = 20",
    ),
    Claim(
        "long_horizon_latents",
        "Over long horizons, search stays closer in latent space than a trained PlaNet.",
        "KL of replay_kl (requery) / rssm_latents at t = 20",
    ),
    Claim(
        "kl_sharper_than_l2",
        "Retrieval by KL gives better pictures than retrieval by L2.",
        "moving-pixel L1 of replay_kl / replay_l2, both requery, mean over t = 1, 5, 10, 20",
    ),
    Claim(
        "kl_closer_than_l2",
        "Retrieval by KL keeps a lower KL divergence than retrieval by L2.",
        "KL of replay_kl / replay_l2, both requery, mean over t = 1, 5, 10, 20",
    ),
    Claim(
        "rollout_steadier",
        "The rollout buffer reduces the variance of the estimate.",
        "spread of the retrieved successors (root mean variance over latents) of rollout / replay_l2 at t = 1",
    ),
    Claim(
        "coverage_beats_volume",
        "Coverage counts, not volume: 5 well-chosen episodes do better than 30 badly chosen ones.",
        "moving-pixel L1 of replay_kl (requery), mean over t = 1, 5, 10, 20: 5 episodes chosen for coverage / the "
        "most episodes chosen for the lack of it",
    ),
    Claim(
        "vast_worlds_fail",
        "In a vast state space search falls behind PlaNet.",
        "moving-pixel L1 of rssm_latents / replay_kl (requery) at t = 10, in vast worlds only",
    ),
    Claim(
        "hard_conditioning_starves_rollout",
        "Conditioning on actions costs the rollout buffer more than the replay buffer.",
        "moving-pixel L1 at t = 1: (replay_l2 hard / replay_l2 none) / (rollout hard / rollout none)",
    ),
    Claim(
        "l2_hallucinates",
        "Replay-L2 mixes scenes: its retrieved successors disagree more than the world moves in a step.",
        "persistence's distance in latents to the truth / spread of replay_l2's successors at t = 1",
    ),
    Claim(
        "coherent_but_drifting",
        "Long predictions stay coherent and drift from the truth: the pictures stay like remembered ones.",
        "distance to the nearest remembered latent at t = 20 (small by construction: it predicts remembered latents) / "
        "distance to the truth at t = 20, replay_kl (requery)",
    ),
    Claim(
        "errors_compound",
        "Errors accumulate faster than in proportion to the steps.",
        "20 times the latent error of replay_kl (requery) at t = 1 / its latent error at t = 20",
    ),
    Claim(
        "kl_slower",
        "Replay-KL takes longer per step than Rollout (twice, in the paper).",
        "milliseconds per imagined step of rollout / replay_kl, both requery",
    ),
    Claim(
        "planning_acts",
        "Acting by the retrieved moments' own futures does better than chance.",
        "return of random play - return of voting over the futures of replay_kl's rows, as shares of the "
        "demonstrator's lead over random play",
        compare="difference",
        bound=0.0,
    ),
    Claim(
        "zero_shot_time",
        "Search is ahead of a PlaNet that has trained for little time in the same latents.",
        "moving-pixel L1 at t = 10 of replay_kl (requery) / rssm_latents at its smallest training budget, whose "
        "seconds stand beside the memory's",
    ),
)
"""The claims, in the order of the report."""


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


def judge(results: Iterable[ExperimentResult], seed: int = 0) -> list[Verdicts]:
    """The verdict of every claim; one without evidence is undecided."""
    found = list(results)
    return [_judge(claim, found, seed) for claim in CLAIMS]


def _judge(claim: Claim, results: Sequence[ExperimentResult], seed: int) -> Verdicts:
    pairs = [(r.world, e) for r in results for e in r.evidence if e.claim == claim.id]
    resampled = [_resample(claim, evidence, derived_seed(seed, claim.id, world)) for world, evidence in pairs]
    worlds = tuple(
        _verdict(claim, world, evidence.compared, value, draws, [_told(evidence)])
        for (world, evidence), (value, draws) in zip(pairs, resampled, strict=True)
    )
    telling = [(found, world.episodes) for found, world in zip(resampled, worlds, strict=True) if world.episodes]
    if not telling:
        nan = float("nan")
        return Verdicts(claim, Judged("", claim.decided_by, nan, nan, nan, 0, "undecided"), worlds)
    value = float(np.mean([value for (value, _), _ in telling]))
    draws = np.mean([draws for (_, draws), _ in telling], 0)
    overall = _verdict(claim, "", claim.decided_by, value, draws, [episodes for _, episodes in telling])
    if {"holds", "does not hold"} <= {w.verdict for w in worlds}:
        overall = replace(overall, verdict="undecided")
    return Verdicts(claim, overall, worlds)


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
