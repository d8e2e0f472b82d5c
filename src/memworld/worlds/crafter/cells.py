"""What may be in a cell of the land, and what things are made of, as the game has it."""

from enum import IntEnum


class Cell(IntEnum):
    """What is in a cell: numbers of `info["semantic"]`. Creatures and plants hide what is below them."""

    OUTSIDE = 0
    WATER = 1
    GRASS = 2
    STONE = 3
    PATH = 4
    SAND = 5
    TREE = 6
    LAVA = 7
    COAL = 8
    IRON = 9
    DIAMOND = 10
    TABLE = 11
    FURNACE = 12
    PLAYER = 13
    COW = 14
    ZOMBIE = 15
    SKELETON = 16
    ARROW = 17
    PLANT = 18


FREE = (Cell.GRASS, Cell.SAND, Cell.PATH)
"""What can be walked on, and built on."""

ENEMIES = (Cell.ZOMBIE, Cell.SKELETON, Cell.ARROW)
"""What hurts the player."""

DIRECTIONS = ((-1, 0), (1, 0), (0, -1), (0, 1))
"""Steps in x and y, in the order of the actions that move: left, right, up, down."""

USES: dict[str, dict[str, int]] = {
    "place_stone": {"stone": 1},
    "place_table": {"wood": 2},
    "place_furnace": {"stone": 4},
    "place_plant": {"sapling": 1},
    "make_wood_pickaxe": {"wood": 1},
    "make_wood_sword": {"wood": 1},
    "make_stone_pickaxe": {"wood": 1, "stone": 1},
    "make_stone_sword": {"wood": 1, "stone": 1},
    "make_iron_pickaxe": {"wood": 1, "coal": 1, "iron": 1},
    "make_iron_sword": {"wood": 1, "coal": 1, "iron": 1},
}
"""What an action takes of the inventory, by its name. All that is made needs a table near, of iron a furnace too."""
