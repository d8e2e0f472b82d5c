"""The real engine, wherever it and its assets are installed."""

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from memworld.record import record
from memworld.worlds import World, open_world
from memworld.worlds.supertuxkart import FAMILY, SuperTuxKartEnv
from memworld.worlds.supertuxkart.engine import Engine
from tests.helpers import one_clear_error

pytestmark = pytest.mark.skipif(bool(FAMILY.missing()), reason=f"SuperTuxKart needs {'; '.join(FAMILY.missing())}")

RACE = {"do": "race", "track": "lighthouse", "seed": 0, "aside": 0.0, "turn": 0.0}
PATIENCE = 90.0
"""Seconds after which a process that should have ended has not."""


@pytest.fixture(scope="module")
def world() -> World:
    return open_world("supertuxkart/lighthouse")


@pytest.fixture(scope="module")
def env(world: World) -> Iterator[gymnasium.Env[np.ndarray, Any]]:
    """One environment for all tests, as an engine takes seconds to start."""
    made = world.make()
    yield made
    made.close()
    made.close()


def last_argument(pid: int) -> str:
    """The last argument of a running program; one that has only just begun has none for a moment."""
    for _ in range(500):
        if arguments := Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]:
            return arguments[-1].decode()
        time.sleep(0.01)
    raise AssertionError(f"process {pid} has no arguments")


