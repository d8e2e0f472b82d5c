"""Sets that minari's own collector records from an environment.

`tests/golden/minari-collector` holds them as minari 0.5.4 wrote them; where its collector is installed
(`pip install "minari[create]"`, which brings jax), it writes them anew.
"""

import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

from memworld.datasets import EpisodeDataset
from memworld.formats.minari import open_minari
from tests.formats.test_npz import GOLDEN


class Arm(gymnasium.Env[dict[str, Any], dict[str, Any]]):
    """A bright bar that the action moves; it is seen by a camera, and by its place."""

    action_space = Dict({"grip": Discrete(2), "move": Box(-4, 4, (1,), np.float32)})
    observation_space = Dict({"camera": Box(0, 255, (40, 48, 3), np.uint8), "place": Box(0, 39, (1,), np.float32)})

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.steps = np.array([20], np.float32), 0
        return self.see(), {}

    def step(self, action: dict[str, Any]) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        self.place = np.clip(self.place + action["move"], 0, 39).astype(np.float32)
        self.steps += 1
        return self.see(), float(action["grip"]), self.steps == 6, False, {}

    def see(self) -> dict[str, Any]:
        frame = np.full((40, 48, 3), 20, np.uint8)
        frame[int(self.place[0])] = 230
        return {"camera": frame, "place": self.place.copy()}


# Of each episode: its seed, and how many steps are played. The last one is cut short: the collector truncates it.
EPISODES = ((0, 6), (1, 6), (2, 3))


def actions_of(seed: int, steps: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [{"grip": int(rng.integers(2)), "move": rng.uniform(-4, 4, 1).astype(np.float32)} for _ in range(steps)]


def collect(storage: str, jpeg: bool) -> None:
    """Record `EPISODES` with minari's collector, as the set toy/arm-v0."""
    import minari

    env = minari.DataCollector(Arm(), data_format=storage, jpeg_encoding=jpeg)
    for seed, steps in EPISODES:
        env.reset(seed=seed)
        for action in actions_of(seed, steps):
            env.step(action)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        env.create_dataset("toy/arm-v0")


def check(dataset: EpisodeDataset, jpeg: bool) -> None:
    """See that the data set is what one who plays `EPISODES` sees."""
    assert (dataset.info.state_names, dataset.info.observation_shape) == (("place",), (40, 48, 3))
    assert dataset.info.action_space == Arm.action_space
    assert dataset.left_out == ("infos, if there are any",)
    assert [entry.source["seed"] for entry in dataset.entries] == [seed for seed, _ in EPISODES]
    for episode, (seed, steps) in zip(dataset, EPISODES, strict=True):
        env, actions = Arm(), actions_of(seed, steps)
        seen, rewards = [env.reset(seed=seed)[0]], []
        for action in actions:
            observation, reward, *_ = env.step(action)
            seen.append(observation)
            rewards.append(reward)
        frames = np.stack([observation["camera"] for observation in seen])
        assert np.abs(episode.observations.astype(int) - frames).mean() <= (4 if jpeg else 0)
        assert episode.states is not None
        np.testing.assert_array_equal(episode.states, np.stack([observation["place"] for observation in seen]))
        asked = np.array([[action["grip"], *action["move"]] for action in actions], np.float32)
        np.testing.assert_array_equal(episode.actions, asked)
        assert episode.rewards.tolist() == rewards
        assert bool(episode.terminations[-1]) == (steps == 6)
        assert bool(episode.truncations[-1]) == (steps == 3)


def golden(storage: str, jpeg: bool) -> Path:
    return GOLDEN / "minari-collector" / f"{storage}-{'jpeg' if jpeg else 'raw'}"


@pytest.mark.parametrize("jpeg", [True, False])
def test_what_minaris_collector_recorded(storage: str, jpeg: bool) -> None:
    check(open_minari(golden(storage, jpeg)), jpeg)


@pytest.mark.parametrize("jpeg", [True, False])
def test_what_minaris_collector_records(storage: str, jpeg: bool) -> None:
    pytest.importorskip("jax", reason='minari\'s collector needs jax: pip install "minari[create]"')
    collect(storage, jpeg)
    check(open_minari("toy/arm-v0"), jpeg)
