"""Coverage against volume: what memories of few and many episodes give, chosen well, at random, and badly.

A held-out moment is covered where memory holds a moment within a radius of it, the Euclidean
distance between the means of their posteriors. The radius is calibrated on the pool of episodes to
choose from: the median distance of its moments to the nearest one of any other episode. Choices
look at the pool alone: what they cover is the pool itself, never a held-out moment.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor
from tqdm import tqdm

from memworld.dynamics import DynamicsConfig
from memworld.errors import MemworldError
from memworld.evaluate.config import EvaluationConfig, paper_strategies
from memworld.evaluate.experiments.distances import Cover, choose_greedily, evenly, rank_correlation
from memworld.evaluate.experiments.horizon import MEAN_OVER
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.measuring import evaluation_config, evidence, kind_of, windows_of
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
from memworld.evaluate.metrics import latent_kl, median_picture, moving_pixel_l1
from memworld.evaluate.protocol import all_methods, check_unseen
from memworld.evaluate.results import interval
from memworld.evaluate.windows import episodes_of
from memworld.gaussian import Latents, concatenate, derived_seed, draw, seeded
from memworld.memory import Memory, MemoryEpisode
from memworld.world_model import WorldModel

METRICS = {"moving_pixel_l1": "error on moving pixels", "kl": "KL to the true frame's posterior, nats"}
CHOICES = ("at random", "for coverage", "for the lack of it")
BASELINES = ("encoder_bound", "persistence", "data_mean")
MAIN = ("replay_kl", "moving_pixel_l1")
"""The strategy and the metric that the claim is about."""

FEW = 5
"""Well-chosen episodes that the paper holds against many badly chosen ones."""

MOMENTS = 500
"""Most moments of a held-out episode, evenly spaced, whose coverage is measured."""

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


def run(lab: Laboratory) -> ExperimentResult:
    """Measure memories of every size and choice on the held-out episodes."""
    began = time.perf_counter()
    config = evaluation_config(lab, _strategies(), ("requery",), horizon=min(max(MEAN_OVER), lab.config.horizon))
    config = replace(config, shown=MEAN_OVER, context=1)
    pool = _pool(lab)
    sizes, notes = _sizes(lab.config.sizes, len(pool))
    if not sizes:
        return ExperimentResult("coverage", lab.world, notes=notes, seconds=time.perf_counter() - began)
    exam = Exam.of(lab, config)
    # An episode's last moment has no successor, so that no search returns it.
    cover = Cover.of([episode.latents.mu[:-1] for episode in pool], _held_out_means(lab, config.horizon))
    orders = _orders(cover, lab.config.draws, config.seed)
    wanted = {(choice, n): [tuple(sorted(o[:n])) for o in orders[choice]] for choice in CHOICES for n in sizes}
    memories = dict.fromkeys(chosen for several in wanted.values() for chosen in several)
    bar = tqdm(memories, desc=f"{lab.world}: coverage", unit="memory", disable=not lab.progress)
    measured = {chosen: _measure(lab, pool, chosen, cover, exam) for chosen in bar}
    points = {key: Point.average([measured[chosen] for chosen in several]) for key, several in wanted.items()}
    findings = Findings(points, sizes, exam.baselines, config, tuple(measured.values()))
    return ExperimentResult(
        "coverage",
        lab.world,
        tables=(
            *findings.error_tables(),
            findings.choosing(),
            findings.turning_points(),
            findings.explained(),
        ),
        charts=findings.charts(),
        evidence=findings.evidence(),
        notes=(*notes, *_setting(lab, cover, config), *findings.sentences()),
        seconds=time.perf_counter() - began,
    )


def _strategies() -> dict[str, DynamicsConfig]:
    """The paper's three, without the library's default."""
    return {name: dynamics for name, dynamics in paper_strategies().items() if name != "default"}


def _pool(lab: Laboratory) -> tuple[MemoryEpisode, ...]:
    """Every episode that may be chosen, encoded once: those in memory as they are, and the further ones."""
    further = Memory(lab.memory.info, lab.encoder, lab.memory.seed, keep_frames=False)
    further.extend(lab.further, lab.encoder)
    check_unseen(lab.encoder, further, lab.held_out)
    twice = set(further.ids) & set(lab.memory.ids)
    if twice:
        raise MemworldError(f"further episode {min(twice)} is in the memory already: give others")
    pool = (*(replace(episode, frames=None) for episode in lab.memory.episodes), *further.episodes)
    if len(pool) < 2:
        raise MemworldError("there is a single episode to choose from: give further ones")
    return pool


def _held_out_means(lab: Laboratory, horizon: int) -> list[Tensor]:
    """(at most `MOMENTS`, D) means of each held-out episode that is as long as the horizon."""
    held_out = (lab.held_out[place].observations for place in episodes_of(lab.held_out, horizon))
    return [lab.encoder.encode(frames[evenly(len(frames), MOMENTS)])[0] for frames in held_out]


def _sizes(asked: Sequence[int], episodes: int) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The sizes for which there are episodes, and a note about those for which there are not."""
    if any(size < 1 for size in asked):
        raise MemworldError(f"numbers of episodes must be at least 1, got {min(asked)}")
    beyond = sorted({size for size in asked if size > episodes})
    left_out = f"Memories of {_listed(beyond)} episodes are left out: there are {episodes} to choose from."
    return tuple(sorted(set(asked) - set(beyond))), (left_out,) if beyond else ()


