"""Scenarios of Doom, run by ViZDoom, which has them and a free version of the game inside."""

import importlib.util
from collections.abc import Sequence
from functools import partial

from memworld.worlds.policies import random_policy, skilled
from memworld.worlds.vizdoom.demonstrators import DEMONSTRATORS
from memworld.worlds.vizdoom.env import FRAMESKIP, VizDoomEnv
from memworld.worlds.vizdoom.scenarios import SCENARIOS
from memworld.worlds.world import Family, World

__all__ = ["FAMILY", "VizDoomEnv"]


def _missing() -> Sequence[str]:
    if importlib.util.find_spec("vizdoom"):
        return ()
    return ('the Python package vizdoom: pip install "memworld[vizdoom]"',)


def _open(name: str) -> World:
    scenario = SCENARIOS[name]
    return World(
        name=name,
        make=partial(VizDoomEnv, name),
        state_names=scenario.state_names,
        action_names=tuple(scenario.actions),
        policies={"random": skilled(random_policy), "demonstrator": DEMONSTRATORS[name]},
        frameskip=FRAMESKIP,
    )


FAMILY = Family("Doom (ViZDoom)", lambda: tuple(SCENARIOS), _missing, _open)
