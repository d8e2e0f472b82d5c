"""Atari 2600 games, run by ale-py, which has them inside."""

import importlib.util
from collections.abc import Sequence
from functools import partial

from memworld.worlds.atari.demonstrators import DEMONSTRATORS
from memworld.worlds.atari.env import FRAMESKIP, FREEWAY_CARS, STATE_ADDRESSES, AtariEnv, rom_names
from memworld.worlds.policies import random_policy, skilled
from memworld.worlds.world import Family, World

__all__ = ["FAMILY", "FREEWAY_CARS", "AtariEnv"]


def _names() -> Sequence[str]:
    """The games with demonstrators, by their bare names, then the others."""
    others = () if _missing() else [f"atari/{rom}" for rom in rom_names() if rom not in DEMONSTRATORS]
    return [*DEMONSTRATORS, *others]


def _missing() -> Sequence[str]:
    return () if importlib.util.find_spec("ale_py") else ("the Python package ale-py: pip install ale-py",)


def _open(name: str) -> World:
    rom = name.removeprefix("atari/")
    policies = {"random": skilled(random_policy)}
    if rom in DEMONSTRATORS:
        policies["demonstrator"] = DEMONSTRATORS[rom]
    return World(
        name=name,
        make=partial(AtariEnv, rom),
        state_names=tuple(STATE_ADDRESSES.get(rom, {})),
        action_names=AtariEnv(rom).action_names,
        policies=policies,
        frameskip=FRAMESKIP,
    )


FAMILY = Family("Atari 2600 (ale-py)", _names, _missing, _open)
