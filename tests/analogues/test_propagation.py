import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.analogues.blend import Trust, shares
from memworld.analogues.propagation import Case, Propagation, fit


def case_of(inputs: torch.Tensor, apart: torch.Tensor) -> Case:
    return Case(torch.ones(*inputs.shape[:2], 1), torch.zeros_like(apart), apart, inputs)


def test_what_is_linear_is_found_and_said_of_rows_that_it_was_not_fitted_on() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(2, 400, 5, generator=generator)
    apart = inputs[..., :3]
    matrix = torch.randn(2, 5, 3, generator=generator)
    true = 0.4 * apart + inputs @ matrix
    half = torch.arange(400) % 2 == 0
    fitted, fair = fit(case_of(inputs, apart), true, half)
    again = case_of(torch.randn(2, 50, 5, generator=generator), torch.zeros(2, 50, 3))
    again = Case(again.weights, again.latent, again.inputs[..., :3], again.inputs)
    expected = 0.4 * again.apart + again.inputs @ matrix
    scale = float(expected.square().mean())
    assert float((fitted.correct(again) - expected).square().mean()) < 0.01 * scale
    assert float((fair - true).square().mean()) < 0.02 * scale


def test_of_noise_nothing_is_learned_but_the_share_that_is_there() -> None:
    generator = torch.Generator().manual_seed(1)
    inputs, apart = torch.randn(1, 60, 40, generator=generator), torch.randn(1, 60, 3, generator=generator)
    true = 0.7 * apart + 0.1 * torch.randn(1, 60, 3, generator=generator)
    half = torch.arange(60) < 30
    fitted, fair = fit(case_of(inputs, apart), true, half)
    assert fitted.share == pytest.approx(0.7, abs=0.05)
    assert float(fitted.matrix.abs().max()) < 0.01  # 40 inputs and 30 rows: an unpenalised fit would be perfect
    assert float((fair - true).square().mean()) < 0.02


def test_units_of_the_inputs_do_not_count() -> None:
    generator = torch.Generator().manual_seed(2)
    inputs = torch.randn(1, 300, 4, generator=generator)
    true = inputs @ torch.randn(1, 4, 2, generator=generator) + 0.1 * torch.randn(1, 300, 2, generator=generator)
    half = torch.arange(300) < 150
    units = torch.tensor([1.0, 3.0, 0.3, 1.0])
    apart = torch.zeros(1, 300, 2)
    first, _ = fit(case_of(inputs, apart), true, half)
    second, _ = fit(case_of(inputs * units, apart), true, half)
    assert torch.allclose(first.matrix, second.matrix * units[:, None], atol=0.05)


def test_inputs_that_never_vary_break_nothing() -> None:
    inputs = torch.zeros(1, 20, 3)
    fitted, fair = fit(case_of(inputs, torch.zeros(1, 20, 2)), torch.ones(1, 20, 2), torch.arange(20) < 10)
    assert bool(torch.isfinite(fitted.matrix).all())
    assert bool(torch.isfinite(fair).all())
    assert isinstance(fitted, Propagation)


@settings(max_examples=40)
@given(count=st.integers(1, 4), seed=st.integers(0, 999), alike=st.floats(0, 2))
def test_no_other_shares_do_better(count: int, seed: int, alike: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    errors = torch.randn(count, 60, generator=generator) + alike * torch.randn(60, generator=generator)
    errors *= torch.rand(count, 1, generator=generator) + 0.1
    found = shares(errors)
    assert float(found.sum()) == pytest.approx(1, abs=1e-5)
    assert bool((found >= 0).all())
    best = float((found @ errors).square().mean())
    steps = 8
    for parts in itertools.product(range(steps + 1), repeat=count):
        if sum(parts) == steps:
            other = torch.tensor(parts) / steps
            assert best <= float((other @ errors).square().mean()) * (1 + 1e-4) + 1e-9


def test_a_forecaster_without_error_has_it_all_and_equals_share() -> None:
    noise = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    noise[1] = 0
    assert shares(noise)[1] == pytest.approx(1, abs=1e-3)
    same = noise[:1].expand(3, -1)
    assert shares(same).tolist() == pytest.approx([1 / 3] * 3, abs=1e-3)


def test_trust_tells_large_errors_from_small_ones_and_is_right_on_the_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    circumstances = torch.rand(2000, 2, generator=generator) + 0.05
    errors = torch.randn(2000, 4, generator=generator) * circumstances[:, :1] * torch.tensor([1.0, 2.0, 0.5, 1.0])
    trust = Trust.fit(errors, circumstances)
    expected = trust.expected(circumstances)
    size = (errors.square() / trust.variance).mean(1)
    assert float(expected.mean()) == pytest.approx(1, rel=0.1)
    assert float(torch.corrcoef(torch.stack([expected, size]))[0, 1]) > 0.5
    assert float(trust.doubt(circumstances).mean()) == pytest.approx(0.5, abs=0.02)
    extremes = torch.tensor([[1.0, 0.5], [0.05, 0.5]])
    far, near = trust.expected(extremes)
    assert float(far) > 100 * float(near)
    assert trust.doubt(extremes).tolist() == pytest.approx([1, 0], abs=0.05)
    # However little a circumstance says, none of memory's own was ever as bad.
    assert trust.doubt(torch.tensor([[0.05, 5.0]])).tolist() == [1.0]


def test_trust_survives_predictions_that_are_never_wrong() -> None:
    trust = Trust.fit(torch.zeros(30, 3), torch.zeros(30, 2))
    assert bool(torch.isfinite(trust.expected(torch.zeros(2, 2))).all())
