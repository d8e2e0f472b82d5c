import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.worlds.vizdoom.navigation import Navigation

# Two rooms, 320 x 320 and beside each other, with a door of 64 between them, and a pillar in the second.
DOOR = (128.0, 192.0)
WALLS = np.array(
    [
        (0, 0, 640, 0),
        (640, 0, 640, 320),
        (640, 320, 0, 320),
        (0, 320, 0, 0),
        (320, 0, 320, DOOR[0]),
        (320, DOOR[1], 320, 320),
        (440, 120, 500, 120),
        (500, 120, 500, 200),
        (500, 200, 440, 200),
        (440, 200, 440, 120),
    ],
    np.float32,
)
GOAL = np.array([600.0, 160.0], np.float32)
NAVIGATION = Navigation(WALLS, GOAL)


def crosses(a: np.ndarray, b: np.ndarray, wall: np.ndarray) -> bool:
    """Whether the line from `a` to `b` crosses a wall, (4,): on different sides of each other."""

    def side(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> float:
        return float((q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]))

    c, d = wall[:2].astype(np.float64), wall[2:].astype(np.float64)
    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0


def walk(position: np.ndarray, navigation: Navigation) -> list[np.ndarray]:
    """Steps of 8 straight to the waypoints."""
    places = [position]
    while np.linalg.norm(places[-1] - GOAL) > 16 and len(places) < 400:
        way = navigation.waypoint(places[-1]) - places[-1]
        places.append(places[-1] + way * min(1.0, 8 / np.linalg.norm(way)))
    return places


@given(st.floats(24, 296), st.floats(24, 296))
@settings(max_examples=20)
def test_the_way_leads_through_the_door_around_the_pillar_and_to_the_goal(x: float, y: float) -> None:
    start = np.array([x, y])
    places = walk(start, NAVIGATION)
    assert np.linalg.norm(places[-1] - GOAL) <= 16
    for a, b in itertools.pairwise(places):
        assert not any(crosses(a, b, wall) for wall in WALLS)
    # Not much longer than the shortest: to the door, around a corner of the pillar, to the goal.
    door, corners = np.array([320.0, 160.0]), [np.array([470.0, 98.0]), np.array([470.0, 222.0])]
    around = min(np.linalg.norm(door - corner) + np.linalg.norm(corner - GOAL) for corner in corners)
    assert (len(places) - 1) * 8 < 1.15 * (np.linalg.norm(start - door) + around) + 24


@pytest.mark.parametrize("position", [(2.0, 2.0), (319.0, 40.0), (442.0, 118.0)])
def test_a_start_against_a_wall_finds_out(position: tuple[float, float]) -> None:
    places = walk(np.array(position), NAVIGATION)
    assert np.linalg.norm(places[-1] - GOAL) <= 16
