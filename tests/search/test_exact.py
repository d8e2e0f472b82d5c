from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memworld.gaussian import DISTANCES, Latents
from memworld.search import Candidates, Matches, Query, concatenate, exact
from memworld.search.exact import ExactIndex
from memworld.search.features import PRODUCT_FORMS
from memworld.search.rerank import measure
from tests.helpers import literal_distances, literal_nearest, literal_rounding, one_clear_error

METRICS = sorted(DISTANCES)


def random_latents(rng: np.random.Generator, rows: int, dim: int, low: float, high: float, spread: float) -> Latents:
    """Latents whose sigmas are log-uniform in [low, high]."""
    sigma = np.exp(rng.uniform(np.log(low), np.log(high), (rows, dim)))
    mu = rng.normal(size=(rows, dim)) * spread
    z = mu + sigma * rng.normal(size=(rows, dim))
    return Latents(*(torch.from_numpy(x.astype(np.float32)) for x in (mu, sigma, z)))


def one_hot(actions: np.ndarray, count: int) -> torch.Tensor:
    return torch.from_numpy(np.eye(count)[actions] / np.sqrt(2))


def make_index(
    metric: str, stored: Latents, episodes: np.ndarray, actions: np.ndarray, count: int, **settings: object
) -> ExactIndex:
    candidates = Candidates(stored, torch.arange(len(stored)), torch.from_numpy(episodes), one_hot(actions, count))
    return ExactIndex(metric, candidates, **settings)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Way:
    """A way to come to the same answer.

    Attributes:
        precision: of the stored features.
        by_action: whether rows of one action lie together.
        coarse: whether even a small batch is multiplied in bfloat16.
        chunk: columns of a chunk; few make many chunks of few blocks.
        alone: whether queries are asked one by one.
    """

    precision: str
    by_action: bool
    coarse: bool
    chunk: int
    alone: bool

    def ask(self, search: Callable[[Query], Matches], query: Query) -> Matches:
        step = 1 if self.alone else len(query)
        return concatenate([search(query[start : start + step]) for start in range(0, len(query), step)])

    @contextmanager
    def index(self, metric: str, stored: Latents, episodes: np.ndarray, actions: np.ndarray) -> Iterator[ExactIndex]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("memworld.search.blocks._CHUNK", {"cpu": self.chunk})
            patch.setattr("memworld.search.scan._CELLS", self.chunk * 16)
            patch.setattr("memworld.search.exact.coarse_pays", lambda device: True)
            patch.setattr("memworld.search.exact._COARSE_FROM", 1 if self.coarse else 1000)
            patch.setattr("memworld.search.products._BATCHED_BELOW", 4)
            patch.setattr("memworld.search.rerank._NUMBERS", 200)
            yield make_index(metric, stored, episodes, actions, 3, precision=self.precision, by_action=self.by_action)


ways = st.builds(
    Way,
    precision=st.sampled_from(["auto", "float32", "bfloat16", "float16"]),
    by_action=st.booleans(),
    coarse=st.booleans(),
    chunk=st.sampled_from([32, 64, 8192]),
    alone=st.booleans(),
)


