import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from memworld.worlds import World, availability, open_world, world_names
from memworld.worlds.atari import FREEWAY_CARS, AtariEnv
from memworld.worlds.policies import skilled
from tests.helpers import one_clear_error


def play(world: World, policy: str, steps: int, skill: float = 1.0, seed: int = 0) -> dict[str, np.ndarray]:
    """Play one episode; observations, states and ram have one row more than the rest."""
    env = world.make()
    act = world.policies[policy](env.action_space, np.random.default_rng(seed), skill)  # type: ignore[arg-type]
    observation, info = env.reset(seed=seed)
    log: dict[str, list[Any]] = {
        "observations": [observation],
        "states": [info["state"]],
        "ram": [info["ram"]],
        "actions": [],
        "rewards": [],
    }
    for _ in range(steps):
        action = act(observation, info)
        observation, reward, terminated, _, info = env.step(action)
        for name, value in zip(log, (observation, info["state"], info["ram"], action, reward), strict=True):
            log[name].append(value)
        if terminated:
            break
    return {name: np.array(values) for name, values in log.items()}


@pytest.fixture(scope="module")
def pong() -> World:
    return open_world("pong")


@pytest.fixture(scope="module")
def freeway() -> World:
    return open_world("freeway")


@pytest.mark.parametrize(
    ("name", "canonical", "states", "policies"),
    [
        ("pong", "pong", 4, ["demonstrator", "random"]),
        ("atari/freeway", "freeway", 1, ["demonstrator", "random"]),
        ("seaquest", "seaquest", 4, ["demonstrator", "random"]),
        ("atari/space_invaders", "space_invaders", 4, ["demonstrator", "random"]),
        ("breakout", "atari/breakout", 0, ["random"]),
        ("atari/adventure", "atari/adventure", 0, ["random"]),  # has a screen of another height
    ],
)
def test_a_world_is_what_it_says(name: str, canonical: str, states: int, policies: list[str]) -> None:
    world = open_world(name)
    assert world.name == canonical
    assert canonical in world_names()
    assert len(world.state_names) == states
    assert sorted(world.policies) == policies
    env = world.make()
    assert isinstance(env.action_space, gymnasium.spaces.Discrete)
    assert len(world.action_names) == env.action_space.n
    observation, info = env.reset(seed=0)
    for _ in range(5):
        assert observation.shape == (64, 64, 3)
        assert observation.dtype == np.uint8
        assert env.observation_space.contains(observation)
        assert info["state"].shape == (states,)
        assert info["state"].dtype == np.float32
        assert (info["ram"].shape, info["ram"].dtype) == ((128,), np.uint8)
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert type(reward) is float
        assert (terminated, truncated) == (False, False)


def test_world_names_has_every_game_once() -> None:
    names = world_names()
    assert len(set(names)) == len(names) > 100
    assert names[:4] == ["pong", "freeway", "seaquest", "space_invaders"]
    assert "atari/pong" not in names


