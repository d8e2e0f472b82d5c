"""Weights of latents in a metric, which also weigh the moments of a context."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.errors import MemworldError
from memworld.gaussian import DISTANCES, Latents
from memworld.search import Candidates, Query
from memworld.search.exact import ExactIndex
from memworld.search.features import PRODUCT_FORMS
from tests.search.test_exact import random_latents

METRICS = sorted(DISTANCES)


def index_of(metric: str, stored: Latents, weights: torch.Tensor | None, precision: str = "auto") -> ExactIndex:
    rows = torch.arange(len(stored))
    candidates = Candidates(stored, rows, rows // 7, torch.zeros(len(stored), 1, dtype=torch.float64))
    return ExactIndex(metric, candidates, precision=precision, device="cpu", weights=weights)  # type: ignore[arg-type]


@settings(max_examples=40)
@given(
    metric=st.sampled_from(METRICS),
    precision=st.sampled_from(["auto", "bfloat16"]),
    rows=st.integers(2, 90),
    seed=st.integers(0, 999),
)
def test_a_weight_of_n_counts_as_n_latents(metric: str, precision: str, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    stored, query = random_latents(rng, rows, 4, 0.1, 1, 2), random_latents(rng, 5, 4, 0.1, 1, 2)
    counts = rng.integers(0, 4, 4)
    counts[rng.integers(4)] += 1
    repeated = torch.from_numpy(np.repeat(np.arange(4), counts))
    k = min(3, rows)
    weighted = index_of(metric, stored, torch.from_numpy(counts), precision).nearest(Query(query), k)
    literal = DISTANCES[metric](query[:, None][..., repeated].double(), stored[None][..., repeated].double())
    expected = literal.sort(1).values
    assert torch.allclose(weighted.distances, expected[:, :k], rtol=1e-9, atol=1e-9)
    assert torch.allclose(literal.gather(1, weighted.rows), expected[:, :k], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_weights_of_one_change_nothing(metric: str) -> None:
    rng = np.random.default_rng(0)
    stored, query = random_latents(rng, 50, 6, 0.1, 1, 2), random_latents(rng, 9, 6, 0.1, 1, 2)
    plain = index_of(metric, stored, None).nearest(Query(query), 4)
    ones = index_of(metric, stored, torch.ones(6)).nearest(Query(query), 4)
    assert torch.equal(plain.rows, ones.rows)
    assert torch.allclose(plain.distances, ones.distances, rtol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_the_weighted_product_forms_are_the_weighted_formulas(metric: str) -> None:
    rng = np.random.default_rng(1)
    stored, query = random_latents(rng, 20, 5, 0.2, 1, 2).double(), random_latents(rng, 4, 5, 0.2, 1, 2).double()
    weights = torch.from_numpy(rng.uniform(0, 3, 5))
    form = PRODUCT_FORMS[metric]
    product = form.weights(query, weights) @ form.features(stored, weights).T
    literal = DISTANCES[metric](query[:, None], stored[None], weights)
    # But for a constant of the query.
    assert torch.allclose(product - product[:, :1], literal - literal[:, :1], atol=1e-9)


@pytest.mark.parametrize(
    "weights", [[1.0, 1.0], [1.0, -1.0, 1.0], [0.0, 0.0, 0.0], [1.0, float("nan"), 1.0], [1.0, float("inf"), 1.0]]
)
def test_weights_that_mean_nothing_are_refused(weights: list[float]) -> None:
    stored = random_latents(np.random.default_rng(0), 5, 3, 0.1, 1, 1)
    with pytest.raises(MemworldError, match="3 finite numbers"):
        index_of("l2", stored, torch.tensor(weights))