@st.composite
def problems(draw: st.DrawFn) -> tuple[Latents, Latents, np.ndarray, np.ndarray, np.ndarray, int]:
    """Stored latents and queries, some of them copies or near copies of stored rows; episodes, actions, k."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dim = draw(st.sampled_from([2, 3, 8, 31, 64, 128, 512]))
    rows = draw(st.integers(1, 300))
    low = draw(st.sampled_from([1e-3, 1e-2, 0.3, 1.0]))
    high = draw(st.sampled_from([low, 1.0, 10.0]))
    spread = draw(st.sampled_from([0.0, 0.01, 1.0, 30.0]))
    stored = random_latents(rng, rows, dim, min(low, high), max(low, high), spread)
    if draw(st.booleans()):
        # Groups of identical and of nearly identical rows, on which a rounded product gets lost.
        source = torch.from_numpy(rng.integers(0, max(1, rows // 10), rows))
        jitter = draw(st.sampled_from([0.0, 1e-6, 1e-4]))
        noise = torch.from_numpy(rng.normal(size=(rows, dim)).astype(np.float32)) * jitter
        copied = stored[source]
        stored = Latents(copied.mu + noise * copied.sigma, copied.sigma, copied.z + noise * copied.sigma)
    fresh = random_latents(rng, 4, dim, min(low, high), max(low, high), spread)
    own = stored[torch.from_numpy(rng.integers(0, rows, 4))]
    query = Latents(torch.cat([fresh.mu, own.mu]), torch.cat([fresh.sigma, own.sigma]), torch.cat([fresh.z, own.z]))
    episodes = np.sort(rng.integers(0, draw(st.integers(1, 6)), rows))
    episodes = np.unique(episodes, return_inverse=True)[1].astype(np.int64)
    return stored, query, episodes, rng.integers(0, 3, rows), rng.integers(0, 3, 8), draw(st.integers(1, min(rows, 12)))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("conditioning", ["none", "hard"])
@settings(max_examples=60)
@given(problem=problems(), way=ways)
def test_nearest_returns_the_rows_of_the_literal_formula(
    metric: str, conditioning: str, problem: tuple[Latents, Latents, np.ndarray, np.ndarray, np.ndarray, int], way: Way
) -> None:
    stored, query, episodes, actions, asked, k = problem
    allowed = np.ones((len(query), len(stored)), bool)
    if conditioning == "hard":
        allowed = asked[:, None] == actions
    literal = literal_distances(metric, query, stored)
    rows, distances = literal_nearest(literal, allowed, k)
    with way.index(metric, stored, episodes, actions) as index:
        asking = Query(query, one_hot(asked, 3), conditioning)  # type: ignore[arg-type]
        found = way.ask(lambda q: index.nearest(q, k), asking)
    same = found.rows.numpy() == rows
    # Where the formula itself, in float64, cannot tell two rows apart, either is right.
    rounding = literal_rounding(metric, query, stored)
    for q, place in zip(*np.nonzero(~same), strict=True):
        one, other = found.rows.numpy()[q, place], rows[q, place]
        assert min(one, other) >= 0
        assert abs(literal[q, one] - literal[q, other]) <= rounding[q, one] + rounding[q, other]
    np.testing.assert_allclose(found.distances.numpy(), distances, rtol=1e-12, atol=1e-9)
    np.testing.assert_array_equal(found.shortfall.numpy(), (rows < 0).sum(1))


@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=40)
@given(problem=problems(), way=ways)
def test_nearest_per_episode_returns_the_best_row_of_each(
    metric: str, problem: tuple[Latents, Latents, np.ndarray, np.ndarray, np.ndarray, int], way: Way
) -> None:
    stored, query, episodes, actions, asked, _ = problem
    literal, rounding = literal_distances(metric, query, stored), literal_rounding(metric, query, stored)
    for conditioning in ("none", "hard"):
        with way.index(metric, stored, episodes, actions) as index:
            found = way.ask(index.nearest_per_episode, Query(query, one_hot(asked, 3), conditioning))
        for q in range(len(query)):
            best = []
            for episode in range(episodes.max() + 1):
                rows = np.flatnonzero((episodes == episode) & ((actions == asked[q]) | (conditioning == "none")))
                if len(rows):
                    row = rows[np.argmin(literal[q, rows])]
                    best.append((literal[q, row], row))
            expected = [row for _, row in sorted(best)]
            missing = episodes.max() + 1 - len(expected)
            taken = [row for row in found.rows[q].tolist() if row >= 0]
            assert found.rows[q].tolist()[len(taken) :] == [-1] * missing
            # As above, float64 may not tell rows of near-equal distance apart.
            slack = rounding[q].max() * 2
            assert sorted(episodes[taken].tolist()) == sorted(episodes[expected].tolist())
            np.testing.assert_allclose(literal[q, taken], literal[q, expected], rtol=0, atol=slack)


@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=25)
@given(problem=problems(), weight=st.sampled_from([0.0, 0.5, 1e3]), way=ways)
def test_soft_conditioning_adds_its_penalty(
    metric: str, problem: tuple[Latents, Latents, np.ndarray, np.ndarray, np.ndarray, int], weight: float, way: Way
) -> None:
    stored, query, episodes, actions, asked, k = problem
    literal = literal_distances(metric, query, stored) + weight * (asked[:, None] != actions)
    with way.index(metric, stored, episodes, actions) as index:
        found = way.ask(lambda q: index.nearest(q, k), Query(query, one_hot(asked, 3), "soft", weight))
    taken = np.take_along_axis(literal, found.rows.numpy(), 1)
    # The penalty's own rounding may order ties anew, so distances are compared and not rows.
    np.testing.assert_allclose(taken, np.sort(literal, 1)[:, :k], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.costs.numpy(), taken, rtol=1e-9, atol=1e-9)
    penalties = weight * (asked[:, None] != actions[found.rows.numpy()])
    np.testing.assert_allclose(found.penalties.numpy(), penalties, rtol=1e-9, atol=1e-9)


def test_ties_go_to_the_lower_row() -> None:
    row = random_latents(np.random.default_rng(0), 1, 5, 0.1, 1.0, 1.0)
    stored = row[torch.zeros(50, dtype=torch.int64)]
    for metric in METRICS:
        index = make_index(metric, stored, np.repeat([0, 1], 25), np.zeros(50, np.int64), 3)
        assert index.nearest(Query(row), 4).rows.tolist() == [[0, 1, 2, 3]]
        assert index.nearest_per_episode(Query(row)).rows.tolist() == [[0, 25]]


def test_row_numbers_are_those_of_memory_and_an_excluded_episode_never_answers() -> None:
    rng = np.random.default_rng(1)
    stored = random_latents(rng, 40, 4, 0.1, 1.0, 1.0)
    episodes = torch.arange(40) // 10
    numbers = torch.arange(40) * 3 + 7
    memory = random_latents(rng, 140, 4, 0.1, 1.0, 1.0)
    for name in ("mu", "sigma", "z"):
        getattr(memory, name)[numbers] = getattr(stored, name)
    index = ExactIndex("l2", Candidates(memory, numbers, episodes, torch.zeros(40, 1)))
    assert index.nearest(Query(stored), 1).rows[:, 0].tolist() == numbers.tolist()
    together = index.nearest(Query(stored, exclude_episode=episodes), 5).rows
    alone = [index.nearest(Query(stored, exclude_episode=episodes)[q : q + 1], 5).rows for q in range(40)]
    distances = ((stored.z[:, None].double() - stored.z.double()) ** 2).sum(2).numpy()
    expected, _ = literal_nearest(distances, (episodes[:, None] != episodes).numpy(), 5)
    np.testing.assert_array_equal(together.numpy(), numbers.numpy()[expected])
    assert torch.equal(torch.cat(alone), together)


def test_a_batch_answers_as_its_queries_do_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    stored, query = random_latents(rng, 200, 8, 0.01, 1, 1), random_latents(rng, 30, 8, 0.01, 1, 1)
    index = make_index("kl_stored_query", stored, np.zeros(200, np.int64), np.zeros(200, np.int64), 3)
    whole = index.nearest(Query(query), 5)
    monkeypatch.setattr("memworld.search.exact._QUERIES", 1)
    assert torch.equal(index.nearest(Query(query), 5).rows, whole.rows)


def test_what_is_too_coarse_or_too_much_at_once_is_searched_again_in_another_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows that bfloat16 cannot tell apart at all, and more pairs than there is room for."""
    rng = np.random.default_rng(6)
    stored, far = random_latents(rng, 3000, 8, 0.01, 0.01, 1e-4), random_latents(rng, 1000, 8, 1, 1, 30)
    stored = Latents(*(torch.cat([getattr(stored, n), getattr(far, n)]) for n in ("mu", "sigma", "z")))
    monkeypatch.setattr("memworld.search.exact.coarse_pays", lambda device: True)
    monkeypatch.setattr("memworld.search.exact._PAIRS", 100)
    index = make_index("kl_stored_query", stored, np.zeros(4000, np.int64), np.zeros(4000, np.int64), 3)
    assert index.product_precision(64) == "bfloat16"
    rows, _ = literal_nearest(literal_distances("kl_stored_query", stored[:64], stored), np.ones((64, 4000), bool), 3)
    np.testing.assert_array_equal(index.nearest(Query(stored[:64]), 3).rows.numpy(), rows)
    for _ in range(3):
        monkeypatch.setattr("memworld.search.exact._PAIRS", 1 << 23)
        np.testing.assert_array_equal(index.nearest(Query(stored[:64]), 3).rows.numpy(), rows)
    assert index.product_precision(64) == "float32"


