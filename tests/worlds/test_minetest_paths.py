import heapq
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memworld.worlds.minetest.paths import Paths
from memworld.worlds.minetest.terrain import Terrain


def make_terrain(seed: int, size: int = 7) -> Terrain:
    rng = np.random.default_rng(seed)
    kind = rng.random((size, size))
    height = rng.integers(0, 3, (size, size)) if seed % 2 else np.zeros((size, size), np.int64)
    return Terrain(height, kind < 0.15, kind > 0.75, np.zeros((0, 3), np.int64))


def step_cost(terrain: Terrain, here: tuple[int, int], there: tuple[int, int]) -> float | None:
    """What one step costs, by the rules one at a time; None if it cannot be taken."""
    climb = int(terrain.height[there] - terrain.height[here])
    if terrain.blocked[there] or not -3 <= climb <= 1:
        return None
    if here[0] != there[0] and here[1] != there[1]:
        for corner in ((there[0], here[1]), (here[0], there[1])):
            if terrain.blocked[corner] or terrain.height[corner] > min(terrain.height[here], terrain.height[there]):
                return None
    return float(np.hypot(here[0] - there[0], here[1] - there[1]) + abs(climb) / 2 + 4 * terrain.water[there])


def literal_costs(terrain: Terrain, start: tuple[int, int]) -> np.ndarray:
    """Dijkstra's algorithm, from `start` to everywhere."""
    size = len(terrain.height)
    cost, heap = np.full((size, size), np.inf), [(0.0, start)]
    while heap:
        so_far, here = heapq.heappop(heap)
        if so_far >= cost[here]:
            continue
        cost[here] = so_far
        for there in itertools.product(*(range(max(k - 1, 0), min(k + 2, size)) for k in here)):
            more = step_cost(terrain, here, (there[0], there[1])) if there != here else None
            if more is not None:
                heapq.heappush(heap, (so_far + more, (there[0], there[1])))
    return cost


@given(st.integers(0, 10_000))
def test_ways_are_the_shortest_and_can_be_walked(seed: int) -> None:
    terrain = make_terrain(seed)
    start = (seed % 7, seed // 7 % 7)
    paths = Paths(terrain)
    out = paths.out_of(start, np.inf)
    np.testing.assert_allclose(out.cost, literal_costs(terrain, start))
    back = paths.to(start)
    for column in [(i, j) for i in range(7) for j in range(7)]:
        for way, cost in (
            ([*reversed(out.way(column)), column], out.cost[column]),
            ([column, *back.way(column)], back.cost[column]),
        ):
            if np.isfinite(cost):
                steps = [step_cost(terrain, *step) for step in itertools.pairwise(way)]
                assert None not in steps
                assert sum(filter(None, steps)) == pytest.approx(cost)


def test_a_limit_ends_the_search() -> None:
    terrain = make_terrain(0)
    near = Paths(terrain).out_of((3, 3), 2.0)
    assert np.isfinite(near.cost).any()
    assert near.cost[np.isfinite(near.cost)].max() <= 2.0
