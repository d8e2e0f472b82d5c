"""Minari sets for the tests: episodes of every kind of space, and sets that memworld did not write."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import minari
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from minari.data_collector import EpisodeBuffer

from memworld.actions import ActionSpace, as_actions
from memworld.datasets import DatasetInfo, EpisodeDataset
from memworld.episodes import Episode
from tests.helpers import DISCRETE, make_episode

FRAMES = Box(0, 255, (40, 36, 3), np.uint8)
SPACES: tuple[ActionSpace, ...] = (
    DISCRETE,
    Discrete(3, start=5),
    MultiDiscrete([3, 2], start=[0, 4]),
    Box(np.array([-1, -np.inf], np.float32), np.array([1, 2], np.float32)),
    Box(-1, 1, (2,), np.float64),
    Dict(
        {
            "camera": Box(-180, 180, (2,), np.float32),
            "hotbar": Discrete(9, start=1),
            "keys": MultiDiscrete([2, 2, 2]),
            "zoom": Box(0, 1, (), np.float64),
        }
    ),
)


def random_actions(rng: np.random.Generator, space: gymnasium.Space[Any], steps: int) -> Any:
    """Actions of a space as an environment takes them: an array, or a mapping of them."""
    if isinstance(space, Dict):
        return {name: random_actions(rng, part, steps) for name, part in space.spaces.items()}
    space.seed(int(rng.integers(2**31)))
    return np.array([space.sample() for _ in range(steps)], space.dtype)


def any_dataset(
    rng: np.random.Generator, episodes: int, steps: int, shape: tuple[int, int, int], space: ActionSpace, states: int
) -> EpisodeDataset:
    """A data set of noise with actions of `space`, and names of all that can be named."""
    info = DatasetInfo(shape, space, "toy", tuple(f"s{i}" for i in range(states)))
    if isinstance(space, Discrete):
        info = replace(info, action_names=("left", "right", "up", "down")[: int(space.n)])
    made = []
    for number in range(episodes):
        plain = make_episode(rng, steps + number, shape, id=f"e-{number}.x_", states=states)
        made.append(replace(plain, actions=as_actions(random_actions(rng, space, len(plain)), space)))
    return EpisodeDataset.from_episodes(info, made)


def make_foreign(dataset_id: str, episodes: Sequence[Episode], **settings: Any) -> None:
    """Store episodes by minari alone, the last of them with a seed.

    `observations` and `actions` replace those of every episode; other settings go to minari.
    """
    buffers = [
        EpisodeBuffer(
            seed=7 if episode is episodes[-1] else None,
            observations=settings.get("observations", episode.observations),
            actions=settings.get("actions", episode.actions),
            rewards=episode.rewards.tolist(),
            terminations=episode.terminations.tolist(),
            truncations=episode.truncations.tolist(),
        )
        for episode in episodes
    ]
    chosen = {name: value for name, value in settings.items() if name not in ("observations", "actions")}
    chosen = {"observation_space": FRAMES, "action_space": DISCRETE} | chosen
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # minari asks for an author, a description, ...
        minari.create_dataset_from_buffers(dataset_id, buffers, **chosen)


def edit(stored: Path, **changes: Any) -> None:
    """Change entries of a set's metadata; None removes one."""
    file = stored / "data/metadata.json"
    metadata = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({name: value for name, value in metadata.items() if value is not None}))