@settings(max_examples=60)
@given(problem=problems())
@example(problem=None)
def test_the_product_forms_are_the_literal_formulas(
    problem: tuple[Latents, Latents, np.ndarray, np.ndarray, np.ndarray, int] | None,
) -> None:
    if problem is None:  # far from 0, where the expansion cancels most
        rng = np.random.default_rng(3)
        stored, query = random_latents(rng, 5, 4, 1, 1, 1e3), random_latents(rng, 3, 4, 1, 1, 1e3)
    else:
        stored, query = problem[:2]
    for metric, form in PRODUCT_FORMS.items():
        weights = form.weights(query.double())
        product = weights @ form.features(stored.double()).T
        size = weights.abs() @ form.features(stored.double()).abs().T
        literal = literal_distances(metric, query, stored)
        # But for a constant of the query.
        error = np.abs((product - product[:, :1]).numpy() - (literal - literal[:, :1]))
        room = 1e-12 * (size + size[:, :1]).numpy() + literal_rounding(metric, query, stored)
        assert (error <= room + room[:, :1]).all()


def test_bad_searches_are_refused() -> None:
    rng = np.random.default_rng(4)
    stored = random_latents(rng, 10, 4, 0.1, 1, 1)
    index = make_index("l2", stored, np.zeros(10, np.int64), np.zeros(10, np.int64), 3)
    with one_clear_error("k=11 is outside 1 to 10"):
        index.nearest(Query(stored), 11)
    with one_clear_error("k=0 is outside"):
        index.nearest(Query(stored), 0)
    with one_clear_error("query has d=5, memory has d=4"):
        index.nearest(Query(random_latents(rng, 2, 5, 1, 1, 1)), 1)
    with one_clear_error("needs the actions"):
        index.nearest(Query(stored, conditioning="hard"), 1)
    with one_clear_error("unknown conditioning"):
        index.nearest(Query(stored, conditioning="firm"), 1)  # type: ignore[arg-type]
    bad = Latents(stored.mu.clone(), stored.sigma, stored.z)
    bad.mu[0, 0] = torch.nan
    with one_clear_error("query: mu holds NaN"):
        index.nearest(Query(bad), 1)
    with one_clear_error("memory: sigma must be above 0"):
        make_index("l2", Latents(stored.mu, stored.sigma * 0, stored.z), np.zeros(10), np.zeros(10, np.int64), 3)
    with one_clear_error("empty memory"):
        make_index("l2", stored[:0], np.zeros(0, np.int64), np.zeros(0, np.int64), 3)
    with one_clear_error("unknown precision 'int8'"):
        make_index("l2", stored, np.zeros(10, np.int64), np.zeros(10, np.int64), 3, precision="int8")
    with one_clear_error("unknown device 'tpu'"):
        make_index("l2", stored, np.zeros(10, np.int64), np.zeros(10, np.int64), 3, device="tpu")
    with one_clear_error("action features"):
        index.nearest(Query(stored, one_hot(np.zeros(10, np.int64), 4), "hard"), 1)
    with one_clear_error("unknown metric 'cosine'"):
        make_index("cosine", stored, np.zeros(10, np.int64), np.zeros(10, np.int64), 3)
    for k in (2.5, "a", None, True):
        with one_clear_error("k must be a whole number"):
            index.nearest(Query(stored), k)  # type: ignore[arg-type]
    with one_clear_error("Q of at least 1"):
        index.nearest(Query(stored[:0]), 1)
    with one_clear_error("Q of at least 1"):
        index.nearest_per_episode(Query(stored[0]))
    for excluded in (torch.zeros(1, dtype=torch.int64), torch.zeros(10)):
        with one_clear_error("excluded episodes must be int64"):
            index.nearest(Query(stored, exclude_episode=excluded), 1)
    actions = one_hot(np.zeros(10, np.int64), 3)
    for weight in (np.nan, np.inf, -1.0):
        with one_clear_error("action weight must be finite"):
            index.nearest(Query(stored, actions, "soft", weight), 1)
    with one_clear_error("an action holds NaN"):
        index.nearest(Query(stored, actions * np.nan, "hard"), 1)
    many = random_latents(rng, 9000, 4, 0.1, 1, 1)
    many.sigma[1] = 1e-30  # not among the rows that scales are taken from
    with one_clear_error("latents are too extreme for kl_query_stored in float32"):
        make_index("kl_query_stored", many, np.zeros(9000, np.int64), np.zeros(9000, np.int64), 3)
    narrow = Latents(stored.mu.double(), torch.full_like(stored.sigma, 1e-99, dtype=torch.float64), stored.z.double())
    with one_clear_error("a query is too extreme for kl_stored_query"):
        make_index("kl_stored_query", stored, np.zeros(10, np.int64), np.zeros(10, np.int64), 3).nearest(
            Query(narrow), 1
        )


