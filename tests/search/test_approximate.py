import logging
import sys
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from memworld.gaussian import DISTANCES, Latents
from memworld.search import Candidates, Matches, Query
from memworld.search.approximate import ApproximateIndex
from memworld.search.exact import ExactIndex
from tests.helpers import literal_distances, one_clear_error
from tests.search.trajectories import asked_actions, assert_same, candidates_of, queries_of_20, trajectories

pytest.importorskip("faiss")

METRICS = sorted(DISTANCES)


@cache
def memory() -> Candidates:
    """25,000 rows of 100 episodes, more than are searched exactly."""
    return candidates_of(trajectories(np.random.default_rng(1), 100, 251, 24), 251)


@cache
def queries() -> Latents:
    return trajectories(np.random.default_rng(2), 16, 16, 24)


@cache
def index_of(metric: str) -> ApproximateIndex:
    return ApproximateIndex(metric, memory())


@cache
def exact_of(metric: str) -> ExactIndex:
    return ExactIndex(metric, memory(), device="cpu")


def overlap(found: Matches, expected: Matches) -> float:
    """The share of expected rows that were found."""
    hit = (expected.rows[:, :, None] == found.rows[:, None, :]).any(2)
    return float(hit[expected.found].double().mean())


def assert_sound(found: Matches, query: Query, metric: str, candidates: Candidates) -> None:
    """Every row may answer, appears once, has its literal distance, and rows are in order."""
    place = torch.searchsorted(candidates.rows, found.rows.clamp(min=0)).clamp(max=len(candidates) - 1)
    assert torch.equal(candidates.rows[place][found.found], found.rows[found.found])
    for number, (rows, distances) in enumerate(zip(found.rows, found.distances, strict=True)):
        own = query.latents[number : number + 1]
        literal = literal_distances(metric, own, candidates.latents[rows[rows >= 0]])[0]
        np.testing.assert_allclose(distances[rows >= 0].numpy(), literal, rtol=1e-12, atol=1e-9)
        assert len(set(rows[rows >= 0].tolist())) == len(literal)
    assert bool((found.costs[:, 1:] >= found.costs[:, :-1]).all())
    if query.exclude_episode is not None:
        assert not bool(((candidates.episodes[place] == query.exclude_episode[:, None]) & found.found).any())
    if query.conditioning == "hard":
        assert query.actions is not None
        assert bool((candidates.actions[place] == query.actions[:, None]).all(2)[found.found].all())


@pytest.mark.parametrize("metric", METRICS)
def test_recall_is_what_was_asked_for(metric: str) -> None:
    index, query = index_of(metric), Query(queries())
    assert index.codes == "proxy"
    assert index.recall >= 0.99
    for k in (1, 10, 40):
        found = index.nearest(query, k)
        assert overlap(found, exact_of(metric).nearest(query, k)) >= 0.985
        assert_sound(found, query, metric, memory())
    assert index.bytes_per_row < exact_of(metric).bytes_per_row


