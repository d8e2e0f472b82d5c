"""Planners on problems whose best answer is known."""

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.actions import ActionSpace, action_parts
from memworld.plan.cem import CEM
from memworld.plan.mppi import MPPI
from memworld.plan.problem import Planner, Proposals
from memworld.plan.random_shooting import RandomShooting
from memworld.plan.sequences import held_actions
from memworld.plan.vote import elect
from tests.helpers import one_clear_error
from tests.plan.toys import SPACES, problem

TARGET = np.array([0, 3, 1, 1, 2, 0, 3, 2, 1, 0])


def hits(actions: np.ndarray) -> np.ndarray:
    """How many steps are as they should be."""
    return np.asarray((actions == TARGET[: actions.shape[1]]).sum(1))


def mean_score(planner: Planner, horizon: int, runs: int = 10) -> float:
    made = problem(Discrete(4), horizon, hits)
    return float(np.mean([planner.plan(made, np.random.default_rng(seed)).score for seed in range(runs)]))


def test_of_few_sequences_the_best_is_found() -> None:
    for planner in (RandomShooting(300), CEM(300, 3)):
        decision = planner.plan(problem(Discrete(4), 2, hits), np.random.default_rng(0))
        assert decision.actions.tolist() == [0, 3]
        assert decision.score == 2
        assert decision.considered == 300


def test_cross_entropy_finds_what_random_shooting_does_not_with_as_many_candidates() -> None:
    shot, refined = mean_score(RandomShooting(400), 10), mean_score(CEM(400, 8), 10)
    assert refined > shot + 1.5
    assert refined > 9


def test_cross_entropy_homes_in_on_numbers() -> None:
    target = np.linspace(-0.8, 0.8, 5)

    def near(actions: np.ndarray) -> np.ndarray:
        return np.asarray(-((actions[..., 0] - target) ** 2).sum(1))

    made = problem(Box(-1, 1, (1,)), 5, near)
    errors = {
        planner: np.mean([-planner.plan(made, np.random.default_rng(seed)).score for seed in range(5)])
        for planner in (RandomShooting(400), CEM(400, 8))
    }
    shot, refined = errors.values()
    assert refined < shot / 2


def test_cross_entropy_in_a_space_of_both_kinds() -> None:
    space = Dict({"way": Discrete(3), "force": Box(0, 10, (1,))})

    def good(actions: np.ndarray) -> np.ndarray:
        columns = {part.name: actions[..., part.columns][..., 0] for part in action_parts(space)}
        return np.asarray((columns["way"] == 2).sum(1) - (0.1 * (columns["force"] - 7) ** 2).sum(1))

    decision = CEM(600, 6).plan(problem(space, 4, good), np.random.default_rng(0))
    columns = {part.name: decision.actions[:, part.columns][:, 0] for part in action_parts(space)}
    assert columns["way"].tolist() == [2] * 4
    assert columns["force"] == pytest.approx([7] * 4, abs=1.5)


@pytest.mark.parametrize("seed", range(8))
def test_the_best_of_all_rounds_is_never_lost(seed: int) -> None:
    seen: list[np.ndarray] = []

    def good(actions: np.ndarray) -> np.ndarray:
        seen.append(hits(actions))
        return seen[-1]

    decision = CEM(32, 8).plan(problem(Discrete(4), 10, good), np.random.default_rng(seed))
    assert [len(scores) for scores in seen] == [4] * 8
    highest = [scores.max() for scores in seen]
    assert highest == sorted(highest)
    assert decision.score == highest[-1] == hits(decision.actions[None])[0]


def weights_of(chances: np.ndarray, scores: np.ndarray, temperature: float, unit: float) -> np.ndarray:
    raw = [
        chance * np.exp((score - scores.max()) / (temperature * unit))
        for chance, score in zip(chances, scores, strict=True)
    ]
    return np.array(raw) / float(sum(raw))


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), temperature=st.floats(0.05, 20), unit=st.floats(0.1, 10))
def test_sequences_count_by_chances_and_exponential_scores(seed: int, temperature: float, unit: float) -> None:
    rng = np.random.default_rng(seed)
    actions, chances = rng.integers(0, 4, (6, 3)), rng.random(6)
    chances /= chances.sum()
    scores = rng.normal(size=6)
    made = problem(Discrete(4), 3, lambda _: scores, Proposals(actions, chances), unit)
    decision = MPPI(6, 1, temperature).plan(made, rng)
    weights = weights_of(chances, scores, temperature, unit)
    assert decision.score == pytest.approx(float(weights @ scores))
    assert decision.considered == 6
    for step in range(3):
        votes = [weights[actions[:, step] == choice].sum() for choice in range(4)]
        assert votes[int(decision.actions[step])] == pytest.approx(max(votes))


