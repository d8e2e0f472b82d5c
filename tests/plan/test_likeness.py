"""Moments are alike where good play would do the same, as far as memory can tell, and where a sure encoder says so."""

import pytest
import torch
from torch import Tensor

from memworld.gaussian import at_mean
from memworld.memory import Rows
from memworld.plan.likeness import Likeness, reliability
from tests.analogues.toys import rows_of
from tests.helpers import one_clear_error

DIM, LENGTH = 6, 40


def recorded(episodes: int, reads: int, dim: int = DIM) -> Rows:
    """Episodes that wander, of two players in turn: the first goes by the sign of number `reads` and is rewarded, the
    second by that of number 0 and is not."""
    generator = torch.Generator().manual_seed(0)
    tracks = [torch.randn(LENGTH + 1, dim, generator=generator) for _ in range(episodes)]
    told = [track[:-1, 0 if i % 2 else reads] for i, track in enumerate(tracks)]
    actions = [torch.nn.functional.one_hot((x > 0).long(), 2) for x in told]
    rows = rows_of(tracks, actions)
    gains = 1 - torch.arange(episodes) % 2
    return Rows(**{**vars(rows), "rewards": torch.where(rows.has_successor, gains[rows.episodes], 0).float()})


def apart(likeness: Likeness, number: int, moved: float = 0.0, dim: int = DIM) -> float:
    """How far a moment is from one that differs in one number by 1, and in how it moved."""
    here, there = torch.zeros(1, 2, dim), torch.zeros(1, 2, dim)
    there[0, :, number] = 1.0
    there[0, 1, number] -= moved
    return float((likeness(here) - likeness(there)).square().sum())


def test_what_good_play_depends_on_counts_most() -> None:
    likeness = Likeness.of(recorded(40, reads=3), 0.5)
    told = apart(likeness, 3)
    others = [apart(likeness, number) for number in range(DIM) if number != 3]
    assert told > 4 * max(others)
    assert max(others) < 1.5 * min(others)


def test_play_that_is_not_good_teaches_nothing() -> None:
    rows = recorded(40, reads=3)
    of_good, of_all = Likeness.of(rows, 0.5), Likeness.of(rows, 1.0)
    assert apart(of_good, 0) < apart(of_good, 3) / 4
    assert apart(of_all, 0) > apart(of_all, 3) / 2


def test_what_the_encoder_is_sure_of_counts_more() -> None:
    rows = recorded(2, reads=3)
    sigma = torch.full((len(rows), DIM), 0.5)
    sigma[:, 2] = 0.1
    rows = Rows(**{**vars(rows), "latents": at_mean(rows.latents.mu, sigma)})
    unlearned = Likeness.of(rows, 0.5)  # of 40 good moments nothing is learned
    assert apart(unlearned, 2) == pytest.approx(25 * apart(unlearned, 1), rel=1e-4)
    assert float(unlearned.of_rows(rows, torch.arange(len(rows))).var(0).sum()) == pytest.approx(1, rel=0.1)


def test_a_moment_alone_is_one_that_stands_still() -> None:
    likeness = Likeness.of(recorded(40, reads=3), 0.5)
    moment = torch.randn(5, 1, DIM, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(likeness(moment), likeness(moment.expand(-1, 2, -1)))
    torch.testing.assert_close(likeness(moment), likeness(torch.cat([moment, moment, moment + 9], 1)))


def test_how_things_move_counts_where_play_depends_on_it() -> None:
    rows = recorded(40, reads=3)
    moved = torch.cat([torch.zeros(1, DIM), rows.latents.mu[1:] - rows.latents.mu[:-1]])[:, 5]
    actions = torch.nn.functional.one_hot((moved > 0).long(), 2).double()
    likeness = Likeness.of(Rows(**{**vars(rows), "actions": actions}), 0.5)
    here, there = torch.zeros(1, 2, DIM), torch.zeros(1, 2, DIM)
    there[0, 1, 5] = -1
    elsewhere = torch.zeros(1, 2, DIM)
    elsewhere[0, 1, 4] = -1
    known = likeness(here)
    assert float((likeness(there) - known).square().sum()) > 4 * float((likeness(elsewhere) - known).square().sum())


@pytest.mark.parametrize("episodes", [1, 2])
def test_of_next_to_nothing_and_of_what_never_changes_it_is_finite(episodes: int) -> None:
    still = [torch.ones(2, DIM)] * episodes
    rows = rows_of(still, [torch.ones(1, 2)] * episodes)
    for known in (rows, rows_of([torch.ones(80, DIM)] * 2, [torch.ones(79, 2)] * 2)):
        likeness = Likeness.of(known, 1.0)
        asked: Tensor = torch.randn(3, 2, DIM)
        assert bool(torch.isfinite(likeness(asked)).all())


def test_wide_latents_are_asked_in_their_principal_components() -> None:
    rows = recorded(20, reads=3, dim=300)
    scaled = rows.latents.mu.clone()
    scaled[:, 3] *= 3  # standardised all the same
    likeness = Likeness.of(Rows(**{**vars(rows), "latents": at_mean(scaled, rows.latents.sigma)}), 0.5)
    assert likeness.telling.shape[0] == 600
    again = Likeness.of(Rows(**{**vars(rows), "latents": at_mean(scaled, rows.latents.sigma)}), 0.5)
    torch.testing.assert_close(likeness.telling, again.telling)


def test_what_can_be_told_from_moments_is_reliable_and_chance_is_not() -> None:
    rows = recorded(30, reads=3)
    likeness = Likeness.of(rows, 0.5)
    seen = rows.latents.mu[:, 3].double()
    assert reliability(seen, rows, likeness) > 0.6
    chance = torch.randn(len(rows), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert reliability(chance, rows, likeness) < 0.02
    # An episode's own number can be told only from itself, which is not looked at.
    assert reliability(chance[rows.episodes], rows, likeness) < 0.1


def test_of_one_episode_and_of_equal_values_nothing_is_doubted() -> None:
    rows = recorded(30, reads=3)
    likeness = Likeness.of(rows, 0.5)
    assert reliability(torch.ones(len(rows), dtype=torch.float64), rows, likeness) == 1
    single = recorded(1, reads=3)
    assert reliability(single.latents.mu[:, 3].double(), single, Likeness.of(single, 0.5)) == 1


def test_a_share_of_none_is_refused() -> None:
    with one_clear_error("best is 0"):
        Likeness.of(recorded(2, reads=3), 0)