@pytest.mark.parametrize("metric", METRICS)
def test_conditioning_and_exclusion_are_those_of_exact_search(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memworld.search.approximate.index._EXACT_UP_TO", 5000)  # an action has about 8,300 rows
    index, exact, actions = index_of(metric), exact_of(metric), asked_actions(256)
    exclude = torch.arange(256) % 8 - 1
    weight = float(exact.nearest(Query(queries()), 1).distances.median())
    for query in (
        Query(queries(), actions, "hard"),
        Query(queries(), actions, "soft", weight),
        Query(queries(), exclude_episode=exclude),
        Query(queries(), actions, "hard", exclude_episode=exclude),
    ):
        found, expected = index.nearest(query, 10), exact.nearest(query, 10)
        assert overlap(found, expected) >= 0.98
        assert_sound(found, query, metric, memory())
        if query.conditioning == "soft":
            same = found.rows == expected.rows
            torch.testing.assert_close(found.penalties[same], expected.penalties[same])


def test_a_row_is_looked_for_with_its_own_episode_left_out() -> None:
    """Its neighbours in time, hundreds of them, are nearer than any answer."""
    chosen = torch.arange(0, len(memory()), 199)
    query = Query(memory().latents[memory().rows[chosen]], exclude_episode=memory().episodes[chosen])
    found = index_of("kl_stored_query").nearest(query, 10)
    assert overlap(found, exact_of("kl_stored_query").nearest(query, 10)) >= 0.985
    assert_sound(found, query, "kl_stored_query", memory())


@pytest.mark.parametrize(("metric", "least"), [("l2", 0.95), ("kl_stored_query", 0.92), ("kl_query_stored", 0.9)])
def test_the_nearest_row_of_each_episode_is_mostly_that_of_exact_search(metric: str, least: float) -> None:
    query = Query(queries())
    found, expected = index_of(metric).nearest_per_episode(query), exact_of(metric).nearest_per_episode(query)
    assert_sound(found, query, metric, memory())
    by_episode = [m.distances.gather(1, torch.argsort(m.rows)) for m in (found, expected)]
    assert torch.equal(torch.sort(found.rows // 251).values, torch.arange(100).expand(256, 100))
    same = float((by_episode[0] == by_episode[1]).double().mean())
    assert same >= least
    assert float((by_episode[0] / by_episode[1]).mean()) <= 1.02
    assert float((found.rows[:, 0] == expected.rows[:, 0]).double().mean()) >= 0.97


@pytest.mark.parametrize("conditioning", ["none", "hard", "soft"])
@pytest.mark.parametrize("up_to", [100, 5000])
def test_every_episode_that_may_answers(few: Candidates, conditioning: str, up_to: int, monkeypatch: Any) -> None:
    """Here actions are so rare that some episodes lack them; both through windows and in exact groups."""
    actions = few.actions.clone()
    actions[200:400] = actions[0]
    few = replace(few, actions=actions)
    index, exact = ApproximateIndex("l2", few), ExactIndex("l2", few, device="cpu")
    monkeypatch.setattr("memworld.search.approximate.index._EXACT_UP_TO", up_to)
    exclude = torch.arange(40) % 5 - 1
    query = Query(queries_of_20(), asked_actions(40), conditioning, 1.5, exclude)  # type: ignore[arg-type]
    found, expected = index.nearest_per_episode(query), exact.nearest_per_episode(query)
    assert torch.equal(found.shortfall, expected.shortfall)
    assert_sound(found, query, "l2", few)
    for one, other in zip(found.rows, expected.rows, strict=True):
        assert torch.equal(torch.unique(one[one >= 0] // 101), torch.unique(other[other >= 0] // 101))
    assert overlap(found, expected) >= 0.9


@pytest.mark.parametrize("metric", ["kl_stored_query", "kl_query_stored"])
def test_where_sigmas_vary_strongly_products_are_compared(metric: str) -> None:
    candidates = candidates_of(trajectories(np.random.default_rng(6), 84, 251, 16, vary=1.0), 251)
    query = Query(trajectories(np.random.default_rng(7), 16, 16, 16, vary=1.0))
    index = ApproximateIndex(metric, candidates)
    assert index.codes == "product"
    assert index.recall >= 0.99
    exact = ExactIndex(metric, candidates, device="cpu")
    found = index.nearest(query, 10)
    assert_sound(found, query, metric, candidates)
    assert overlap(found, exact.nearest(query, 10)) >= 0.985
    assert overlap(index.nearest_per_episode(query), exact.nearest_per_episode(query)) >= 0.7
    left_out = Query(query.latents, exclude_episode=torch.arange(256) % 8)
    assert overlap(index.nearest(left_out, 10), exact.nearest(left_out, 10)) >= 0.985


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("conditioning", ["hard", "soft"])
def test_actions_of_their_own_for_each_row(few: Candidates, metric: str, conditioning: Any) -> None:
    """Nearly all groups are of one row; some are of two, and some are asked for that are not there."""
    few = replace(few, actions=torch.rand(len(few), 2, generator=torch.Generator().manual_seed(1)).double())
    few.actions[100:120] = few.actions[900:920]
    asked = torch.cat([few.actions[100:1200:44], few.actions[:15] + 1])
    index, exact = ApproximateIndex(metric, few), ExactIndex(metric, few, device="cpu")
    for exclude in (None, torch.arange(40) % 12):
        query = Query(queries_of_20(), asked, conditioning, 0.05, exclude)
        assert torch.equal(index.nearest(query, 5).rows, exact.nearest(query, 5).rows)
        found = index.nearest_per_episode(query)
        assert overlap(found, exact.nearest_per_episode(query)) >= (1 if conditioning == "hard" else 0.9)


@pytest.mark.parametrize("metric", METRICS)
def test_queries_too_far_for_float32_are_searched_exactly(few: Candidates, metric: str) -> None:
    index, exact, near = ApproximateIndex(metric, few), ExactIndex(metric, few, device="cpu"), queries_of_20()
    factors = torch.tensor([1, 1e3, 1e6, 1e9, 1e36]).repeat(8)[:, None]
    query = Query(Latents(near.mu * factors, near.sigma, near.z * factors), exclude_episode=torch.arange(40) % 12)
    # Of the farthest not even float64 tells which is nearer; but they find as many.
    far = (factors > 1)[:, 0] & (factors < 1e30)[:, 0]
    for one, other in (
        (index.nearest(query, 7), exact.nearest(query, 7)),
        (index.nearest_per_episode(query), exact.nearest_per_episode(query)),
    ):
        assert torch.equal(one.rows[far], other.rows[far])
        assert torch.equal(one.distances[far], other.distances[far])
        assert torch.equal(one.shortfall, other.shortfall)


def test_a_target_that_is_missed_is_said_plainly(few: Candidates, monkeypatch: Any, caplog: Any) -> None:
    monkeypatch.setattr("memworld.search.approximate.effort._CANDIDATES", (2, 4))
    with caplog.at_level(logging.WARNING):
        index = ApproximateIndex("kl_stored_query", few)
    assert index.recall < 0.5
    assert f"recall of {index.recall:.3f} on this memory, not 0.99: use ExactIndex" in caplog.text


@pytest.mark.parametrize("metric", METRICS)
def test_fewer_are_found_only_where_fewer_may_answer(few: Candidates, metric: str) -> None:
    """One action was taken once, one in a single episode, one never; others shut out nearly all."""
    actions = torch.zeros(len(few), 2, dtype=torch.float64)
    actions[300:330] = torch.tensor([1.0, 0.0])
    actions[700] = torch.tensor([0.0, 1.0])
    few = replace(few, actions=actions)
    index, exact = ApproximateIndex(metric, few), ExactIndex(metric, few, device="cpu")
    asked = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.0, 0.0]], dtype=torch.float64).repeat(10, 1)
    for k in (1, 10, 200, len(few)):
        for exclude in (None, torch.arange(40) % 12, torch.full((40,), 3), torch.full((40,), 7)):
            for conditioning in ("none", "hard", "soft"):
                query = Query(queries_of_20(), asked, conditioning, 1.0, exclude)
                found = index.nearest(query, k)
                assert torch.equal(found.shortfall, exact.nearest(query, k).shortfall)
                assert_sound(found, query, metric, few)


def test_a_memory_of_which_nearly_all_is_shut_out_gives_the_rest(few: Candidates) -> None:
    lopsided = replace(few, episodes=(torch.arange(len(few)) >= len(few) - 5).long())
    index = ApproximateIndex("l2", lopsided)
    query = Query(queries_of_20(), exclude_episode=torch.zeros(40, dtype=torch.int64))
    found = index.nearest(query, 10)
    assert found.shortfall.tolist() == [5] * 40
    assert overlap(found, ExactIndex("l2", lopsided, device="cpu").nearest(query, 10)) == 1


@pytest.mark.parametrize("metric", METRICS)
def test_a_memory_of_one_episode_and_numbers_of_any_size(few: Candidates, metric: str) -> None:
    rng = np.random.default_rng(8)
    odd = {
        "one episode": Latents(few.latents.mu, few.latents.sigma, few.latents.z),
        "one dimension": Latents(*(x[:, :1].contiguous() for x in (few.latents.mu, few.latents.sigma, few.latents.z))),
        "identical": few.latents[torch.zeros(len(few.latents), dtype=torch.int64)],
        "tiny sigma": Latents(few.latents.mu, torch.full_like(few.latents.sigma, 1e-6), few.latents.mu.clone()),
        "far away": Latents(few.latents.mu + 1e5, few.latents.sigma, few.latents.z + 1e5),
        "small": Latents(few.latents.mu * 1e-9, few.latents.sigma * 1e-9, few.latents.z * 1e-9),
        "huge": Latents(few.latents.mu * 1e12, few.latents.sigma, few.latents.z * 1e12),
    }
    flat = few.latents.mu.clone()
    flat[:, 3:9] = 2.0
    odd["no variance"] = Latents(flat, few.latents.sigma, flat.clone())
    for name, latents in odd.items():
        candidates = Candidates(latents, few.rows, torch.zeros_like(few.rows), few.actions)
        index = ApproximateIndex(metric, candidates)
        chosen = few.rows[torch.from_numpy(rng.integers(0, len(few), 20))]
        query = Query(latents[chosen])
        found = index.nearest(query, 5)
        assert_sound(found, query, metric, candidates)
        assert not found.shortfall.any(), name
        best = ExactIndex(metric, candidates, device="cpu").nearest(query, 5).distances
        assert float((found.distances <= best * (1 + 1e-9) + 1e-9).double().mean()) >= 0.95, name
        assert index.nearest_per_episode(query).rows.shape == (20, 1)


def test_small_memories_are_searched_exactly() -> None:
    for steps in (2, 3, 40):
        candidates = candidates_of(trajectories(np.random.default_rng(9), 2, steps, 4), steps)
        index, exact = ApproximateIndex("kl_stored_query", candidates), ExactIndex("kl_stored_query", candidates)
        assert (index.codes, index.recall, index.effort.probes) == ("exact", 1.0, 0)
        query = Query(trajectories(np.random.default_rng(10), 1, 8, 4))
        assert_same(index.nearest(query, len(candidates)), exact.nearest(query, len(candidates)))
        assert_same(index.nearest_per_episode(query), exact.nearest_per_episode(query))
        assert index.bytes_per_row == exact.bytes_per_row


def test_ties_go_to_the_lower_row(few: Candidates) -> None:
    source = torch.arange(len(few.latents))
    source[500:504] = 20
    few = replace(few, latents=few.latents[source])
    index = ApproximateIndex("l2", few)
    assert index.nearest(Query(few.latents[20:21]), 3).rows.tolist() == [[20, 500, 501]]


@pytest.mark.parametrize("metric", METRICS)
def test_the_same_seed_gives_the_same_answers(few: Candidates, metric: str) -> None:
    one, other = (ApproximateIndex(metric, few, recall=0.6, seed=3) for _ in range(2))
    assert (one.effort, one.recall, one.codes) == (other.effort, other.recall, other.codes)
    assert_same(one.nearest(Query(queries_of_20()), 20), other.nearest(Query(queries_of_20()), 20))


def test_bad_input_is_refused(few: Candidates) -> None:
    for recall in (0, 1, 1.5, float("nan"), "x", None, True):
        with one_clear_error("recall must be above 0 and below 1"):
            ApproximateIndex("l2", few, recall=recall)  # type: ignore[arg-type]
    with one_clear_error("unknown metric 'cosine'"):
        ApproximateIndex("cosine", few)
    with one_clear_error("seed must be a whole number"):
        ApproximateIndex("l2", few, seed=-1)
    bad = replace(few, latents=Latents(few.latents.mu, few.latents.sigma * 0, few.latents.z))
    with one_clear_error("memory: sigma must be above 0"):
        ApproximateIndex("l2", bad)
    index = ApproximateIndex("l2", few)
    with one_clear_error("k=0 is outside"):
        index.nearest(Query(queries_of_20()), 0)
    with one_clear_error("k=1201 is outside"):
        index.nearest(Query(queries_of_20()), 1201)
    with one_clear_error("query has d=24, memory has d=20"):
        index.nearest_per_episode(Query(queries()))
    with one_clear_error("needs the actions"):
        index.nearest(Query(queries_of_20(), conditioning="hard"), 1)


def test_without_faiss_the_extra_is_named(few: Candidates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with one_clear_error(r'need the package faiss .*pip install "memworld\[approximate\]"'):
        ApproximateIndex("l2", few)


def test_settings_that_make_products_coarser_do_not_change_the_answer() -> None:
    index, query = index_of("kl_stored_query"), Query(queries())
    before = [index.nearest(query, 10), index.nearest_per_episode(query)]
    with torch.autocast("cpu", torch.bfloat16):
        after = [index.nearest(query, 10), index.nearest_per_episode(query)]
    for one, other in zip(before, after, strict=True):
        assert_same(one, other)
