import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Independent, Normal, kl_divergence

from memworld.errors import lookup
from memworld.gaussian import (
    DISTANCES,
    Latents,
    at_mean,
    concatenate,
    draw,
    kl,
    kl_query_stored,
    kl_stored_query,
    l2,
    stack,
)
from tests.helpers import one_clear_error


def make_latents(seed: int, *shape: int, low: float = 1e-3, high: float = 10.0) -> Latents:
    """Float64 latents whose sigmas spread over all orders of magnitude from `low` to `high`."""
    rng = np.random.default_rng(seed)
    mu = torch.from_numpy(rng.normal(0, 3, shape))
    sigma = torch.from_numpy(np.exp(rng.uniform(np.log(low), np.log(high), shape)))
    return draw(mu, sigma, torch.Generator().manual_seed(seed))


def as_normal(latents: Latents) -> Independent[Normal]:
    return Independent(Normal(latents.mu, latents.sigma), 1)


@pytest.mark.parametrize("dim", [1, 2, 3, 31, 128, 512])
@pytest.mark.parametrize(("low", "high"), [(1e-3, 10.0), (1e-3, 1e-3), (10.0, 10.0), (0.5, 2.0)])
def test_kl_is_that_of_torch(dim: int, low: float, high: float) -> None:
    p, q = make_latents(1, 4, 1, dim, low=low, high=high), make_latents(2, 1, 5, dim)
    for left, right in ((p, q), (q, p)):
        found = kl(left, right)
        assert found.shape == (4, 5)
        torch.testing.assert_close(found, kl_divergence(as_normal(left), as_normal(right)), rtol=1e-10, atol=1e-10)


@given(seed=st.integers(0, 2**31), dim=st.integers(1, 512))
@settings(max_examples=30)
def test_kl_is_zero_to_itself_and_positive_to_others(seed: int, dim: int) -> None:
    p, q = make_latents(seed, dim), make_latents(seed + 1, dim)
    assert float(kl(p, p)) == 0
    assert float(kl(p, q)) > 0


def test_kl_has_a_direction() -> None:
    narrow, wide = (
        Latents(torch.tensor([[mu]]), torch.tensor([[sigma]]), torch.zeros(1, 1)) for mu, sigma in ((0.0, 1.0), (1, 2))
    )
    there, back = math.log(2) + 2 / 8 - 0.5, math.log(0.5) + 5 / 2 - 0.5
    for found, expected in (
        (kl(narrow, wide), there),
        (kl(wide, narrow), back),
        (kl_query_stored(narrow, wide), there),
        (kl_stored_query(narrow, wide), back),
    ):
        assert float(found) == pytest.approx(expected, rel=1e-6)


def test_kl_does_not_look_at_the_sample() -> None:
    p, q = make_latents(1, 8), make_latents(2, 8)
    assert kl(at_mean(p.mu, p.sigma), at_mean(q.mu, q.sigma)) == kl(p, q)


whole = st.lists(st.integers(-1000, 1000), min_size=3, max_size=3)


@given(query=whole, stored=whole, shift=whole)
@settings(max_examples=50)
def test_l2_is_the_squared_distance_of_samples_wherever_they_are(
    query: list[int], stored: list[int], shift: list[int]
) -> None:
    def at(place: Any) -> Latents:
        z = torch.tensor(place, dtype=torch.float64)
        return Latents(torch.full_like(z, torch.nan), torch.full_like(z, torch.nan), z)  # only z may matter

    moved = np.array(shift)
    found = float(l2(at(query), at(stored)))
    assert found == sum((a - b) ** 2 for a, b in zip(query, stored, strict=True))
    assert found == float(l2(at(stored), at(query)))
    assert found == float(l2(at(query + moved), at(stored + moved)))


def test_every_metric_broadcasts_and_has_a_name() -> None:
    assert {"l2": l2, "kl_stored_query": kl_stored_query, "kl_query_stored": kl_query_stored} == DISTANCES
    query, stored = make_latents(1, 4, 1, 6), make_latents(2, 1, 7, 6)
    for name in DISTANCES:
        table = DISTANCES[name](query, stored)
        assert table.shape == (4, 7)
        assert float(table[2, 5]) == pytest.approx(float(DISTANCES[name](query[2, 0], stored[0, 5])), rel=1e-12)
    with one_clear_error("unknown metric 'kl': use one of l2, kl_stored_query, kl_query_stored"):
        lookup(DISTANCES, "kl", "metric")


def test_a_draw_is_one_sample_of_the_gaussian() -> None:
    mu, sigma = torch.tensor([3.0, -1.0]).expand(20_000, 2), torch.tensor([0.5, 2.0]).expand(20_000, 2)
    drawn = draw(mu, sigma, torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.z.mean(0), mu[0], rtol=0, atol=0.05)
    torch.testing.assert_close(drawn.z.std(0), sigma[0], rtol=0.03, atol=0)
    assert torch.equal(draw(mu, sigma, torch.Generator().manual_seed(0)).z, drawn.z)
    assert not torch.equal(draw(mu, sigma, torch.Generator().manual_seed(1)).z, drawn.z)
    assert torch.equal(at_mean(mu, sigma).z, mu)


def test_latents_are_indexed_joined_and_stacked_together() -> None:
    a, b = make_latents(1, 3, 2), make_latents(2, 4, 2)
    joined = concatenate([a, b])
    assert (len(joined), joined.dim) == (7, 2)
    stacked = stack([a, b[:3]], 1)
    for name in ("mu", "sigma", "z"):
        assert torch.equal(getattr(joined[3:], name), getattr(b, name))
        assert torch.equal(getattr(joined[torch.tensor([0, 6])], name)[1], getattr(b, name)[3])
        assert torch.equal(getattr(stacked[:, 0], name), getattr(a, name))
        assert getattr(at_mean(a.mu.float(), a.sigma.float()).double(), name).dtype == torch.float64
        assert torch.equal(getattr(stacked.flatten(), name), getattr(stacked, name).flatten(0, 1))
        assert torch.equal(getattr(stacked.flatten().reshape(3, 2), name), getattr(stacked, name))


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("mu", math.nan, "my latents: mu holds NaN or infinity"),
        ("sigma", math.inf, "my latents: sigma holds NaN or infinity"),
        ("z", -math.inf, "my latents: z holds NaN or infinity"),
        ("sigma", 0.0, "my latents: sigma must be above 0, found 0"),
        ("sigma", -0.25, "my latents: sigma must be above 0, found -0.25"),
    ],
)
def test_latents_that_are_not_sound(name: str, value: float, match: str) -> None:
    latents = make_latents(0, 3, 2)
    assert latents.check("my latents") is latents
    getattr(latents, name)[1, 1] = value
    with one_clear_error(match):
        latents.check("my latents")


def test_latents_of_unequal_shapes_cannot_be_built() -> None:
    two, three = torch.ones(2), torch.ones(3)
    for parts in ((two, two, three), (two, three, two), (three, two, two)):
        with pytest.raises(AssertionError):
            Latents(*parts)
