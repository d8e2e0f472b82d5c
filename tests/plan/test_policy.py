"""Acting in a corridor of which random walks are remembered, and what is refused."""

import functools
import itertools
from typing import Any

import numpy as np
import pytest
import torch

from memworld.datasets import DatasetInfo
from memworld.episodes import Episode
from memworld.memory import Memory
from memworld.plan import PLANNERS, PlanConfig, planning_policy
from memworld.plan.policy import Mind, PlanningPolicy
from memworld.plan.problem import Decision, Problem, Proposals
from memworld.rollout import Past
from memworld.world_model import WorldModel
from tests.helpers import LEFT_RIGHT, PixelEncoder, one_clear_error, walk
from tests.plan.toys import PLANS, STEPS, Corridor, at_random, corridor, picture, play

SEEDS = range(5)
SMALL = PlanConfig(horizon=12, candidates=48, commit=3, recalled=48, temperature=0.1)


def config(**given: Any) -> PlanConfig:
    return PlanConfig(**{**vars(SMALL), **given})


@pytest.fixture(scope="module")
def world() -> WorldModel:
    """A memory of random walks; no test may change it."""
    return corridor()


def gathered(world: WorldModel, how: PlanConfig) -> list[float]:
    """Returns of episodes that a planner plays."""
    make = planning_policy(world, how)
    return [float(play(make(np.random.default_rng(seed)), seed).rewards.sum()) for seed in SEEDS]


@functools.cache
def random_returns() -> list[float]:
    return [float(play(at_random(seed), seed).rewards.sum()) for seed in SEEDS]


@pytest.mark.parametrize("planner", ["mppi", "cem", "random_shooting"])
@pytest.mark.parametrize("proposals", ["memory", "behaviour", "even"])
def test_planning_gathers_more_than_random_and_than_what_is_remembered(
    world: WorldModel, planner: str, proposals: str
) -> None:
    mean = float(np.mean([episode.rewards.sum() for episode in world.memory.episodes]))
    planned = float(np.mean(gathered(world, config(planner=planner, proposals=proposals))))
    assert planned > 1.5 * max(mean, float(np.mean(random_returns())), 1.0), (planned, mean)


def test_doing_as_the_best_did_gathers_more_than_random(world: WorldModel) -> None:
    assert np.mean(gathered(world, config(planner="behaviour", best=0.2))) > np.mean(random_returns())


@pytest.mark.parametrize("planner", PLANNERS)
def test_one_seed_acts_in_one_way(world: WorldModel, planner: str) -> None:
    make = planning_policy(world, config(planner=planner, candidates=16, horizon=6))
    first, second, fresh = (
        play(made(np.random.default_rng(5)), 3)
        for made in (make, make, planning_policy(world, config(planner=planner, candidates=16, horizon=6)))
    )
    np.testing.assert_array_equal(first.actions, second.actions)
    np.testing.assert_array_equal(first.actions, fresh.actions)


