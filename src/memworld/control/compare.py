"""Ways to act set against each other, against random play and the demonstrator, and against what memory holds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from memworld.control.demonstrations import Demonstrations
from memworld.evaluate.experiments.measuring import number, ratio
from memworld.evaluate.experiments.result import Cell, Number, ResultTable, Row
from memworld.evaluate.playing import Outcome, PlayConfig
from memworld.evaluate.returns import lead, normalised, returns_of
from memworld.report.result_tables import table_view
from memworld.worlds import World

YARDSTICKS = ("random", "demonstrator")
"""The world's own ways to act."""

COLUMNS = (
    "return",
    "normalised return",
    "share of the demonstrator's",
    "over the demonstrations",
    "steps survived",
    "ms a decision",
    "99th percentile, ms",
    "support",
)


@dataclass(frozen=True)
class Finding:
    """Whether a way to act gains more than another, or than memory's own episodes.

    Attributes:
        way: its name.
        against: what it is set against.
        difference: of the mean returns, with its 95% interval.
    """

    way: str
    against: str
    difference: Number

    @property
    def verdict(self) -> str:
        """`holds` where the interval lies above 0, `does not hold` where no part does, else `undecided`."""
        if self.difference.low > 0:
            return "holds"
        return "does not hold" if self.difference.high <= 0 else "undecided"


@dataclass(frozen=True)
class Comparison:
    """What was found.

    Attributes:
        table: a row for every way to act, and for memory's own episodes.
        findings: what was asked of every way that is no yardstick.
        notes: plain sentences about what is missing or to be distrusted.
    """

    table: ResultTable
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]


def compare(
    world: World, outcomes: Mapping[str, Sequence[Outcome]], recorded: Demonstrations | None, config: PlayConfig
) -> Comparison:
    """Compare ways to act that played the same starts.

    Args:
        world: where.
        outcomes: by way, of its episodes, by number.
        recorded: what memory's episodes gained; None if it holds pieces of episodes.
        config: how it was played.
    """
    return Comparison(
        _table(outcomes, recorded, config.seed),
        tuple(_findings(outcomes, recorded, config.seed)),
        tuple(_notes(world, outcomes, recorded, config)),
    )


def _table(outcomes: Mapping[str, Sequence[Outcome]], recorded: Demonstrations | None, seed: int) -> ResultTable:
    returns = returns_of(outcomes)
    scaled = normalised(returns)
    best = returns.get("demonstrator")
    rows = []
    for way, played in outcomes.items():
        supports = [outcome.support for outcome in played if outcome.support is not None]
        cells: tuple[Cell, ...] = (
            number(returns[way], seed),
            _share(scaled[way], seed) if scaled else "",
            ratio(returns[way], best, seed) if best is not None and best.mean() > 0 else "",
            lead(returns[way], recorded.returns, seed) if recorded else "",
            number(np.array([outcome.steps for outcome in played]), seed),
            Number(1000 * float(np.median([outcome.seconds_median for outcome in played]))),
            Number(1000 * float(np.median([outcome.seconds_p99 for outcome in played]))),
            number(np.array(supports), seed) if supports else "",
        )
        rows.append(Row(way, cells, "yardstick" if way in YARDSTICKS else ""))
    rest = ("",) * (len(COLUMNS) - 1)
    for name, gained in (recorded.groups if recorded else {}).items():
        rows.append(Row(name, (number(gained, seed), *rest), "recorded"))
    return ResultTable(
        "Returns",
        "Means over episodes and their 95% bootstrap intervals. Every way plays the same starts. The normalised return "
        "is 0 for random play's mean and 1 for the demonstrator's. The demonstrations are memory's own episodes, their "
        "first steps as far as episodes are played here; their starts are others, and both sides are resampled. A "
        "decision's time is the median of the episodes' medians, without the world's own time. Support: 0 where memory "
        "knows what is imagined, 1 where it does not.",
        COLUMNS,
        tuple(rows),
    )


def _share(values: np.ndarray, seed: int) -> Number:
    """A mean with its interval; one that is 0 but for rounding is 0."""
    found = number(values, seed)
    return replace(found, value=0.0) if abs(found.value) < 1e-9 else found


def _findings(
    outcomes: Mapping[str, Sequence[Outcome]], recorded: Demonstrations | None, seed: int
) -> Iterator[Finding]:
    returns = returns_of(outcomes)
    for way in (way for way in returns if way not in YARDSTICKS):
        for yardstick in (name for name in YARDSTICKS if name in returns):
            yield Finding(way, yardstick, number(returns[way] - returns[yardstick], seed))
        for name, gained in (recorded.groups if recorded else {}).items():
            if name == "best demonstration":  # a single one, taken as it is
                yield Finding(way, name, number(returns[way] - gained[0], seed))
            else:
                yield Finding(way, name, lead(returns[way], gained, seed))


def sentence(way: str, table: ResultTable, findings: Sequence[Finding]) -> str:
    """What a way gained, and against what that was more, less, or neither."""
    gained = next(line.cells[0] for line in table_view(table).lines if line.label == way)
    words = {"holds": "more than", "does not hold": "no more than", "undecided": "not shown to be more than"}
    said = [
        f"{phrase} {', '.join(names)}"
        for verdict, phrase in words.items()
        if (names := [f.against for f in findings if f.way == way and f.verdict == verdict])
    ]
    return f"{way}: {'; '.join([f'a return of {gained.value} {gained.interval}'.strip(), *said])}."


def _notes(
    world: World, outcomes: Mapping[str, Sequence[Outcome]], recorded: Demonstrations | None, config: PlayConfig
) -> Iterator[str]:
    """What is missing, and what to distrust."""
    returns = returns_of(outcomes)
    if not set(YARDSTICKS) <= returns.keys():
        missing = ", ".join(name for name in YARDSTICKS if name not in returns)
        yield f"Not played: {missing}. Returns cannot be normalised without."
    elif not normalised(returns):
        yield "The demonstrator gains no more than random play here, so that returns cannot be normalised."
    if len({float(gained) for values in returns.values() for gained in values}) == 1:
        yield "Every episode has the same return: nothing can be told apart by it. Play more steps."
    if config.episodes == 1:
        yield "A single episode has no interval: play more."
    cut = sum(outcome.truncated for played in outcomes.values() for outcome in played)
    if cut:
        total = sum(map(len, outcomes.values()))
        yield f"{cut} of {total} episodes were cut, by {config.max_steps} steps or the world's own limit."
    if recorded is None:
        yield "The memory holds pieces of episodes, whose returns are not comparable with those of whole ones."
    elif recorded.short:
        yield (
            f"{recorded.short} of memory's {len(recorded.returns)} episodes were cut before {config.max_steps} steps "
            "and might have gained more: that comparison favours what is played here."
        )
    if not world.repeatable:
        yield "This world runs by the clock, at least in part: the same actions do not give the same episode again."
