"""What good episodes' agents do is learned; what the others did is not."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from torch import Tensor

from memworld.actions import ActionSpace, action_features, as_actions
from memworld.memory import Rows
from memworld.plan.behaviour import Behaviour
from tests.analogues.toys import rows_of
from tests.helpers import one_clear_error, sampled_actions
from tests.plan.toys import SPACES

LENGTH = 20


def drift(seed: int) -> Tensor:
    """Moments (LENGTH + 1, 4) that wander."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(LENGTH + 1, 4, generator=generator).cumsum(0) * 0.4


def recorded(space: ActionSpace, rules: dict[int, Callable[[Tensor], np.ndarray]], episodes: int = 30) -> Rows:
    """Episodes of agents in turn, each of which gathers at every step as much as its rule's key says."""
    tracks = [drift(seed) for seed in range(episodes)]
    gains = [list(rules)[seed % len(rules)] for seed in range(episodes)]
    actions = [as_actions(rules[gain](track[:-1]), space) for track, gain in zip(tracks, gains, strict=True)]
    rows = rows_of(tracks, [torch.from_numpy(action_features(taken, space)) for taken in actions])
    rewards = torch.cat([torch.cat([torch.full((LENGTH,), float(gain)), torch.zeros(1)]) for gain in gains])
    return Rows(**{**vars(rows), "rewards": rewards})


def asked(count: int = 10) -> Tensor:
    """(count * LENGTH - count, 2, 4) moments of other episodes, with those before them."""
    tracks = [drift(seed) for seed in range(500, 500 + count)]
    return torch.cat([torch.stack([track[1:-1], track[:-2]], 1) for track in tracks])


def side(moments: Tensor) -> np.ndarray:
    return (moments[:, 0] > 0).long().numpy()


def test_the_rule_of_good_episodes_is_learned_and_not_that_of_bad_ones() -> None:
    rows = recorded(Discrete(2), {1: side, 0: lambda moments: 1 - side(moments)})
    recent = asked()
    right = side(recent[:, 0])
    rng = np.random.default_rng(0)
    of_good = Behaviour(rows, Discrete(2), 0.5).draw(recent, rng, sharpness=20)
    assert float((of_good == right).mean()) > 0.8
    of_all = Behaviour(rows, Discrete(2), 1.0).draw(recent, rng, sharpness=20)
    assert float((of_all == right).mean()) < 0.7  # of which half did the opposite


def test_of_good_episodes_one_is_enough_and_the_rest_are_not_looked_at() -> None:
    rows = recorded(Discrete(2), {0: side, 1: side, 2: side}, episodes=3)
    assert set(rows.episodes[Behaviour(rows, Discrete(2), 0.01).rows].tolist()) == {2}
    assert set(rows.episodes[Behaviour(rows, Discrete(2), 0.67).rows].tolist()) == {1, 2}


def test_numbers_are_told_by_where_things_are_and_how_they_move() -> None:
    space = Box(-20, 20, (2,))

    def rule(moments: Tensor) -> np.ndarray:
        moved = torch.cat([torch.zeros(1, 4), moments[1:] - moments[:-1]])
        return torch.stack([2 * moments[:, 1], 5 * moved[:, 2]], 1).clamp(-20, 20).numpy()

    behaviour = Behaviour(recorded(space, {1: rule}), space, 1.0)
    recent = asked()
    wanted = torch.stack([2 * recent[:, 0, 1], 5 * (recent[:, 0, 2] - recent[:, 1, 2])], 1).numpy()
    taken = behaviour.draw(recent, np.random.default_rng(0), sharpness=1e6)
    for column in range(2):
        assert float(np.corrcoef(taken[:, column], wanted[:, column])[0, 1]) > 0.8, column
    standing = behaviour.expected(recent[:, :1])
    assert torch.allclose(standing, behaviour.expected(recent[:, [0, 0]]))  # what is not known is taken to stand
    assert torch.equal(behaviour.expected(torch.cat([recent, recent], 1)), behaviour.expected(recent))


def test_choices_and_numbers_of_one_action_are_learned_together() -> None:
    space = Dict({"force": Box(-90, 90, (1,)), "way": Discrete(3, start=4)})

    def rule(moments: Tensor) -> np.ndarray:
        way = 4 + torch.bucketize(moments[:, 0].contiguous(), torch.tensor([-0.5, 0.5]))
        return torch.stack([(30 * moments[:, 1]).clamp(-90, 90), way], 1).numpy()

    behaviour = Behaviour(recorded(space, {1: rule}), space, 1.0)
    recent = asked()
    taken, wanted = behaviour.draw(recent, np.random.default_rng(0), sharpness=50), rule(recent[:, 0])
    assert float((taken[:, 1] == wanted[:, 1]).mean()) > 0.75
    assert float(np.corrcoef(taken[:, 0], wanted[:, 0])[0, 1]) > 0.8


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_what_is_drawn_can_be_done_and_is_the_same_for_the_same_seed(space: ActionSpace) -> None:
    every = as_actions(sampled_actions(space, 30 * LENGTH, 0), space)
    turns = iter(range(30))

    def rule(moments: Tensor) -> np.ndarray:
        turn = next(turns)
        return every[turn * LENGTH : (turn + 1) * LENGTH]

    rows = recorded(space, {1: rule})
    first, second = (Behaviour(rows, space, 0.5).draw(asked(2), np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(as_actions(first, space), first)


def test_sharpness_makes_the_likeliest_likelier_and_numbers_surer() -> None:
    rng = np.random.default_rng(3)
    space = Dict({"force": Box(-50, 50, (1,)), "way": Discrete(2)})

    def rule(moments: Tensor) -> np.ndarray:
        return np.stack([rng.normal(0, 5, len(moments)), rng.random(len(moments)) < 0.7], 1)

    behaviour = Behaviour(recorded(space, {1: rule}), space, 1.0)
    drawn = {power: behaviour.draw(asked(40), np.random.default_rng(0), power) for power in (1.0, 4.0)}
    ways = {power: float(taken[:, 1].mean()) for power, taken in drawn.items()}
    assert ways[1.0] == pytest.approx(0.7, abs=0.07)
    assert ways[4.0] > ways[1.0] + 0.1
    expected = behaviour.expected(asked(40))[:, 0].numpy() * 50  # the feature is a share of half the range
    spreads = {power: float((taken[:, 0] - expected).std()) for power, taken in drawn.items()}
    assert spreads[1.0] == pytest.approx(2 * spreads[4.0], rel=0.05)
    assert 3 < spreads[1.0] < 6


def test_several_choices_at_once() -> None:
    space = MultiDiscrete([2, 3], start=[5, 0])

    def rule(moments: Tensor) -> np.ndarray:
        return np.stack([5 + side(moments), 2 * side(-moments)], 1)

    behaviour = Behaviour(recorded(space, {1: rule}), space, 1.0)
    taken = behaviour.draw(asked(), np.random.default_rng(0), sharpness=50)
    assert float((taken == rule(asked()[:, 0])).mean()) > 0.8
    assert 1 not in taken[:, 1]


def test_bad_input() -> None:
    rows = recorded(Discrete(2), {1: side}, episodes=2)
    for best in (0.0, -0.5, 1.5, float("nan")):
        with one_clear_error("use a share above 0, up to 1"):
            Behaviour(rows, Discrete(2), best)
