import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.worlds import World, open_world
from memworld.worlds.atari.space_invaders import SpaceInvadersDemonstrator, _Fleet, _reach
from tests.worlds.test_atari import play

SCALE_Y, SCALE_X = 64 / 210, 64 / 160


@pytest.fixture(scope="module")
def space_invaders() -> World:
    return open_world("space_invaders")


@pytest.fixture(scope="module")
def log(space_invaders: World) -> dict[str, np.ndarray]:
    return play(space_invaders, "demonstrator", 700)


def test_the_demonstrator_scores_and_chance_does_not(space_invaders: World, log: dict[str, np.ndarray]) -> None:
    assert len(log["rewards"]) == 700
    assert log["rewards"].sum() >= 600
    assert (log["ram"][:, 73] == 3).all(), "it loses no life"
    chance = play(space_invaders, "random", 700)["rewards"].sum()
    assert chance <= 0.5 * log["rewards"].sum()


def test_it_shoots_past_the_shields(log: dict[str, np.ndarray], space_invaders: World) -> None:
    def damage(ram: np.ndarray) -> int:
        return int(np.unpackbits(ram[0, 43:70]).sum() - np.unpackbits(ram[300, 43:70]).sum())

    # Bombs alone do it.
    assert damage(log["ram"]) < damage(play(space_invaders, "random", 300)["ram"])


def test_chance_decides_the_game(space_invaders: World) -> None:
    one, other = (play(space_invaders, "demonstrator", 200, seed=seed) for seed in (0, 1))
    assert (one["actions"] != other["actions"]).mean() > 0.1


def test_states_track_the_pixels(space_invaders: World, log: dict[str, np.ndarray]) -> None:
    assert space_invaders.state_names == ("player_x", "invaders_x", "invaders_y", "invaders_left")
    frames, states, ram = log["observations"].astype(float), log["states"], log["ram"].astype(int)
    shown = ram[:, 42] == 0  # else it blinks, before each wave
    assert shown.mean() > 0.8
    green = np.maximum(frames[:, 56:59, :, 1] - frames[:, 56:59, :, 0] - 20, 0).sum(1)
    player = (green * (np.arange(64) + 0.5)).sum(1) / np.maximum(green.sum(1), 1e-9)
    assert states[shown, 0].std() > 5
    np.testing.assert_allclose(player[shown], (states[shown, 0] + 2.2) * SCALE_X, atol=0.6)
    # Invaders are olive, above the shields; some are slim, and the next column is 6.4 away.
    olive = (frames[..., :2].min(-1) > frames[..., 2] + 15) & (np.indices((64, 64))[0] > 7)[None]
    # What was hit is shown a little longer.
    lost = np.concatenate([[False], np.diff(states[:, 3]) != 0])
    whole = shown & ~np.convolve(lost, np.ones(10))[: len(lost)].astype(bool)
    checked = 0
    for image, state, bytes_ in zip(olive[whole], states[whole], ram[whole], strict=True):
        bits = (bytes_[18:24, None] >> np.arange(6)) & 1
        assert bits.sum() == state[3]
        if not bits.any() or bytes_[30] != 180:
            continue  # between two waves; with a saucer
        rows, columns = np.flatnonzero(bits.any(1)), np.flatnonzero(bits.any(0))
        bottom = 131 + 2 * state[2] - 18 * rows[0]
        left, right = state[1] - 1 + 16 * columns[0], state[1] + 7 + 16 * columns[-1]
        image = image & (np.indices((64, 64))[0] < bottom * SCALE_Y)
        found = np.flatnonzero(image.any(0))
        assert abs(found[0] - left * SCALE_X) < 3.2
        assert abs(found[-1] + 1 - right * SCALE_X) < 3.2
        checked += 1
    assert checked > 100


def test_bombs_and_shots_are_seen(log: dict[str, np.ndarray]) -> None:
    """The game draws them in every other frame only."""
    seen: dict[str, list[bool]] = {"shot": [], "bomb": []}
    for frame, ram in zip(log["observations"].astype(float), log["ram"].astype(int), strict=True):
        bits = (ram[18:24, None] >> np.arange(6)) & 1
        if not bits.any():
            continue
        lowest = 131 + 2 * ram[16] - 18 * np.flatnonzero(bits.any(1))[0]
        things = {"shot": (ram[85], ram[87]), "bomb": (ram[81], ram[83])}
        for name, (y, x) in things.items():
            row = 2 * y + 3
            # Between the invaders and the shields, there is nothing else.
            if lowest + 4 <= row <= 140:
                column = round((x - 2) * SCALE_X - 0.5)
                patch = frame[int(row * SCALE_Y) - 1 : int((row + 10) * SCALE_Y) + 1, column - 1 : column + 2]
                seen[name].append(bool(patch.max() > 15))
    for name, cases in seen.items():
        assert len(cases) > 20, name
        assert np.mean(cases) > 0.95, name


