import importlib.util
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from memworld.worlds import open_world
from memworld.worlds.vizdoom import FAMILY, VizDoomEnv
from memworld.worlds.world import World
from tests.helpers import one_clear_error

pytestmark = pytest.mark.skipif(bool(FAMILY.missing()), reason=f"missing: {'; '.join(FAMILY.missing())}")

HOME, HEALTH = "vizdoom/my_way_home", "vizdoom/health_gathering"


def play(world: World, policy: str, seed: int, skill: float = 1.0, steps: int = 1000) -> dict[str, Any]:
    """Play an episode to its end, at most so many steps."""
    env = world.make()
    act = world.policies[policy](env.action_space, np.random.default_rng(seed), skill)  # type: ignore[arg-type]
    observation, info = env.reset(seed=seed)
    rewards: list[float] = []
    states, objects = [info["state"]], info["objects"]
    terminated = truncated = False
    while not (terminated or truncated) and len(rewards) < steps:
        observation, reward, terminated, truncated, info = env.step(act(observation, info))
        rewards.append(float(reward))
        states.append(info["state"])
    env.close()
    return {
        "rewards": np.array(rewards),
        "states": np.array(states),
        "ended": (terminated, truncated),
        "objects": objects,
    }


def engines() -> set[int]:
    """Processes that this one has started and that still run."""
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    children = {int(child) for task in tasks for child in task.read_text().split()}
    return {child for child in children if "vizdoom" in Path(f"/proc/{child}/cmdline").read_text()}


@pytest.fixture
def home() -> Iterator[VizDoomEnv]:
    env = VizDoomEnv(HOME)
    yield env
    env.close()


@pytest.mark.parametrize(("name", "states", "actions"), [(HOME, 4, 8), (HEALTH, 5, 6)])
def test_a_world_is_what_it_says(name: str, states: int, actions: int) -> None:
    assert name in FAMILY.names()
    world = FAMILY.open(name)
    assert (world.name, world.frameskip, world.repeatable) == (name, 4, True)
    assert len(world.state_names) == states
    assert len(set(world.action_names)) == actions
    assert sorted(world.policies) == ["demonstrator", "random"]
    env = world.make()
    assert env.action_space == gymnasium.spaces.Discrete(actions)
    observation, info = env.reset(seed=0)
    for _ in range(5):
        assert observation.shape == (64, 64, 3)
        assert observation.dtype == np.uint8
        assert env.observation_space.contains(observation)
        assert (info["state"].shape, info["state"].dtype) == ((states,), np.float32)
        assert info["walls"].shape[1:] == (4,)
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert type(reward) is float
        assert (terminated, truncated) == (False, False)
    env.close()


@pytest.mark.filterwarnings("ignore:.*render:UserWarning")
@pytest.mark.parametrize("name", [HOME, HEALTH])
def test_it_keeps_gymnasiums_rules(name: str) -> None:
    env = VizDoomEnv(name)
    check_env(env, skip_render_check=True)
    env.close()


@pytest.mark.parametrize("name", [HOME, HEALTH])
def test_same_seed_and_actions_same_episode_whatever_was_played_before(name: str) -> None:
    def episode(env: VizDoomEnv, seed: int | None) -> tuple[np.ndarray, np.ndarray]:
        actions = np.random.default_rng(0).integers(env.action_space.n, size=60)
        observation, info = env.reset(seed=seed)
        seen, states = [observation], [(*info["state"], 0.0)]
        for action in actions:
            observation, reward, _, _, info = env.step(action)
            seen.append(observation)
            states.append((*info["state"], reward))
        return np.array(seen), np.array(states)

    used, fresh = VizDoomEnv(name), VizDoomEnv(name)
    once = episode(used, 5)
    after = episode(used, None)
    again = episode(used, 5)
    elsewhere = episode(fresh, 5)
    for repeated in (again, elsewhere):
        np.testing.assert_array_equal(once[0], repeated[0])
        np.testing.assert_array_equal(once[1], repeated[1])
    # What comes after a seeded episode follows from the seed too, and is another one.
    np.testing.assert_array_equal(after[0], episode(fresh, None)[0])
    assert (after[0] != once[0]).any()
    used.close()
    fresh.close()


