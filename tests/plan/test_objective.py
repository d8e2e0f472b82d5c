"""What futures are worth, by hand and by a literal loop."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.gaussian import at_mean
from memworld.memory import Rows
from memworld.plan.objective import Goal, Return, goal_unit
from memworld.plan.value import EpisodicValue
from memworld.rollout import Imagined
from tests.helpers import one_clear_error
from tests.plan.toys import futures, rewarded

episodes = st.lists(
    st.tuples(st.lists(st.floats(-2, 2, width=16), min_size=1, max_size=5), st.booleans()), min_size=1, max_size=4
).filter(lambda made: any(any(rewards) for rewards, _ in made))


def literal(rows: Rows, row: int, discount: float, ends: torch.Tensor) -> float:
    """The discounted rewards from a row to its episode's end, and there what is said to follow."""
    total, factor = 0.0, 1.0
    while bool(rows.has_successor[row]):
        total += factor * float(rows.rewards[row])
        if bool(rows.terminations[row]):
            return total
        factor *= discount
        row += 1
    return total + factor * float(ends[row])


@settings(max_examples=60)
@given(made=episodes, discount=st.floats(0.05, 0.99))
def test_values_are_discounted_rewards_to_the_episode_s_end(
    made: list[tuple[list[float], bool]], discount: float
) -> None:
    rows = rewarded([rewards for rewards, _ in made], [over for _, over in made])
    value = EpisodicValue(rows, discount)
    for row in range(len(rows)):
        if bool(rows.has_successor[row]):
            assert float(value.of_rows[row]) == pytest.approx(literal(rows, row, discount, value.of_rows), abs=1e-6)
        else:
            over, number = bool(rows.terminations[row - 1]), int(rows.episodes[row])
            per_step = float(np.mean(made[number][0]))
            assert float(value.of_rows[row]) == pytest.approx(0 if over else per_step / (1 - discount), abs=1e-6)
    assert value.spread == pytest.approx(float(np.std(value.of_rows[rows.has_successor].numpy())), abs=1e-9)


def test_the_end_of_a_future_is_worth_what_follows_its_rows() -> None:
    rows = rewarded([[0, 0, 4], [8]], [True, True])
    value = EpisodicValue(rows, 0.5)
    assert value.of_rows.tolist() == [1, 2, 4, 0, 8, 0]
    cited = torch.tensor([[[0, 1]], [[0, -1]], [[-1, -1]], [[0, 2]], [[2, 4]]])
    shares = torch.tensor([[[0.25, 0.75]], [[1.0, 0.0]], [[0.0, 0.0]], [[0.5, 0.5]], [[0.5, 0.5]]])
    made = futures(torch.zeros(5, 1), rows=cited, weights=shares)
    # Where half of the rows' episodes ended, half of the futures go on, and those as the other half did.
    assert value.at_end(made).tolist() == pytest.approx([0.25 * 2 + 0.75 * 4, 2, 0, 2, 0])
    half = futures(torch.zeros(1, 1), torch.tensor([[0.5]]), rows=cited[3:4], weights=shares[3:4])
    assert float(Return(0.5, 1.0, value).score(half)) == pytest.approx(0.5 * 0.5 * 2)


def test_a_return_is_discounted_and_ends_with_the_episode() -> None:
    plain = Return(discount=0.5, spread=1.0)
    rewards = torch.tensor([[1.0, 2.0, 4.0]])
    assert float(plain.score(futures(rewards))) == 1 + 1 + 1
    over = torch.tensor([[0.0, 1.0, 0.0]])
    assert float(plain.score(futures(rewards, over))) == 1 + 1  # the step that ends it still counts
    likely = torch.tensor([[0.25, 0.5, 0.0]])
    assert float(plain.score(futures(rewards, likely))) == pytest.approx(1 + 0.75 + 0.75 * 0.5)


def test_a_return_counts_the_end_s_value_where_the_episode_goes_on() -> None:
    value = EpisodicValue(rewarded([[0, 0, 4]], [True]), 0.5)
    with_value = Return(0.5, value.spread, value)
    rewards = torch.tensor([[1.0, 2.0]])
    assert float(with_value.score(futures(rewards))) == pytest.approx(1 + 1 + 0.25 * 2)
    over = torch.tensor([[0.0, 1.0]])
    assert float(with_value.score(futures(rewards, over))) == pytest.approx(1 + 1)
    bare = Imagined(
        **{name: getattr(futures(rewards), name) for name in ("latents", "frames", "rewards", "termination")}
    )
    assert float(with_value.score(bare)) == pytest.approx(1 + 1)  # nothing is cited whose worth were known


def test_pessimism_takes_off_what_memory_does_not_know() -> None:
    support = torch.tensor([[0.5, 1.0], [math.nan, 0.0]], dtype=torch.float64)
    made = futures(torch.zeros(2, 2), support=support)
    assert Return(0.5, 3.0, pessimism=2.0).score(made).tolist() == pytest.approx([-2 * 3 * (0.5 + 0.5), 0])


def test_the_less_values_can_be_told_the_less_a_difference_of_scores_says() -> None:
    assert Return(0.5, 3.0).unit == 3
    assert Return(0.5, 3.0, reliability=0.5).unit == 6
    assert math.isfinite(Return(0.5, 3.0, reliability=0.0).unit)


def test_a_goal_is_scored_by_how_near_it_comes_and_how_soon() -> None:
    picture = at_mean(torch.tensor([[0.0, 0.0]]), torch.ones(1, 2))
    near, far = [0.0, 1.0], [6.0, 8.0]
    track = torch.tensor([[far, near, near], [far, far, near], [far, far, far]])
    made = futures(torch.zeros(3, 3), latents=at_mean(track, torch.ones_like(track)))
    little, much = math.sqrt(0.5), math.sqrt(50)
    expected = [-(little + (2 * little + much) / 3) / 2, -(little + (little + 2 * much) / 3) / 2, -much]
    assert Goal(picture, 1.0).score(made).tolist() == pytest.approx(expected)
    assert goal_unit(torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]])) == pytest.approx(math.sqrt((8 / 3) / 2))


def test_bad_input() -> None:
    rows = rewarded([[1.0]], [True])
    for discount in (0.0, 1.0, -1.0, math.nan):
        with one_clear_error("use one above 0 and below 1"):
            EpisodicValue(rows, discount)
    with one_clear_error("no reward was ever given"):
        EpisodicValue(rewarded([[0.0, 0.0]], [True]), 0.9)
    with one_clear_error("not finite"):
        EpisodicValue(rewarded([[1.0, math.nan]], [True]), 0.9)
