"""What memories of several sizes and choices tell together: tables, charts, the turning point, evidence."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from memworld.evaluate.config import EvaluationConfig
from memworld.evaluate.experiments.distances import rank_correlation
from memworld.evaluate.experiments.measuring import curve, evidence, kind_of, numbers
from memworld.evaluate.experiments.result import Cell, Chart, Curve, Evidence, Number, ResultTable, Row
from memworld.retrieve import STRATEGIES

METRICS = {"moving_pixel_l1": "error on moving pixels", "kl": "KL to the true frame's posterior, nats"}
CHOICES = ("at random", "for coverage", "for the lack of it")
BASELINES = ("encoder_bound", "persistence", "data_mean")
MAIN = ("replay_kl", "moving_pixel_l1")
"""The strategy and the metric that the claim is about."""

FEW = 5
"""Well-chosen episodes that the paper holds against many badly chosen ones."""

FLAT = 0.05
"""Share of the largest memory's error by which an error may exceed it beyond the turning point."""

Errors = Mapping[tuple[str, str], np.ndarray]
"""By method and metric, (E, H): means over the windows of every held-out episode, at every shown step."""


@dataclass(frozen=True, eq=False)
class Point:
    """What a memory, or the average over several, has and gives.

    Attributes:
        transitions: in memory.
        coverage: (E,) share of the moments of every held-out episode that it covers.
        errors: of every strategy.
    """

    transitions: float
    coverage: np.ndarray
    errors: Errors

    @classmethod
    def average(cls, points: Sequence["Point"]) -> "Point":
        """The mean of several, per held-out episode."""
        errors = {key: np.mean([point.errors[key] for point in points], 0) for key in points[0].errors}
        transitions = float(np.mean([point.transitions for point in points]))
        return cls(transitions, np.mean([point.coverage for point in points], 0), errors)

    def level(self, method: str, metric: str) -> np.ndarray:
        """(E,): an error's mean over the shown steps."""
        return np.asarray(self.errors[method, metric].mean(1))


Points = Mapping[tuple[str, int], Point]
"""By choice and number of episodes."""


