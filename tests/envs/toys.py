"""Small worlds to imagine in, whose predictions are known."""

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete

from memworld.actions import ActionSpace
from memworld.analogues import AnalogueConfig
from memworld.datasets import DatasetInfo
from memworld.dynamics import DynamicsConfig
from memworld.encoders.vae import VAE
from memworld.episodes import Episode
from memworld.memory import Memory
from memworld.world_model import WorldModel
from tests.helpers import LEFT_RIGHT, PixelEncoder, make_episode, moving_square_dataset, untrained_vae, walk

NEAREST = DynamicsConfig("replay_l2", k=1, rule="nearest", conditioning="hard")
"""What follows is what followed the nearest moment of the same action."""
QUICK = AnalogueConfig(horizon=3, samples=200)
SPACES: tuple[ActionSpace, ...] = (
    Discrete(3, start=-1),
    MultiDiscrete([2, 9], start=[1, -1]),
    Box(-2, 2, (3,), np.float32),
    Dict({"attack": Discrete(2), "camera": Box(-180, 180, (2,)), "speed": Box(0, 0.1, (), np.float64)}),
)
"""One of every kind that memory stores."""

LINE = (walk("right", 50, [1] * 6), walk("left", 120, [0] * 6, lane=3), walk("back", 110, [0] * 6))


def line(*episodes: Episode) -> WorldModel:
    """Walks on a line; positions are told in the first pixel, and the lane in the second."""
    encoder = PixelEncoder(sigma=0.01)
    memory = Memory(LEFT_RIGHT, encoder)
    memory.extend(episodes or LINE, encoder)
    return WorldModel(encoder, memory, NEAREST)


def noise(space: ActionSpace, shape: tuple[int, int, int] = (4, 4, 3)) -> WorldModel:
    """Episodes of noise, with any actions."""
    encoder, rng = PixelEncoder(shape), np.random.default_rng(0)
    memory = Memory(DatasetInfo(shape, space, "noise"), encoder)
    memory.extend([make_episode(rng, 8, shape, space, f"e{i}") for i in range(4)], encoder)
    return WorldModel(encoder, memory, DynamicsConfig("replay_kl"))


def squares() -> WorldModel:
    """A square that moves, followed by analogues, under an encoder that can be stored."""
    data = moving_square_dataset(episodes=6, steps=20)
    encoder: VAE = untrained_vae((16, 16, 1), (4, 4, 4))
    memory = Memory(data.info, encoder)
    memory.extend(data, encoder)
    return WorldModel(encoder, memory, QUICK)
