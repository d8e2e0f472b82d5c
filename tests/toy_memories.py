"""Small memories under a real encoder, for the tests of their files."""

from pathlib import Path

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete

from memworld.actions import ActionSpace
from memworld.datasets import DatasetInfo
from memworld.encoders.vae import VAE
from memworld.episodes import Episode
from memworld.memory import Memory
from tests.helpers import DISCRETE, make_episode, untrained_vae

SHAPE = (4, 4, 1)
ENCODER = untrained_vae(SHAPE, (2,))
INFO = DatasetInfo(SHAPE, DISCRETE, "toy")
BOX = Box(-2, 2, (3,))
SPACES: tuple[ActionSpace, ...] = (
    DISCRETE,
    Discrete(3, start=-7),
    BOX,
    MultiDiscrete([2, 9], start=[1, -1]),
    Dict({"attack": Discrete(2), "camera": Box(-180, 180, (2,)), "speed": Box(0, 1, (), np.float64)}),
    Box(-1, 1, (0,)),
)
"""One of every kind, and one of actions without a number."""
GOLDEN = Path(__file__).parent / "golden"


def episode(number: int, steps: int | None = None, id: str | None = None) -> Episode:
    rng = np.random.default_rng(number)
    return make_episode(rng, steps or number + 1, SHAPE, id=id or f"e{number}")


def memory_of(*episodes: Episode, seed: int = 0, keep_frames: bool = True, encoder: VAE = ENCODER) -> Memory:
    memory = Memory(INFO, encoder, seed, keep_frames)
    memory.extend(episodes, encoder)
    return memory
