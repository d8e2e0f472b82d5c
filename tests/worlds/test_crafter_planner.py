import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.worlds.crafter.cells import DIRECTIONS, FREE, Cell
from memworld.worlds.crafter.planner import Planner, beside, facing, near, standing

Pose = tuple[int, int, int]
TOOLS = ("wood_pickaxe", "stone_pickaxe", "iron_pickaxe")
MOVES = ("move_left", "move_right", "move_up", "move_down")


def take(land: np.ndarray, pose: Pose, action: str, stones: int) -> tuple[Pose, int]:
    """What the game does on an action, as far as ways are concerned; changes `land`, returns pose and stones."""
    x, y, direction = pose
    if action in MOVES:
        direction = MOVES.index(action)
    to_x, to_y = x + DIRECTIONS[direction][0], y + DIRECTIONS[direction][1]
    if not (0 <= to_x < land.shape[0] and 0 <= to_y < land.shape[1]):
        return (x, y, direction), stones
    cell = land[to_x, to_y]
    if action in MOVES:
        assert cell != Cell.LAVA, "walked into lava"
        return ((to_x, to_y, direction) if cell in FREE else (x, y, direction)), stones
    if action == "do" and cell == Cell.STONE:
        land[to_x, to_y] = Cell.PATH
        return pose, stones + 1
    assert action == "place_stone"
    assert stones > 0
    land[to_x, to_y] = Cell.STONE
    return pose, stones - 1


def shortest(land: np.ndarray, start: Pose, goals: np.ndarray) -> float:
    """The least number of steps over free cells alone, by trying all poses in the order of their distance."""
    seen, edge = {start}, [start]
    for steps in itertools.count():
        if any(goals[pose] for pose in edge):
            return steps
        edge = [take(land, pose, move, 0)[0] for pose in edge for move in MOVES]
        edge = list(set(edge) - seen)
        if not edge:
            return np.inf
        seen |= set(edge)
    raise AssertionError


@st.composite
def lands(draw: st.DrawFn, *cells: Cell) -> tuple[np.ndarray, Pose, tuple[int, int]]:
    """A small land with the player's pose, and another cell."""
    shape = (draw(st.integers(2, 7)), draw(st.integers(2, 7)))
    count = shape[0] * shape[1]
    land = np.array(draw(st.lists(st.sampled_from(cells), min_size=count, max_size=count)), np.uint8).reshape(shape)
    x, y = draw(st.integers(0, shape[0] - 1)), draw(st.integers(0, shape[1] - 1))
    land[x, y] = Cell.GRASS
    goal = (draw(st.integers(0, shape[0] - 1)), draw(st.integers(0, shape[1] - 1)))
    return land, (x, y, draw(st.integers(0, 3))), goal


def plan(land: np.ndarray, pose: Pose, goals: np.ndarray, stones: int, tools: int) -> tuple[str, float]:
    inventory = {"stone": stones, **dict.fromkeys(TOOLS, tools)}
    seen = land.copy()
    seen[pose[:2]] = Cell.PLAYER
    way = Planner(seen, pose[:2], DIRECTIONS[pose[2]], inventory).way(goals.astype(np.uint8))
    return ("", np.inf) if way is None else (way.action, way.steps)


@given(lands(Cell.GRASS, Cell.SAND, Cell.PATH, Cell.TREE, Cell.TABLE))
@settings(max_examples=150)
def test_ways_over_free_cells_are_the_shortest(drawn: tuple[np.ndarray, Pose, tuple[int, int]]) -> None:
    land, start, goal = drawn
    target = np.zeros(land.shape, bool)
    target[goal] = True
    for goals in (facing(target), standing(target)):
        assert plan(land, start, goals, 0, 0)[1] == shortest(land, start, goals)


@given(lands(Cell.GRASS, Cell.STONE, Cell.WATER, Cell.LAVA, Cell.TREE), st.integers(0, 3), st.booleans(), st.booleans())
@settings(max_examples=150)
def test_following_the_ways_arrives_and_never_in_lava(
    drawn: tuple[np.ndarray, Pose, tuple[int, int]], stones: int, tool: bool, faces: bool
) -> None:
    land, pose, goal = drawn
    target = np.zeros(land.shape, bool)
    target[goal] = True
    goals = facing(target) if faces else standing(target)
    promised = plan(land, pose, goals, stones, tool)[1]
    if promised == np.inf:
        return
    for taken in range(200):
        action, steps = plan(land, pose, goals, stones, tool)
        if steps == 0:
            # Stones that ran out on the way may have cost detours, nothing else does.
            assert stones > 0 or taken <= promised + 1
            return
        if steps == np.inf:
            assert stones == 0  # all were used up for bridges
            return
        pose, stones = take(land, pose, action, stones)
    raise AssertionError("never arrived")


@given(lands(Cell.GRASS, Cell.TREE))
def test_neighbourhoods(drawn: tuple[np.ndarray, Pose, tuple[int, int]]) -> None:
    land, _, _ = drawn
    trees = land == Cell.TREE
    for x, y in np.ndindex(land.shape):
        around = trees[max(x - 1, 0) : x + 2, max(y - 1, 0) : y + 2]
        assert near(trees)[x, y] == around.any()
        sides = [(x + dx, y + dy) for dx, dy in DIRECTIONS]
        inside = [0 <= i < land.shape[0] and 0 <= j < land.shape[1] and bool(trees[i, j]) for i, j in sides]
        assert facing(trees)[x, y].tolist() == inside
        assert beside(trees)[x, y] == any(inside)
