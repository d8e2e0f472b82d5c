import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memworld.distill.covering import DistillConfig, _distances, choose, greedily, parts_of
from memworld.distill.pieces import Piece, cut
from tests.helpers import one_clear_error
from tests.toy_memories import episode, memory_of


def literally(distances: np.ndarray, costs: np.ndarray, budget: int) -> list[int]:
    """Every gain computed anew at every step."""
    nearest = np.full(len(distances), distances.max(), np.float32)
    order: list[int] = []
    while True:
        open_ = [c for c in range(len(costs)) if c not in order and costs[c] <= budget]
        if not open_:
            return order
        gains = [np.maximum(nearest - distances[:, c], 0).sum(dtype=np.float64) / costs[c] for c in open_]
        best = open_[int(np.argmax(gains))]
        order.append(best)
        budget -= costs[best]
        nearest = np.minimum(nearest, distances[:, best])


@given(
    distances=st.integers(1, 6).flatmap(
        lambda p: st.lists(st.lists(st.integers(0, 9), min_size=p, max_size=p), min_size=1, max_size=6)
    ),
    data=st.data(),
)
def test_the_lazy_choice_is_the_literal_one(distances: list[list[int]], data: st.DataObject) -> None:
    matrix = np.array(distances, np.float32)
    costs = np.array(data.draw(st.lists(st.integers(1, 4), min_size=matrix.shape[1], max_size=matrix.shape[1])))
    budget = data.draw(st.integers(0, 12))
    order, uncovered = greedily(matrix, costs, budget)
    assert order == literally(matrix, costs, budget)
    assert costs[order].sum() <= budget
    assert np.allclose(uncovered, [matrix[:, order[: i + 1]].min(1).mean() for i in range(len(order))])


@given(st.lists(st.lists(st.integers(0, 9), min_size=5, max_size=5), min_size=2, max_size=6))
def test_the_choice_is_as_near_the_best_one_as_theory_says(distances: list[list[int]]) -> None:
    matrix, costs = np.array(distances, np.float32), np.ones(5, np.int64)
    most = matrix.max()
    order, _ = greedily(matrix, costs, 2)
    best = min(matrix[:, pair].min(1).mean() for pair in itertools.combinations(range(5), 2))
    assert most - matrix[:, order].min(1).mean() >= (1 - 1 / np.e) * (most - best) - 1e-5


@pytest.mark.parametrize("episodes", [1, 3])
@pytest.mark.parametrize("context", [1, 2])
def test_distances_are_those_to_the_nearest_moment_of_a_piece(episodes: int, context: int) -> None:
    memory = memory_of(*(episode(i, 7 + i) for i in range(episodes)))
    pieces = cut(memory.entries, 3)
    found = _distances(memory.rows, memory.latent_shape, pieces, DistillConfig(3, context), progress=False)
    moments = [(e, t) for e, entry in enumerate(memory.entries) for t in range(entry.steps)]

    def key(e: int, t: int) -> np.ndarray:
        mu = memory.episodes[e].latents.mu
        return np.concatenate([mu[max(0, t - back)] for back in range(context)])

    literal = np.full((len(moments), len(pieces)), -np.inf)
    for (q, (e, t)), (p, piece) in itertools.product(enumerate(moments), enumerate(pieces)):
        own = piece.episode == e if episodes > 1 else piece.first <= t < piece.last
        if not own:
            inside = range(piece.first, piece.last)
            literal[q, p] = min(float(np.linalg.norm(key(e, t) - key(piece.episode, s))) for s in inside)
    literal[np.isinf(literal)] = literal.max()
    assert np.allclose(found, literal, atol=1e-5)


def test_quarters_of_a_grid_are_compared_by_themselves() -> None:
    assert parts_of((5,)).tolist() == [[0, 1, 2, 3, 4]]
    assert parts_of((2, 3, 4)).tolist() == [list(range(24))]
    quarters = parts_of((2, 4, 8))
    assert quarters.shape == (8, 8)
    assert sorted(quarters.flatten().tolist()) == list(range(64))
    assert torch.equal(parts_of((1, 8, 8))[0], torch.arange(64).reshape(8, 8)[:4, :4].flatten())


def test_what_repeats_is_left_out() -> None:
    """Of ten copies of one episode and a single other one, half of the rows of two are enough."""
    copies = [episode(1, 10, id=f"copy{i}") for i in range(10)]
    memory = memory_of(*copies, episode(2, 10), episode(2, 10, id="e2-again"))
    kept = choose(memory, 22, DistillConfig(piece=10)).within(22)
    assert len(kept) == 2
    assert {memory.ids[p.episode][:2] for p in kept} == {"co", "e2"}


def test_no_more_rows_are_kept_than_asked_and_more_cover_more() -> None:
    memory = memory_of(*(episode(i, 20) for i in range(5)))
    choice = choose(memory, 60, DistillConfig(piece=5))
    assert (np.diff(choice.uncovered) <= 0).all()
    for rows in (6, 20, 60):
        assert 0 < sum(p.rows for p in choice.within(rows)) <= rows
    assert choose(memory, 60, DistillConfig(piece=5)).pieces == choice.pieces


def test_what_cannot_be_chosen() -> None:
    memory = memory_of(episode(0, 20))
    with one_clear_error("5 rows have no room for a piece, of at least 11: ask for more, or shorter ones"):
        choose(memory, 5, DistillConfig(piece=10))
    with one_clear_error("piece must be at least 1, got 0"):
        DistillConfig(piece=0)
    assert choose(memory, 11, DistillConfig(piece=10)).within(11) in ([Piece(0, 0, 10)], [Piece(0, 10, 20)])
