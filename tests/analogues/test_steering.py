"""What actions steer, in a world of which most moves by itself."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from memworld.analogues.blocks import Scale, cut
from memworld.analogues.config import AnalogueConfig
from memworld.analogues.forecast import Analogues
from memworld.analogues.foresight import Sight, metric
from memworld.analogues.keys import own, pieces, rows_left
from memworld.analogues.panel import Panel
from memworld.analogues.steering import AHEAD, steered
from memworld.analogues.threads import Found
from memworld.memory import Rows
from tests.analogues.toys import ACTIONS, make_index, rows_of
from tests.helpers import one_clear_error

PLAYER, SIZE = 5, 8
"""Which number of a moment the actions move, and how many there are."""


def scenery(episodes: int = 40, length: int = 40, push: float = 0.2, seed: int = 0) -> Rows:
    """Seven large numbers that swing by themselves, each at a phase of its episode, and a small one that is steered."""
    generator = torch.Generator().manual_seed(seed)
    means, actions = [], []
    for _ in range(episodes):
        time = torch.arange(length)[:, None]
        phase = 2 * math.pi * torch.rand(SIZE, generator=generator)
        moments = 5 * torch.sin(time * torch.linspace(0.2, 0.9, SIZE) + phase)
        chosen = torch.nn.functional.one_hot(torch.randint(ACTIONS, (length - 1,), generator=generator), ACTIONS)
        steps = push * (chosen.argmax(1) - 1.0)
        moments[:, PLAYER] = torch.cat([torch.zeros(1), steps]).cumsum(0) + torch.randn(1, generator=generator)
        means.append(moments)
        actions.append(chosen.float())
    return rows_of(means, actions)


def of_rows(rows: Rows, context: int = 1, seed: int = 0) -> Tensor:
    """The map of the moments as they are."""
    keys = rows.latents.mu
    if context == 2:
        keys = torch.cat([keys, torch.cat([keys[:1], keys[:-1]])], 1)
    return steered(keys[None], rows.actions, rows_left(rows), context, seed)


def test_the_steered_part_dominates_the_map() -> None:
    rows = scenery()
    to = of_rows(rows)[0]
    image = (rows.latents.mu.double() - rows.latents.mu.double().mean(0))[:, :, None] * to[None]
    shares = image.square().mean(0).sum(1)  # of every number of a moment
    assert float(shares[PLAYER] / shares.sum()) > 0.8
    assert float(rows.latents.mu.var(0)[PLAYER] / rows.latents.mu.var(0).sum()) < 0.05  # as small as it is


@settings(max_examples=15)
@given(seed=st.integers(0, 99), context=st.sampled_from([1, 2]), size=st.integers(1, 4))
def test_the_image_of_a_moment_has_a_variance_of_one_and_only_the_present_has_one(
    seed: int, context: int, size: int
) -> None:
    rows = scenery(episodes=6, seed=seed)
    keys = rows.latents.mu[:, PLAYER - size + 1 : PLAYER + 2]
    whole = keys if context == 1 else torch.cat([keys, keys.flip(0)], 1)
    to = steered(torch.stack([whole, 3 * whole]), rows.actions, rows_left(rows), context, 0)
    assert to.shape == (2, context * (size + 1), size + 1)
    assert bool((to[:, size + 1 :] == 0).all())
    lasting = rows_left(rows) >= max(AHEAD)
    image = whole[lasting].double() @ to[0]
    assert float(image.var(0, correction=0).sum()) == pytest.approx(1, abs=1e-3)
    # In other units, nearly the same.
    left, right = 9 * to[1] @ to[1].T, to[0] @ to[0].T
    assert torch.allclose(left, right, rtol=0, atol=0.05 * float(right.abs().max()))


@pytest.mark.parametrize("length", [2, 5, 11, 12])
def test_without_long_episodes_or_different_actions_nothing_is_steered(length: int) -> None:
    rows = scenery(episodes=4, length=length)
    to = of_rows(rows)
    assert bool(torch.isfinite(to).all())
    if length - 1 < max(AHEAD):
        assert not bool(to.any())
    same = Rows(**{**vars(scenery()), "actions": torch.ones_like(scenery().actions)})
    assert not bool(of_rows(same).any())
    still = scenery()
    still.latents.mu[:] = 1.0
    assert not bool(of_rows(still).any())


def recent_of(rows: Rows, row: int) -> Tensor:
    """(1, 2, SIZE) a moment and the one before it."""
    return rows.latents.mu[[row, row - 1]][None]


def nearest_of_others(rows: Rows, scale: Scale) -> Tensor:
    """Of every moment the nearest one of another episode, as a scale compares them."""
    keys_of = Sight.fit(cut((SIZE,), scale), rows, scale, context=1, seed=0)
    keys = keys_of.compared(keys_of.basis.keys_of(rows, 1))[0]
    distances = torch.cdist(keys, keys)
    distances[rows.episodes[:, None] == rows.episodes] = torch.inf
    return distances.argmin(1)


def test_neighbours_found_with_steering_agree_in_what_is_steered() -> None:
    rows = scenery()
    place = rows.latents.mu[:, PLAYER]
    errors = {}
    for steering in (0.0, 0.5):
        found = nearest_of_others(rows, Scale(0, 0, SIZE, (1,), places=0.2, changes=0.2, steering=steering))
        errors[steering] = float((place[found] - place).abs().mean())
    by_chance = float((place[:, None] - place).abs().mean())
    assert errors[0.5] < 0.35 * errors[0.0]
    assert errors[0.0] < by_chance


def test_the_metric_gives_steering_its_share() -> None:
    rows = scenery(episodes=8)
    blocks = cut((SIZE,), Scale(0, 0, SIZE, (1,)))
    keys, numbers = rows.latents.mu[None], own(blocks, rows.latents.mu)
    to, left, apart = of_rows(rows), rows_left(rows), pieces(rows)

    def squared(shares: tuple[float, float], steering: float) -> Tensor:
        found = metric(keys, numbers, left, apart, shares, 0, to if steering else None, steering)[0].double()
        return found @ found

    sample = rows.latents.mu.double()[left >= max(AHEAD)]
    covariance = (sample - sample.mean(0)).T @ (sample - sample.mean(0)) / len(sample)
    alone = squared((0.0, 0.0), 1.0)
    assert float((covariance @ alone).trace()) == pytest.approx(1, abs=1e-3)
    expected = to[0] @ to[0].T
    assert torch.allclose(alone, expected / (covariance @ expected).trace(), atol=1e-4)
    plain = torch.eye(SIZE, dtype=torch.float64) / covariance.trace()
    assert torch.allclose(squared((0.0, 0.0), 0.3), 0.3 * alone + 0.7 * plain, atol=1e-4)
    others = squared((0.2, 0.2), 0.0) - 0.6 * plain
    assert torch.allclose(squared((0.2, 0.2), 0.3), others + 0.3 * alone + 0.3 * plain, atol=1e-4)
    assert torch.equal(metric(keys, numbers, left, apart, (0.0, 0.0), 0), torch.eye(SIZE)[None])


def test_shares_are_shares() -> None:
    assert Scale(0, 0, 4, (1,), 0.25, 0.25, 0.5).shares == (0.25, 0.25, 0.5)
    for bad in ({"steering": -0.1}, {"steering": 0.3}, {"places": 0.0, "changes": 0.0, "steering": 1.5}):
        with one_clear_error("places, changes and steering are shares of a distance"):
            Scale(0, 0, 4, (1,), **bad)


@pytest.mark.parametrize("config", [AnalogueConfig.steering(), AnalogueConfig.holding(3), AnalogueConfig(horizon=4)])
def test_one_present_that_all_futures_share_is_searched_for_once(
    config: AnalogueConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = scenery(episodes=8)
    made = Analogues(Panel(rows, (SIZE,), config, make_index))
    asked: list[int] = []
    search = made.panel.find

    def find(recent: Tensor) -> list[Found]:
        asked.append(len(recent))
        return search(recent)

    monkeypatch.setattr(made.panel, "find", find)
    one = recent_of(rows, 20)
    shared = made.find(one.expand(5, -1, -1))
    assert asked == [1]
    other = torch.cat([one.expand(5, -1, -1), recent_of(rows, 60)])
    apart = made.find(other)
    assert asked == [1, 6]
    for together, separate in zip(shared, apart, strict=True):
        assert together.context == separate.context
        for name in ("asked", "present", "rows", "distances"):
            got, wanted = getattr(together, name), getattr(separate, name)[:, :5]
            torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)
    actions = torch.eye(ACTIONS)[torch.randint(ACTIONS, (5, 3), generator=torch.Generator().manual_seed(0))]
    left = made.predict(shared, actions)
    right = made.predict([found[:5] for found in apart], actions)
    torch.testing.assert_close(left.mu, right.mu, rtol=1e-4, atol=1e-4)
    assert made.find(one)[0].rows.shape[1] == 1
