"""Stable-Baselines3 trains in imagined environments, one or many."""

import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.vec_env import VecMonitor

from memworld.envs import ENV_ID, ImaginedEnv, ImaginedVectorEnv, for_stable_baselines
from memworld.world_model import WorldModel
from tests.envs.toys import line, squares
from tests.helpers import one_clear_error


def disabled(world: WorldModel, num_envs: int, **options: Any) -> ImaginedVectorEnv:
    return ImaginedVectorEnv(world, num_envs, autoreset_mode=AutoresetMode.DISABLED, support_limit=None, **options)


@pytest.fixture(scope="module")
def square_world() -> WorldModel:
    return squares()


def test_its_own_check_passes(square_world: WorldModel) -> None:
    check_env(ImaginedEnv(square_world, observations="latents"), warn=False)


@pytest.mark.parametrize("learner", [PPO, DQN])
def test_it_trains_in_what_gymnasium_makes(square_world: WorldModel, learner: Any, tmp_path: Any) -> None:
    square_world.save(tmp_path / "memory")
    env = gymnasium.make(ENV_ID, memory=tmp_path / "memory", observations="latents", horizon=8)
    few = {"n_steps": 32, "batch_size": 32} if learner is PPO else {"learning_starts": 16}
    model = learner("MlpPolicy", env, seed=0, device="cpu", **few)
    before = [p.clone() for p in model.policy.parameters()]
    model.learn(96)
    assert any(bool((p != old).any()) for p, old in zip(model.policy.parameters(), before, strict=True))
    assert len(model.ep_info_buffer) > 0


def test_it_learns_in_many_what_is_rewarded() -> None:
    """Going right is rewarded, and nothing else; of longer episodes one could have more by not ending them."""
    envs = VecMonitor(for_stable_baselines(disabled(line(), 16, horizon=1, observations="latents")))
    model = PPO("MlpPolicy", envs, n_steps=32, batch_size=64, learning_rate=3e-3, seed=0, device="cpu")
    model.learn(6000)
    seen = envs.reset()
    assert isinstance(seen, np.ndarray)
    assert model.predict(seen, deterministic=True)[0].mean() > 0.9


def test_it_begins_anew_those_that_end_and_shows_their_last_observation() -> None:
    envs = for_stable_baselines(disabled(line(), 2, horizon=2, starts="first"))
    envs.seed(4)
    envs.set_options({"episode": "right"})
    assert envs.reset()[:, 0, 0, 0].tolist() == [50, 50]
    assert envs.reset_infos == [{"start_episode": "right", "start_step": 0}] * 2
    seen, rewards, dones, infos = envs.step(np.array([1, 1]))
    assert (rewards.tolist(), str(rewards.dtype), dones.tolist()) == ([1, 1], "float32", [False, False])
    assert "terminal_observation" not in infos[0]
    seen, rewards, dones, infos = envs.step(np.array([1, 1]))
    assert dones.tolist() == [True, True]
    for place, info in enumerate(infos):
        assert info["TimeLimit.truncated"]
        assert info["terminal_observation"][0, 0, 0] == 70
        assert info["citations"][0].episode == "right"
        start = {"right": 50, "left": 120, "back": 110}[envs.reset_infos[place]["start_episode"]]
        assert np.asarray(seen)[place, 0, 0, 0] == start
    envs.close()


def test_an_end_of_the_world_is_no_time_limit() -> None:
    envs = for_stable_baselines(disabled(line(), 1, horizon=1))
    envs.set_options({"episode": "right", "step": 5})
    envs.reset()
    _, _, dones, infos = envs.step(np.array([1]))  # terminates, at the horizon
    assert dones.tolist() == [True]
    assert infos[0]["TimeLimit.truncated"] is False


def test_what_cannot_be_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with one_clear_error("autoreset_mode AutoresetMode.DISABLED"):
        for_stable_baselines(ImaginedVectorEnv(line(), 2))
    envs = for_stable_baselines(disabled(line(), 2, render_mode="rgb_array"))
    assert envs.get_attr("render_mode") == ["rgb_array"] * 2
    assert envs.env_is_wrapped(gymnasium.Wrapper) == [False, False]
    with one_clear_error("share"):
        envs.set_attr("render_mode", None)
    with one_clear_error("stepped together"):
        envs.env_method("reset")
    envs.set_options([{"episode": "right"}, {}])
    with one_clear_error("one set of options"):
        envs.reset()
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with one_clear_error(r'pip install "memworld\[rl\]"'):
        for_stable_baselines(disabled(line(), 2))