def workers() -> list[int]:
    """Numbers of the engines that this process runs."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            command = (status.parent / "cmdline").read_bytes()
        except OSError:  # it has just ended
            continue
        if parent == os.getpid() and b"supertuxkart/worker.py" in command:
            found.append(int(status.parent.name))
    return found


def wait_for_end(pid: int) -> None:
    """Until a process has ended, which may still wait for whoever inherited it to take note."""
    deadline = time.monotonic() + PATIENCE
    status = Path(f"/proc/{pid}/stat")
    while status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)


def play(env: gymnasium.Env[np.ndarray, Any], seed: int, steps: int) -> dict[str, np.ndarray]:
    """Hold random actions for four steps each, the same ones whatever the seed."""
    actions = np.random.default_rng(0).choice([0, 3, 3, 6, 5], steps // 4).repeat(4)
    observation, info = env.reset(seed=seed)
    frames, states, paths, rewards = [observation], [info["state"]], [info["path"]], []
    for action in actions:
        observation, reward, _, _, info = env.step(action)
        frames.append(observation)
        states.append(info["state"])
        paths.append(info["path"])
        rewards.append(reward)
    return {
        "frames": np.array(frames),
        "states": np.array(states),
        "paths": np.array(paths),
        "rewards": np.array(rewards),
    }


def test_a_world_is_what_it_says(world: World, env: gymnasium.Env[np.ndarray, Any]) -> None:
    observation, info = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    assert len(np.unique(observation)) > 50, "the picture is empty"
    assert world.action_space() == env.action_space == gymnasium.spaces.Discrete(len(world.action_names))
    assert info["state"].shape == (len(world.state_names),)
    assert info["state"].dtype == info["path"].dtype == np.float32
    state = dict(zip(world.state_names, info["state"], strict=True))
    assert np.hypot(state["heading_x"], state["heading_z"]) == pytest.approx(1)
    assert state["progress"] == 0
    # The grid lies on the track, and the kart looks along it.
    assert np.abs(info["path"][0, 0]) < 4 < info["path"][0, 1] <= 6


@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")
def test_it_is_a_sound_environment(world: World, env: gymnasium.Env[np.ndarray, Any]) -> None:
    # Pictures do not repeat exactly; all else must.
    space = env.observation_space
    check_env(gymnasium.wrappers.TransformObservation(env, np.zeros_like, space), skip_render_check=True)


def test_the_demonstrator_drives_a_lap(world: World, env: gymnasium.Env[np.ndarray, Any]) -> None:
    act = world.policies["demonstrator"](env.action_space, np.random.default_rng(0), 1.0)  # type: ignore[arg-type]
    observation, info = env.reset(seed=3)
    rewards, speeds, moves = [], [], []
    terminated = False
    while not terminated:
        before = info["state"]
        observation, reward, terminated, truncated, info = env.step(act(observation, info))
        rewards.append(reward)
        moves.append(np.linalg.norm(info["state"][:3] - before[:3]))
        speeds.append(np.linalg.norm(info["state"][3:6]))
        assert not truncated
        assert len(rewards) < 450
    assert sum(map(float, rewards)) == pytest.approx(1)
    assert info["state"][-1] == 1
    assert np.median(np.array(moves) / np.array(speeds)) == pytest.approx(0.1, rel=0.1), "a step is 0.1 s"
    with one_clear_error(r"call reset\(\)"):
        env.step(0)


def test_the_same_seed_and_actions_repeat_whatever_was_driven_before(env: gymnasium.Env[np.ndarray, Any]) -> None:
    first = play(env, seed=1, steps=60)
    other = play(env, seed=2, steps=60)
    again = play(env, seed=1, steps=60)
    for name in ("states", "paths", "rewards"):
        np.testing.assert_array_equal(first[name], again[name])
        assert not np.array_equal(first[name], other[name])
    difference = np.abs(first["frames"].astype(float) - again["frames"]).mean()
    assert difference < 2 < np.abs(first["frames"].astype(float) - other["frames"]).mean()
    assert first["rewards"].sum() == pytest.approx(first["states"][-1, -1], abs=1e-6)


def test_bad_actions_leave_the_race_as_it_is(env: gymnasium.Env[np.ndarray, Any]) -> None:
    env.reset(seed=0)
    for action in (9, -1, 0.5, "left", None, [0, 1]):
        with one_clear_error("action"):
            env.step(action)
    env.step(0)


def test_a_crash_is_one_error_and_the_next_reset_starts_anew(env: gymnasium.Env[np.ndarray, Any]) -> None:
    first = play(env, seed=5, steps=8)
    (pid,) = workers()
    os.kill(pid, signal.SIGSEGV)
    with one_clear_error(r"crashed with SIGSEGV while driving on lighthouse: reset\(\) starts it anew"):
        env.step(0)
    assert workers() == []
    with one_clear_error(r"call reset\(\)"):
        env.step(0)
    np.testing.assert_array_equal(play(env, seed=5, steps=8)["states"], first["states"])


def test_unknown_tracks() -> None:
    with one_clear_error("unknown world.*supertuxkart/lighthouse"):
        open_world("supertuxkart/lighthous")
    with one_clear_error("no track 'mines': use one of lighthouse"):
        SuperTuxKartEnv("mines")
    with one_clear_error(r"while starting a race on nonsuch \(.*not found"):
        Engine(64).ask("starting a race on nonsuch", 60, {**RACE, "track": "nonsuch"})


def test_a_hang_is_one_error() -> None:
    engine = Engine(64)
    os.kill(engine.pid, signal.SIGSTOP)
    with one_clear_error("did not answer for 0.2 s while waking up"):
        engine.ask("waking up", 0.2, RACE)
    assert engine.failed
    wait_for_end(engine.pid)


def test_an_engine_that_is_no_longer_referred_to_ends(capfd: pytest.CaptureFixture[str]) -> None:
    engine = Engine(64)
    pid = engine.pid
    scratch = last_argument(pid)
    assert Path(scratch).is_dir()
    del engine
    gc.collect()
    wait_for_end(pid)
    assert not Path(scratch).exists()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_an_engine_does_not_outlive_its_program(ending: signal.Signals) -> None:
    code = (
        "import sys, time; from memworld.worlds.supertuxkart.engine import Engine;"
        "engine = Engine(64); sys.stdout.write(f'{engine.pid}\\n'); sys.stdout.flush(); time.sleep(100)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as program:
        assert program.stdout is not None
        pid = int(program.stdout.readline())
        scratch = last_argument(pid)
        # As a terminal does: to all processes of the program's group.
        os.killpg(program.pid, ending)
        try:
            _, errors = program.communicate(timeout=PATIENCE)
        finally:
            program.kill()
    wait_for_end(pid)
    assert not Path(scratch).exists()
    assert errors.count("Traceback") == (1 if ending == signal.SIGINT else 0), "the program's own, if any"


def test_recording_and_resuming(world: World, env: gymnasium.Env[np.ndarray, Any], tmp_path: Path) -> None:
    for episodes in (1, 2):
        data = record(
            world,
            "demonstrator",
            tmp_path / "data",
            episodes=episodes,
            max_steps=12,
            skills=(1.0, 0.4),
            on_existing="resume",
        )
    assert [entry.steps for entry in data.entries] == [12, 12]
    assert data[0].observations.shape == (13, 64, 64, 3)
    assert [episode.source["skill"] for episode in data] == [1.0, 0.4]
    assert (data.info.state_names, data.info.action_names) == (world.state_names, world.action_names)
    assert len(workers()) <= 1, "only that of the other tests is left"
