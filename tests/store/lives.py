"""Episodes that follow from their names alone, and what a memory of them must hold, to the last bit.

A memory's state is told by a line for each of its episodes, in order: its id, and a SHA-256 over all that
was remembered of it, frames included. What a state must be follows from the names of its episodes, so that
one process can tell what another should have stored.
"""

import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np

from memworld.datasets import DatasetInfo
from memworld.encoders import Encoder, open_encoder
from memworld.episodes import Episode
from memworld.memory import Memory, MemoryEpisode
from memworld.store import open_memory
from tests.helpers import DISCRETE, make_episode, untrained_vae
from tests.toy_memories import GOLDEN

SHAPE = (16, 16, 3)
INFO = DatasetInfo(SHAPE, DISCRETE, "lived")
ENCODER = untrained_vae(SHAPE, (4,))
SEED = 3

State = tuple[str, ...]
"""What a memory holds, an episode a line."""


def empty() -> Memory:
    """The memory before anything was lived."""
    return Memory(INFO, ENCODER, SEED)


def lived(name: str, info: DatasetInfo = INFO) -> Episode:
    """The episode of a name: an id, then perhaps `~` and which of the episodes of that id it is."""
    rng = np.random.default_rng(list(name.encode()))
    steps = int(rng.integers(1, 40))
    return make_episode(rng, steps, info.observation_shape, info.action_space, id_of(name), len(info.state_names))


def id_of(name: str) -> str:
    """The id of a name, or of a line of a state."""
    return name.split("~")[0].split(" ")[0]


def told(episode: MemoryEpisode) -> str:
    """The line of an episode; its frames are read."""
    digest = hashlib.sha256(json.dumps(episode.entry.to_json(), sort_keys=True).encode())
    latents = [getattr(episode.latents, name).numpy() for name in ("mu", "sigma", "z")]
    for array in (*latents, episode.actions, episode.rewards, episode.terminations, episode.truncations):
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    frames = np.asarray(episode.frames)
    digest.update(f"{frames.dtype}{frames.shape}".encode())
    digest.update(frames.tobytes())
    return f"{episode.entry.id} {digest.hexdigest()}"


def holds(memory: Memory) -> State:
    """What a memory holds."""
    return tuple(map(told, memory.episodes))


@cache
def expected(name: str, golden: bool = False) -> str:
    """The line that the episode of a name must have in a memory begun here, or in one that grew from the golden one."""
    memory, encoder = _golden() if golden else (empty(), ENCODER)
    return told(memory.encode(lived(name, memory.info), encoder))


@cache
def _golden() -> tuple[Memory, Encoder]:
    return open_memory(GOLDEN / "memory-v1"), open_encoder(GOLDEN / "memory-v1/encoder")


def state_of(path: Path) -> State:
    """What the memory in a folder holds.

    Raises:
        MemworldError: there is none, or it is damaged.
    """
    return holds(open_memory(path))
