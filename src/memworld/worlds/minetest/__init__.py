"""Tasks in Minetest, a world of voxels, which runs in real time on a display of its own."""

from collections.abc import Sequence
from functools import partial

from memworld.errors import MemworldError
from memworld.worlds.minetest.demonstrators import DEMONSTRATORS, RANDOM
from memworld.worlds.minetest.engine import missing
from memworld.worlds.minetest.env import TASKS, MinetestEnv
from memworld.worlds.world import Family, World

__all__ = ["FAMILY", "MinetestEnv"]


def _names() -> Sequence[str]:
    return [f"minetest/{task}" for task in TASKS]


def _open(name: str) -> World:
    if lacking := missing():
        raise MemworldError(f"{name} needs {' and '.join(lacking)}")
    task = name.removeprefix("minetest/")
    return World(
        name=name,
        make=partial(MinetestEnv, task),
        state_names=TASKS[task].state_names,
        action_names=TASKS[task].action_names,
        policies={"random": RANDOM, "demonstrator": DEMONSTRATORS[task]},
        repeatable=False,
    )


FAMILY = Family("Minetest", _names, missing, _open)
