import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.worlds import World, open_world
from memworld.worlds.atari.seaquest import SeaquestDemonstrator, _best_neighbour, _reach, _Thing
from tests.worlds.test_atari import play

SCALE_Y, SCALE_X = 64 / 210, 64 / 160


@pytest.fixture(scope="module")
def seaquest() -> World:
    return open_world("seaquest")


@pytest.fixture(scope="module")
def log(seaquest: World) -> dict[str, np.ndarray]:
    return play(seaquest, "demonstrator", 700)


def test_the_demonstrator_scores_and_chance_does_not(seaquest: World, log: dict[str, np.ndarray]) -> None:
    assert log["rewards"].sum() >= 1500
    assert log["states"][:, 3].max() >= 5, "it fetches divers"
    lives = log["ram"][:, 59]
    assert lives.min() >= 3
    assert play(seaquest, "random", 700)["rewards"].sum() <= 300
    assert play(seaquest, "demonstrator", 700, skill=0.0)["rewards"].sum() <= 300


def test_it_comes_up_for_air(log: dict[str, np.ndarray]) -> None:
    oxygen, depth = log["states"][:, 2], log["states"][:, 1]
    refilled = np.flatnonzero(np.diff(oxygen) > 0)
    assert (refilled > 200).any()
    assert (depth[refilled] == 13).all()


def test_chance_decides_the_game(seaquest: World) -> None:
    one, other = (play(seaquest, "demonstrator", 200, seed=seed) for seed in (0, 1))
    assert (one["actions"] != other["actions"]).mean() > 0.2


def test_states_track_the_pixels(seaquest: World, log: dict[str, np.ndarray]) -> None:
    assert seaquest.state_names == ("player_x", "player_y", "oxygen", "divers")
    frames, states, ram = log["observations"].astype(float), log["states"], log["ram"].astype(int)
    # Below the surface only the player is yellow, but for its torpedo, one shade of enemies, and explosions.
    seen = (states[:, 1] > 25) & (ram[:, 103] == 0) & (ram[:, 105] == 0)
    yellow = np.maximum(frames[..., :2].min(-1) - frames[..., 2] - 25, 0)
    rows, columns = np.indices((64, 64)) + 0.5
    errors = []
    for frame, (x, y, _, _) in zip(yellow[seen], states[seen], strict=True):
        row, column = (y + 38) * SCALE_Y, (x + 8) * SCALE_X
        near = frame * ((abs(rows - row) < 3) & (abs(columns - column) < 4.5))
        assert near.sum() > 0, "it is drawn in every frame"
        errors.append([(near * rows).sum() / near.sum() - row, (near * columns).sum() / near.sum() - column])
    assert len(errors) > 100
    assert (abs(np.array(errors)) < 1.2).all()
    assert states[seen, 0].std() > 10
    assert states[seen, 1].std() > 10
    # The bar of oxygen is white on red, from column 49 on and as many pixels long as there are units.
    under = (states[:, 1] > 25) & (ram[:, 105] == 0) & (states[:, 2] > 16)
    white = np.clip((frames[under, 52, :, 2] - 21) / (214 - 21), 0, 1)
    length = white[:, round(49 * SCALE_X) : round(112 * SCALE_X)].sum(1) / SCALE_X
    assert states[under, 2].std() > 5
    np.testing.assert_allclose(length, states[under, 2], atol=4)


def test_what_is_in_the_lanes_is_drawn_in_every_frame(log: dict[str, np.ndarray]) -> None:
    frames, seen = log["observations"].astype(float), 0
    sea = np.array([0, 28, 136])
    for frame, ram in zip(frames, log["ram"].astype(int), strict=True):
        x, lanes = ram[30:34], 141 - 24 * np.arange(4)
        for lane in np.flatnonzero((ram[36:40] == 4) & (x > 10) & (x < 140)):
            row, column = round((lanes[lane] + 3) * SCALE_Y), round((x[lane] + 3) * SCALE_X)
            patch = frame[row - 2 : row + 3, column - 1 : column + 2]
            assert abs(patch - sea).sum(-1).max() > 60
            seen += 1
    assert seen > 100


def test_it_foresees_what_swims(log: dict[str, np.ndarray]) -> None:
    demonstrator, ahead, found = SeaquestDemonstrator(np.random.default_rng(0)), 8, 0
    for now, later in zip(log["ram"].astype(int), log["ram"][ahead:].astype(int), strict=False):
        if now[104] or now[105] or later[104] or later[105]:
            continue  # everything stands still
        places: dict[int, list[float]] = {}
        for enemy in demonstrator._things(later)[0]:
            places.setdefault(enemy.lane, []).append(enemy.x)
        for enemy in demonstrator._things(now)[0]:
            x = enemy.x + enemy.speed * ahead
            if enemy.lane in places and 20 < x < 130:
                # What was shot meanwhile, or has come anew, is somewhere else.
                found += min(abs(x - place) for place in places[enemy.lane]) <= 1.5
    assert found > 300


@given(st.integers(21, 134))
def test_positions_in_reach(x: int) -> None:
    xs = _reach(x, 21, 134)
    assert x in xs
    assert (xs[0], xs[-1]) == (21, 134)
    steps = np.diff(xs)
    assert (steps[1:-1] == 4).all()
    assert (steps > 0).all()
    assert (steps <= 4).all()


def test_the_best_neighbour_is_the_largest_of_nine() -> None:
    values = np.random.default_rng(0).normal(size=(6, 9))
    padded = np.pad(values, 1, constant_values=-np.inf)
    expected = [[padded[y : y + 3, x : x + 3].max() for x in range(9)] for y in range(6)]
    np.testing.assert_array_equal(_best_neighbour(values), expected)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_values_are_those_of_the_best_path(seed: int) -> None:
    rng = np.random.default_rng(seed)
    goals = rng.uniform(0, 2, size=(4, 3, 4)) * (rng.random((4, 3, 4)) < 0.2)
    blocked = rng.random((4, 3, 4)) < 0.4
    demonstrator = SeaquestDemonstrator(rng)

    def value(step: int, y: int, x: int) -> float:
        if step == len(goals):
            return 0.0
        if blocked[step, y, x]:
            return demonstrator._DEATH
        around = [(y + down, x + right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
        onward = max(value(step + 1, *place) for place in around if 0 <= place[0] < 3 and 0 <= place[1] < 4)
        onward *= demonstrator._PATIENCE
        return onward if onward < 0 else max(onward, goals[step, y, x])

    expected = [[value(1, y, x) for x in range(4)] for y in range(3)]
    np.testing.assert_allclose(demonstrator._values(goals, blocked), expected)


def test_where_something_is_touched() -> None:
    still = np.zeros(3, int)
    thing = _Thing(lane=93, x=60.0, speed=4.0, left=0, right=7, top=93 + still, bottom=99 + still)
    xs, ys = np.array([44, 45, 67, 68]), np.array([49, 50, 66, 67])
    expected = np.zeros((3, 4, 4), bool)
    expected[0, 1:3, 1:3] = True  # 16 columns wide, from the 33rd to the 43rd row of its position
    expected[1:, 1:3, 2:] = True
    np.testing.assert_array_equal(thing.meets(xs, ys, (0, 0)), expected)
    assert thing.meets(xs, ys, (1, 1))[0].all()
