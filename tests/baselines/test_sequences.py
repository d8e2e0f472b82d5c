"""Sequences cut from episodes, against the episodes themselves."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.actions import action_features
from memworld.baselines.network import Batch
from memworld.baselines.sequences import Sequences
from memworld.datasets import EpisodeDataset
from tests.helpers import PixelEncoder, make_dataset

SHAPE = (2, 3, 1)
ENCODER = PixelEncoder(SHAPE, sigma=0.5)


def dataset(episodes: int, steps: int) -> EpisodeDataset:
    return make_dataset(np.random.default_rng(3), episodes, steps, SHAPE)


def assert_cut_from(batch: Batch, row: int, made: EpisodeDataset, starts: list[tuple[int, int]], length: int) -> None:
    """One sequence of a batch is what one of the places (episode, start) says, literally."""
    frames = batch.observations[row]
    for number, start in starts:
        episode = made[number]
        steps = min(length, len(episode) - start)
        mu, sigma = ENCODER.encode(episode.observations[start : start + steps + 1])
        if not torch.equal(frames[: steps + 1], mu):
            continue
        assert batch.known[row].tolist() == [True] * (steps + 1) + [False] * (length - steps)
        assert batch.sigma is not None
        assert torch.equal(batch.sigma[row, : steps + 1], sigma)
        features = action_features(episode.actions[start : start + steps], made.info.action_space)
        np.testing.assert_array_equal(batch.actions[row, :steps].numpy(), features.astype(np.float32))
        assert batch.rewards[row, :steps].tolist() == episode.rewards[start : start + steps].tolist()
        assert batch.terminations[row, :steps].bool().tolist() == episode.terminations[start : start + steps].tolist()
        return
    raise AssertionError("a sequence that no episode holds")


@given(episodes=st.integers(1, 4), steps=st.integers(1, 7), length=st.integers(1, 9), seed=st.integers(0, 99))
@settings(max_examples=40)
def test_every_sequence_is_a_piece_of_one_episode(episodes: int, steps: int, length: int, seed: int) -> None:
    made = dataset(episodes, steps)
    sequences = Sequences.load(made, ENCODER, False, 10_000)
    places = [(e, s) for e in range(episodes) for s in range(max(0, len(made[e]) - length) + 1)]
    batch = sequences.sample(5, length, torch.Generator().manual_seed(seed))
    assert batch.observations.shape == (5, length + 1, 6)
    for row in range(5):
        assert_cut_from(batch, row, made, places, length)
    spread = sequences.spread(100, length)
    assert len(spread) == len(places)
    for row, place in enumerate(places):
        assert_cut_from(spread, row, made, [place], length)


def test_every_place_is_as_likely() -> None:
    made = dataset(3, 4)
    sequences = Sequences.load(made, ENCODER, False, 10_000)
    batch = sequences.sample(4000, 3, torch.Generator().manual_seed(0))
    _, counts = torch.unique(batch.observations[:, 0], dim=0, return_counts=True)
    assert len(counts) == 2 + 3 + 4
    assert counts.min() > 4000 / 9 * 0.8
    assert counts.max() < 4000 / 9 * 1.2


def test_frames_are_kept_as_they_are_for_a_network_that_sees_pixels() -> None:
    made = dataset(2, 4)
    sequences = Sequences.load(made, ENCODER, True, 10_000)
    assert sequences.sigma is None
    assert sequences.observations.dtype == torch.uint8
    np.testing.assert_array_equal(
        sequences.observations.numpy(), np.concatenate([episode.observations for episode in made])
    )


@pytest.mark.parametrize(("most", "kept"), [(10_000, [0, 1, 2, 3, 4]), (20, [0, 2, 4]), (1, [0])])
def test_of_too_many_moments_every_nth_episode_is_kept(most: int, kept: list[int]) -> None:
    made = dataset(5, 4)
    sequences = Sequences.load(made, ENCODER, False, most)
    assert sequences.steps.tolist() == [4 + number for number in kept]


def test_parts_of_a_batch() -> None:
    batch = Sequences.load(dataset(2, 4), ENCODER, True, 10_000).spread(4, 2)
    part = batch[1:3]
    assert len(part) == 2
    assert torch.equal(part.observations, batch.observations[1:3])
    assert part.sigma is None
    assert torch.equal(batch[torch.tensor([3, 0])].actions, batch.actions[[3, 0]])