@dataclass(frozen=True, eq=False)
class Findings:
    """What all memories together tell.

    Attributes:
        points: what was found, averaged over draws.
        sizes: numbers of episodes, ascending.
        baselines: errors of bounds and baselines.
        config: seed and shown steps.
        memories: every memory on its own.
    """

    points: Mapping[tuple[str, int], Point]
    sizes: tuple[int, ...]
    baselines: Errors
    config: EvaluationConfig
    memories: tuple[Point, ...]

    def error_tables(self) -> tuple[ResultTable, ...]:
        """Each metric of each strategy, for every memory."""
        about = "Coverage is the share of held-out moments that a memory covers; of errors, lower is better."
        columns = ("transitions", "coverage", *(f"t={h}" for h in self.config.shown_horizons))
        tables = []
        for metric, words in METRICS.items():
            rows = [Row(n, ("", "", *self._cells(self.baselines[n, metric].T)), kind_of(n)) for n in BASELINES]
            for name in STRATEGIES:
                own = [
                    Row(
                        f"{_episodes(size)}, {choice}",
                        (Number(p.transitions), *self._cells([p.coverage, *p.errors[name, metric].T])),
                    )
                    for (choice, size), p in self.points.items()
                ]
                tables.append(ResultTable(f"{name} requery: {words}", about, columns, (*rows, *own)))
        return tuple(tables)

    def choosing(self) -> ResultTable:
        """What choosing gives at equal numbers of episodes."""
        rows = []
        for size in self.sizes:
            drawn, *chosen = (self.points[choice, size] for choice in CHOICES)
            of_coverage = [point.coverage - drawn.coverage for point in chosen]
            of_error = [point.level(*MAIN) - drawn.level(*MAIN) for point in chosen]
            rows.append(Row(_episodes(size), tuple(self._cells([*of_coverage, *of_error]))))
        return ResultTable(
            "What choosing gives",
            "Paired differences from as many episodes chosen at random: of coverage (above 0 is better), and of "
            f"{MAIN[0]}'s error on moving pixels, {self._steps} (below 0 is better).",
            tuple(f"{what}, {choice}" for what in ("coverage", "error") for choice in CHOICES[1:]),
            tuple(rows),
        )

    def turning_points(self) -> ResultTable:
        """Where more episodes stop to help."""
        most, metric = self.sizes[-1], MAIN[1]
        still = self._cells([self.baselines[name, metric].mean(1) for name in BASELINES])
        rows = [Row(n, ("", "", "", cell, ""), kind_of(n)) for n, cell in zip(BASELINES, still, strict=True)]
        for name in STRATEGIES:
            for choice in CHOICES:
                turn = self.turning_point(choice, name)
                here, last = self.points[choice, turn], self.points[choice, most].level(name, metric)
                level = here.level(name, metric)
                cells = self._cells([here.coverage, level, last, level - last])
                # Of the largest memory itself there is nothing to compare.
                gain: Cell = cells[3] if turn < most else ""
                place = str(turn) if turn < most else f"none below {most}"
                rows.append(Row(f"{name} requery, {choice}", (place, *cells[:3], gain)))
        return ResultTable(
            "The turning point",
            f"The smallest number of episodes from which on the error on moving pixels ({self._steps}) is at most "
            f"{FLAT:.0%} above that with {most}. Still to gain is the paired difference between the two; where its "
            "interval holds 0, no further gain is shown.",
            ("episodes", "coverage there", "error there", f"error with {most}", "still to gain"),
            tuple(rows),
        )

    def turning_point(self, choice: str, name: str) -> int:
        """The smallest size from which on the error is at most `FLAT` above that of the largest."""
        levels = np.array([self.points[choice, n].level(name, MAIN[1]) for n in self.sizes])
        # Over the held-out episodes in which all sizes have a number.
        totals = levels[:, np.isfinite(levels).all(0)].sum(1)
        beyond = np.flatnonzero(totals > (1 + FLAT) * totals[-1])
        return self.sizes[beyond[-1] + 1 if len(beyond) else 0]

    def explained(self) -> ResultTable:
        """Whether errors go with coverage or with volume."""
        volume = np.array([memory.transitions for memory in self.memories])
        covered = np.stack([memory.coverage for memory in self.memories], 1)
        rows = []
        for name in STRATEGIES:
            for metric, words in METRICS.items():
                errors = np.stack([memory.level(name, metric) for memory in self.memories], 1)
                of_coverage = [rank_correlation(a, b) for a, b in zip(covered, errors, strict=True)]
                of_volume = [rank_correlation(volume, b) for b in errors]
                cells = self._cells([np.array(of_coverage), np.array(of_volume)])
                rows.append(Row(f"{name} requery: {words}", tuple(cells)))
        return ResultTable(
            "Coverage or volume",
            f"Spearman's rank correlation over {len(self.memories)} memories of a held-out episode's error "
            f"({self._steps}) with the share of it that memory covers, and with the transitions in memory; mean over "
            "held-out episodes. -1: the more of it, the lower the error.",
            ("with coverage", "with transitions"),
            tuple(rows),
        )

    def charts(self) -> tuple[Chart, ...]:
        """Errors and coverage against the number of episodes, and errors against coverage."""
        (name, metric), number, share = MAIN, "episodes in memory", "share of moments covered"
        wanted = [MAIN, (name, "kl"), *((other, metric) for other in STRATEGIES if other != name)]
        charts = [
            Chart(f"{m} requery: {METRICS[of]}, {self._steps}", number, of, self._curves(m, of), True, of == "kl")
            for m, of in wanted
        ]
        several = {choice: [self.points[choice, size] for size in self.sizes] for choice in CHOICES}
        coverage = [self._curve(choice, self.sizes, [p.coverage for p in points]) for choice, points in several.items()]
        against = []
        for choice, points in several.items():
            # More episodes never cover less, so that this ascends.
            x = [float(point.coverage.mean()) for point in points]
            against.append(self._curve(choice, x, [point.level(*MAIN) for point in points]))
        return (
            *charts,
            Chart("Coverage of held-out moments", number, share, tuple(coverage), log_x=True),
            Chart(f"{name} requery: error against coverage, {self._steps}", share, metric, tuple(against)),
        )

    def evidence(self) -> tuple[Evidence, ...]:
        """A few episodes chosen well against many chosen badly."""
        most = self.sizes[-1]
        if FEW not in self.sizes or most == FEW:
            return ()
        few, many = self.points["for coverage", FEW], self.points["for the lack of it", most]
        compared = f"{FEW} episodes for coverage / {most} for the lack of it, {self._steps}"
        return evidence("coverage_beats_volume", compared, few.level(*MAIN), many.level(*MAIN))

    def sentences(self) -> tuple[str, ...]:
        """What came out, and what it cannot tell."""
        turns = {choice: self.turning_point(choice, MAIN[0]) for choice in CHOICES}
        most = self.sizes[-1]
        words = [f"{_episodes(n)} {c}" if n < most else f"none below {most} {c}" for c, n in turns.items()]
        found = [f"Turning point of {MAIN[0]} on moving pixels: {'; '.join(words)}."]
        for item in self.evidence():
            a, b, gap = self._cells([np.array(item.a), np.array(item.b), np.subtract(item.a, item.b)])
            found.append(
                f"{item.compared.capitalize()}: {MAIN[0]} is off by {a.value:.4f} and {b.value:.4f} on moving pixels, "
                f"a difference of {gap.value:+.4f} (95% interval {gap.low:+.4f} to {gap.high:+.4f})."
            )
        short = [
            _episodes(n) + f", {c}" for (c, n), p in self.points.items() if np.isnan(p.level("replay_l2", "kl")).any()
        ]
        if short:
            found.append(f"No numbers of a strategy that must retrieve more rows than memory has: {'; '.join(short)}.")
        return tuple(found)

    @property
    def _steps(self) -> str:
        return f"mean over t = {listed(self.config.shown_horizons)}"

    def _curves(self, name: str, metric: str) -> tuple[Curve, ...]:
        """An error against the number of episodes, by choice, between baselines that do not depend on it."""
        flat = [self._curve(n, self.sizes, [self.baselines[n, metric].mean(1)] * len(self.sizes)) for n in BASELINES]
        points = ((c, [self.points[c, n].level(name, metric) for n in self.sizes]) for c in CHOICES)
        return (*flat, *(self._curve(choice, self.sizes, levels) for choice, levels in points))

    def _curve(self, label: str, x: Sequence[float], per_episode: Sequence[np.ndarray]) -> Curve:
        return curve(label, np.stack(per_episode, 1), self.config.seed, x)

    def _cells(self, per_episode: Iterable[np.ndarray]) -> list[Number]:
        """Several (E,) arrays to means with their intervals, resampled together."""
        return list(numbers(np.stack(list(per_episode), 1), self.config.seed))


def _episodes(size: int) -> str:
    return f"{size} episode{'s' if size > 1 else ''}"


def listed(numbers: Sequence[int]) -> str:
    """Numbers in words."""
    return ", ".join(map(str, numbers))
