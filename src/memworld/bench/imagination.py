"""How many steps are imagined per second, in a world whose memory is made up and whose encoder is untrained.

Neither matters for speed: a network decodes as quickly before training as after.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch

from memworld.bench.cases import Settings
from memworld.bench.data import ACTIONS, EPISODE_STEPS, MadeWorld, make_queries
from memworld.bench.results import ImaginedRecord
from memworld.bench.timing import median_seconds
from memworld.datasets import DatasetInfo, EpisodeEntry
from memworld.dynamics import DynamicsConfig
from memworld.encoders.network import VAENetwork
from memworld.encoders.vae import VAE, VAEConfig
from memworld.gaussian import derived_seed
from memworld.memory import Memory, MemoryEpisode
from memworld.world_model import WorldModel

_FRAME = (64, 64, 3)


def imagined_kinds() -> list[tuple[str, bool]]:
    """Conditioning on actions, and whether steps are decoded: all that are measured."""
    return [("none", False), ("none", True), ("hard", False), ("hard", True)]


def measure_imagination(settings: Settings, kinds: Sequence[tuple[str, bool]]) -> Iterator[ImaginedRecord]:
    """Time `WorldModel.imagine` in each of these kinds, see `imagined_kinds`."""
    what = settings.imagined
    if what is None or not kinds:
        return
    encoder = _encoder(what.d, settings.seed)
    memory = _memory(what.rows, what.d, encoder, settings.seed)
    start = make_queries(what.batch, what.d, settings.seed)
    rng = np.random.default_rng(settings.seed)
    actions = rng.integers(0, int(ACTIONS.n), (what.batch, what.horizon))
    for conditioning, decode in kinds:
        dynamics = DynamicsConfig(conditioning=conditioning)  # type: ignore[arg-type]
        world = WorldModel(encoder, memory, dynamics, settings.seed)
        # The run that warms up also builds the index.
        seconds = median_seconds(partial(world.imagine, start, actions, decode=decode), settings.budget)
        yield ImaginedRecord(
            what.rows,
            what.d,
            what.batch,
            what.horizon,
            conditioning,
            decode,
            steps_per_second=what.batch * what.horizon / seconds,
        )


def _encoder(d: int, seed: int) -> VAE:
    """The network that `memworld train` would start from."""
    config = VAEConfig((d,))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "encoder"))
        network = VAENetwork(_FRAME, (d,), config.network_channels(_FRAME))
    return VAE(config, network, torch.zeros(_FRAME), torch.ones(_FRAME), active_units=d)


def _memory(rows: int, d: int, encoder: VAE, seed: int) -> Memory:
    """Made-up episodes as a memory without frames; each one's last row has no action."""
    world = MadeWorld(d, seed)
    episodes = []
    for number, start in enumerate(range(0, rows, EPISODE_STEPS)):
        made = world.episode("memory", str(number))
        steps = max(1, min(EPISODE_STEPS, rows - start) - 1)
        last = np.arange(steps) == steps - 1
        episodes.append(
            MemoryEpisode(
                EpisodeEntry(f"e{number}", steps),
                made.latents[: steps + 1],
                made.actions[:steps].numpy(),
                np.zeros(steps, np.float32),
                np.zeros_like(last),
                last,
                frames=None,
            )
        )
    info = DatasetInfo(_FRAME, ACTIONS, "made up")
    return Memory.restore(info, encoder.fingerprint, encoder.latent_shape, seed, False, episodes)