def _orders(cover: Cover, draws: int, seed: int) -> dict[str, list[list[int]]]:
    """By choice, the orders in which it takes the episodes of the pool."""
    episodes = cover.pool.shape[1]
    drawn = [np.random.default_rng(derived_seed(seed, "coverage", str(draw))) for draw in range(draws)]
    orders = [rng.permutation(episodes).tolist() for rng in drawn]
    greedy = [[choose_greedily(cover.pool, most)] for most in (True, False)]
    return dict(zip(CHOICES, (orders, *greedy), strict=True))


@dataclass(frozen=True, eq=False)
class Exam:
    """The S windows of all E held-out episodes as one batch, so that a memory is asked everything at once.

    Attributes:
        shown: the H steps that are measured, counted from 0; only they are decoded.
        owners: (S,) each window's held-out episode.
        start: (S, D), with one sample of each, the same for every memory.
        actions: (S, T) int64 or (S, T, A) float32.
        frames: uint8 (S, H, h, w, c) the truth.
        latents: (S, H, D) its posteriors.
        median: uint8 (h, w, c) median picture of the training data.
        seed: of the noise of imagination, the same for every memory.
        baselines: errors of what needs no such memory.
    """

    shown: list[int]
    owners: np.ndarray
    start: Latents
    actions: np.ndarray
    frames: np.ndarray
    latents: Latents
    median: np.ndarray
    seed: int
    baselines: dict[tuple[str, str], np.ndarray]

    @classmethod
    def of(cls, lab: Laboratory, config: EvaluationConfig) -> "Exam":
        """Cut the windows, and measure the baselines on them."""
        windows = list(windows_of(lab, config, "windows"))
        shown = [h - 1 for h in config.shown_horizons]
        start = concatenate([w.start_latents for w in windows])
        exam = cls(
            shown,
            np.repeat(np.arange(len(windows)), [len(w.starts) for w in windows]),
            draw(start.mu, start.sigma, seeded(derived_seed(config.seed, "coverage", "start"))),
            np.concatenate([w.actions for w in windows]),
            np.concatenate([w.true_frames[:, shown] for w in windows]),
            concatenate([w.true_latents[:, shown] for w in windows]),
            median_picture(lab.training),
            config.seed,
            {},
        )
        for method in all_methods(lab.encoder, lab.memory, lab.training, {}, {}, config):
            if method.name in BASELINES:
                predicted = [method.predict(w) for w in windows]
                latents = concatenate([p.latents[:, shown] for p in predicted])
                frames = np.concatenate([p.frames[:, shown] for p in predicted])
                exam.baselines.update(exam.errors(method.name, latents, frames))
        return exam

    def ask(self, world: WorldModel, name: str) -> Errors:
        """The errors of one dynamics; NaN where memory has fewer rows than it must retrieve."""
        if world.memory.steps < world.dynamics.k:
            return {
                (name, metric): np.full((int(self.owners.max()) + 1, len(self.shown)), np.nan) for metric in METRICS
            }
        own = derived_seed(self.seed, "coverage", name)
        latents = world.imagine(self.start, self.actions, seed=own, decode=False).latents[:, self.shown]
        return self.errors(name, latents, world.decode(latents))

    def errors(self, name: str, latents: Latents, frames: np.ndarray) -> Errors:
        """What predictions (S, H) are off, per held-out episode."""
        size = self.frames.shape[:2]
        true, predicted = (f.reshape(-1, *f.shape[2:]) for f in (self.frames, frames))
        values = {
            "moving_pixel_l1": moving_pixel_l1(true, predicted, self.median),
            "kl": latent_kl(self.latents.flatten(), latents.flatten()),
        }
        return {(name, metric): self._per_episode(value.reshape(size)) for metric, value in values.items()}

    def _per_episode(self, values: np.ndarray) -> np.ndarray:
        """(S, H) to (E, H): means over windows, without those that have no number; NaN where none has."""
        means = []
        for owner in range(int(self.owners.max()) + 1):
            own = np.ma.masked_where(np.isnan(values), values)[self.owners == owner]
            means.append(own.mean(0).filled(np.nan))
        return np.stack(means)


