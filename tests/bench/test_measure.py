"""The arithmetic of a record, the yardsticks, and the check of answers that must not pass corrupted ones."""

from dataclasses import replace

import pytest
import torch

from memworld.bench.cases import Case, chosen, full_cases, quick_cases, settings_for
from memworld.bench.data import make_memory, make_queries
from memworld.bench.limits import Limits, measure_limits
from memworld.bench.measure import WrongAnswers, answer, check_answers, recall
from memworld.bench.memory_needed import bytes_available, bytes_of_index, bytes_of_memory, product_features
from memworld.bench.peers import faiss_flat, literal, numpy_brute_force
from memworld.bench.results import Measured, PeerTimes, make_record
from memworld.bench.timing import Budget, median_seconds
from memworld.search import Matches
from memworld.search.exact import ExactIndex
from tests.helpers import one_clear_error

LIMITS = Limits("cpu", copy_gb_s=10, read_gb_s=20, gflops_float32=100, gflops_bfloat16=200)
SEARCHES = [("replay_l2", 10), ("replay_kl", 1), ("replay_kl", 10), ("rollout", 1)]


def test_share_of_the_bandwidth_limit() -> None:
    """1,000 features bytes at 10 GB/s are 100 ns; the search took 1 ms."""
    case = Case(rows=1000, d=4, batch=1, strategy="replay_kl", k=1)
    record = make_record(case, Measured(1.0, 1_000_000, "float32", 50, 2.0, 1.0, 1.0), PeerTimes(), LIMITS)
    assert record.limit == "bandwidth"
    assert record.share_of_limit == pytest.approx(0.1)


@pytest.mark.parametrize(("strategy", "features"), [("replay_kl", 9), ("replay_l2", 5), ("rollout", 5)])
@pytest.mark.parametrize(("precision", "rate"), [("float32", 100e9), ("bfloat16", 200e9)])
def test_share_of_the_product_limit(strategy: str, features: int, precision: str, rate: float) -> None:
    case = Case(rows=1000, d=4, batch=16, strategy=strategy, k=1)
    record = make_record(case, Measured(0.5, 1_000_000, precision, 50, 2.0), PeerTimes(), LIMITS)
    assert record.limit == "product"
    assert product_features(case.metric, 4) == features
    assert record.share_of_limit == pytest.approx(2 * 1000 * features * 16 / rate / (0.5e-3 * 16))


def test_a_precision_without_a_rate_of_its_own_has_that_of_float32() -> None:
    assert replace(LIMITS, gflops_bfloat16=None).gflops("bfloat16") == 100
    assert LIMITS.gflops("bfloat16") == 200


def test_a_record_compares_with_peers_and_leaves_empty_what_was_not_measured() -> None:
    case = Case(1000, 4, 1, "replay_l2", 10, index="approximate")
    record = make_record(case, Measured(2.0, None, None, 50, 2.0, 0.9, 0.8), PeerTimes(literal=10, numpy=4), LIMITS)
    assert (record.times_faster_than_literal, record.times_faster_than_numpy) == (5, 2)
    assert record.times_faster_than_faiss_flat is None
    assert (record.share_of_limit, record.limit) == (None, None)
    assert (record.case, record.metric, record.recall, record.recall_at_1) == (case.name, "l2", 0.9, 0.8)


def test_recall() -> None:
    exact = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
    assert recall(exact, exact) == (1.0, 1.0)
    assert recall(torch.tensor([[2, 1, 9, -1], [5, 6, 7, 8]]), exact) == (0.75, 0.5)


@pytest.mark.parametrize(("strategy", "k"), SEARCHES)
def test_all_peers_agree_with_the_exact_index(strategy: str, k: int) -> None:
    memory, queries = make_memory(1300, 6), make_queries(7, 6)
    case = Case(1300, 6, 7, strategy, k)
    matches = answer(ExactIndex(case.metric, memory, device="cpu"), case, queries)
    peers = [
        literal(memory, strategy, k),
        literal(memory, strategy, k, validate=False),
        numpy_brute_force(memory, case.metric, strategy, k),
        faiss_flat(memory, case.metric, strategy, k),
    ]
    for peer in peers:
        if peer is not None:
            check_answers(matches, peer(queries), queries, memory.latents, case.metric)


