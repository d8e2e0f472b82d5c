"""The main job: from a world to a report, stage by stage, each resumable."""

import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from memworld.actions import ActionSpace
from memworld.baselines import Baseline
from memworld.baselines.model import TrainedBaseline
from memworld.config import RunConfig
from memworld.datasets import EpisodeDataset
from memworld.encoders import Encoder
from memworld.encoders.training import train_vae
from memworld.errors import MemworldError
from memworld.evaluate.config import EvaluationConfig
from memworld.evaluate.protocol import check_baseline, check_unseen, evaluate, split_by_memory
from memworld.evaluate.results import Evaluation, write_metrics
from memworld.evaluate.windows import episodes_of
from memworld.formats import open_dataset
from memworld.memory import Memory
from memworld.record import record
from memworld.recorded import check_same_world
from memworld.remember import remember
from memworld.report import write_report
from memworld.storage import OnExisting, begin_run, read_json, to_json, write_json
from memworld.world_model import WorldModel
from memworld.worlds import open_world


@dataclass(frozen=True, eq=False)
class RunResult:
    """What a run gives.

    Attributes:
        evaluation: numbers, pictures and warnings.
        stages: seconds per stage; a stage that was finished before counts what this call spent on it.
        report: the report's path.
    """

    evaluation: Evaluation
    stages: dict[str, float]
    report: Path


def run(
    config: RunConfig,
    output: Path,
    on_existing: OnExisting = "error",
    *,
    command: str = "",
    progress: bool = False,
) -> RunResult:
    """Record, train, remember, evaluate, report.

    The folder `output` then holds `config.json`, `episodes/`, `encoder/`, `memory/` (with its
    encoder in `memory/encoder/`), `metrics.parquet`, `timing.json` and `report.html`.

    Args:
        config: all settings.
        output: the run's folder.
        on_existing: `resume` goes on where an earlier call with the same settings stopped.
        command: makes the report again; printed in it.
        progress: whether to show progress bars.

    Raises:
        MemworldError: the folder cannot be used or holds a run of other settings, or a stage fails.
    """
    world = open_world(config.recording.world)
    _begin("run", config, config.evaluation, world.action_space(), output, on_existing)
    stages: dict[str, float] = {}
    with _timed(stages, "record"):
        recording = config.recording
        episodes = record(
            world,
            recording.policy,
            output / "episodes",
            episodes=recording.episodes,
            max_steps=recording.max_steps,
            seed=config.seed,
            skills=recording.skills,
            random_start=recording.random_start,
            on_existing="resume",
            progress=progress,
        )
    training, held_out = episodes.split(config.held_out, config.seed)
    fitted, validation = training.split(config.validation, config.seed)
    with _timed(stages, "train"):
        trained = train_vae(
            fitted, validation, output / "encoder", config.vae, config.training, on_existing="resume", progress=progress
        )
    with _timed(stages, "remember"):
        memory = remember(
            training,
            trained.encoder,
            output / "memory",
            seed=config.seed,
            keep_frames=config.keep_frames,
            on_existing="resume",
            progress=progress,
        )
    return measure(
        trained.encoder,
        memory,
        training,
        held_out,
        config.evaluation,
        output,
        stages,
        command=command,
        progress=progress,
    )