def _measure(lab: Laboratory, pool: Sequence[MemoryEpisode], chosen: Sequence[int], cover: Cover, exam: Exam) -> Point:
    """What a memory of these episodes of the pool covers, and how far off its predictions are."""
    own, episodes = lab.memory, [pool[i] for i in chosen]
    memory = Memory.restore(own.info, own.encoder_fingerprint, own.latent_shape, own.seed, False, episodes)
    errors: dict[tuple[str, str], np.ndarray] = {}
    for name, dynamics in _strategies().items():
        errors |= exam.ask(WorldModel(lab.encoder, memory, dynamics), name)
    return Point(memory.steps, cover.share(chosen), errors)


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
            for name in _strategies():
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
        for name in _strategies():
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
        for name in _strategies():
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
        wanted = [MAIN, (name, "kl"), *((other, metric) for other in _strategies() if other != name)]
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
        return f"mean over t = {_listed(self.config.shown_horizons)}"

    def _curves(self, name: str, metric: str) -> tuple[Curve, ...]:
        """An error against the number of episodes, by choice, between baselines that do not depend on it."""
        flat = [self._curve(n, self.sizes, [self.baselines[n, metric].mean(1)] * len(self.sizes)) for n in BASELINES]
        points = ((c, [self.points[c, n].level(name, metric) for n in self.sizes]) for c in CHOICES)
        return (*flat, *(self._curve(choice, self.sizes, levels) for choice, levels in points))

    def _curve(self, label: str, x: Sequence[float], per_episode: Sequence[np.ndarray]) -> Curve:
        mean, low, high = (tuple(side.tolist()) for side in interval(np.stack(per_episode, 1), self.config.seed))
        return Curve(label, tuple(map(float, x)), mean, low, high)

    def _cells(self, per_episode: Iterable[np.ndarray]) -> list[Number]:
        """Several (E,) arrays to means with their intervals, resampled together."""
        sides = interval(np.stack(list(per_episode), 1), self.config.seed)
        return [Number(float(mean), float(low), float(high)) for mean, low, high in zip(*sides, strict=True)]


def _setting(lab: Laboratory, cover: Cover, config: EvaluationConfig) -> tuple[str, ...]:
    """What was measured on what, in words."""
    every = "every moment" if cover.looked_at == 1 else f"about every {cover.looked_at:.1f}th moment"
    return (
        f"Episodes were chosen from {len(lab.training)} that encoder and baselines were trained on and "
        f"{len(lab.further)} that they have not seen. Choices look at {every} of these, at no held-out one.",
        f"A moment is covered within {cover.radius:.3g} of it: the median (0.5 quantile) distance of the pool's "
        "moments to the nearest of any other of its episodes, between means of posteriors.",
        f"Coverage is measured on up to {MOMENTS} moments of each held-out episode. "
        "Every memory was asked the same windows with the same noise, "
        f"up to {config.starts} in each of "
        f"{len(cover.held_out)} held-out episodes; only t = {_listed(config.shown_horizons)} are decoded and measured. "
        f"Results of {lab.config.draws} random choices are averaged: intervals are over held-out episodes, and say "
        "nothing of the luck of a choice.",
    )


def _episodes(size: int) -> str:
    return f"{size} episode{'s' if size > 1 else ''}"


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