def test_the_check_fails_on_corrupted_answers() -> None:
    memory, queries = make_memory(600, 4), make_queries(5, 4)
    case = Case(600, 4, 5, "replay_l2", 3)
    good = answer(ExactIndex("l2", memory, device="cpu"), case, queries)
    expected = literal(memory, "replay_l2", 3)(queries)
    check_answers(good, expected, queries, memory.latents, "l2")

    def corrupted(rows: torch.Tensor, distances: torch.Tensor) -> Matches:
        return Matches(rows, distances, good.penalties)

    other, missing, twice = good.rows.clone(), good.rows.clone(), good.rows.clone()
    other[3, 1] = (other[3, 1] + 300) % 600
    missing[2, 2] = -1
    twice[1, 2] = twice[1, 1]
    longer = good.distances.clone()
    longer[0, 0] += 1
    for bad in (
        corrupted(other, good.distances),
        corrupted(missing, good.distances),
        corrupted(twice, good.distances),
        corrupted(good.rows, longer),
        corrupted(good.rows[:, :2], good.distances[:, :2]),
    ):
        with pytest.raises(WrongAnswers):
            check_answers(bad, expected, queries, memory.latents, "l2")


def test_equally_near_rows_may_stand_for_each_other() -> None:
    memory, queries = make_memory(600, 4), make_queries(2, 4)
    copied = memory.latents[torch.arange(600) % 300]
    good = answer(ExactIndex("l2", memory, device="cpu"), Case(600, 4, 2, "replay_l2", 1), queries)
    first = Matches(good.rows % 300, ((queries.z[:, None] - copied.z[good.rows]) ** 2).sum(2).double(), good.penalties)
    check_answers(first, good.rows % 300 + 300, queries, copied, "l2")


def test_the_median_of_runs_within_a_budget() -> None:
    calls = []
    assert median_seconds(lambda: calls.append(1), Budget(seconds=0, runs=4, most=1)) >= 0
    assert len(calls) == 5
    calls.clear()
    median_seconds(lambda: calls.append(1), Budget(seconds=0, runs=4, most=0))
    assert len(calls) == 1, "what is slower than the budget is measured by its first run"


def test_limits_are_measured() -> None:
    limits = measure_limits("cpu", copy_bytes=1 << 16, matrix_size=32, seconds=0)
    assert min(limits.copy_gb_s, limits.read_gb_s, limits.gflops_float32) > 0


def test_memory_needed() -> None:
    kl, l2 = Case(1000, 32, 1, "replay_kl", 1), Case(1000, 32, 1, "replay_l2", 10)
    assert bytes_of_memory(kl) == bytes_of_memory(l2) > 1000 * 3 * 4 * 32
    assert bytes_of_index(kl) == 1000 * 2 * 4 * 65
    assert bytes_of_index(l2) == 1000 * 2 * 4 * 33
    assert bytes_of_index(replace(l2, index="approximate")) > bytes_of_index(l2)
    assert bytes_available("cpu") > 1 << 20


def test_the_lists_of_cases() -> None:
    for cases in (quick_cases(), full_cases()):
        assert len({c.name for c in cases}) == len(cases)
        assert {c.strategy for c in cases} == {"replay_l2", "replay_kl", "rollout"}
        assert {c.index for c in cases} == {"exact", "approximate"}
    assert {c.rows for c in full_cases()} == {15_000, 150_000, 1_000_000, 10_000_000}
    assert {c.precision for c in full_cases()} == {"auto", "float32", "bfloat16", "float16"}
    assert settings_for(True).budget.most < settings_for(False).budget.most


def test_choosing_cases() -> None:
    cases = quick_cases()
    assert chosen(cases, rows=None, d=[], batch=None) == cases
    kept = chosen(cases, d=[32], batch=[1, 16])
    assert {(c.d, c.batch) for c in kept} == {(32, 1), (32, 16)}
    with one_clear_error("no case has rows 7: use one of 15000, 150000, 1000000"):
        chosen(cases, rows=[7])
    with one_clear_error("no case has all"):
        chosen(cases, rows=[15_000], index=["approximate"])
