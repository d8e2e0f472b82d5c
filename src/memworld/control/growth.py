"""Whether the return grew over a life: every episode, rounds side by side, and the first set against the last."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from memworld.control.compare import Finding
from memworld.control.demonstrations import Demonstrations
from memworld.evaluate.experiments.measuring import curve, number
from memworld.evaluate.experiments.result import Chart, Curve, Number, ResultTable, Row
from memworld.evaluate.playing import PlayConfig
from memworld.evaluate.returns import lead
from memworld.worlds import World

BEGINNING = "the starting memory's episodes"

COLUMNS = ("return", "acted by", "real steps lived before", "steps survived", "ms a decision")


@dataclass(frozen=True)
class LivedEpisode:
    """What came of one real episode that was remembered.

    Attributes:
        number: from 0.
        round: that it belongs to, from 0.
        lived: real steps lived, and remembered, before it.
        way: what acted, a planner or `random`.
        gained: its return.
        steps: its length.
        seconds: of a decision, the median.
    """

    number: int
    round: int
    lived: int
    way: str
    gained: float
    steps: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Growth:
    """What was found.

    Attributes:
        sentence: whether the return grew, in words.
        findings: the last episodes against the first, and against what the starting memory's gained.
        table: a row for every round, and for the starting memory's episodes.
        chart: the return against the real steps lived before.
        start: (E,) float64 returns of the starting memory's episodes; empty where they are not comparable.
        notes: plain sentences about what is missing or to be distrusted.
    """

    sentence: str
    findings: tuple[Finding, ...]
    table: ResultTable
    chart: Chart
    start: np.ndarray
    notes: tuple[str, ...]


def growth(
    world: World, episodes: Sequence[LivedEpisode], recorded: Demonstrations | None, every: int, config: PlayConfig
) -> Growth:
    """Tell whether the return grew.

    Args:
        world: where it was lived.
        episodes: what was lived, in order, at least one.
        recorded: what the starting memory's episodes gained; None if there are none, or pieces of episodes.
        every: episodes of a round, and of each side of what is compared.
        config: how it was lived.
    """
    gained = np.array([episode.gained for episode in episodes])
    start = np.empty(0) if recorded is None else recorded.returns
    findings = []
    if len(gained) >= 2 * every:
        findings.append(
            Finding(_of("last", every), _of("first", every), lead(gained[-every:], gained[:every], config.seed))
        )
    if len(start):
        findings.append(Finding(_of("last", every), BEGINNING, lead(gained[-every:], start, config.seed)))
    return Growth(
        _sentence(gained, findings[0] if len(gained) >= 2 * every else None, every),
        tuple(findings),
        _table(episodes, start, config.seed),
        _chart(episodes, start, every, config.seed),
        start,
        tuple(_notes(world, episodes, recorded, every, config)),
    )


def _of(end: str, every: int) -> str:
    return f"the {end} episode" if every == 1 else f"the {end} {every} episodes"


def _sentence(gained: np.ndarray, found: Finding | None, every: int) -> str:
    if found is None:
        return f"Whether the return grew cannot be told of {len(gained)} episodes: live at least two rounds of {every}."
    said = {"holds": "The return grew", "does not hold": "The return did not grow"}
    by = found.difference
    within = f" [{by.low:.3g}, {by.high:.3g}]" if np.isfinite(by.low) else ""
    return (
        f"{said.get(found.verdict, 'It is not shown that the return grew')}: it was {gained[:every].mean():.3g} over "
        f"{found.against} and {gained[-every:].mean():.3g} over {found.way}, a difference of {by.value:.3g}{within}."
    )


def _table(episodes: Sequence[LivedEpisode], start: np.ndarray, seed: int) -> ResultTable:
    rows = []
    for turn in range(episodes[-1].round + 1):
        lived = [episode for episode in episodes if episode.round == turn]
        rows.append(
            Row(
                f"round {turn}",
                (
                    number(np.array([episode.gained for episode in lived]), seed),
                    lived[0].way,
                    Number(float(lived[0].lived)),
                    number(np.array([episode.steps for episode in lived]), seed),
                    Number(1000 * float(np.median([episode.seconds for episode in lived]))),
                ),
            )
        )
    if len(start):
        rows.append(Row(BEGINNING, (number(start, seed), *("",) * (len(COLUMNS) - 1)), "recorded"))
    return ResultTable(
        "Rounds",
        "Means over the episodes of a round and their 95% bootstrap intervals. A round is acted by what memory held "
        "when it began. A decision's time is the median of the episodes' medians, without the world's own time.",
        COLUMNS,
        tuple(rows),
    )


def _chart(episodes: Sequence[LivedEpisode], start: np.ndarray, every: int, seed: int) -> Chart:
    x, y = [float(episode.lived) for episode in episodes], [episode.gained for episode in episodes]
    curves = [Curve("an episode", tuple(x), tuple(y))]
    if len(start):
        level = number(start, seed)
        ends = (x[0], x[-1])
        sides = ((level.low,) * 2, (level.high,) * 2) if len(start) > 1 else ((), ())
        curves.append(Curve(BEGINNING, ends, (level.value,) * 2, *sides))
    if 1 < every < len(y):
        windows = np.lib.stride_tricks.sliding_window_view(np.array(y), every)
        curves.append(curve(f"mean of {every} episodes, up to that one", windows.T, seed, x[every - 1 :]))
    return Chart("return against real steps lived", "real steps lived before", "return", tuple(curves))


def _notes(
    world: World, episodes: Sequence[LivedEpisode], recorded: Demonstrations | None, every: int, config: PlayConfig
) -> Iterator[str]:
    """What is missing, and what to distrust."""
    if chance := [episode.number for episode in episodes if episode.way == "random"]:
        yield (
            f"Episodes 0 to {chance[-1]} were acted by the world's own random policy: memory held no reward to plan "
            "for when their rounds began."
        )
    if len({episode.gained for episode in episodes}) == 1:
        yield "Every episode has the same return: nothing can be told apart by it. Live more steps."
    if every == 1:
        yield "A round of a single episode has no interval: let rounds have more."
    if recorded is None:
        yield "The starting memory has no whole episodes, with whose returns to compare."
    elif recorded.short:
        yield (
            f"{recorded.short} of the starting memory's {len(recorded.returns)} episodes were cut before "
            f"{config.max_steps} steps and might have gained more."
        )
    if not world.repeatable:
        yield "This world runs by the clock, at least in part: the same actions do not give the same episode again."
