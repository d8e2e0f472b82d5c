"""Small random data for the tests, and comparisons; every value comes from the generator that is passed in."""

from collections.abc import Iterator
from contextlib import contextmanager

import gymnasium
import numpy as np
import pytest

from memworld.actions import ActionSpace
from memworld.episodes import DatasetInfo, Episode, EpisodeDataset
from memworld.errors import MemworldError

DISCRETE = gymnasium.spaces.Discrete(4)


def make_episode(
    rng: np.random.Generator,
    steps: int = 5,
    shape: tuple[int, int, int] = (8, 8, 3),
    space: ActionSpace = DISCRETE,
    id: str = "e0",
    states: int = 0,
) -> Episode:
    """An episode of noise; it terminates or is truncated, by chance."""
    if isinstance(space, gymnasium.spaces.Discrete):
        actions = rng.integers(space.start, space.start + space.n, steps)
    else:
        low, high = np.clip(space.low, -9, 9), np.clip(space.high, -9, 9)
        actions = np.clip(rng.uniform(low, high, (steps, *space.shape)).astype(np.float32), space.low, space.high)
    last = np.arange(steps) == steps - 1
    terminated = bool(rng.integers(2))
    return Episode(
        id,
        rng.integers(0, 256, (steps + 1, *shape), np.uint8),
        actions,
        rng.normal(size=steps).astype(np.float32),
        last & terminated,
        last & (not terminated),
        rng.normal(size=(steps + 1, states)).astype(np.float32) if states else None,
        {"policy": "random", "seed": int(rng.integers(1000))},
    )


def make_dataset(
    rng: np.random.Generator,
    episodes: int = 3,
    steps: int = 5,
    shape: tuple[int, int, int] = (8, 8, 3),
    space: ActionSpace = DISCRETE,
    states: int = 0,
) -> EpisodeDataset:
    """A data set in memory of `episodes` episodes e0, e1, ..., the first of `steps` steps, each next one longer."""
    info = DatasetInfo(shape, space, "toy", tuple(f"s{i}" for i in range(states)))
    made = [make_episode(rng, steps + i, shape, space, f"e{i}", states) for i in range(episodes)]
    return EpisodeDataset.from_episodes(info, made)


def assert_same_episode(a: Episode, b: Episode) -> None:
    """Equal in every field, and in the types of the arrays."""
    assert (a.id, dict(a.source)) == (b.id, dict(b.source))
    assert (a.states is None) == (b.states is None)
    for name in ("observations", "actions", "rewards", "terminations", "truncations", "states"):
        left, right = getattr(a, name), getattr(b, name)
        if left is not None:
            assert left.dtype == right.dtype, name
            np.testing.assert_array_equal(left, right, err_msg=name)


def assert_same_dataset(a: EpisodeDataset, b: EpisodeDataset) -> None:
    """Equal info, entries and episodes."""
    assert a.info == b.info
    assert [(e.id, e.steps, dict(e.source)) for e in a.entries] == [(e.id, e.steps, dict(e.source)) for e in b.entries]
    for left, right in zip(a, b, strict=True):
        assert_same_episode(left, right)


@contextmanager
def one_clear_error(match: str) -> Iterator[None]:
    """The block must raise one MemworldError, of one line, in which `match` is found."""
    with pytest.raises(MemworldError, match=match) as caught:
        yield
    assert "\n" not in str(caught.value)
