"""Makes the small recordings that lie in this folder: one of each simulator, each in another format.

    python -m tests.recorded.make [NAME ...]

They let tests read real frames where a simulator is not installed. All of them together are to stay
below 5 MB, which `tests/test_recorded_sets.py` sees to. Frames of SuperTuxKart show assets under CC-BY-SA,
CC-BY, CC0 and the GPL, of Doom those of Freedoom, of Minetest those of Minetest Game (CC-BY-SA).
"""

import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from memworld.record import record
from memworld.worlds import open_world

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Small:
    """A small recording.

    Attributes:
        world: where it is made.
        format: how it is stored.
        max_steps: of an episode.
        episodes: how many.
        random_start: most random steps before each.
    """

    world: str
    format: str
    max_steps: int = 30
    episodes: int = 3
    random_start: int = 10


SETS = {
    "pong": Small("pong", "npz", max_steps=60, random_start=100),
    "seaquest": Small("seaquest", "minari", max_steps=60),
    "supertuxkart": Small("supertuxkart/lighthouse", "video"),
    "vizdoom": Small("vizdoom/health_gathering", "video"),
    "crafter": Small("crafter", "npz"),
    "minetest": Small("minetest/treechop", "minerl", max_steps=40),
}


def make(name: str, folder: Path) -> None:
    """Record the set `name` into `folder`."""
    small = SETS[name]
    record(
        open_world(small.world),
        "demonstrator",
        folder,
        episodes=small.episodes,
        max_steps=small.max_steps,
        skills=(1.0, 0.7, 0.4),
        random_start=small.random_start,
        format=small.format,
        progress=True,
    )


def main() -> None:
    """Make the sets that are named, or all."""
    for name in sys.argv[1:] or SETS:
        with tempfile.TemporaryDirectory() as temporary:
            made = Path(temporary) / name
            make(name, made)
            shutil.rmtree(HERE / name, ignore_errors=True)
            shutil.copytree(made, HERE / name)
        size = sum(file.stat().st_size for file in (HERE / name).rglob("*") if file.is_file())
        print(f"{name}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
