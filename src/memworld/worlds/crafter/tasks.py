"""What there is to do in Crafter at a moment, and where."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from memworld.worlds.crafter.cells import DIRECTIONS, ENEMIES, FREE, USES, Cell
from memworld.worlds.crafter.planner import beside, facing, near, shifted, standing

_MOST = 9
# A table or furnace farther away than this is not walked back to while a new one can be had.
_FAR = 15
# Food or drink below the first is looked after, at night below the second; energy below the third.
_LOW, _LOW_AT_NIGHT, _TIRED = 6, 3, 3
# With less health it goes to recover, with as much or more it looks for a fight.
_HURT = 5
# The daylight below which it is night, and above which the zombies of the night are gone.
_DARK = 0.5
_MORNING = 0.75
# The most cells that a shelter may have.
_HOLE = 4
# Stones to keep in hand, for shelters.
_SPARE = 2
# Stones that wall a plant in.
_FENCE = 4
# It does not get up, and may go to sleep for the sake of waking up, with less energy than this.
WEARY = 7
# It fights and leaves its shelter with this health.
FIT = 7

_MADE = ("wood_pickaxe", "wood_sword", "stone_pickaxe", "stone_sword", "iron_pickaxe", "iron_sword")


@dataclass(frozen=True)
class Task:
    """Something to do.

    Attributes:
        poses: bool (X, Y, 4), where it can be done, by cell and direction.
        action: what to do there.
    """

    poses: np.ndarray
    action: str


class View:
    """What the player knows at a moment: `info`, read."""

    def __init__(self, info: Mapping[str, Any]) -> None:
        """Read `info` of a `CrafterEnv`."""
        self.position: tuple[int, int] = (int(info["player_pos"][0]), int(info["player_pos"][1]))
        self.facing: tuple[int, int] = (int(info["facing"][0]), int(info["facing"][1]))
        self.inventory: Mapping[str, int] = info["inventory"]
        self.achieved = {name for name, count in info["achievements"].items() if count}
        self.sleeping: bool = info["sleeping"]
        daylight = float(info["state"][-1])
        self.dark, self.bright = daylight < _DARK, daylight > _MORNING
        self.land: np.ndarray = info["semantic"].copy()
        if self.inventory["health"] < FIT:
            # Walls behind which an enemy waits are not taken down.
            self.land[beside(self.cells(*ENEMIES)) & self.cells(Cell.STONE)] = Cell.OUTSIDE
        self.ripe = np.zeros(self.land.shape, bool)
        self.ripe[tuple(info["ripe"].T)] = True

    def at(self, dx: int, dy: int) -> int:
        """What is in the cell `dx` and `dy` from the player."""
        x, y = self.position[0] + dx, self.position[1] + dy
        inside = 0 <= x < self.land.shape[0] and 0 <= y < self.land.shape[1]
        return int(self.land[x, y]) if inside else Cell.OUTSIDE

    def sheltered(self) -> bool:
        """Whether it is in a hole of a few cells, where nothing can come in or arise."""
        seen, edge = {self.position}, [self.position]
        while edge:
            x, y = edge.pop()
            for dx, dy in DIRECTIONS:
                cell = (x + dx, y + dy)
                kind = self.at(cell[0] - self.position[0], cell[1] - self.position[1])
                if kind in (Cell.GRASS, *ENEMIES) or len(seen) > _HOLE:
                    return False
                if kind in FREE and cell not in seen:
                    seen.add(cell)
                    edge.append(cell)
        return True

    def cells(self, *kinds: Cell) -> np.ndarray:
        """Where one of `kinds` is: bool (X, Y)."""
        return np.isin(self.land, kinds)

    def close(self, cells: np.ndarray) -> np.ndarray:
        """Those of `cells`, bool (X, Y), that are not far from the player."""
        x, y = np.indices(cells.shape)
        return cells & (abs(x - self.position[0]) + abs(y - self.position[1]) <= _FAR)

    def affords(self, action: str) -> bool:
        """Whether the inventory has what an action takes."""
        return all(self.inventory[name] >= count for name, count in USES[action].items())


def needs(view: View) -> list[Task]:
    """What it must do to stay alive."""
    has, tasks = view.inventory, []
    low = _LOW_AT_NIGHT if view.dark else _LOW
    if has["drink"] < low or (has["drink"] < _MOST and _in_front(view) == Cell.WATER):
        tasks.append(Task(facing(view.cells(Cell.WATER)), "do"))
    if has["food"] < low:
        tasks.append(Task(facing(view.cells(Cell.COW) | view.ripe), "do"))
    # Nothing heals while it starves.
    hurt = has["health"] < _HURT and has["wood_pickaxe"] and min(has["food"], has["drink"]) > 0
    if has["energy"] < _TIRED or hurt:
        tasks += sleep(view)
    return tasks


def achievements(view: View) -> list[Task]:
    """What can be achieved next, or gathered for it."""
    return [*_gather(view), *_build(view), *_make(view), *_hunt(view), *_farm(view), *_rest(view)]


def _gather(view: View) -> Iterator[Task]:
    has, wanted = view.inventory, _wanted(view)
    fences = beside(view.cells(Cell.PLANT))
    sources = {
        "wood": (Cell.TREE, True),
        "stone": (Cell.STONE, has["wood_pickaxe"]),
        "coal": (Cell.COAL, has["wood_pickaxe"]),
        "iron": (Cell.IRON, has["stone_pickaxe"]),
        "diamond": (Cell.DIAMOND, has["iron_pickaxe"]),
    }
    for name, (cell, possible) in sources.items():
        if possible and has[name] < wanted[name]:
            yield Task(facing(view.cells(cell) & ~fences), "do")
    if "collect_drink" not in view.achieved:
        yield Task(facing(view.cells(Cell.WATER)), "do")


def _wanted(view: View) -> dict[str, int]:
    """How much to have of each material for all that is still to be made, at most 9."""
    to_make = [f"make_{name}" for name in _MADE if not view.inventory[name]]
    if to_make and not view.cells(Cell.TABLE).any():
        to_make.append("place_table")
    if not view.cells(Cell.FURNACE).any():
        to_make.append("place_furnace")
    wanted = {name: sum(USES[action].get(name, 0) for action in to_make) for name in ("wood", "stone", "coal", "iron")}
    wanted["stone"] += _SPARE + ("place_stone" not in view.achieved) + _FENCE * ("eat_plant" not in view.achieved)
    wanted["diamond"] = "collect_diamond" not in view.achieved
    return {name: min(count, _MOST) for name, count in wanted.items()}


def _build(view: View) -> Iterator[Task]:
    to_make = [f"make_{name}" for name in _MADE if not view.inventory[name]]
    free = view.cells(*FREE)
    if "place_stone" not in view.achieved and view.affords("place_stone"):
        yield Task(facing(free | view.cells(Cell.WATER)), "place_stone")
    tables = view.cells(Cell.TABLE)
    if to_make and not view.close(tables).any() and _affords_all(view, ["place_table", *to_make[:2]]):
        yield Task(facing(free), "place_table")
    spot = near(tables) & near(view.cells(Cell.FURNACE))
    wants = "place_furnace" not in view.achieved or (any("iron" in name for name in to_make) and not spot.any())
    if wants and view.affords("place_furnace"):
        yield Task(facing(free) & standing(near(tables)), "place_furnace")


def _affords_all(view: View, actions: list[str]) -> bool:
    """Whether the wood in hand lasts for some actions together: no table is put up for less."""
    return view.inventory["wood"] >= sum(USES[action].get("wood", 0) for action in actions)


def _make(view: View) -> Iterator[Task]:
    spot = near(view.cells(Cell.TABLE))
    for name in _MADE:
        if name == "iron_pickaxe":
            spot = spot & near(view.cells(Cell.FURNACE))
        if not view.inventory[name] and view.affords(f"make_{name}"):
            yield Task(standing(spot), f"make_{name}")


def _hunt(view: View) -> Iterator[Task]:
    if "eat_cow" not in view.achieved:
        yield Task(facing(view.cells(Cell.COW)), "do")
    armed = any(view.inventory[name] for name in _MADE if name.endswith("sword"))
    if armed and view.inventory["health"] >= _HURT:
        prey = [cell for cell in (Cell.ZOMBIE, Cell.SKELETON) if f"defeat_{cell.name.lower()}" not in view.achieved]
        if prey:
            yield Task(facing(view.cells(*prey)), "do")


def _farm(view: View) -> Iterator[Task]:
    """Plant a sapling, wall it in, as any creature beside it eats it, and come back when it is ripe."""
    if "eat_plant" in view.achieved:
        return
    plants, grass = view.cells(Cell.PLANT), view.cells(Cell.GRASS)
    if view.ripe.any():
        yield Task(facing(view.ripe), "do")
    elif plants.any():
        gaps = view.cells(*FREE) & beside(plants)
        if view.affords("place_stone"):
            yield Task(facing(gaps), "place_stone")
    elif view.affords("place_plant"):
        if "place_plant" not in view.achieved or view.inventory["stone"] >= _FENCE:
            yield Task(facing(grass), "place_plant")
    elif "collect_sapling" not in view.achieved or view.inventory["stone"] >= _FENCE:
        yield Task(facing(grass), "do")


def _rest(view: View) -> Iterator[Task]:
    if "wake_up" not in view.achieved and view.inventory["energy"] < WEARY and view.inventory["wood_pickaxe"]:
        yield from sleep(view)


def sleep(view: View) -> list[Task]:
    """Sleep where nothing can come near: in a hole in the rock, closed by a stone."""
    if not view.inventory["wood_pickaxe"]:
        return [Task(standing(view.cells(Cell.PLAYER)), "sleep")]
    rock = view.cells(Cell.STONE)
    solid = view.cells(Cell.STONE, Cell.COAL, Cell.IRON, Cell.DIAMOND, Cell.TREE, Cell.TABLE, Cell.FURNACE, Cell.WATER)
    poses = np.zeros((*view.land.shape, 4), bool)
    for direction, (dx, dy) in enumerate(DIRECTIONS):
        # Two cells of rock in line, walled at their sides and at the end.
        walled = rock & shifted(solid, dy, dx) & shifted(solid, -dy, -dx)
        poses[..., direction] = (
            shifted(walled, dx, dy) & shifted(walled, 2 * dx, 2 * dy) & shifted(solid, 3 * dx, 3 * dy)
        )
    return [Task(poses, "shelter")]


def shelter(view: View) -> list[tuple[tuple[int, int], str]]:
    """What to do, and where each action begins, to sleep in the rock in front: dig in, turn, and close the hole."""
    (x, y), (dx, dy) = view.position, view.facing
    direction = DIRECTIONS.index((dx, dy))
    into, back = (("left", "right", "up", "down")[i] for i in (direction, direction ^ 1))
    first, second = (x + dx, y + dy), (x + 2 * dx, y + 2 * dy)
    return [
        ((x, y), "do"),
        ((x, y), f"move_{into}"),
        (first, "do"),
        (first, f"move_{into}"),
        (second, f"move_{back}"),
        (first, "place_stone"),
    ]


def _in_front(view: View) -> int:
    return view.at(*view.facing)
