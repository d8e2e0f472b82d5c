"""The threads against a literal search and a literal walk, row by row."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from memworld.analogues.blocks import Scale, cut
from memworld.analogues.foresight import Sight
from memworld.analogues.keys import Basis, moments, pieces
from memworld.analogues.threads import ScaleMemory, log_kernel
from memworld.memory import Rows
from tests.analogues.toys import ACTIONS, glide, make_index, rows_of

SHAPE = (2, 4, 4)
SCALE = Scale(2, 1, 9, (3,))
AGREEMENT = 0.4


def scale_memory(rows: Rows, context: int = 2) -> ScaleMemory:
    blocks = cut(SHAPE, SCALE)
    sight = Sight.fit(blocks, rows, SCALE, context, seed=0)
    return ScaleMemory(rows, blocks, sight, context, AGREEMENT, make_index)


def test_moments_go_back_in_their_own_episode_and_stand_still_before_its_first_frame() -> None:
    rows = rows_of(*glide(2, 3, 2))
    mu = rows.latents.mu
    recent = moments(rows, torch.tensor([0, 1, 3, 4, 6]), context=3)
    expected = [[0, 0, 0], [1, 0, 0], [3, 2, 1], [4, 4, 4], [6, 5, 4]]
    assert torch.equal(recent, torch.stack([mu[i] for i in expected]))


def test_all_components_keep_every_distance_and_fewer_keep_the_most_of_it() -> None:
    means = torch.randn(200, 32, generator=torch.Generator().manual_seed(0)) * torch.linspace(0.1, 3, 32)
    blocks = cut(SHAPE, Scale(0, 0, 32, (1,)))
    literal = torch.cdist(means, means)
    lost = []
    for count in (32, 24, 8, 1):
        keys = Basis.fit(blocks, means, count, seed=0).keys(means[:, None])[0]
        assert keys.shape == (200, count)
        lost.append(float((literal - torch.cdist(keys, keys)).square().mean()))
    assert lost[0] < 1e-6
    assert lost == sorted(lost)


def literal_walk(
    memory: ScaleMemory, rows: Rows, query: Tensor, asked: Tensor, k: int, exclude: int, block: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and the mean of the block's own numbers after the asked actions, by loops."""
    key = memory.sight.compared(memory.sight.basis.keys(query[None]))[block, 0].double()
    costs = []
    for row in rows.candidates.tolist():
        if int(rows.episodes[row]) == exclude:
            continue
        keys = memory.sight.basis.keys(moments(rows, torch.tensor([row]), query.shape[0]))
        own = memory.sight.compared(keys)[block, 0].double()
        costs.append((float((own - key).square().sum()), row))
    nearest = sorted(costs)[:k]
    scale = sum(cost for cost, _ in nearest) / len(nearest)
    last = {int(e): int(torch.nonzero(rows.episodes == e)[-1]) for e in set(rows.episodes.tolist())}
    total, standing, weights_of_all, weights_of_going = np.zeros(0), np.zeros(0), 0.0, 0.0
    for cost, row in nearest:
        end = last[int(rows.episodes[row])]
        differing = sum(float((rows.actions[min(row + i, end)] - asked[i]).square().sum()) for i in range(len(asked)))
        weight = math.exp(-cost / scale - AGREEMENT * differing)
        there = rows.latents.mu[min(row + len(asked), end)][memory.blocks.own[block]].double().numpy()
        standing = standing + weight * there if len(standing) else weight * there
        weights_of_all += weight
        if row + len(asked) <= end:
            total = total + weight * there if len(total) else weight * there
            weights_of_going += weight
    mean = total / weights_of_going if weights_of_going else standing / weights_of_all
    return np.array([row for _, row in nearest]), mean


@settings(max_examples=25)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=2, max_size=4),
    steps=st.integers(1, 8),
    k=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_find_and_follow_agree_with_a_literal_walk(lengths: list[int], steps: int, k: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    means = [torch.randn(n + 1, 32, generator=generator) for n in lengths]
    actions = [torch.eye(ACTIONS)[torch.randint(ACTIONS, (n,), generator=generator)] for n in lengths]
    rows = rows_of(means, actions)
    memory = scale_memory(rows)
    query = torch.randn(2, 2, 32, generator=generator)
    asked = torch.eye(ACTIONS)[torch.randint(ACTIONS, (2, steps), generator=generator)]
    exclude = torch.tensor([0, 1])
    # As many as there are in the smaller of what is left.
    k = min(k, *(sum(lengths) - n for n in lengths[:2]))
    found = memory.find(query, k, exclude)
    analogue = memory.follow(found, k, asked)
    assert torch.allclose(analogue.weights.sum(2), torch.ones(4, 2))
    for which in range(2):
        for block in range(4):
            row, mean = literal_walk(memory, rows, query[which], asked[which], k, which, block)
            assert found.rows[block, which].tolist() == row.tolist()
            assert analogue.latent[block, which].numpy() == pytest.approx(mean, abs=1e-4)


def test_a_missing_thread_has_no_share() -> None:
    rows = rows_of(*glide(2, 2, 32))
    found = scale_memory(rows).find(rows.latents.mu[None, [0, 0]], 3, torch.tensor([0]))
    assert (found.rows < 0).sum(2).tolist() == [[1]] * 4
    analogue = scale_memory(rows).follow(found, 3, torch.eye(ACTIONS)[None, :1])
    assert bool(torch.isfinite(analogue.latent).all())
    assert analogue.weights[found.rows < 0].tolist() == [0.0] * 4


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=6))
def test_the_kernel_is_a_falling_share(distances: list[float]) -> None:
    values = torch.tensor(sorted(distances))
    weights = log_kernel(values, torch.ones(len(values), dtype=torch.bool))
    assert bool(torch.isfinite(weights).all())
    assert bool((weights[:-1] >= weights[1:]).all())


def test_moments_that_repeat_exactly_have_equal_shares() -> None:
    weights = log_kernel(torch.tensor([0.0, 0.0, torch.inf]), torch.tensor([True, True, False]))
    assert weights[:2].tolist() == [0.0, 0.0]


def test_threads_that_all_disagree_utterly_are_weighed_too() -> None:
    means, actions = glide(3, 12, 32)
    rows = rows_of(means, [a * 1e3 for a in actions])
    memory = scale_memory(rows)
    found = memory.find(rows.latents.mu[None, [5, 4]], 3)
    analogue = memory.follow(found, 3, torch.full((1, 5, ACTIONS), -1e3))
    assert torch.allclose(analogue.weights.sum(2), torch.ones(4, 1))
    assert bool(torch.isfinite(analogue.latent).all())


def test_a_single_episode_is_cut_into_pieces_that_can_be_left_out() -> None:
    alone = rows_of(*glide(1, 250, 2))
    assert sorted(set(pieces(alone).tolist())) == [0, 1, 2]
    several = rows_of(*glide(3, 5, 2))
    assert torch.equal(pieces(several), several.episodes)
