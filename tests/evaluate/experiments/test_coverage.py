from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memworld.datasets import EpisodeDataset
from memworld.episodes import Episode
from memworld.evaluate.config import EvaluationConfig, paper_strategies
from memworld.evaluate.experiments import coverage
from memworld.evaluate.experiments.config import StudyConfig
from memworld.evaluate.experiments.coverage_findings import CHOICES, MAIN, Findings, Point
from memworld.evaluate.experiments.distances import (
    Cover,
    choose_greedily,
    evenly,
    nearest_distances,
    rank_correlation,
)
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.result import ExperimentResult, Number, read_result, write_result
from memworld.evaluate.windows import held_out_windows
from memworld.gaussian import derived_seed, draw, seeded
from memworld.memory import Memory
from memworld.world_model import WorldModel
from tests.helpers import LEFT_RIGHT, PixelEncoder, one_clear_error, walk

LANES = (0, 60, 120, 180)
ACTIONS = [1] * 12 + [0] * 3


def lane_walks() -> tuple[list[Episode], list[Episode], list[Episode]]:
    """Five walks in the first lane, two in every other; one held out in each."""
    crowded = [walk(f"a{i}", 10 + i, ACTIONS) for i in range(5)]
    pairs = [walk(f"{lane}-{i}", 20 + 3 * i, ACTIONS, lane) for lane in LANES[1:] for i in range(2)]
    held_out = [walk(f"h{lane}", 11 if lane == 0 else 21, ACTIONS, lane) for lane in LANES]
    return crowded, pairs, held_out


def laboratory(
    training: Sequence[Episode], further: Sequence[Episode], held_out: Sequence[Episode], **sizes: object
) -> Laboratory:
    first, unseen, more = (EpisodeDataset.from_episodes(LEFT_RIGHT, e) for e in (training, held_out, further))
    encoder = PixelEncoder()
    memory = Memory(LEFT_RIGHT, encoder)
    memory.extend(first, encoder)
    config = replace(StudyConfig(horizon=5, starts=4, sizes=(1, 4), draws=2), **sizes)  # type: ignore[arg-type]
    return Laboratory("line", first, unseen, more, encoder, memory, {}, config=config)


@pytest.fixture(scope="module")
def lanes() -> Laboratory:
    crowded, pairs, held_out = lane_walks()
    return laboratory([*crowded, pairs[0]], pairs[1:], held_out)


@pytest.fixture(scope="module")
def result(lanes: Laboratory) -> ExperimentResult:
    return coverage.run(lanes)


def cell(result: ExperimentResult, title: str, row: str, column: str) -> Number:
    table = next(t for t in result.tables if t.title == title)
    found = next(r for r in table.rows if r.label == row).cells[table.columns.index(column)]
    assert isinstance(found, Number)
    return found


PIXELS = "replay_kl requery: error on moving pixels"


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(((a.astype(np.float64) - b.astype(np.float64)) ** 2).sum()))


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 5))
def test_nearest_distances_are_those_of_a_loop(seed: int, episodes: int, dim: int) -> None:
    rng = np.random.default_rng(seed)
    stored = [rng.normal(size=(rng.integers(1, 7), dim)).astype(np.float32) for _ in range(episodes)]
    moments = np.concatenate([rng.normal(size=(3, dim)).astype(np.float32), stored[0][:1]])
    literal = [[min(distance(m, row) for row in e) for e in stored] for m in moments]
    found = nearest_distances(torch.from_numpy(moments), [torch.from_numpy(e) for e in stored])
    np.testing.assert_allclose(found, literal, rtol=1e-12, atol=1e-12)
    assert found[-1, 0] == 0


@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.booleans())
def test_the_greedy_order_is_that_of_sets(seed: int, episodes: int, most: bool) -> None:
    covers = np.random.default_rng(seed).random((12, episodes)) < 0.3
    sets = [set(np.flatnonzero(column).tolist()) for column in covers.T]
    covered: set[int] = set()
    left, order = set(range(episodes)), []
    while left:
        gains = {i: len(sets[i] - covered) for i in left}
        best = (max if most else min)(gains.values())
        order.append(min(i for i in left if gains[i] == best))
        left.remove(order[-1])
        covered |= sets[order[-1]]
    assert choose_greedily(covers, most) == order


def test_the_radius_is_the_median_distance_to_other_episodes() -> None:
    rng = np.random.default_rng(0)
    pool = [rng.normal(size=(n, 3)).astype(np.float32) for n in (4, 7, 5)]
    held_out = rng.normal(size=(9, 3)).astype(np.float32)
    apart = [
        min(distance(m, row) for j, other in enumerate(pool) if j != i for row in other)
        for i, own in enumerate(pool)
        for m in own
    ]
    cover = Cover.of([torch.from_numpy(e) for e in pool], [torch.from_numpy(held_out)])
    assert cover.radius == pytest.approx(np.median(apart), rel=1e-12)
    assert cover.looked_at == 1
    assert cover.pool[:4, 0].all()
    assert cover.pool[4:11, 1].all()
    near = [any(distance(m, row) <= cover.radius for row in pool[1]) for m in held_out]
    assert cover.share([1]) == pytest.approx([np.mean(near)])
    assert cover.share([0, 1, 2])[0] >= cover.share([1])[0]


