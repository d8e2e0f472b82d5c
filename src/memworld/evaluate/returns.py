"""What real returns say: on a scale from random play to the demonstrator's, step by step, and set against others."""

from collections.abc import Mapping, Sequence

import numpy as np

from memworld.evaluate.experiments.measuring import curve
from memworld.evaluate.experiments.result import Chart, Number
from memworld.evaluate.playing import Outcome, PlayConfig, marks
from memworld.evaluate.results import RESAMPLES, expanded_tail


def returns_of(outcomes: Mapping[str, Sequence[Outcome]]) -> dict[str, np.ndarray]:
    """By way, (E,) float64 returns, by number."""
    return {way: np.array([outcome.gained for outcome in played]) for way, played in outcomes.items()}


def normalised(returns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """(E,) returns as shares of the demonstrator's mean lead over random play; none where it does not lead."""
    if not {"random", "demonstrator"} <= returns.keys():
        return {}
    low, high = returns["random"].mean(), returns["demonstrator"].mean()
    return {way: (values - low) / (high - low) for way, values in returns.items()} if high > low else {}


def gathered(outcomes: Mapping[str, Sequence[Outcome]], config: PlayConfig) -> Chart:
    """The reward gathered over the steps of an episode, by every way to act."""
    at = marks(config.max_steps)
    curves = (
        curve(way, np.array([outcome.cumulated for outcome in played]), config.seed, at)
        for way, played in outcomes.items()
    )
    return Chart("reward gathered in the real world", "steps", "cumulated reward", tuple(curves))


def lead(a: np.ndarray, b: np.ndarray, seed: int) -> Number:
    """The mean of (E,) numbers less that of (F,) others, which are of other episodes, and its 95% interval.

    Both are resampled, each for itself; the interval is as wide as that of the fewer ones must be
    (`results.expanded_tail`), and there is none where either is a single one.
    """
    value = float(a.mean() - b.mean())
    fewest = min(len(a), len(b))
    if fewest < 2:
        return Number(value)
    rng = np.random.default_rng(seed)
    means = [of[rng.integers(0, len(of), (RESAMPLES, len(of)))].mean(1) for of in (a, b)]
    tail = expanded_tail(fewest)
    low, high = np.quantile(means[0] - means[1], (tail, 1 - tail), method="inverted_cdf")
    return Number(value, float(low), float(high))