@pytest.mark.parametrize("careless", ["matmul precision", "autocast"])
def test_settings_that_make_products_coarser_do_not_change_the_answer(careless: str) -> None:
    """Training code beside a search often turns PyTorch's precision down; the bound on rounding must still hold."""
    rng = np.random.default_rng(5)
    stored, query = random_latents(rng, 4000, 64, 0.05, 1, 3), random_latents(rng, 64, 64, 0.05, 1, 3)
    index = make_index("kl_stored_query", stored, np.zeros(4000, np.int64), np.zeros(4000, np.int64), 3)
    rows, _ = literal_nearest(literal_distances("kl_stored_query", query, stored), np.ones((64, 4000), bool), 10)
    before = torch.get_float32_matmul_precision()
    try:
        if careless == "matmul precision":
            torch.set_float32_matmul_precision("medium")
            found = index.nearest(Query(query), 10).rows
        else:
            with torch.autocast("cpu", torch.bfloat16):
                found = index.nearest(Query(query), 10).rows
    finally:
        torch.set_float32_matmul_precision(before)
    np.testing.assert_array_equal(found.numpy(), rows)


def test_thousands_of_rows_alike_are_searched_in_bounded_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []

    def watched(*arguments: Any) -> Matches:
        measured.append(len(arguments[3]))
        return measure(*arguments)

    monkeypatch.setattr(exact, "measure", watched)
    monkeypatch.setattr(exact, "_PAIRS", 10_000)
    row = random_latents(np.random.default_rng(8), 1, 4, 0.1, 1.0, 1.0)
    stored = row[torch.zeros(3000, dtype=torch.int64)]
    index = make_index("l2", stored, np.arange(3000) // 1000, np.zeros(3000, np.int64), 3)
    assert index.nearest(Query(stored[:50]), 3).rows.tolist() == [[0, 1, 2]] * 50
    assert index.nearest_per_episode(Query(stored[:50])).rows.tolist() == [[0, 1000, 2000]] * 50
    assert max(measured) <= 10_000


def test_a_search_needs_no_gradients_and_minds_no_default_dtype() -> None:
    stored = random_latents(np.random.default_rng(9), 300, 8, 0.1, 1.0, 1.0)
    plain = make_index("kl_stored_query", stored, np.zeros(300, np.int64), np.zeros(300, np.int64), 3)
    expected = plain.nearest(Query(stored[:40]), 3).rows
    with_gradients = Latents(*(x.clone().requires_grad_() for x in (stored.mu, stored.sigma, stored.z)))
    try:
        for dtype in (torch.float64, torch.bfloat16):
            torch.set_default_dtype(dtype)
            index = make_index("kl_stored_query", with_gradients, np.zeros(300, np.int64), np.zeros(300, np.int64), 3)
            assert torch.equal(index.nearest(Query(with_gradients[:40]), 3).rows, expected)
            assert torch.equal(index.nearest(Query(with_gradients[:1]), 3).rows, expected[:1])
    finally:
        torch.set_default_dtype(torch.float32)