def test_a_plan_is_begun_and_then_made_anew(world: WorldModel) -> None:
    for commit, decisions in ((1, STEPS), (3, STEPS // 3), (5, -(-STEPS // 5)), (12, STEPS // 12)):
        policy: Any = planning_policy(world, config(commit=commit, candidates=8))(np.random.default_rng(0))
        play(policy, 0)
        assert len(policy.decision_seconds) == len(policy.support) == decisions
        assert all(0 <= support <= 1 for support in policy.support)


def test_a_goal_is_come_to(world: WorldModel) -> None:
    for place in (1, 8):
        make = planning_policy(world, config(planner="cem", objective="goal", candidates=96), picture(place))
        episode = play(make(np.random.default_rng(0)), 0)
        assert place in episode.observations[:, 0, :, 0].argmax(1)


class Recorder:
    """A planner that keeps what it was asked and goes by a plan of its own."""

    def __init__(self) -> None:
        self.proposed: list[Proposals] = []
        self.plans = itertools.count()

    def plan(self, problem: Problem, rng: np.random.Generator) -> Decision:
        self.proposed.append(problem.propose(10, rng))
        problem.score(self.proposed[-1])
        return Decision(np.arange(problem.horizon) % 3, 0.0, 0)


def recorded(world: WorldModel, **given: Any) -> list[Proposals]:
    """What a planner is offered at the decisions of one episode."""
    recorder = Recorder()
    play(PlanningPolicy(Mind(world, config(**given)), recorder, np.random.default_rng(0)), 0)
    return recorder.proposed


@pytest.mark.parametrize("kind", ["even", "behaviour"])
def test_what_is_left_of_a_plan_is_among_the_next_proposals(world: WorldModel, kind: str) -> None:
    proposed = recorded(world, proposals=kind, explore=0.2)
    left = [*(np.arange(3, 12) % 3), *[2] * 3]
    assert proposed[0].actions[0].tolist() != left
    assert all(later.actions[0].tolist() == left for later in proposed[1:])
    assert all((later.futures is None) == (kind == "even") for later in proposed)


def test_a_share_of_what_memory_proposes_is_drawn_evenly(world: WorldModel) -> None:
    known, mixed = (recorded(world, proposals="memory", explore=share) for share in (0.0, 0.3))
    for left, right in zip(known[:1], mixed[:1], strict=True):  # later ones are of other presents
        assert len(left) == len(right) == 10
        np.testing.assert_array_equal(right.actions[:7], left.actions[:7])
        assert float(right.chances[7:].sum()) == pytest.approx(0.3)
        assert float(left.chances.sum()) == pytest.approx(left.chances.sum()) == pytest.approx(1)
        assert right.chances[:7] == pytest.approx(0.7 * left.chances[:7] / left.chances[:7].sum())
    everything = recorded(world, proposals="memory", explore=1.0)
    assert everything[0].chances == pytest.approx([0.1] * 10)


def test_futures_that_were_imagined_on_the_way_are_those_of_their_actions(world: WorldModel) -> None:
    mind = Mind(world, config(proposals="behaviour"))
    past = Past(picture(4)[None, None], np.array([[2]]), np.ones((1, 1), bool))
    proposed = mind.propose(picture(5), past, np.empty(0, np.int64), 6, np.random.default_rng(0))
    assert proposed.futures is not None
    again = world.imagine(picture(5), proposed.actions, past=past, decode=False)
    torch.testing.assert_close(proposed.futures.latents.mu, again.latents.mu, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(proposed.futures.rewards, again.rewards)


def test_what_is_remembered_meanwhile_counts_from_the_next_episode_on() -> None:
    world = corridor(4)
    make = planning_policy(world, SMALL)
    play(make(np.random.default_rng(0)), 0)
    world.memory.extend([play(lambda frame, info: 2, i, f"right{i}") for i in range(6)], world.encoder)
    grown = play(make(np.random.default_rng(0)), 0)
    fresh = play(planning_policy(world, SMALL)(np.random.default_rng(0)), 0)
    np.testing.assert_array_equal(grown.actions, fresh.actions)
    assert grown.rewards.sum() > 10
    for planner in PLANNERS:
        policy = planning_policy(world, config(planner=planner, candidates=8))
        world.memory.remove([world.memory.ids[0]])
        play(policy(np.random.default_rng(0)), 0)


def empty() -> WorldModel:
    encoder = PixelEncoder()
    return WorldModel(encoder, Memory(LEFT_RIGHT, encoder), PLANS)


def without_rewards() -> WorldModel:
    encoder = PixelEncoder((2, Corridor.WIDTH, 1))
    memory = Memory(DatasetInfo(encoder.frame_shape, Corridor.action_space), encoder)
    episode = play(at_random(0), 0)
    memory.append(Episode(**{**vars(episode), "rewards": np.zeros(STEPS, np.float32)}), encoder)
    return WorldModel(encoder, memory, PLANS)


@pytest.mark.parametrize("planner", PLANNERS)
def test_an_empty_memory_plans_nothing(planner: str) -> None:
    with one_clear_error("the memory is empty"):
        planning_policy(empty(), PlanConfig(planner=planner))


def test_without_rewards_there_is_a_goal_or_nothing() -> None:
    world = without_rewards()
    with one_clear_error("no reward was ever given"):
        planning_policy(world, SMALL)
    play(planning_policy(world, config(objective="goal", candidates=8), picture(0))(np.random.default_rng(0)), 0)


def test_bad_input(world: WorldModel) -> None:
    with one_clear_error("unknown planner 'best'"):
        planning_policy(world, PlanConfig(planner="best"))
    with one_clear_error("give its picture"):
        planning_policy(world, config(objective="goal"))
    with one_clear_error("a goal picture was given for another objective"):
        planning_policy(world, SMALL, picture(3))
    with one_clear_error("6 candidates in 4 iterations"):
        planning_policy(world, config(planner="cem", candidates=6, iterations=4))
    with one_clear_error("use a share above 0"):
        planning_policy(world, config(planner="behaviour", best=0.0))
    with one_clear_error("temperature must be above 0"):
        planning_policy(world, config(planner="mppi", temperature=0.0))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"horizon": 0}, "horizon must be at least 1"),
        ({"candidates": 0}, "candidates must be at least 1"),
        ({"recalled": 0}, "recalled must be at least 1"),
        ({"commit": 0}, "commit must be at least 1"),
        ({"iterations": 0}, "iterations must be at least 1"),
        ({"horizon": 4, "commit": 5}, "commit is 5, more than the 4 steps of a plan"),
        ({"objective": "fun"}, "unknown objective 'fun'"),
        ({"proposals": "good"}, "unknown proposals 'good'"),
        ({"best": 1.1}, "best is a share"),
        ({"explore": -0.1}, "explore is a share"),
        ({"explore": float("nan")}, "explore is a share"),
        ({"pessimism": -1.0}, "pessimism must be 0 or above"),
        ({"pessimism": float("inf")}, "pessimism must be 0 or above"),
        ({"discount": 1.0}, "use one above 0 and below 1"),
        ({"discount": 0.0}, "use one above 0 and below 1"),
    ],
)
def test_settings_that_mean_nothing(bad: dict[str, Any], message: str) -> None:
    with one_clear_error(message):
        config(**bad)


def test_a_horizon_longer_than_anything_recorded_is_refused() -> None:
    encoder = PixelEncoder()
    memory = Memory(LEFT_RIGHT, encoder)
    memory.extend([walk("a", 50, [1]), walk("b", 50, [1, 0, 1])], encoder)
    with one_clear_error("horizon is 4, but the longest recorded episode has 3 steps"):
        planning_policy(WorldModel(encoder, memory, PLANS), PlanConfig(horizon=4, commit=1))


def test_a_memory_of_one_short_episode_will_do() -> None:
    encoder = PixelEncoder()
    memory = Memory(LEFT_RIGHT, encoder)
    memory.append(walk("a", 50, [1]), encoder)
    world = WorldModel(encoder, memory, PLANS)
    frame = np.array([[[50], [0]]], np.uint8)
    for planner in PLANNERS:
        for proposals in ("memory", "behaviour", "even"):
            how = PlanConfig(planner=planner, horizon=1, candidates=8, commit=1, proposals=proposals)
            policy = planning_policy(world, how)(np.random.default_rng(0))
            for _ in range(3):
                assert int(policy(frame, {})) in (0, 1)
