"""A laboratory for every world: record, encode, remember, train the baselines; each stage resumable."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from memworld.baselines import Baseline
from memworld.baselines.kinds import KINDS
from memworld.baselines.training import train_baseline
from memworld.datasets import EpisodeDataset
from memworld.encoders import Encoder
from memworld.encoders.training import TrainingConfig, train_vae
from memworld.encoders.vae import VAEConfig
from memworld.errors import MemworldError
from memworld.evaluate.experiments.config import StudyConfig
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.record import record
from memworld.remember import remember
from memworld.storage import KIND_KEY, read_json, write_json
from memworld.worlds import open_world

TIMES = "timing.json"
"""What the stages of a laboratory took, in seconds."""


@dataclass(frozen=True)
class Parts:
    """A world's episodes, split by episode: nothing is in two parts."""

    training: EpisodeDataset
    validation: EpisodeDataset
    held_out: EpisodeDataset
    further: EpisodeDataset


def prepare(world: str, config: StudyConfig, folder: Path, progress: bool) -> Laboratory:
    """Everything that experiments in one world need, made in `folder` unless it is there.

    Args:
        world: a name that `worlds.open_world` knows.
        config: the sizes.
        folder: the world's own.
        progress: whether to show progress bars.

    Raises:
        MemworldError: the world cannot run here, or a stage fails.
    """
    times = StageTimes(folder / TIMES)
    with times.measured("record"):
        episodes = record(
            open_world(world),
            "demonstrator",
            folder / "episodes",
            episodes=config.training + config.validation + config.held_out + config.further,
            max_steps=config.max_steps,
            seed=config.seed,
            skills=config.skills,
            random_start=config.random_start,
            on_existing="resume",
            progress=progress,
        )
    parts = split(episodes, config)
    with times.measured("encoder"):
        encoder = train_vae(
            parts.training,
            parts.validation,
            folder / "encoder",
            VAEConfig(config.latent_shape),
            TrainingConfig(steps=config.encoder_steps, seed=config.seed),
            on_existing="resume",
            progress=progress,
        ).encoder
    with times.measured("remember"):
        memory = remember(
            parts.training, encoder, folder / "memory", seed=config.seed, on_existing="resume", progress=progress
        )
    models, budgets, trained, left_out = _baselines(parts, encoder, config, folder, progress)
    return Laboratory(
        world=world,
        training=parts.training,
        held_out=parts.held_out,
        further=parts.further,
        encoder=encoder,
        memory=memory,
        models=models,
        budgets=budgets,
        seconds={**times.seconds, **trained},
        left_out=left_out,
        config=config,
        progress=progress,
    )


def split(episodes: EpisodeDataset, config: StudyConfig) -> Parts:
    """The parts of a recording.

    Raises:
        MemworldError: it has too few episodes.
    """
    rest, held_out = episodes.split(config.held_out, config.seed)
    rest, validation = rest.split(config.validation, config.seed)
    if config.further == 0:
        return Parts(rest, validation, held_out, rest[:0])
    training, further = rest.split(config.further, config.seed)
    return Parts(training, validation, held_out, further)


def _baselines(
    parts: Parts, encoder: Encoder, config: StudyConfig, folder: Path, progress: bool
) -> tuple[dict[str, Baseline], dict[str, tuple[tuple[float, Baseline], ...]], dict[str, float], dict[str, str]]:
    """Every baseline at its full budget, at its smaller ones, the seconds of the full one; and why one is missing."""
    models: dict[str, Baseline] = {}
    budgets: dict[str, tuple[tuple[float, Baseline], ...]] = {}
    seconds: dict[str, float] = {}
    left_out: dict[str, str] = {}
    for name, steps in config.baseline_steps.items():
        try:
            *less, (seconds[name], models[name]) = _at_every_budget(
                name, steps, parts, encoder, config, folder, progress
            )
            budgets[name] = tuple(less)
        except MemworldError as error:  # the searches and the other baselines can do without it
            left_out[name] = str(error)
    return models, budgets, seconds, left_out


def _at_every_budget(
    name: str, steps: int, parts: Parts, encoder: Encoder, config: StudyConfig, folder: Path, progress: bool
) -> list[tuple[float, Baseline]]:
    """Seconds and model of a baseline's trainings, the full one last."""
    found: list[tuple[float, Baseline]] = []
    usual = KINDS[name].training
    for taken in (*sorted(max(1, round(steps * share)) for share in config.budgets), steps):
        looks = max(1, min(usual.validate_every, taken // 4))
        model = train_baseline(
            name,
            parts.training,
            parts.validation,
            encoder,
            folder / "baselines" / f"{name}-{taken}",
            how=replace(usual, steps=taken, seed=config.seed, validate_every=looks),
            on_existing="resume",
            progress=progress,
        )
        found.append((model.history[-1]["seconds"], model))
    return found


class StageTimes:
    """Seconds per stage, on disk, so that a resumed stage adds to what it had taken."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seconds: dict[str, float] = {}
        self._finished: list[str] = []
        if path.exists():
            stored = read_json(path, "timing")
            try:
                self._seconds = {str(name): float(value) for name, value in stored["seconds"].items()}
                self._finished = list(map(str, stored["finished"]))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise MemworldError(
                    f"{path} is damaged: delete {path.parent}, and all of it is made and timed anew"
                ) from error

    @property
    def seconds(self) -> Mapping[str, float]:
        """Seconds of every stage."""
        return self._seconds

    @contextmanager
    def measured(self, stage: str) -> Iterator[None]:
        """Add the time of what is done inside, unless the stage has finished before."""
        if stage in self._finished:
            yield
            return
        began = time.perf_counter()
        try:
            yield
            self._finished.append(stage)
        finally:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + time.perf_counter() - began
            if self._path.parent.is_dir():
                stored = {KIND_KEY: "timing", "seconds": self._seconds, "finished": self._finished}
                write_json(self._path, stored)
