"""Lessons against literal loops, and that no row is predicted from its own episode."""

import pytest
import torch
from torch import Tensor

from memworld.analogues import AnalogueConfig, Analogues, Panel, Scale
from memworld.analogues.keys import rows_left
from memworld.analogues.lessons import Lessons
from memworld.memory import Rows
from tests.analogues.toys import glide, make_index, rows_of

DIM = 32
HORIZON = 5


def learned(rows: Rows, config: AnalogueConfig) -> Lessons:
    lessons = Lessons()
    Analogues(Panel(rows, (DIM,), config, make_index), lessons=lessons)
    return lessons


def of_lengths(*lengths: int) -> Rows:
    means, actions = glide(len(lengths), max(lengths), DIM)
    pairs = zip(means, actions, lengths, strict=True)
    cut = [(track[: steps + 1], chosen[:steps]) for track, chosen, steps in pairs]
    return rows_of([track for track, _ in cut], [chosen for _, chosen in cut])


ROWS = of_lengths(40, 3, 30, 1, 45, 40)
LESSONS = learned(ROWS, AnalogueConfig(horizon=HORIZON))


def test_every_candidate_is_a_lesson_and_has_predictions_as_far_as_its_episode_goes() -> None:
    assert torch.equal(LESSONS.rows, ROWS.candidates)
    assert LESSONS.means.shape == (len(ROWS.candidates), HORIZON, DIM)
    left = rows_left(ROWS)
    for row, means in zip(LESSONS.rows.tolist(), LESSONS.means, strict=True):
        for ahead in range(HORIZON):
            number = torch.isfinite(means[ahead])
            assert bool(number.all()) if ahead < left[row] else not bool(number.any())


def test_a_sample_gives_as_many_lessons_as_it_has_rows() -> None:
    lessons = learned(ROWS, AnalogueConfig(horizon=2, samples=120))
    assert lessons.means.shape == (120, 2, DIM)
    assert bool(torch.isin(lessons.rows, ROWS.candidates).all())
    assert bool((lessons.rows.diff() > 0).all())


def test_a_batch_agrees_with_a_literal_loop() -> None:
    some = torch.randperm(len(LESSONS.rows), generator=torch.Generator().manual_seed(0))[:60]
    context = 3
    recent, means, actions, true, known = LESSONS.batch(ROWS, some, context)
    assert [x.dtype for x in (recent, means, actions, true, known)] == [torch.float32] * 5
    for number, place in enumerate(some.tolist()):
        row = int(LESSONS.rows[place])
        first, last = row - int(ROWS.steps[row]), row + int(rows_left(ROWS)[row])
        for back in range(context):
            assert torch.equal(recent[number, back], ROWS.latents.mu[max(first, row - back)])
        for ahead in range(HORIZON):
            there = row + ahead + 1 <= last
            assert known[number, ahead] == float(there)
            if there:
                assert torch.equal(means[number, ahead], LESSONS.means[place, ahead])
                assert torch.equal(actions[number, ahead], ROWS.actions[row + ahead].float())
                assert torch.equal(true[number, ahead], ROWS.latents.mu[row + ahead + 1])
            else:
                assert bool((means[number, ahead] == 0).all())
    assert bool(torch.isfinite(true).all())


def test_the_last_row_of_all_can_be_in_a_batch() -> None:
    place = torch.nonzero(LESSONS.rows == ROWS.candidates[-1])[:, 0]
    *_, known = LESSONS.batch(ROWS, place, 2)
    assert known.tolist() == [[1.0] + [0.0] * (HORIZON - 1)]


@pytest.mark.parametrize("scales", [(Scale(0, 0, DIM, (1, 4)),), None])
def test_no_row_is_predicted_from_its_own_episode(scales: tuple[Scale, ...] | None) -> None:
    """One number of every latent says which episode it is of: what threads say has none of the row's own."""
    means, actions = glide(8, 30, DIM)
    marked = [torch.cat([track[:, :-8], torch.eye(8)[i].expand(len(track), -1)], 1) for i, track in enumerate(means)]
    rows = rows_of(marked, actions)
    lessons = learned(rows, AnalogueConfig(scales=scales, horizon=HORIZON, carry=False))
    marks: Tensor = lessons.means[..., -8:]
    there = ~marks.isnan().any(2)
    own = marks[torch.arange(len(marks)), :, rows.episodes[lessons.rows]]
    assert bool(there.any(1).all())
    assert float(own[there].abs().max()) == 0
    assert torch.allclose(marks.sum(2)[there], torch.ones(1))  # all of it comes from the others


def test_what_came_of_a_row_is_not_in_its_own_lesson() -> None:
    """The last moment of an episode can only be an answer; another one there changes no lesson of its episode."""
    means, actions = glide(6, 30, DIM)
    means = [track - track.mean(0) for track in means]  # nearer to each other, so that each is found by the others
    other = [track.clone() for track in means]
    other[0][-1] += 0.3 * torch.randn(DIM, generator=torch.Generator().manual_seed(3))
    # How moments are compared, as their principal components, is learned from all of memory.
    config = AnalogueConfig(scales=(Scale(0, 0, DIM, (4,), 0.0, 0.0),), horizon=HORIZON, carry=False)
    first, second = (learned(rows_of(tracks, actions), config) for tracks in (means, other))
    mine = first.rows < 30
    known = ~first.means[mine].isnan()
    # The principal components may turn, which leaves distances as they are but for rounding.
    assert torch.allclose(first.means[mine][known], second.means[mine][known], atol=1e-3)
    assert not torch.allclose(first.means[~mine].nan_to_num(), second.means[~mine].nan_to_num(), atol=1e-3)


def test_a_memory_that_is_too_small_to_fit_gives_no_lesson() -> None:
    lessons = learned(of_lengths(10, 10), AnalogueConfig())
    assert len(lessons.rows) == 0
    assert lessons.means.shape[1] == 0


def test_lessons_change_nothing_of_what_is_fitted() -> None:
    panel = Panel(ROWS, (DIM,), AnalogueConfig(horizon=2), make_index)
    with_lessons, without = Analogues(panel, lessons=Lessons()), Analogues(panel)
    for one, other in zip(with_lessons.horizons, without.horizons, strict=True):
        assert torch.equal(one.shares, other.shares)
        for mine, yours in zip(one.propagations, other.propagations, strict=True):
            assert mine.share == yours.share
            assert torch.equal(mine.matrix, yours.matrix)
