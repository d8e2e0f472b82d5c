"""What an evaluation gives: a table with intervals, what it cost, and the moments to look at."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

from memworld.storage import write_atomic

RESAMPLES = 4000
"""Bootstrap resamples of an interval."""

USES_TRUTH = "uses the truth"

KINDS = {
    "encoder_bound": USES_TRUTH,
    "oracle": USES_TRUTH,
    "persistence": "baseline",
    "data_mean": "baseline",
    "rssm_pixels": "trained",
    "rssm_latents": "trained",
    "latent_gru": "trained",
}
"""What a method is, if it is not a search."""


def label_of(method: str, mode: str) -> str:
    """Name and mode as one, for tables and pictures."""
    return f"{method} {mode}".strip()


@dataclass(frozen=True)
class MetricRow:
    """One number of the table.

    Attributes:
        world: where the episodes were recorded.
        method: as METHOD section 6 names it.
        mode: `requery`, `follow`, or "" where there is no such choice.
        horizon: steps ahead, from 1.
        metric: as METHOD section 6 names it; `<metric>_minus_persistence` is the paired difference.
        value: mean over windows, then over episodes.
        low: lower end of the 95% bootstrap interval over episodes; NaN with a single episode.
        high: upper end.
        n: number of held-out episodes.
    """

    world: str
    method: str
    mode: str
    horizon: int
    metric: str
    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class MethodTiming:
    """What one imagined step costs, memory of `rows` rows, encoding and decoding included.

    Attributes:
        method: its name.
        mode: its mode.
        rows: search candidates in memory; 0 where nothing is searched.
        single_ms: milliseconds per step of one imagined world.
        batch: worlds in the batch.
        batch_ms: milliseconds per step and world in that batch.
    """

    method: str
    mode: str
    rows: int
    single_ms: float
    batch: int
    batch_ms: float


def interval(per_episode: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and 95% bootstrap interval over episodes, of `expanded_tail`'s percentiles.

    Args:
        per_episode: (E, ...) one number per held-out episode and cell.
        seed: of the resampling.

    Returns:
        Mean, low and high, each of the cells' shape; low and high are NaN with one episode, which
        says nothing about how others would do.
    """
    missing = np.isnan(per_episode)
    if missing.any():
        # An episode in which nothing moves at some step has no number there; the others have.
        cells = [
            interval(column[~np.isnan(column)], seed) if not np.isnan(column).all() else (np.nan,) * 3
            for column in per_episode.reshape(len(per_episode), -1).T
        ]
        sides = np.array(cells, np.float64).T.reshape(3, *per_episode.shape[1:])
        return sides[0], sides[1], sides[2]
    mean = per_episode.mean(0)
    if len(per_episode) < 2:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    import scipy.stats  # here and not above, as it is slow to import and only an evaluation needs it

    found = scipy.stats.bootstrap(
        (per_episode,),
        np.mean,
        axis=0,
        n_resamples=RESAMPLES,
        confidence_level=1 - 2 * expanded_tail(len(per_episode)),
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return mean, np.asarray(found.low), np.asarray(found.high)


def expanded_tail(n: int) -> float:
    """The share of bootstrap resamples that a 95% interval over `n` episodes, at least 2, leaves out on either side.

    The plain percentile interval is too narrow for few episodes: of five, it covers the mean 84
    times in 100. So its percentiles are moved outwards by as much as Student's t with the sample's
    variance is wider than the normal with the resamples' (the expanded percentile interval,
    Hesterberg 2015, section 5.3).
    """
    import scipy.stats

    return float(scipy.stats.norm.cdf(-np.sqrt(n / (n - 1)) * scipy.stats.t.ppf(0.975, n - 1)))


def write_metrics(path: Path, rows: Sequence[MetricRow]) -> None:
    """Write the table as Parquet, the same bytes for the same rows."""
    schema = pyarrow.schema(
        [
            ("world", pyarrow.string()),
            ("method", pyarrow.string()),
            ("mode", pyarrow.string()),
            ("horizon", pyarrow.int32()),
            ("metric", pyarrow.string()),
            ("value", pyarrow.float64()),
            ("low", pyarrow.float64()),
            ("high", pyarrow.float64()),
            ("n", pyarrow.int32()),
        ]
    )
    table = pyarrow.Table.from_pylist([asdict(row) for row in rows], schema=schema)

    def write(temporary: Path) -> None:
        # Through a file of Python's own: Arrow refuses paths that are no UTF-8.
        with temporary.open("wb") as file:
            pyarrow.parquet.write_table(table, file)

    write_atomic(path, write)


def read_metrics(path: Path) -> list[MetricRow]:
    """Read what `write_metrics` wrote."""
    with path.open("rb") as file:
        return [MetricRow(**row) for row in pyarrow.parquet.read_table(file).to_pylist()]


class Table:
    """Metric rows, to be looked up by what they are about."""

    def __init__(self, rows: Sequence[MetricRow]) -> None:
        """Index the rows."""
        self.rows = tuple(rows)
        self._by_key = {(r.method, r.mode, r.metric, r.horizon): r for r in rows}

    def get(self, method: str, mode: str, metric: str, horizon: int) -> MetricRow | None:
        """The row of a method, mode, metric and horizon, or None."""
        return self._by_key.get((method, mode, metric, horizon))

    @property
    def methods(self) -> list[tuple[str, str]]:
        """(method, mode) in the order of first appearance."""
        return list(dict.fromkeys((r.method, r.mode) for r in self.rows))

    @property
    def metrics(self) -> list[str]:
        """Metrics in the order of first appearance."""
        return list(dict.fromkeys(r.metric for r in self.rows))

    @property
    def horizons(self) -> list[int]:
        """Horizons, ascending."""
        return sorted({r.horizon for r in self.rows})


@dataclass(frozen=True, eq=False)
class Strip:
    """Frames of one window for a film strip.

    Attributes:
        episode: held-out episode.
        start: step of the window's first frame.
        horizons: steps ahead that are shown.
        start_frame: uint8 (H, W, C).
        truth: uint8 (len(horizons), H, W, C).
        rows: (label of method, uint8 (len(horizons), H, W, C)), in the table's order.
    """

    episode: str
    start: int
    horizons: tuple[int, ...]
    start_frame: np.ndarray
    truth: np.ndarray
    rows: tuple[tuple[str, np.ndarray], ...]


@dataclass(frozen=True, eq=False)
class Neighbour:
    """One retrieved moment: where it was recorded, how far it was, its share, its frame and what followed it."""

    episode: str
    step: int
    distance: float
    weight: float
    frame: np.ndarray
    successor: np.ndarray


@dataclass(frozen=True, eq=False)
class Retrieval:
    """One prediction with the moments behind it.

    Attributes:
        method: name of the strategy.
        episode: held-out episode.
        start: step of the query's frame.
        query: uint8 (H, W, C) frame that was looked for.
        truth: uint8 (H, W, C) frame that followed.
        predicted: uint8 (H, W, C).
        support: quantile of the nearest distance; 1 is worst.
        neighbours: nearest first.
    """

    method: str
    episode: str
    start: int
    query: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    support: float
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Everything that an evaluation gives.

    Attributes:
        table: all numbers.
        timings: cost of each search method.
        strips: film strips.
        retrievals: predictions with the moments behind them.
        warnings: plain sentences about what is wrong or to be distrusted.
        facts: what was measured on what, in words.
        per_episode: by method, mode and metric, (E, T): what the table's means and intervals are made of.
        misses: plain sentences about what did not hold.
    """

    table: Table
    timings: tuple[MethodTiming, ...]
    strips: tuple[Strip, ...]
    retrievals: tuple[Retrieval, ...]
    warnings: tuple[str, ...]
    facts: dict[str, str]
    per_episode: Mapping[tuple[str, str, str], np.ndarray] = field(default_factory=dict)
    misses: tuple[str, ...] = ()