def test_it_foresees_the_march(log: dict[str, np.ndarray]) -> None:
    demonstrator, ahead = SpaceInvadersDemonstrator(np.random.default_rng(0)), 16
    rams = log["ram"].astype(int)
    errors, drops = [], []
    for step in range(60, len(rams) - ahead):
        demonstrator._watch(rams[step], rams[step - 1])
        now, later = rams[step], rams[step + ahead]
        if now[17] != later[17] or now[17] == 0 or step < 80:
            continue  # they are faster the fewer they are
        fleet = _Fleet.ahead(now, demonstrator._way, ahead + 1)
        errors.append(fleet.x[ahead] - (later[26] - 1))
        drops.append(fleet.bottom[0, ahead] - (131 + 2 * later[16]))
    assert len(errors) > 50
    assert np.median(np.abs(errors)) < 2
    assert np.mean(np.abs(errors) > 6) < 0.1
    assert np.mean(np.array(drops) != 0) < 0.2


def test_the_march_turns_at_the_ends() -> None:
    ram = np.zeros(128, int)
    ram[[17, 18, 26, 16]] = (1, 1, 128, 0)  # one invader, in the first column, 2 pixels from the right end
    fleet = _Fleet.ahead(ram, way=1, steps=4)
    np.testing.assert_array_equal(fleet.x, [127, 129, 124, 119])
    np.testing.assert_array_equal(fleet.bottom[0], [131, 141, 141, 141])
    np.testing.assert_array_equal(fleet.bottom[5], fleet.bottom[0] - 90)


def test_where_a_shot_meets_the_fleet() -> None:
    ram = np.zeros(128, int)
    ram[[17, 18, 26]] = (36, 0b101, 41)  # 36 are slow; of the lowest row the second is missing
    fleet = _Fleet.ahead(ram, way=1, steps=30)
    shots = np.array([43, 60, 76, 200])
    flight, column, distance = fleet.meets(0, shots, np.zeros((1, 1), int), 173)
    np.testing.assert_allclose(flight, np.full((1, 4), (173 - 131) / 8))
    assert column[0, :3].tolist() == [0, 1, 2]
    assert distance[0, 0] < 2
    assert distance[0, 2] < 2
    assert np.isinf(distance[0, [1, 3]]).all()


def test_a_bomb_is_dodged() -> None:
    ram = np.zeros(128, int)
    ram[[28, 26, 30, 85, 17]] = (80, 23, 180, 246, 0)
    ram[81:85] = (78, 246, 84, 0)  # above the player, four steps away
    demonstrator = SpaceInvadersDemonstrator(np.random.default_rng(0))
    actions = []
    for _ in range(12):
        action = demonstrator(np.zeros(0), {"ram": ram.astype(np.uint8)})
        ram[28] += {2: 2, 4: 2, 3: -2, 5: -2}.get(action, 0)
        ram[81] += 2
        actions.append(action)
        assert not (86 <= ram[81] <= 94 and 1 <= ram[83] - ram[28] <= 8), actions
    assert ram[28] != 80


@given(st.integers(35, 117))
def test_positions_in_reach(x: int) -> None:
    xs, here = _reach(x)
    assert xs[here] == x
    assert (xs[0], xs[-1]) == (35, 117)
    assert (np.diff(xs) > 0).all()
    assert (np.diff(xs) <= 2).all()


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_values_are_those_of_the_best_path(seed: int) -> None:
    rng = np.random.default_rng(seed)
    goals = rng.uniform(0, 2, size=(5, 6)) * (rng.random((5, 6)) < 0.2)
    blocked = rng.random((5, 6)) < 0.5
    demonstrator = SpaceInvadersDemonstrator(rng)

    def value(step: int, x: int) -> float:
        if step == len(goals):
            return 0.0
        if blocked[step, x]:
            return demonstrator._DEATH
        onward = max(value(step + 1, x + right) for right in (-1, 0, 1) if 0 <= x + right < 6)
        onward *= demonstrator._PATIENCE
        return onward if onward < 0 else max(onward, goals[step, x])

    np.testing.assert_allclose(demonstrator._values(goals, blocked), [value(1, x) for x in range(6)])
