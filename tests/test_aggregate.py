import numpy as np
import pytest
import torch

from memworld.aggregate import RIDGE, RULES, Successors, as_changes
from memworld.gaussian import SIGMA_FLOOR, Latents


def successors(found: list[list[bool]] | None = None, seed: int = 0) -> Successors:
    """Two queries, four rows, three latents."""
    rng = np.random.default_rng(seed)
    mu, z = (torch.from_numpy(rng.normal(size=(2, 4, 3)).astype(np.float32)) for _ in range(2))
    sigma = torch.from_numpy(rng.uniform(0.1, 1, (2, 4, 3)).astype(np.float32))
    distances = torch.from_numpy(np.sort(rng.uniform(0, 5, (2, 4)), 1))
    mask = torch.tensor(found if found is not None else [[True] * 4] * 2)
    differences = torch.from_numpy(rng.normal(size=(2, 4, 2)).astype(np.float32))
    return Successors(Latents(mu, sigma, z), distances.masked_fill(~mask, torch.inf), mask, differences)


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
    assert given.differences is not None
    apart = given.differences + noise
    other = RULES[rule](Successors(moved, given.costs, given.found, apart), generator()).latents
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


def local(inputs: torch.Tensor, outputs: torch.Tensor, found: torch.Tensor | None = None) -> Successors:
    """Rows at equal distances whose own spread is small."""
    found = torch.ones(outputs.shape[:2], dtype=torch.bool) if found is None else found
    latents = Latents(outputs, torch.full_like(outputs, 1e-4), outputs)
    return Successors(latents, torch.ones(outputs.shape[:2], dtype=torch.float64), found, inputs)


def test_local_linear_reads_a_linear_law_where_nothing_differs() -> None:
    rng = torch.Generator().manual_seed(0)
    inputs = torch.randn(3, 40, 4, generator=rng) + 1  # none of the rows is where the query is
    law, level = torch.randn(4, 2, generator=rng), torch.randn(3, 1, 2, generator=rng)
    said = RULES["local_linear"](local(inputs, level + inputs @ law), generator()).latents.mu
    averaged = RULES["weighted"](local(inputs, level + inputs @ law), generator()).latents.mu
    assert float((said - level[:, 0]).abs().max()) < 0.5 * float((averaged - level[:, 0]).abs().max())


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_local_linear_of_few_or_identical_rows_is_their_mean(rows: int) -> None:
    rng = torch.Generator().manual_seed(0)
    outputs = torch.randn(2, rows, 3, generator=rng)
    same = torch.randn(2, 1, 6, generator=rng).expand(-1, rows, -1)
    estimate = RULES["local_linear"](local(same, outputs), generator())
    torch.testing.assert_close(estimate.latents.mu, outputs.mean(1), atol=1e-4, rtol=0)
    assert bool(torch.isfinite(estimate.latents.sigma).all())
    many = RULES["local_linear"](local(torch.randn(2, rows, 192, generator=rng), outputs), generator()).latents
    many.check("estimate")
    assert float(many.mu.abs().max()) < 3 * float(outputs.abs().max())


def test_the_spread_of_local_linear_is_that_of_rows_predicted_from_the_others() -> None:
    """Against a literal refit without each row."""
    rng = torch.Generator().manual_seed(1)
    inputs, outputs = torch.randn(1, 12, 3, generator=rng), torch.randn(1, 12, 1, generator=rng)
    estimate = RULES["local_linear"](local(inputs, outputs), generator())
    x, y = inputs[0].double().numpy(), outputs[0].double().numpy()
    centred = x - x.mean(0)
    penalty = RIDGE * (centred**2).sum() / 12 / 3
    errors = []
    for left_out in range(12):
        keep = np.arange(12) != left_out
        # Ridge regression with a free level, each row counting a twelfth, at the middle of all.
        design = np.concatenate([np.ones((11, 1)), centred[keep]], 1) / np.sqrt(12)
        square = design.T @ design + np.diag([0.0] + [penalty] * 3)
        fitted = np.linalg.solve(square, design.T @ (y[keep] / np.sqrt(12)))
        errors.append(float((y[left_out] - np.concatenate([[1.0], centred[left_out]]) @ fitted)[0]))
    assert float(estimate.latents.sigma) == pytest.approx(float(np.sqrt(np.mean(np.square(errors)))), rel=1e-3)
