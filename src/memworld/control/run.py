"""The closed loop in one folder: play, compare, show, report."""

import contextlib
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from memworld.actions import space_to_json
from memworld.control.compare import Comparison, compare
from memworld.control.demonstrations import demonstrations
from memworld.control.page import write_page
from memworld.control.play import play_and_keep
from memworld.control.returns import write_returns
from memworld.control.videos import reels
from memworld.datasets import DatasetInfo
from memworld.errors import MemworldError
from memworld.evaluate.playing import MakePolicy, Outcome, PlayConfig, yardsticks
from memworld.formats.video_frames import import_av
from memworld.memory import Memory
from memworld.pipeline import versions
from memworld.storage import OnExisting, begin_run, check_name, locked
from memworld.worlds import World
from memworld.worlds.playing import dataset_info

KIND = "control"
"""What the `config.json` of such a run says that it is."""


@dataclass(frozen=True, eq=False)
class ControlResult:
    """What a run gives.

    Attributes:
        outcomes: by way to act, of its episodes, by number.
        comparison: the table, what was found, and notes.
        report: the report's path; `returns.json`, `episodes/` and `videos/` lie beside it.
    """

    outcomes: Mapping[str, list[Outcome]]
    comparison: Comparison
    report: Path


def control(
    world: World,
    memory: Memory,
    ways: Mapping[str, MakePolicy],
    config: PlayConfig,
    output: str | Path,
    on_existing: OnExisting = "error",
    *,
    settings: Mapping[str, Any] | None = None,
    with_yardsticks: bool = True,
    videos: bool = True,
    command: str = "",
    progress: bool = False,
) -> ControlResult:
    """Play real episodes by several ways to act from the same starts, and report what came of it.

    The folder `output` then holds `config.json`, `episodes/<way>/` (a data set in the npz format), `videos/`,
    `returns.json` and `report.html`. An interrupt keeps every finished episode.

    Args:
        world: where to play.
        memory: what the ways to act know; its own episodes are what they are set against.
        ways: by name, what makes the policy of an episode from a generator. The names become names of files.
        config: how many episodes, from where, how long.
        output: the run's folder.
        on_existing: `resume` goes on where an earlier call with the same settings stopped.
        settings: what else the ways depend on, in plain JSON values, for `config.json`.
        with_yardsticks: whether the world's own ways, `random` and `demonstrator`, play too, as far as it has them.
        videos: whether to write videos; without the extra `video` there are none, and the report says so.
        command: makes the report again; printed in it.
        progress: whether to show a progress bar.

    Raises:
        MemworldError: a memory of another world, no way to act or a name that cannot be used, a folder that cannot
            be used or was begun with other settings, or a policy or the simulator failed.
    """
    output = Path(output)
    for way in ways:
        check_name(way, "way to act")
    with contextlib.closing(world.make()) as env, contextlib.ExitStack() as held:
        info = dataset_info(world, env)
        check_same_game(memory, info)
        own = yardsticks(world, info.action_space) if with_yardsticks else {}
        if both := [way for way in ways if way in own]:
            raise MemworldError(f"{both[0]} is one of the world's own ways to act: give yours another name")
        if not {**own, **ways}:
            raise MemworldError("there is no way to act: name a planner, or play the yardsticks")
        resolved = {
            "world": world.name,
            "frameskip": world.frameskip,
            "memory": identity(memory),
            "playing": asdict(config),
            "ways": [*own, *ways],
            **(settings or {}),
        }
        held.enter_context(locked(output))
        begin_run(output, KIND, resolved, on_existing)
        began = time.perf_counter()
        outcomes = play_and_keep(env, world, info, {**own, **ways}, config, output / "episodes", progress)
        seconds = time.perf_counter() - began
        recorded = demonstrations(memory, config.max_steps)
        write_returns(output / "returns.json", outcomes, recorded, resolved, versions())
        comparison = compare(world, outcomes, recorded, config)
        if videos and (missing := _without_videos()):
            videos, comparison = False, replace(comparison, notes=(*comparison.notes, missing))
        shown = tuple(reels(output, outcomes, videos))
        report = output / "report.html"
        write_page(report, world.name, outcomes, comparison, shown, resolved, config, command, seconds)
    return ControlResult(outcomes, comparison, report)


def check_same_game(memory: Memory, info: DatasetInfo) -> None:
    """Do nothing if what is in memory can be acted on in a world.

    Args:
        memory: the memory.
        info: what all episodes of the world share.

    Raises:
        MemworldError: their names, frames or actions differ.
    """
    kept = memory.info
    if kept.world and kept.world != info.world:
        raise MemworldError(f"the memory is of {kept.world}, the world is {info.world}: give a memory of that world")
    for name, old, new in (
        ("frames of", kept.observation_shape, info.observation_shape),
        ("actions", space_to_json(kept.action_space), space_to_json(info.action_space)),
    ):
        if old != new:
            raise MemworldError(
                f"the memory has {name} {old}, {info.world} has {new}: remember episodes recorded in this world"
            )


def identity(memory: Memory) -> dict[str, Any]:
    """What tells a memory from others."""
    ids = hashlib.sha256(json.dumps(memory.ids).encode()).hexdigest()
    return {
        "episodes": len(memory.entries),
        "steps": memory.steps,
        "ids": ids[:16],
        "seed": memory.seed,
        "encoder": memory.encoder_fingerprint,
    }


def _without_videos() -> str:
    """Why no videos can be written; "" if they can."""
    try:
        import_av()
    except MemworldError as error:
        return f"No videos were written: {error}."
    return ""