# In Assault, ale-py's own reset does not lead back to where loading does.
@pytest.mark.parametrize("rom", ["pong", "freeway", "seaquest", "space_invaders", "assault"])
def test_same_actions_same_game_whatever_was_played_before(rom: str) -> None:
    def episode(env: AtariEnv, actions: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        first = env.reset(seed=seed)[0]
        steps = [env.step(action) for action in actions]
        frames = np.array([first, *(step[0] for step in steps)])
        return frames, np.array([(*step[4]["state"], step[1]) for step in steps])

    used, fresh = AtariEnv(rom), AtariEnv(rom)
    actions = np.random.default_rng(0).integers(used.action_space.n, size=(2, 150))
    once = episode(used, actions[0], seed=0)
    other = episode(used, actions[1], seed=0)
    again = episode(used, actions[0], seed=1)
    elsewhere = episode(fresh, actions[0], seed=0)
    for repeated in (again, elsewhere):
        np.testing.assert_array_equal(once[0], repeated[0])
        np.testing.assert_array_equal(once[1], repeated[1])
    assert (once[0] != other[0]).any()


def test_what_reset_returns_is_the_callers_own() -> None:
    env = AtariEnv("pong")
    observation, _ = env.reset()
    kept = observation.copy()
    observation[:] = 0
    np.testing.assert_array_equal(env.reset()[0], kept)


def centre(weight: np.ndarray) -> np.ndarray:
    """Mean (row, column) of each image of weights (T, H, W); NaN where they are all 0."""
    rows, columns = np.indices(weight.shape[1:]) + 0.5
    with np.errstate(invalid="ignore"):
        return np.stack([(weight * grid).sum((1, 2)) / weight.sum((1, 2)) for grid in (rows, columns)], axis=1)


def test_pong_states_track_the_pixels(pong: World) -> None:
    log = play(pong, "demonstrator", 300, skill=0.5)
    frames, states = log["observations"].astype(float), log["states"]
    assert pong.state_names == ("ball_x", "ball_y", "player_y", "opponent_y")
    scale_y, scale_x = 64 / 210, 64 / 160
    # The ball is the only blue between the paddles, and a paddle all that shows in its columns.
    ball = centre(np.maximum(frames[:, 12:58, 9:55, 2] - 20, 0)) + np.array([12, 9])
    flying = (states[:, 1] > 60) & (states[:, 1] < 195) & (states[:, 0] > 80) & (states[:, 0] < 178)
    assert flying.sum() > 100
    np.testing.assert_allclose(ball[flying, 0], (states[flying, 1] - 11.5) * scale_y, atol=0.6)
    np.testing.assert_allclose(ball[flying, 1], (states[flying, 0] - 48) * scale_x, atol=0.6)
    player = centre(np.maximum(frames[:, 12:58, 56:57, 1] - 73, 0))[:, 0] + 12
    shown = np.arange(len(states)) > 2  # the paddles appear a moment after the start
    moving = shown & (states[:, 2] > 60) & (states[:, 2] < 190) & (states[:, 0] < 178)
    assert states[moving, 2].std() > 10
    np.testing.assert_allclose(player[moving], (states[moving, 2] - 6) * scale_y, atol=0.6)
    opponent = centre(np.maximum(frames[:, 12:58, 7:8, 0] - 145, 0))[:, 0] + 12
    moving = shown & (states[:, 3] > 60) & (states[:, 3] < 190) & (states[:, 0] > 80)
    assert states[moving, 3].std() > 10
    np.testing.assert_allclose(opponent[moving], (states[moving, 3] - 7) * scale_y, atol=0.8)


def test_freeway_states_track_the_pixels(freeway: World) -> None:
    log = play(freeway, "demonstrator", 300)
    frames, states = log["observations"].astype(float), log["states"]
    scale_y, scale_x = 64 / 210, 64 / 160
    changed = abs(frames - np.median(frames, axis=0)).sum(-1)
    yellow = frames[..., :2].min(-1) - frames[..., 2]
    yellow = np.maximum(yellow - np.median(yellow, axis=0), 0)  # without the line in the middle of the road
    player = centre(yellow[:, 8:58, 17:20])[:, 0] + 8
    seen = (states[:, 0] > 20) & (states[:, 0] < 165)
    assert states[seen, 0].std() > 30
    assert np.median(abs(player - (197 - states[:, 0]) * scale_y)[seen]) < 0.5
    # The cars go around the screen's edge, and are no part of the state.
    assert freeway.state_names == ("player_y",)
    for lane, x in enumerate(log["ram"][:, FREEWAY_CARS].astype(float).T, start=1):
        row = round((190 - 16 * lane - 4) * scale_y)
        car = centre(changed[:, row - 1 : row + 2, 24:62])[:, 1] + 24
        seen = (x > 70) & (x < 140)
        assert seen.any()
        assert np.median(abs(car[seen] - (x[seen] + 1) * scale_x)) < 1, lane


def test_the_pong_demonstrator_beats_the_opponent_and_chance_does_not(pong: World) -> None:
    assert play(pong, "demonstrator", 800)["rewards"].sum() >= 4
    assert play(pong, "demonstrator", 800, skill=0.0)["rewards"].sum() <= -8
    assert play(pong, "random", 800)["rewards"].sum() <= -8


def test_the_freeway_demonstrator_scores(freeway: World) -> None:
    # Always going up scores 5 in this time.
    assert play(freeway, "demonstrator", 500)["rewards"].sum() >= 6
    assert play(freeway, "random", 500)["rewards"].sum() <= 1
    whole_game = play(freeway, "demonstrator", 3000)["rewards"]
    assert (len(whole_game), whole_game.sum()) == (2048, 32)


@pytest.mark.parametrize("world", ["pong", "freeway", "seaquest", "space_invaders"])
def test_skill_changes_behaviour_and_chance_is_reproducible(world: str) -> None:
    opened = open_world(world)
    actions = {skill: play(opened, "demonstrator", 100, skill)["actions"] for skill in (1.0, 0.5, 0.2)}
    assert (actions[1.0] != actions[0.5]).any()
    assert (actions[0.5] != actions[0.2]).any()
    np.testing.assert_array_equal(play(opened, "demonstrator", 100, 0.5)["actions"], actions[0.5])
    assert (play(opened, "demonstrator", 100, 0.5, seed=1)["actions"] != actions[0.5]).any()


@pytest.mark.parametrize("skill", [0.0, 0.3, 0.8, 1.0])
def test_skill_is_the_share_of_the_policys_own_play(skill: float) -> None:
    space = gymnasium.spaces.Discrete(10**9)
    factory = skilled(lambda action_space, rng: lambda observation, info: -1)
    act = factory(space, np.random.default_rng(0), skill)
    actions = np.array([act(np.zeros(1), {}) for _ in range(20_000)])
    assert abs((actions == -1).mean() - skill) < 0.03
    ends = np.flatnonzero(np.diff(actions)) + 1
    if 0 < skill < 1:
        assert np.diff(ends).min() >= 4
        assert max(len(run) for run in np.split(actions, ends) if run[0] != -1) == 16


@pytest.mark.parametrize("skill", [-0.1, 1.1, float("nan")])
def test_skill_out_of_range(pong: World, skill: float) -> None:
    with one_clear_error("skill is .*: use 0"):
        pong.policies["demonstrator"](gymnasium.spaces.Discrete(6), np.random.default_rng(0), skill)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("atari/seaquets", "did you mean seaquest"),
        ("breakuot", "did you mean atari/breakout"),
        ("Pong", "did you mean .*pong"),
        ("no such game at all", "memworld worlds --all"),
        ("", "memworld worlds --all"),
        ("combat", "unknown world"),  # a game for two: loading it would end the process
    ],
)
def test_unknown_worlds(name: str, message: str) -> None:
    with one_clear_error(message):
        open_world(name)


