"""Coverage against volume: what memories of few and many episodes give, chosen well, at random, and badly.

A held-out moment is covered where memory holds a moment within a radius of it, the Euclidean
distance between the means of their posteriors. The radius is calibrated on the pool of episodes to
choose from: the median distance of its moments to the nearest one of any other episode. Choices
look at the pool alone: what they cover is the pool itself, never a held-out moment.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor
from tqdm import tqdm

from memworld.errors import MemworldError
from memworld.evaluate.config import EvaluationConfig, paper_strategies
from memworld.evaluate.experiments.coverage_findings import (
    BASELINES,
    CHOICES,
    METRICS,
    Errors,
    Findings,
    Point,
    listed,
)
from memworld.evaluate.experiments.distances import Cover, choose_greedily, evenly
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.measuring import MEAN_OVER, evaluation_config, gaps, windows_of
from memworld.evaluate.experiments.result import ExperimentResult
from memworld.evaluate.metrics import latent_kl, median_picture
from memworld.evaluate.protocol import all_methods, check_unseen
from memworld.evaluate.windows import episodes_of
from memworld.gaussian import Latents, concatenate, derived_seed, draw, seeded
from memworld.memory import Memory, MemoryEpisode
from memworld.pixels import moving_pixel_l1
from memworld.world_model import WorldModel

MOMENTS = 500
"""Most moments of a held-out episode, evenly spaced, whose coverage is measured."""


def run(lab: Laboratory) -> ExperimentResult:
    """Measure memories of every size and choice on the held-out episodes."""
    began = time.perf_counter()
    config = evaluation_config(lab, paper_strategies(), ("requery",), horizon=min(max(MEAN_OVER), lab.config.horizon))
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
        notes=(*notes, *gaps(lab, config.horizon), *_setting(lab, cover, config), *findings.sentences()),
        seconds=time.perf_counter() - began,
    )


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
    left_out = f"Memories of {listed(beyond)} episodes are left out: there are {episodes} to choose from."
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
        if world.memory.steps < world.dynamics.least_rows:
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
    for name, dynamics in paper_strategies().items():
        errors |= exam.ask(WorldModel(lab.encoder, memory, dynamics), name)
    return Point(memory.steps, cover.share(chosen), errors)


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
        f"{len(cover.held_out)} held-out episodes; only t = {listed(config.shown_horizons)} are decoded and measured. "
        f"Results of {lab.config.draws} random choices are averaged: intervals are over held-out episodes, and say "
        "nothing of the luck of a choice.",
    )