def test_the_state_follows_the_actions(home: VizDoomEnv) -> None:
    def step(action: str) -> np.ndarray:
        return np.asarray(home.step(home.action_names.index(action))[4]["state"], np.float64)

    start = home.reset(seed=1)[1]["state"]
    np.testing.assert_array_equal(step("noop"), start)
    np.testing.assert_allclose(np.hypot(start[2], start[3]), 1, atol=1e-6)
    before = step("turn_left")
    after = step("turn_left")
    turn = np.rad2deg(np.arctan2(before[2] * after[3] - before[3] * after[2], before[2:] @ after[2:]))
    assert 5 < turn < 16
    np.testing.assert_array_equal(after[:2], start[:2])
    moved = step("forward")[:2] - after[:2]
    np.testing.assert_allclose(moved / np.linalg.norm(moved), after[2:], atol=1e-3)
    right = np.array([after[3], -after[2]])
    for _ in range(6):
        step("noop")  # until it stands
    here = step("noop")
    moved = step("strafe_right")[:2] - here[:2]
    assert moved @ right > 0.8 * np.linalg.norm(moved) > 1  # it slides along a wall


def test_time_runs_out_at_home_and_the_vest_ends_the_search() -> None:
    world = FAMILY.open(HOME)
    for seed in range(3):
        found = play(world, "demonstrator", seed)
        assert found["ended"] == (True, False)
        assert found["rewards"].sum() > 0.9
        assert np.linalg.norm(found["states"][-1, :2] - found["objects"]["GreenArmor"][0]) < 70
    env = world.make()
    env.reset(seed=0)
    steps = [env.step(0)[1:4] for _ in range(525)]
    assert {step[1:] for step in steps[:-1]} == {(False, False)}
    assert steps[-1][1:] == (False, True)
    np.testing.assert_allclose(sum(float(step[0]) for step in steps), -0.21)
    env.close()


def test_health_is_gathered_or_lost() -> None:
    world = FAMILY.open(HEALTH)
    for seed in range(2):
        survived = play(world, "demonstrator", seed)
        assert survived["ended"] == (False, True)
        assert (len(survived["rewards"]), survived["rewards"].sum()) == (525, 2100)
        died = play(world, "random", seed)
        assert died["ended"] == (True, False)
        assert died["rewards"][-1] < -90
        assert died["rewards"].sum() < 1200
        health = died["states"][:, world.state_names.index("health")]
        assert health[0] > 90
        assert health[-1] < 20


def test_skill_changes_behaviour_and_chance_is_reproducible() -> None:
    world = FAMILY.open(HEALTH)
    states = [play(world, "demonstrator", 0, skill, 60)["states"] for skill in (1.0, 0.4, 0.4)]
    np.testing.assert_array_equal(states[1], states[2])
    assert (states[0][:20] != states[1][:20]).any()


def test_it_leaves_no_file_and_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: VizDoomEnv) -> None:
    here, temporary = tmp_path / "here", tmp_path / "temporary"
    here.mkdir()
    temporary.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    others = engines()
    env = VizDoomEnv(HOME)
    assert engines() == others  # none before it is needed
    env.reset(seed=0)
    home.reset(seed=0)
    env.step(0)
    assert len(engines() - others) == 2
    assert list(here.iterdir()) == []
    assert len(list(temporary.iterdir())) == 2
    env.close()
    env.close()
    assert len(engines() - others) == 1
    env.reset(seed=0)
    del env
    assert len(engines() - others) == 1
    home.close()
    assert engines() == others
    assert list(here.iterdir()) == list(temporary.iterdir()) == []


def test_an_engine_that_crashes_is_named_and_can_be_started_again(home: VizDoomEnv) -> None:
    others = engines()
    first = home.reset(seed=3)[0]
    (engine,) = engines() - others
    os.kill(engine, signal.SIGKILL)
    with one_clear_error("the Doom engine failed .*reset"):
        for _ in range(10):
            home.step(0)
    with one_clear_error("call reset"):
        home.step(0)
    np.testing.assert_array_equal(home.reset(seed=3)[0], first)


def test_bad_use(home: VizDoomEnv) -> None:
    with one_clear_error("unknown Doom scenario 'vizdoom/home': use vizdoom/my_way_home"):
        VizDoomEnv("vizdoom/home")
    with one_clear_error("no episode is under way"):
        home.step(0)
    home.reset(seed=0)
    for action in (8, -1, 0.5, "forward"):
        with one_clear_error("action"):
            home.step(action)
    for _ in range(525):
        home.step(0)
    with one_clear_error("no episode is under way"):
        home.step(0)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vizdoom", None)
    assert importlib.util.find_spec("vizdoom") is None
    assert "memworld[vizdoom]" in FAMILY.missing()[0]
    assert HOME in FAMILY.names()
    for use in (lambda: open_world(HOME), lambda: VizDoomEnv(HOME)):
        with one_clear_error(r'pip install "memworld\[vizdoom\]"'):
            use()
