"""Recorded continuations of the nearest moments, against a literal search."""

import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.datasets import DatasetInfo
from memworld.dynamics import DynamicsConfig
from memworld.memory import Memory
from memworld.plan.likeness import Likeness
from memworld.plan.recall import NEAREST, Recall
from memworld.rollout import Past
from memworld.world_model import WorldModel
from tests.helpers import PixelEncoder, make_episode

SHAPE = (1, 3, 1)
BEST = 0.5


class Unsure(PixelEncoder):
    """The brighter a pixel, the less sure the encoder is of it."""

    def encode(self, frames: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        mu, _ = super().encode(frames)
        return mu, 3 + mu / 20


def world(lengths: list[int], seed: int) -> WorldModel:
    rng, encoder = np.random.default_rng(seed), Unsure(SHAPE)
    memory = Memory(DatasetInfo(SHAPE, Discrete(5)), encoder)
    memory.extend([make_episode(rng, n, SHAPE, Discrete(5), f"e{i}") for i, n in enumerate(lengths)], encoder)
    return WorldModel(encoder, memory, DynamicsConfig())


Moment = tuple[float, int, int, list[int]]


def literal(model: WorldModel, moments: list[np.ndarray], horizon: int, stretch: int) -> list[Moment]:
    """How far recorded moments are, the nearest first, their episode and step, and what was done, the last held on.

    None is within a stretch of a nearer one of its episode.
    """
    likeness = Likeness.of(model.memory.rows, BEST)
    seen = [model.encoder.encode(frame[None])[0][0] for frame in moments][:2]
    asked = likeness(torch.stack([seen[0], seen[-1]])[None])
    found: list[Moment] = []
    for number, episode in enumerate(model.memory.episodes):
        for step in range(len(episode.actions)):
            place = likeness(torch.stack([episode.latents.mu[step], episode.latents.mu[max(step - 1, 0)]])[None])
            taken = [int(a) for a in episode.actions[step : step + horizon]]
            distance = float((place - asked).square().sum())
            found.append((distance, number, step, taken + [taken[-1]] * (horizon - len(taken))))
    kept: list[Moment] = []
    for moment in sorted(found, key=lambda moment: moment[0]):
        if not any(moment[1] == other[1] and abs(moment[2] - other[2]) <= stretch for other in kept):
            kept.append(moment)
    return kept


def past(frames: list[np.ndarray]) -> Past:
    count = len(frames)
    shown = np.array(frames, np.uint8).reshape(1, count, *SHAPE)
    return Past(shown, np.zeros((1, count), np.int64), np.ones((1, count), bool))


@settings(max_examples=25)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    seed=st.integers(0, 999),
    seen=st.integers(0, 3),
    most=st.integers(1, 60),
    horizon=st.integers(1, 6),
    stretch=st.integers(0, 6),
)
def test_it_is_what_followed_the_moments_most_alike(
    lengths: list[int], seed: int, seen: int, most: int, horizon: int, stretch: int
) -> None:
    model = world(lengths, seed)
    frames = list(np.random.default_rng(seed + 1).integers(0, 256, (seen + 1, *SHAPE), np.uint8))
    rows = model.memory.rows
    worth = torch.from_numpy(np.random.default_rng(seed + 2).standard_normal(len(rows)))
    recall = Recall(model, Likeness.of(rows, BEST), most, horizon, stretch, worth)
    proposed = recall.continuations(frames[-1], past(frames[:-1]))
    expected = literal(model, frames[::-1], horizon, stretch)[:most]
    distances = np.array([distance for distance, *_ in expected])
    apart = distances - distances[0]
    starts = np.concatenate([[0], np.cumsum([n + 1 for n in lengths])])  # an episode has a row for its last frame
    weights = np.exp(-apart / max(apart[:NEAREST].mean(), 1e-12))
    weights *= [float(worth[starts[number] + step].exp()) for _, number, step, _ in expected]
    order = np.argsort(-weights, kind="stable")
    assert proposed.actions.tolist() == [expected[place][-1] for place in order]
    assert proposed.chances == pytest.approx((weights / weights.sum())[order], rel=1e-4, abs=1e-7)


def test_where_an_episode_ends_its_last_action_is_held() -> None:
    model = world([4], 0)
    episode = model.memory.episodes[0]
    assert episode.frames is not None
    recall = Recall(model, Likeness.of(model.memory.rows, BEST), 1, 5)
    proposed = recall.continuations(np.asarray(episode.frames[3]), past([np.asarray(episode.frames[2])]))
    assert proposed.actions.tolist() == [[int(episode.actions[3])] * 5]
    assert proposed.chances.tolist() == [1]
