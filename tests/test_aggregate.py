import numpy as np
import pytest
import torch

from memworld.aggregate import RULES, Successors, as_changes
from memworld.gaussian import SIGMA_FLOOR, Latents


def successors(found: list[list[bool]] | None = None, seed: int = 0) -> Successors:
    """Two queries, four rows, three latents."""
    rng = np.random.default_rng(seed)
    mu, z = (torch.from_numpy(rng.normal(size=(2, 4, 3)).astype(np.float32)) for _ in range(2))
    sigma = torch.from_numpy(rng.uniform(0.1, 1, (2, 4, 3)).astype(np.float32))
    distances = torch.from_numpy(np.sort(rng.uniform(0, 5, (2, 4)), 1))
    mask = torch.tensor(found if found is not None else [[True] * 4] * 2)
    return Successors(Latents(mu, sigma, z), distances.masked_fill(~mask, torch.inf), mask)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_rule_gives_sound_latents_and_weights_that_sum_to_1_over_what_was_found(rule: str) -> None:
    given = successors([[True, True, False, False], [True, False, False, False]])
    estimate = RULES[rule](given, generator())
    estimate.latents.check("estimate")
    torch.testing.assert_close(estimate.weights.sum(1), torch.ones(2))
    assert (estimate.weights[~given.found] == 0).all()
    again = RULES[rule](given, generator())
    assert torch.equal(estimate.latents.z, again.latents.z)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_rows_that_were_not_found_have_no_say(rule: str) -> None:
    given = successors([[True, True, False, False], [True, False, False, False]])
    noise = torch.where(given.found[..., None], 0.0, 1e3)
    moved = Latents(given.latents.mu + noise, given.latents.sigma + noise, given.latents.z + noise)
    first = RULES[rule](given, generator()).latents
    other = RULES[rule](Successors(moved, given.costs, given.found), generator()).latents
    torch.testing.assert_close(first.z, other.z)
    torch.testing.assert_close(first.sigma, other.sigma)


def test_gaussian_has_the_moments_of_the_samples() -> None:
    given = successors()
    latents = RULES["gaussian"](given, generator()).latents
    torch.testing.assert_close(latents.mu, given.latents.z.mean(1))
    torch.testing.assert_close(latents.sigma, given.latents.z.std(1))
    assert not torch.equal(latents.z, latents.mu)


def test_gaussian_of_one_row_keeps_that_row_s_sigma_and_of_equal_rows_the_floor() -> None:
    one = successors([[True, False, False, False]] * 2)
    latents = RULES["gaussian"](one, generator()).latents
    torch.testing.assert_close(latents.mu, one.latents.mu[:, 0])
    torch.testing.assert_close(latents.sigma, one.latents.sigma[:, 0])
    given = successors()
    same = Latents(*(x[:, :1].expand(-1, 4, -1) for x in (given.latents.mu, given.latents.sigma, given.latents.z)))
    latents = RULES["gaussian"](Successors(same, given.costs, given.found), generator()).latents
    assert bool((latents.sigma == SIGMA_FLOOR).all())


def test_sample_draws_from_one_successor_s_own_gaussian() -> None:
    given = successors()
    seen = set()
    for seed in range(40):
        estimate = RULES["sample"](given, torch.Generator().manual_seed(seed))
        picked = estimate.weights.argmax(1)
        seen.add(int(picked[0]))
        rows = torch.arange(2)
        assert torch.equal(estimate.latents.mu, given.latents.mu[rows, picked])
        assert torch.equal(estimate.latents.sigma, given.latents.sigma[rows, picked])
        assert not torch.equal(estimate.latents.z, estimate.latents.mu)
    assert seen == {0, 1, 2, 3}


def test_mean_is_the_mixture_s_moments() -> None:
    given = successors()
    latents = RULES["mean"](given, generator()).latents
    torch.testing.assert_close(latents.mu, given.latents.mu.mean(1))
    variance = (given.latents.sigma**2).mean(1) + given.latents.mu.var(1, correction=0)
    torch.testing.assert_close(latents.sigma, variance.sqrt())
    assert torch.equal(latents.z, latents.mu)


def test_weighted_prefers_near_rows_and_equals_mean_where_all_are_equally_near() -> None:
    given = successors()
    weights = RULES["weighted"](given, generator()).weights
    assert bool((weights.diff(dim=1) < 0).all())
    level = Successors(given.latents, torch.ones(2, 4, dtype=torch.float64), given.found)
    torch.testing.assert_close(
        RULES["weighted"](level, generator()).latents.mu, RULES["mean"](level, generator()).latents.mu
    )


def test_nearest_and_medoid_pick_one_row() -> None:
    mu = torch.tensor([[[5.0], [0.0], [1.0], [2.0]]])
    given = Successors(
        Latents(mu, torch.ones_like(mu), mu + 9), torch.tensor([[1.0, 2, 3, 4]]), torch.ones(1, 4, dtype=torch.bool)
    )
    assert RULES["nearest"](given, generator()).latents.z.item() == 5.0
    medoid = RULES["medoid"](given, generator())
    assert medoid.latents.z.item() == 1.0  # 4+1+1; 2 is tied with it on 3+2+1 and comes later
    assert medoid.weights.tolist() == [[0, 0, 1, 0]]


def test_changes_start_from_the_current_latent() -> None:
    given = successors()
    before = successors(seed=1).latents
    current = Latents(torch.full((2, 3), 10.0), torch.ones(2, 3), torch.full((2, 3), 20.0))
    moved = as_changes(given, before, current).latents
    change = given.latents.mu - before.mu
    torch.testing.assert_close(moved.mu, 10 + change)
    torch.testing.assert_close(moved.z, 20 + change)
    torch.testing.assert_close(moved.sigma, given.latents.sigma)
