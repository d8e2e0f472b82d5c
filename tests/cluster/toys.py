"""Stored memories of made-up latents, and questions to them."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import gymnasium
import numpy as np
import torch

from memworld.cluster import Search
from memworld.datasets import DatasetInfo, EpisodeEntry
from memworld.gaussian import DISTANCES, Latents
from memworld.lookup import candidates
from memworld.memory import Memory, MemoryEpisode
from memworld.remember import MemoryStream
from memworld.search import CONDITIONINGS, Matches, Query
from memworld.search.exact import ExactIndex
from memworld.store import open_memory
from tests.helpers import untrained_vae

SHAPE = (4, 4, 1)
DIM = 5
ENCODER = untrained_vae(SHAPE, (DIM,))
MIXED = gymnasium.spaces.Dict(
    {"choice": gymnasium.spaces.Discrete(3), "force": gymnasium.spaces.Box(-1, 1, (1,), np.float32)}
)
INFO = DatasetInfo(SHAPE, MIXED)


def lived(number: int, steps: int) -> MemoryEpisode:
    """An episode of noise, of few moments, so that many rows are equally near."""
    rng = np.random.default_rng(number)
    same = np.random.default_rng(0).normal(size=(40, DIM)).astype(np.float32)
    mu = same[rng.integers(0, 40, steps + 1)]
    sigma = np.exp(same[:, ::-1])[rng.integers(0, 8, steps + 1)]
    latents = Latents(*(torch.from_numpy(x.copy()) for x in (mu, sigma, mu + sigma)))
    actions = np.stack([rng.integers(0, 3, steps), rng.integers(0, 3, steps) / 2], 1).astype(np.float32)
    last = np.arange(steps) == steps - 1
    entry = EpisodeEntry(f"e{number:04}", steps)
    return MemoryEpisode(entry, latents, actions, actions[:, 1], last, last & False, None)


def remember(path: Path, lengths: Sequence[int], first: int = 0) -> Memory:
    """Store episodes of so many steps in the memory in a folder, which is begun if need be; returns it opened."""
    with MemoryStream(path, Memory(INFO, ENCODER, keep_frames=False), ENCODER) as stream:
        for number, steps in enumerate(lengths, first):
            stream.add(lived(number, steps))
    return open_memory(path)


def searches() -> Iterator[Search]:
    """Every metric, of one moment and of several."""
    for metric, context in itertools.product(DISTANCES, ((1.0,), (1.0, 0.5))):
        yield Search(metric, context, by_action=metric == "l2")


def whole(memory: Memory, search: Search) -> ExactIndex:
    """One index of everything."""
    return search.index(candidates(memory.rows, len(search.context)))


def queries(memory: Memory, search: Search, count: int = 7, seed: int = 0) -> Iterator[Query]:
    """Questions of every conditioning, with and without an excluded episode; half are moments of the memory."""
    rng = np.random.default_rng(seed)
    width = DIM * len(search.context)
    own = candidates(memory.rows, len(search.context)).latents
    mu = rng.normal(size=(count, width)).astype(np.float32)
    other = Latents(*(torch.from_numpy(x) for x in (mu, np.exp(mu / 2), mu)))
    chosen = torch.from_numpy(rng.integers(0, len(own), count))
    asked = Latents(*(torch.cat([getattr(own, n)[chosen], getattr(other, n)]) for n in ("mu", "sigma", "z")))
    actions = memory.rows.actions[torch.from_numpy(rng.integers(0, len(own) - 1, len(asked)))]
    excluded = torch.from_numpy(rng.integers(-1, len(memory.ids) + 2, len(asked)))
    for conditioning, exclude in itertools.product(CONDITIONINGS, (None, excluded)):
        yield Query(asked, actions, conditioning, 0.5, exclude)


def assert_same(a: Matches, b: Matches) -> None:
    """To the last bit."""
    for left, right in zip(a.columns, b.columns, strict=True):
        assert torch.equal(left, right)