def test_bad_arguments() -> None:
    with one_clear_error("no game 'warlords'"):
        AtariEnv("warlords")
    with one_clear_error("frameskip is 0"):
        AtariEnv("pong", frameskip=0)
    env = AtariEnv("pong")
    env.reset()
    with one_clear_error("action 6 is outside"):
        env.step(6)


@pytest.mark.parametrize("rom", ["freeway", "space_invaders"])
def test_frameskip_is_the_number_of_frames_in_a_step(rom: str) -> None:
    slow, fast = AtariEnv(rom, frameskip=1), AtariEnv(rom, frameskip=4)
    slow.reset()
    fast.reset()
    for _ in range(50):
        expected = [slow.step(1) for _ in range(4)]
        observation, reward, _, _, info = fast.step(1)
        np.testing.assert_array_equal(observation, expected[-1][0])
        np.testing.assert_array_equal(info["ram"], expected[-1][4]["ram"])
        assert reward == sum(step[1] for step in expected)


@pytest.mark.parametrize("rom", ["pong", "freeway", "seaquest", "space_invaders"])
def test_gymnasium_accepts_it(rom: str) -> None:
    env = AtariEnv(rom)
    check_env(env, skip_render_check=True)
    env.close()
    env.close()


@pytest.mark.parametrize(
    ("rom", "blinking"), [("pong", False), ("freeway", False), ("seaquest", False), ("space_invaders", True)]
)
def test_whether_things_are_drawn_in_every_other_frame_only(rom: str, blinking: bool) -> None:
    """Why observations of some games are made of two frames."""
    env = AtariEnv(rom)
    env.reset()
    actions, rng = env._actions, np.random.default_rng(0)
    blinks = []
    for action in rng.integers(len(actions), size=150):
        screens = []
        for _ in range(6):
            env._ale.act(actions[action])
            screens.append(env._ale.getScreenRGB())
        # Pixels that go there and back. In fewer frames all that moves has some, and even in six the end of
        # a paddle or a propeller may.
        odd, even = np.stack(screens[::2]), np.stack(screens[1::2])
        blinks.append(((odd != even) & (odd == odd[0]) & (even == even[0])).any(-1).all(0).any())
    assert np.mean(blinks) > 0.5 if blinking else np.mean(blinks) < 0.1


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ale_py", None)
    for use in (lambda: open_world("pong"), lambda: AtariEnv("pong")):
        with one_clear_error("pip install ale-py"):
            use()
    games = ["pong", "freeway", "seaquest", "space_invaders"]
    assert world_names()[: len(games)] == games
    listed = {world.name: world for world in availability()}
    for game in games:
        assert not listed[game].runs
        assert listed[game].missing == ("the Python package ale-py: pip install ale-py",)


def test_installed_worlds_run() -> None:
    atari = [world for world in availability() if "Atari" in world.simulator]
    assert len(atari) > 100
    assert all(world.runs and not world.missing for world in atari)


def test_no_banner_and_no_import_before_use() -> None:
    code = (
        "import sys; from memworld.worlds import open_world; assert 'ale_py' not in sys.modules; "
        "open_world('pong').make().reset()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
