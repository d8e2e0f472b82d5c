"""The closed loop with the planners of `plan`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from memworld.control.run import KIND, ControlResult, check_same_game, control
from memworld.engine import DynamicsSettings
from memworld.errors import MemworldError, lookup
from memworld.evaluate.playing import PlayConfig
from memworld.plan import DYNAMICS, PLANNERS, PlanConfig, planning_policy
from memworld.storage import OnExisting, one_line, prepare_folder, to_json
from memworld.world_model import WorldModel
from memworld.worlds import World
from memworld.worlds.playing import dataset_info

WITHOUT_IMAGINATION = ("vote", "vinn", "behaviour")
"""Planners for which no dynamics need be fitted."""


def control_by_planning(
    world: World,
    memory: Path,
    plans: Sequence[PlanConfig],
    config: PlayConfig,
    output: Path,
    on_existing: OnExisting = "error",
    *,
    goal: Path | None = None,
    dynamics: DynamicsSettings | None = None,
    with_yardsticks: bool = True,
    videos: bool = True,
    command: str = "",
    progress: bool = False,
) -> ControlResult:
    """Act in a real world by planning in what a stored memory knows of it; see `control`.

    Args:
        world: where to play.
        memory: folder of a memory, with its encoder.
        plans: a planner's settings each; no planner twice.
        config: how many episodes, from where, how long.
        output: the run's folder.
        on_existing: `resume` goes on where an earlier call with the same settings stopped.
        goal: a picture in the memory's size to come to look like, of the objective `goal`.
        dynamics: of the imagination; None takes `plan.DYNAMICS`.
        with_yardsticks: whether the world's own ways to act play too.
        videos: whether to write videos.
        command: makes the report again; printed in it.
        progress: whether to show progress bars.

    Raises:
        MemworldError: as `control`; an unknown planner or one named twice, a memory that cannot be opened or has no
            rewards to plan for, or a picture that is none or of another size.
    """
    for plan in plans:
        lookup(PLANNERS, plan.planner, "planner")
    names = [plan.planner for plan in plans]
    if twice := [name for name in names if names.count(name) > 1]:
        raise MemworldError(f"planner {twice[0]} is named twice: name each once")
    if dynamics is not None and set(names) <= set(WITHOUT_IMAGINATION):
        raise MemworldError(f"{', '.join(names)} imagine nothing: leave the strategy of imagination out")
    model = WorldModel.open(memory, dynamics or DYNAMICS)
    env = world.make()
    try:
        check_same_game(model.memory, dataset_info(world, env))
    finally:
        env.close()
    picture = None if goal is None else read_goal(goal, model.memory.info.observation_shape)
    if output.exists() and on_existing != "overwrite":  # refused before minutes are spent on fitting
        prepare_folder(output, on_existing, "config.json", KIND)
    if not set(names) <= set(WITHOUT_IMAGINATION):
        model.prepare(progress)
    return control(
        world,
        model.memory,
        {plan.planner: planning_policy(model, plan, picture) for plan in plans},
        config,
        output,
        on_existing,
        settings={
            "dynamics": to_json(model.dynamics),
            "plans": {plan.planner: to_json(plan) for plan in plans},
            "goal": None if goal is None else str(goal),
        },
        with_yardsticks=with_yardsticks,
        videos=videos,
        command=command,
        progress=progress,
    )


def read_goal(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """A picture as a frame, uint8 of the given shape (H, W, C).

    Raises:
        MemworldError: it is no picture, or of another size.
    """
    try:
        with Image.open(path) as image:
            picture = np.asarray(image.convert("L" if shape[2] == 1 else "RGB"), np.uint8)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise MemworldError(f"goal {path} is no picture that can be read ({one_line(error)}): give a PNG") from error
    if picture.shape[:2] != shape[:2]:
        height, width = picture.shape[:2]
        raise MemworldError(
            f"goal {path} has {height} x {width} pixels, the memory's frames have {shape[0]} x {shape[1]}: give a "
            "frame of this world"
        )
    return picture.reshape(shape)
