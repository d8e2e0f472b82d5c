"""Crafter, a game of gathering, building and staying alive in an open land."""

import importlib.util
from collections.abc import Sequence

from memworld.worlds.crafter.demonstrator import DEMONSTRATOR
from memworld.worlds.crafter.env import ACTION_NAMES, STATE_NAMES, CrafterEnv
from memworld.worlds.policies import random_policy, skilled
from memworld.worlds.world import Family, World

__all__ = ["FAMILY", "CrafterEnv"]


def _missing() -> Sequence[str]:
    if importlib.util.find_spec("crafter"):
        return ()
    return ('the Python package crafter: pip install "memworld[crafter]"',)


def _open(name: str) -> World:
    return World(
        name=name,
        make=CrafterEnv,
        state_names=STATE_NAMES,
        action_names=ACTION_NAMES,
        policies={"random": skilled(random_policy), "demonstrator": DEMONSTRATOR},
    )


FAMILY = Family("Crafter", lambda: ("crafter",), _missing, _open)