def test_moments_that_are_in_other_episodes_too_do_not_shrink_the_radius_to_nothing() -> None:
    same = torch.zeros(8, 2)
    far = torch.full((3, 2), 5.0)
    cover = Cover.of([same, same, far], [torch.tensor([[1.0, 1.0]])])
    assert cover.radius == pytest.approx(np.sqrt(50))
    assert Cover.of([same, same], [same]).share([0]) == 1


def test_a_pool_is_thinned_evenly() -> None:
    assert evenly(5, 9).tolist() == [0, 1, 2, 3, 4]
    assert evenly(101, 5).tolist() == [0, 25, 50, 75, 100]
    line = torch.arange(100.0)[:, None]
    cover = Cover.of([line[:50], line[50:]], [line], most=10)
    assert (len(cover.pool), cover.looked_at) == (10, 10)


def test_rank_correlation_of_what_has_none_is_nan() -> None:
    assert rank_correlation(np.array([1.0, 2, 4, 9]), np.array([2.0, 3, 5, 6])) == 1
    assert rank_correlation(np.array([1.0, 2, 4, np.nan]), np.array([5.0, 3, 2, 6])) == -1
    assert np.isnan(rank_correlation(np.ones(4), np.arange(4.0)))
    assert np.isnan(rank_correlation(np.arange(2.0), np.arange(2.0)))


def test_a_choice_for_coverage_takes_every_lane_and_one_for_the_lack_of_it_does_not(result: ExperimentResult) -> None:
    well, badly = (cell(result, PIXELS, f"4 episodes, {c}", "coverage").value for c in CHOICES[1:])
    # One lane after the other, against both walks of two lanes.
    assert (well, badly) == (1, 0.5)
    assert (
        cell(result, PIXELS, "4 episodes, for coverage", "t=5").value
        < cell(result, PIXELS, "4 episodes, for the lack of it", "t=5").value
    )
    gains = [
        cell(result, "What choosing gives", "4 episodes", f"coverage, {c}").value
        + cell(result, PIXELS, "4 episodes, at random", "coverage").value
        for c in CHOICES[1:]
    ]
    assert gains == pytest.approx([1, 0.5])


def test_errors_are_those_of_a_memory_that_is_made_anew(lanes: Laboratory, result: ExperimentResult) -> None:
    # A greedy choice for coverage: the first walk that is near all of its crowded lane, then one of each other lane.
    pool = {e.id: e for e in [*lanes.training, *lanes.further]}
    memory = Memory(LEFT_RIGHT, lanes.encoder)
    memory.extend([pool[name] for name in ("a1", "60-0", "120-0", "180-0")], lanes.encoder)
    windows = list(held_out_windows(lanes.held_out, lanes.encoder, 5, 4, 0))
    mu, sigma = (torch.cat([getattr(w.start_latents, name) for w in windows]) for name in ("mu", "sigma"))
    start = draw(mu, sigma, seeded(derived_seed(0, "coverage", "start")))
    world = WorldModel(lanes.encoder, memory, paper_strategies()["replay_kl"])
    rollout = world.imagine(
        start, np.concatenate([w.actions for w in windows]), seed=derived_seed(0, "coverage", "replay_kl")
    )
    assert rollout.frames is not None
    frames = np.concatenate([e.observations for e in lanes.training]) / 255
    median = np.median((frames * 255).round(), 0).round() / 255
    per_episode = []
    for i, w in enumerate(windows):
        errors = []
        for true, predicted in zip(w.true_frames[:, 4] / 255, rollout.frames[4 * i : 4 * i + 4, 4] / 255, strict=True):
            moving = (np.abs(true - median) > 0.05) | (np.abs(predicted - median) > 0.05)
            # Where nothing moves there is no number.
            errors += [np.abs(true - predicted)[moving].mean()] if moving.any() else []
        per_episode.append(np.mean(errors))
    assert cell(result, PIXELS, "4 episodes, for coverage", "t=5").value == pytest.approx(np.mean(per_episode))
    assert cell(result, PIXELS, "4 episodes, for coverage", "transitions").value == 4 * len(ACTIONS)


def test_every_table_of_errors_has_its_baselines_and_intervals(result: ExperimentResult) -> None:
    tables = [t for t in result.tables if "t=5" in t.columns]
    assert len(tables) == 6
    for table in tables:
        labels = [row.label for row in table.rows]
        assert labels[:3] == ["encoder_bound", "persistence", "data_mean"]
        assert len(labels) == 3 + 3 * 2
        for row in table.rows:
            last = row.cells[-1]
            assert isinstance(last, Number)
            assert last.low <= last.value <= last.high
    assert cell(result, PIXELS, "encoder_bound", "t=1").value == 0
    assert all(len(curve.x) == 2 for chart in result.charts for curve in chart.curves)


