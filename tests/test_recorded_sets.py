"""The small recordings of `tests/recorded`: real frames of every simulator, read where none is installed."""

from pathlib import Path

import gymnasium
import numpy as np
import pytest

from memworld.actions import restore_actions
from memworld.dynamics import DynamicsConfig
from memworld.formats import FORMATS, open_dataset
from memworld.inspection import inspect_dataset
from memworld.memory import Memory
from memworld.world_model import WorldModel
from memworld.worlds import availability, open_world
from tests.helpers import assert_same_dataset, untrained_vae
from tests.recorded.make import HERE, SETS, make

RUNS = {world.name: world for world in availability()}


def test_they_stay_small() -> None:
    files = [file for name in SETS for file in (HERE / name).rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 5e6


@pytest.mark.parametrize("name", SETS)
def test_each_is_a_sound_recording(name: str) -> None:
    small, dataset = SETS[name], open_dataset(HERE / name)
    assert next(format.name for format in FORMATS.values() if format.found(HERE / name)) == small.format
    assert (dataset.info.world, len(dataset)) == (small.world, small.episodes)
    assert dataset.info.observation_shape == (64, 64, 3)
    found = inspect_dataset(dataset)
    assert not [problem for problem in found["problems"] if "reward" not in problem]
    for episode in dataset:
        assert episode.source["skill"] in (1.0, 0.7, 0.4)
        frames = episode.observations.astype(float)
        assert frames.std() > 5
        assert np.abs(np.diff(frames, axis=0)).max() > 20
        if dataset.info.state_names:
            assert episode.states is not None
            assert (episode.states != episode.states[0]).any()


@pytest.mark.parametrize("name", SETS)
def test_an_episode_is_found_again_in_a_memory_of_it(name: str) -> None:
    """Whatever the actions are: asked for what was done, memory tells what followed."""
    dataset = open_dataset(HERE / name)
    encoder = untrained_vae((64, 64, 3))
    memory = Memory(dataset.info, encoder)
    memory.extend(dataset, encoder)
    world = WorldModel(encoder, memory, DynamicsConfig("replay_kl", k=1, rule="nearest"))
    space = dataset.info.action_space
    discrete = isinstance(space, gymnasium.spaces.Discrete | gymnasium.spaces.MultiDiscrete)
    assert world.lookup.settings.conditioning == ("hard" if discrete else "mixed")
    episode = dataset[1]
    start = len(episode) - 5  # games begin with frames that are all alike
    asked = restore_actions(episode.actions[None, start:], space)
    rollout = world.imagine(episode.observations[start], asked, mode="follow")
    cited = [rollout.citations(0, step)[0] for step in range(5)]
    assert [(c.episode, c.step) for c in cited] == [(episode.id, start + step) for step in range(5)]


@pytest.mark.parametrize("name", ["pong", "seaquest", "crafter"])
def test_the_script_makes_the_same_again(name: str, tmp_path: Path) -> None:
    world = RUNS[SETS[name].world]
    if not world.runs:
        pytest.skip(f"{world.name} needs {'; '.join(world.missing)}")
    assert open_world(world.name).repeatable
    make(name, tmp_path / name)
    assert_same_dataset(open_dataset(tmp_path / name), open_dataset(HERE / name))