def measure(
    encoder: Encoder,
    memory: Memory,
    training: EpisodeDataset,
    held_out: EpisodeDataset,
    config: EvaluationConfig,
    output: Path,
    stages: dict[str, float],
    models: Mapping[str, Baseline] | None = None,
    *,
    command: str,
    progress: bool = False,
) -> RunResult:
    """Evaluate and write `metrics.parquet`, `timing.json` and `report.html` into the folder `output`.

    Args:
        encoder: the memory's encoder.
        memory: what is searched.
        training: the memory's episodes.
        held_out: episodes that nothing has seen.
        config: what to evaluate.
        output: an existing folder with a `config.json`.
        stages: seconds of the stages before; the new ones are added.
        models: trained baselines by the names that tables give them.
        command: makes the report again; printed in it.
        progress: whether to show a progress bar.
    """
    with _timed(stages, "evaluate"):
        evaluation = evaluate(encoder, memory, training, held_out, config, models, progress=progress)
        write_metrics(output / "metrics.parquet", evaluation.table.rows)
    report = output / "report.html"
    with _timed(stages, "report"):
        settings = read_json(output / "config.json", "run")
        title = f"memworld: {memory.info.world or 'recorded episodes'}"
        write_report(report, evaluation, title=title, config=settings, stages=stages, command=command)
    write_json(
        output / "timing.json",
        {"stages_seconds": stages, "methods": [asdict(t) for t in evaluation.timings], "versions": versions()},
    )
    return RunResult(evaluation, stages, report)


def evaluate_memory(
    memory_path: Path,
    data: Path,
    config: EvaluationConfig,
    output: Path,
    on_existing: OnExisting = "error",
    baselines: Sequence[Path] = (),
    *,
    command: str = "",
    progress: bool = False,
) -> RunResult:
    """Evaluate a stored memory on the episodes of `data` that it does not hold.

    Those that it does hold give the data mean, the median picture and the state probe. `baselines`
    are folders of trained ones, to be measured beside the searches.

    Raises:
        MemworldError: nothing is held out or nothing is shared, a folder cannot be used, or a baseline
            of another encoder, one that has seen what is held out, or two of one kind.
    """
    world = WorldModel.open(memory_path)
    dataset = open_dataset(data)
    check_same_world(world.memory, dataset)
    training, held_out = split_by_memory(dataset, world.memory)
    # All that can be refused is refused before a folder is made or emptied.
    episodes_of(held_out, config.horizon)
    for name, dynamics in config.dynamics.items():
        least = dynamics.resolved(world.memory.info.action_space).least_rows
        if least > world.memory.steps:
            raise MemworldError(
                f"{name} asks for {least} rows, the memory has {world.memory.steps}: remember more episodes"
            )
    check_unseen(world.encoder, world.memory, held_out)
    models: dict[str, Baseline] = {}
    for folder in baselines:
        model = TrainedBaseline.open(folder, world.encoder)
        if model.name in models:
            raise MemworldError(f"{folder} is a second {model.name}: name one of each kind")
        check_baseline(model, world.encoder, held_out)
        models[model.name] = model
    for source in (memory_path, data, *baselines):
        if output.resolve() == source.resolve() or output.resolve() in source.resolve().parents:
            raise MemworldError(f"output {output} holds {source}, which is read: name another folder")
    inputs = _Inputs(str(memory_path), str(data), tuple(map(str, baselines)))
    _begin("evaluation", inputs, config, world.memory.info.action_space, output, on_existing)
    return measure(
        world.encoder, world.memory, training, held_out, config, output, {}, models, command=command, progress=progress
    )


def versions() -> dict[str, str]:
    """What the numbers were made with."""
    from memworld import __version__

    return {"memworld": __version__, "python": platform.python_version(), "torch": torch.__version__}


@dataclass(frozen=True)
class _Inputs:
    """What an evaluation reads."""

    memory: str
    data: str
    baselines: tuple[str, ...]


def _begin(
    kind: str,
    settings: Any,
    evaluation: EvaluationConfig,
    space: ActionSpace,
    output: Path,
    on_existing: OnExisting,
) -> None:
    """Make the output folder and write its `config.json`, or check that it was begun with the same settings.

    Raises:
        MemworldError: the folder cannot be used, or was begun with other settings.
    """
    dynamics = {name: to_json(config.resolved(space)) for name, config in evaluation.dynamics.items()}
    spelt_out = {**to_json(evaluation), "dynamics": dynamics}
    begin_run(output, kind, {**to_json(settings), "evaluation": spelt_out}, on_existing)


@contextmanager
def _timed(stages: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    stages[name] = round(time.perf_counter() - began, 2)
