"""SuperTuxKart's race tracks, driven without a display by PySuperTuxKart2 with Debian's assets.

Of the paper's tracks, `snes_rainbowroad` is not here: it is an add-on, which Debian does not have.

The engine is under the GPL 3, the assets under CC-BY-SA, CC-BY, CC0 and GPL, by the authors in the
assets' CREDITS: name them beside published frames.
"""

from collections.abc import Sequence
from functools import partial

from memworld.worlds.policies import random_policy, skilled
from memworld.worlds.supertuxkart.assets import missing, tracks
from memworld.worlds.supertuxkart.demonstrator import Demonstrator
from memworld.worlds.supertuxkart.env import ACTION_NAMES, STATE_NAMES, SuperTuxKartEnv
from memworld.worlds.world import Family, World

__all__ = ["FAMILY", "SuperTuxKartEnv"]

_PREFIX = "supertuxkart/"


def _names() -> Sequence[str]:
    """The paper's tracks, then the others that are installed."""
    return [_PREFIX + track for track in tracks()]


def _open(name: str) -> World:
    return World(
        name=name,
        make=partial(SuperTuxKartEnv, name.removeprefix(_PREFIX)),
        state_names=STATE_NAMES,
        action_names=ACTION_NAMES,
        policies={
            "random": skilled(random_policy),
            "demonstrator": skilled(lambda action_space, rng: Demonstrator()),
        },
        # The kart and all else repeat exactly, the pictures only almost.
        repeatable=False,
    )


FAMILY = Family("SuperTuxKart (PySuperTuxKart2)", _names, missing, _open)