def test_of_numbers_it_is_the_weighted_mean() -> None:
    actions = np.array([[[1.0], [0.0]], [[2.0], [-1.0]], [[-2.0], [1.0]]], np.float32)
    chances, scores = np.array([0.5, 0.3, 0.2]), np.array([0.0, 1.0, -1.0])
    made = problem(Box(-2, 2, (1,)), 2, lambda _: scores, Proposals(actions, chances))
    decision = MPPI(3, 1, 0.7).plan(made, np.random.default_rng(0))
    expected = np.einsum("n,nta->ta", weights_of(chances, scores, 0.7, 1.0), actions)
    np.testing.assert_allclose(decision.actions, expected, rtol=1e-5)


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_the_hotter_the_more_it_is_the_vote_of_what_was_proposed_and_the_colder_the_best(space: ActionSpace) -> None:
    rng = np.random.default_rng(3)
    actions, scores = held_actions(space, 9, 4, rng), rng.normal(size=9)
    chances = rng.random(9)
    proposed = Proposals(actions, chances / chances.sum())
    made = problem(space, 4, lambda _: scores, proposed)
    hot, cold = (MPPI(9, 1, t).plan(made, rng).actions for t in (1e9, 1e-6))
    votes = np.stack([elect(actions[:, step], space, proposed.chances) for step in range(4)])
    np.testing.assert_allclose(hot, votes, rtol=1e-5)
    np.testing.assert_allclose(cold, actions[scores.argmax()], rtol=1e-5)


def test_rounds_of_it_home_in() -> None:
    made = problem(Discrete(4), 10, hits)
    once, often = (MPPI(400, rounds, 0.3).plan(made, np.random.default_rng(0)) for rounds in (1, 8))
    assert hits(often.actions[None])[0] >= hits(once.actions[None])[0]
    assert often.score > once.score
    assert often.considered == 400


def test_scores_that_are_all_alike_or_of_no_unit_leave_the_proposals() -> None:
    made = problem(Discrete(4), 2, lambda a: np.ones(len(a)), Proposals.alike(np.array([[1, 2], [1, 3], [0, 3]])), 0.0)
    assert MPPI(3).plan(made, np.random.default_rng(0)).actions.tolist() == [1, 3]


def test_fewer_sequences_than_asked_for_will_do() -> None:
    proposed = Proposals.alike(TARGET[None])
    for planner in (RandomShooting(50), CEM(50), MPPI(50)):
        decision = planner.plan(problem(Discrete(4), 10, hits, proposed), np.random.default_rng(0))
        assert decision.actions.tolist() == TARGET.tolist()


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 6)), min_size=1, max_size=8))
def test_an_election_counts_weights_and_the_nearer_wins_a_draw(votes: list[tuple[int, int]]) -> None:
    actions = np.array([choice for choice, _ in votes])
    counts = np.array([count for _, count in votes])
    tally: dict[int, int] = {}
    for choice, count in votes:  # the first named of those with most votes, as a dict keeps its order
        tally[choice] = tally.get(choice, 0) + count
    assert int(elect(actions, Discrete(4), counts / counts.sum())) == max(tally, key=lambda choice: tally[choice])
    same = np.full(len(votes), 1 / len(votes))
    assert elect(actions, Discrete(4), same) == elect(actions, Discrete(4))


def test_a_draw_is_one_however_its_votes_add_up() -> None:
    weights = np.array([0.3, 0.1, 0.1, 0.1, 0.2, 0.2])
    assert 0.1 + 0.1 + 0.1 > 0.3  # as floating point has it
    assert int(elect(np.array([1, 0, 0, 0, 2, 3]), Discrete(4), weights)) == 1


def test_an_election_of_numbers_is_their_mean() -> None:
    space = Dict({"way": Discrete(2), "force": Box(-3, 3, (1,)), "gear": Box(0, 9, (1,), np.int16)})
    order = [part.name for part in action_parts(space)]
    rows = {"way": [0, 1, 0], "force": [1, 2, -1], "gear": [1, 4, 9]}
    actions = np.array([[rows[name][i] for name in order] for i in range(3)], np.float32)
    elected = dict(zip(order, elect(actions, space, np.array([0.2, 0.7, 0.1])).tolist(), strict=True))
    assert elected == {"way": 1, "force": pytest.approx(0.2 + 1.4 - 0.1), "gear": 4}


def test_bad_input() -> None:
    with one_clear_error("7 candidates in 4 iterations: give at least 2"):
        CEM(7, 4)
    for temperature in (0.0, -1.0, float("nan"), float("inf")):
        with one_clear_error("temperature must be above 0"):
            MPPI(8, 1, temperature)
