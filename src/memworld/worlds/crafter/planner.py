"""Shortest ways through the land: walking, digging and bridging."""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from memworld.worlds.crafter.cells import DIRECTIONS, FREE, Cell

# What it takes to get into a cell.
_BLOCKED, _WALK, _GRASS, _DIG, _BRIDGE, _LAVA = range(6)
_MOVES = ("move_left", "move_right", "move_up", "move_down")

# Which tool cuts what.
_TOOLS = {
    Cell.STONE: "wood_pickaxe",
    Cell.COAL: "wood_pickaxe",
    Cell.IRON: "stone_pickaxe",
    Cell.DIAMOND: "iron_pickaxe",
}


@dataclass(frozen=True)
class Way:
    """What to do to reach a goal.

    Attributes:
        action: the first action of the way; "" if the goal is reached already.
        goal: number of the goal.
        steps: how many actions the way takes, about.
    """

    action: str
    goal: int
    steps: int


class Planner:
    """Dijkstra's algorithm over the player's poses: cells and the directions in which it can face there.

    Facing matters: to turn to a cell the player must try to walk into it, and does if it is free.
    """

    def __init__(
        self,
        semantic: np.ndarray,
        position: tuple[int, int],
        facing: tuple[int, int],
        inventory: Mapping[str, int],
        grass_steps: int = 1,
    ) -> None:
        """Look at the land.

        Args:
            semantic: uint8 (X, Y), see `Cell`.
            position: the player's cell.
            facing: the step to the cell in front of it.
            inventory: counts by name.
            grass_steps: as how many steps one onto grass counts; more than 1 where it is dangerous.
        """
        ways_in = [_BLOCKED] * len(Cell)
        for cell in FREE:
            ways_in[cell] = _WALK
        for cell, tool in _TOOLS.items():
            if inventory[tool]:
                ways_in[cell] = _DIG
        if inventory["stone"] and inventory["wood_pickaxe"]:
            ways_in[Cell.WATER] = _BRIDGE
        ways_in[Cell.LAVA] = _LAVA
        self._may_bridge = ways_in[Cell.WATER] == _BRIDGE
        ways_in[Cell.GRASS] = _GRASS
        self._grass_steps = grass_steps
        land = np.array(ways_in, np.uint8)[semantic]
        land[position] = _WALK
        # A border spares the search to look for the land's edges.
        padded = np.pad(land, 1, constant_values=_BLOCKED)
        self._ways_in = padded.tobytes()
        self._width = padded.shape[1]
        self._start = ((position[0] + 1) * self._width + position[1] + 1) * 4 + DIRECTIONS.index(facing)

    def way(self, goals: np.ndarray) -> Way | None:
        """The shortest way to any goal; None if none can be reached.

        Args:
            goals: uint8 (X, Y, 4), the number of the goal that is reached in each pose, 0 for none.
        """
        if not goals.any():
            return None
        flat = np.pad(goals, ((1, 1), (1, 1), (0, 0))).tobytes()
        done: set[int] = set()
        queue = [(0, self._start, "")]
        while queue:
            steps, pose, first = heapq.heappop(queue)
            if pose in done:
                continue
            done.add(pose)
            if flat[pose]:
                return Way(first, flat[pose], steps)
            for cost, action, following in self._neighbours(pose):
                if following not in done:
                    heapq.heappush(queue, (steps + cost, following, first or action))
        return None

    def _neighbours(self, pose: int) -> list[tuple[int, str, int]]:
        """Poses that can be reached from one, with the number of actions and the first of them."""
        cell, facing = divmod(pose, 4)
        found = []
        for direction, (dx, dy) in enumerate(DIRECTIONS):
            target = cell + dx * self._width + dy
            way_in, turned, move = self._ways_in[target], facing == direction, _MOVES[direction]
            if way_in == _WALK:
                found.append((1, move, target * 4 + direction))
            elif way_in == _GRASS:
                found.append((self._grass_steps, move, target * 4 + direction))
            elif way_in == _DIG:
                found.append((2 if turned else 3, "do" if turned else move, target * 4 + direction))
            elif way_in == _BRIDGE or (way_in == _LAVA and turned and self._may_bridge):
                # Stone is laid, cut and walked over. To turn to lava is to walk into it.
                found.append((3 if turned else 4, "place_stone" if turned else move, target * 4 + direction))
            if not turned and way_in in (_BLOCKED, _DIG, _BRIDGE):
                found.append((1, move, cell * 4 + direction))
        return found


def facing(cells: np.ndarray) -> np.ndarray:
    """The poses that face one of `cells`: bool (X, Y) -> (X, Y, 4)."""
    return np.stack([shifted(cells, dx, dy) for dx, dy in DIRECTIONS], axis=-1)


def standing(cells: np.ndarray) -> np.ndarray:
    """The poses in one of `cells`: bool (X, Y) -> (X, Y, 4)."""
    return np.repeat(cells[..., None], 4, axis=-1)


def near(cells: np.ndarray) -> np.ndarray:
    """The cells from which the game counts one of `cells` as near: bool (X, Y) -> (X, Y)."""
    around = [shifted(cells, dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
    return np.asarray(np.any(around, axis=0))


def beside(cells: np.ndarray) -> np.ndarray:
    """The cells that share a side with one of `cells`: bool (X, Y) -> (X, Y)."""
    return np.asarray(facing(cells).any(-1))


def shifted(cells: np.ndarray, dx: int, dy: int) -> np.ndarray:
    """At each cell what `cells`, (X, Y), has at the one `dx` and `dy` from it, up to 3 away; False outside."""
    padded = np.pad(cells, 3)
    return padded[3 + dx : 3 + dx + cells.shape[0], 3 + dy : 3 + dy + cells.shape[1]]
