"""Ways on foot over the map."""

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from memworld.worlds.minetest.terrain import Terrain

# In nodes: how far one may fall without delay, and what a node's climb and swimming are worth in way.
_FALL = 3
_CLIMB_COST = 0.5
_SWIM_COST = 4.0

AROUND = tuple((di, dj) for di, dj in itertools.product((-1, 0, 1), repeat=2) if (di, dj) != (0, 0))
"""From a column to its neighbours."""


@dataclass(frozen=True, eq=False)
class Field:
    """How far it is from one column of the map to the others, or from those to it.

    Attributes:
        cost: float64 (X, Z), the way's length in nodes, with additions for what makes it slow; infinite
            where no way leads or none was asked for.
        nearer: int64 (X, Z), the number of the column that is next on the way to the one; negative where
            there is no way, and at the one.
    """

    cost: np.ndarray
    nearer: np.ndarray

    def way(self, column: tuple[int, int], most: int | None = None) -> list[tuple[int, int]]:
        """The columns on the way from `column` to the field's own, without `column`, or the first `most` of them."""
        found: list[tuple[int, int]] = []
        while (most is None or len(found) < most) and (number := int(self.nearer[column])) >= 0:
            column = divmod(number, self.nearer.shape[1])
            found.append(column)
        return found


class Paths:
    """All steps that one can take on a map, from column to column."""

    def __init__(self, terrain: Terrain) -> None:
        """Find them."""
        self._shape = terrain.height.shape
        numbers = np.arange(terrain.height.size).reshape(self._shape)
        sources, targets, costs = [], [], []
        for di, dj in AROUND:
            (i_here, i_there), (j_here, j_there) = _sides(di), _sides(dj)
            here, there = (i_here, j_here), (i_there, j_there)
            climb = terrain.height[there] - terrain.height[here]
            free = ~terrain.blocked[there] & (climb <= 1) & (climb >= -_FALL)
            if di and dj:
                # Not around the corner of something that is in the way.
                for corner in ((i_there, j_here), (i_here, j_there)):
                    free &= ~terrain.blocked[corner]
                    free &= terrain.height[corner] <= np.minimum(terrain.height[here], terrain.height[there])
            swim = terrain.water[there] * _SWIM_COST
            cost = np.hypot(di, dj) + _CLIMB_COST * abs(climb) + swim
            sources.append(numbers[here][free])
            targets.append(numbers[there][free])
            costs.append(cost[free])
        edges = (np.concatenate(sources), np.concatenate(targets))
        self._steps = csr_array((np.concatenate(costs), edges), shape=(numbers.size, numbers.size))
        self._steps_back = csr_array(self._steps.T)

    def to(self, column: tuple[int, int]) -> Field:
        """The ways from everywhere to a column."""
        return self._field(self._steps_back, column, np.inf)

    def out_of(self, column: tuple[int, int], limit: float) -> Field:
        """The ways from a column to those around that cost at most `limit`; they are followed backwards."""
        return self._field(self._steps, column, limit)

    def _field(self, steps: csr_array, column: tuple[int, int], limit: float) -> Field:
        number = column[0] * self._shape[1] + column[1]
        cost, nearer = dijkstra(steps, indices=number, return_predecessors=True, limit=limit)
        return Field(cost.reshape(self._shape), nearer.astype(np.int64).reshape(self._shape))


def _sides(step: int) -> tuple[slice, slice]:
    """Along one axis, the indices from which one can go by `step`, -1, 0 or 1, and those to which one comes."""
    return slice(max(-step, 0), min(-step, 0) or None), slice(max(step, 0), min(step, 0) or None)
