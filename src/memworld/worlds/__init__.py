"""Real environments to record in, each with policies that play in it."""

import difflib
import importlib
from collections.abc import Iterator
from dataclasses import dataclass

from memworld.errors import MemworldError
from memworld.worlds.world import Family, World

__all__ = ["Availability", "Family", "World", "availability", "open_world", "world_names"]

FAMILIES = ("atari", "supertuxkart", "vizdoom", "crafter", "minetest")
"""Modules of this package that hold a `FAMILY`, in the order in which their worlds are listed."""


@dataclass(frozen=True)
class Availability:
    """Whether a world can run here.

    Attributes:
        name: the world's name.
        simulator: what it runs in.
        runs: whether all that it needs is installed.
        missing: what is not, each with the command that installs it.
    """

    name: str
    simulator: str
    runs: bool
    missing: tuple[str, ...]


def families() -> Iterator[Family]:
    """All families of worlds; none of their simulators is imported."""
    for name in FAMILIES:
        family: Family = importlib.import_module(f"{__name__}.{name}").FAMILY
        yield family


def availability() -> list[Availability]:
    """Every world, and whether it can run here."""
    listed = []
    for family in families():
        missing = tuple(family.missing())
        listed += [Availability(name, family.title, not missing, missing) for name in family.names()]
    return listed


def world_names() -> list[str]:
    """The worlds that `open_world` knows, those that cannot run here too."""
    return [name for family in families() for name in family.names()]


def open_world(name: str) -> World:
    """Look a world up.

    Args:
        name: one of `world_names()`; of an Atari game, `atari/` may be put in front or left out.

    Raises:
        MemworldError: no such world, or a package that it needs is not installed.
    """
    spellings = (name, f"atari/{name}", name.removeprefix("atari/"))
    for family in families():
        names = family.names()
        for spelling in spellings:
            if spelling not in names:
                continue
            if missing := family.missing():
                raise MemworldError(f"{spelling} needs {'; and '.join(missing)}")
            return family.open(spelling)
    known = {world.removeprefix("atari/"): world for world in world_names()}
    close = [known[match] for match in difflib.get_close_matches(name.lower().removeprefix("atari/"), known)]
    hint = f"did you mean {' or '.join(close)}?" if close else "no name is close to it;"
    raise MemworldError(f"unknown world {name!r}: {hint} `memworld worlds --all` lists all")