def test_choices_do_not_depend_on_what_is_held_out(lanes: Laboratory, result: ExperimentResult) -> None:
    other = EpisodeDataset.from_episodes(LEFT_RIGHT, [walk("h", 200, [0] * 9, 240)])
    again = coverage.run(replace(lanes, held_out=other))
    assert [n for n in again.notes if "covered within" in n] == [n for n in result.notes if "covered within" in n]
    assert cell(again, PIXELS, "4 episodes, for coverage", "coverage").value == 0
    for row in ("1 episode, at random", "4 episodes, for coverage", "4 episodes, for the lack of it"):
        assert cell(again, PIXELS, row, "transitions") == cell(result, PIXELS, row, "transitions")


def test_the_result_lies_on_disk_and_can_be_made_again(
    lanes: Laboratory, result: ExperimentResult, tmp_path: Path
) -> None:
    write_result(tmp_path / "coverage", result, {})
    read = read_result(tmp_path / "coverage", result.experiment, result.world)
    assert read is not None
    # As text: NaN, which stands where there is no number, equals nothing.
    assert repr(replace(read, seconds=0)) == repr(replace(result, seconds=0))
    assert repr(replace(coverage.run(lanes), seconds=0)) == repr(replace(result, seconds=0))


def test_sizes_without_episodes_are_noted_and_evidence_needs_a_larger_size(lanes: Laboratory) -> None:
    def run(*sizes: int) -> ExperimentResult:
        return coverage.run(replace(lanes, config=replace(lanes.config, sizes=sizes, draws=1, starts=1, horizon=2)))

    short = run(1, 5, 30, 40)
    assert "Memories of 30, 40 episodes are left out: there are 11 to choose from." in short.notes
    assert short.evidence == ()
    (evidence,) = run(5, 10).evidence
    assert evidence.claim == "coverage_beats_volume"
    assert evidence.compared.startswith("5 episodes for coverage / 10 for the lack of it")
    assert len(evidence.a) == len(LANES)
    nothing = run(40)
    assert (nothing.tables, len(nothing.notes)) == ((), 1)


def test_bad_pools_are_refused(lanes: Laboratory) -> None:
    with one_clear_error("numbers of episodes must be at least 1, got 0"):
        coverage.run(replace(lanes, config=replace(lanes.config, sizes=(0, 1))))
    with one_clear_error("further episode 60-0 is in the memory already"):
        coverage.run(replace(lanes, further=lanes.training))
    with one_clear_error("held-out episode h0 is in the memory"):
        coverage.run(replace(lanes, further=lanes.held_out))
    crowded, _, held_out = lane_walks()
    with one_clear_error("a single episode to choose from"):
        coverage.run(laboratory(crowded[:1], [], held_out))


def test_a_memory_of_fewer_rows_than_are_retrieved_has_no_numbers_and_says_so() -> None:
    short = [walk(f"a{i}", 10 + i, [1, 1, 0, 1, 1], 60 * (i % 2)) for i in range(4)]
    found = coverage.run(laboratory(short, [], [walk("h", 11, [1] * 6)], sizes=(1, 3), horizon=2))
    title = "replay_l2 requery: error on moving pixels"
    assert np.isnan(cell(found, title, "1 episode, at random", "t=1").value)
    assert not np.isnan(cell(found, title, "3 episodes, at random", "t=1").value)
    assert not np.isnan(cell(found, PIXELS, "1 episode, at random", "t=1").value)
    assert any(note.startswith("No numbers of a strategy") and "1 episode, at random" in note for note in found.notes)


def test_where_nothing_moves_there_is_no_error_on_moving_pixels() -> None:
    still = [walk(f"a{i}", 100, [1] * 12, step=0) for i in range(3)]
    found = coverage.run(laboratory(still, [], [walk("h", 100, [1] * 12, step=0)], sizes=(1, 2)))
    assert np.isnan(cell(found, PIXELS, "persistence", "t=5").value)
    assert cell(found, PIXELS, "1 episode, for coverage", "coverage").value == 1
    assert cell(found, "replay_kl requery: KL to the true frame's posterior, nats", "persistence", "t=5").value == 0


@pytest.mark.parametrize(
    ("levels", "turn"),
    [
        ([1, 0.9, 0.52, 0.5], 5),
        ([0.5, 0.9, 0.5, 0.5], 5),
        ([0.4, 0.45, 0.5, 0.5], 1),
        ([1, 0.9, 0.7, 0.5], 10),
        ([np.nan, 0.9, 0.7, 0.5], 1),
    ],
)
def test_the_turning_point_is_where_the_error_stops_to_fall(levels: list[float], turn: int) -> None:
    sizes = (1, 2, 5, 10)
    points = {
        ("at random", n): Point(n, np.ones(2), {MAIN: np.full((2, 1), e)}) for n, e in zip(sizes, levels, strict=True)
    }
    findings = Findings(points, sizes, {}, EvaluationConfig(), ())
    assert findings.turning_point("at random", "replay_kl") == turn
