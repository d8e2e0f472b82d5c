"""What the ground of the world is like, and places on it."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# The map reaches from LOW to HIGH, eastwards and northwards, and from BOTTOM to TOP: three by three of the
# cubes, CHUNK nodes a side, that the game generates at a time, around the one that starts at (BOTTOM,) * 3.
CHUNK = 80
BOTTOM, TOP = -32, -32 + CHUNK - 1
LOW, HIGH = BOTTOM - CHUNK, TOP + CHUNK

# Starts and goals lie this far from the edge, so that the view does not reach it.
_MARGIN = 48


@dataclass(frozen=True, eq=False)
class Terrain:
    """A map of the world, as it is at the start of every episode. Its arrays cannot be written to.

    Column (i, j) of the map is the one around x = LOW + i, z = LOW + j.

    Attributes:
        height: int64 (X, Z), the y of the node at the surface of the ground or the water.
        water: bool (X, Z), whether there is water.
        blocked: bool (X, Z), whether a trunk or leaves leave no room to stand.
        trunks: int64 (N, 3), the x, y, z of all nodes of trunks.
    """

    height: np.ndarray
    water: np.ndarray
    blocked: np.ndarray
    trunks: np.ndarray

    @classmethod
    def load(cls, path: Path) -> "Terrain":
        """Read what the mod's survey wrote."""
        survey = json.loads(path.read_text())
        kinds = np.array([list(row) for row in survey["kinds"]])
        height = np.array(survey["heights"], np.int64).reshape(kinds.shape)
        trunks = np.array(survey["trunks"] or (), np.int64).reshape(-1, 3)
        made = cls(height, kinds == "~", kinds == "#", trunks)
        for array in (made.height, made.water, made.blocked, made.trunks):
            array.flags.writeable = False
        return made

    @property
    def open(self) -> np.ndarray:
        """Where one can stand on dry ground, bool (X, Z)."""
        found: np.ndarray = ~(self.water | self.blocked)
        return found

    def column(self, x: float, z: float) -> tuple[int, int]:
        """The column of the map at a position, or the one at the edge that is closest to it."""
        i, j = (int(np.clip(round(value) - LOW, 0, len(self.height) - 1)) for value in (x, z))
        return i, j

    def standing(self, i: int, j: int) -> tuple[float, float, float]:
        """The x, y, z of feet that stand in the middle of a column."""
        return float(LOW + i), float(self.height[i, j]) + 0.5, float(LOW + j)

    def start(self, rng: np.random.Generator) -> tuple[int, int]:
        """A column to start in, by chance: dry, open around, and away from the map's edge."""
        roomy = np.zeros_like(self.open)
        roomy[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = self._roomy()[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
        return self._any(roomy, rng)

    def start_near_trees(self, rng: np.random.Generator, distance: float, trunks: int) -> tuple[int, int]:
        """A column to start in, with at least so many trees within so many nodes, if there are such."""
        roots = np.unique(self.trunks[:, [0, 2]], axis=0)
        for _ in range(100):
            i, j = self.start(rng)
            if (np.hypot(*(roots - (LOW + i, LOW + j)).T) < distance).sum() >= trunks:
                break
        return i, j

    def goal(self, start: tuple[int, int], low: float, high: float, rng: np.random.Generator) -> tuple[int, int]:
        """A column from `low` to `high` nodes away from `start`, as the crow flies, if there is such."""
        rows, columns = np.indices(self.open.shape)
        distance = np.hypot(rows - start[0], columns - start[1])
        near = np.zeros_like(self.open)
        near[_MARGIN // 2 : -_MARGIN // 2, _MARGIN // 2 : -_MARGIN // 2] = True
        return self._any(self._roomy() & near & (distance >= low) & (distance <= high), rng)

    def _roomy(self) -> np.ndarray:
        """Where a column and its neighbours are open and about level, bool (X, Z)."""
        roomy = self.open.copy()
        for axis in (0, 1):
            for shift in (-1, 1):
                level = abs(np.roll(self.height, shift, axis) - self.height) <= 1
                roomy &= np.roll(self.open, shift, axis) & level
        return roomy

    def _any(self, choices: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
        places = np.argwhere(choices)
        assert len(places), "the map has been chosen so that there are some"
        i, j = places[rng.integers(len(places))]
        return int(i), int(j)
