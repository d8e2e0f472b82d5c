"""The latent GRU: on a world of known dynamics it learns them; masks and the past do what they say."""

from pathlib import Path

import numpy as np
import pytest
import torch

from memworld.baselines.config import BaselineTraining
from memworld.baselines.latent_gru import LatentGRU, LatentGRUConfig
from memworld.baselines.network import Batch
from memworld.baselines.training import train_baseline
from memworld.evaluate.config import EvaluationConfig
from memworld.evaluate.protocol import evaluate
from memworld.memory import Memory
from tests.baselines.toys import ENCODER, SHAPE
from tests.helpers import moving_square_dataset, one_clear_error

D, F = 5, 3


def network(**settings: int) -> LatentGRU:
    torch.manual_seed(0)
    made = LatentGRU(D, F, LatentGRUConfig(**{"hidden": 7, "context": 3, "horizon": 4, **settings}))
    # Not from persistence, so that everything read can be seen in what is predicted.
    torch.nn.init.normal_(made.change.weight, std=0.5)
    return made


def batch(count: int, moments: int, seed: int = 0) -> Batch:
    g = torch.Generator().manual_seed(seed)
    return Batch(
        torch.randn(count, moments, D, generator=g),
        torch.rand(count, moments, D, generator=g) + 0.1,
        torch.randn(count, moments - 1, F, generator=g),
        torch.randn(count, moments - 1, generator=g),
        torch.randint(0, 2, (count, moments - 1), generator=g).float(),
        torch.ones(count, moments, dtype=torch.bool),
    )


def test_it_learns_a_world_of_known_dynamics(tmp_path: Path) -> None:
    seen, held_out = moving_square_dataset(44, 40, SHAPE).split(4)
    training, validation = seen.split(4)
    how = BaselineTraining(steps=300, batch_size=64, learning_rate=5e-3, validate_every=75)
    config = LatentGRUConfig(hidden=128, context=1, horizon=5)
    model = train_baseline("latent_gru", training, validation, ENCODER, tmp_path / "gru", config, how)
    for name in ("loss", "train_loss"):
        losses = [look[name] for look in model.history]
        assert losses[-1] < 0.7 * losses[0]
    memory = Memory(training.info, ENCODER)
    memory.extend(training, ENCODER)
    measured = EvaluationConfig(horizon=5, starts=20, shown=(1, 5), timing_batch=2)
    table = evaluate(ENCODER, memory, training, held_out, measured, {"latent_gru": model}).table
    for horizon in (1, 5):
        own = table.get("latent_gru", "", "moving_pixel_l1_minus_persistence", horizon)
        assert own is not None
        assert own.high < 0
        error, mean = (table.get(name, "", "moving_pixel_l1", horizon) for name in ("latent_gru", "data_mean"))
        assert error is not None
        assert mean is not None
        assert error.value < mean.value


def test_before_it_is_trained_it_is_persistence() -> None:
    made = LatentGRU(D, F, LatentGRUConfig(hidden=7))
    some = batch(2, 3)
    futures = made.imagine(made.read(some, torch.Generator()), torch.randn(2, 4, F), torch.Generator())
    assert futures.latents is not None
    assert torch.equal(futures.latents.mu, some.observations[:, -1:].expand(-1, 4, -1))


@pytest.mark.parametrize("unknown", [0, 1, 2])
def test_what_is_not_known_of_a_past_does_not_count(unknown: int) -> None:
    made, some = network(), batch(2, 4)
    known = some.known.clone()
    known[:, :unknown] = False
    noise = batch(2, 4, seed=9)
    mixed = Batch(
        torch.where(known[..., None], some.observations, noise.observations),
        some.sigma,
        torch.where(known[:, :-1, None], some.actions, noise.actions),
        some.rewards,
        some.terminations,
        known,
    )
    shorter = Batch(
        some.observations[:, unknown:],
        None,
        some.actions[:, unknown:],
        some.rewards[:, unknown:],
        some.terminations[:, unknown:],
        some.known[:, unknown:],
    )
    actions = torch.randn(2, 3, F)
    found = [
        made.imagine(made.read(past, torch.Generator()), actions, torch.Generator()).latents
        for past in (mixed, shorter)
    ]
    assert found[0] is not None
    assert found[1] is not None
    torch.testing.assert_close(found[0].mu, found[1].mu)
    torch.testing.assert_close(found[0].sigma, found[1].sigma)


def test_the_past_and_its_actions_count() -> None:
    made, some = network(), batch(1, 4)
    actions = torch.zeros(1, 1, F)

    def predicted(past: Batch) -> torch.Tensor:
        latents = made.imagine(made.read(past, torch.Generator()), actions, torch.Generator()).latents
        assert latents is not None
        return latents.mu

    plain = predicted(some)
    for name in ("observations", "actions"):
        other = getattr(some, name).clone()
        other[:, 0] += 1
        assert not torch.equal(predicted(Batch(**{**vars(some), name: other})), plain)


def test_losses_count_known_moments_only() -> None:
    made, some = network(), batch(3, 7)
    known = some.known.clone()
    known[:, 5:] = False
    noise = batch(3, 7, seed=9)
    garbage = Batch(
        torch.where(known[..., None], some.observations, noise.observations),
        some.sigma,
        torch.where((known[:, 1:] & known[:, :-1])[..., None], some.actions, noise.actions),
        torch.where(known[:, 1:], some.rewards, noise.rewards),
        torch.where(known[:, 1:], some.terminations, noise.terminations),
        known,
    )
    losses = [
        made.losses(part, 1.0, torch.Generator().manual_seed(4))
        for part in (Batch(**{**vars(some), "known": known}), garbage)
    ]
    for name in losses[0]:
        torch.testing.assert_close(losses[0][name], losses[1][name], msg=name)


def test_the_horizon_grows_while_it_learns() -> None:
    made, some = network(context=1, horizon=4), batch(3, 5)

    def touched(progress: float) -> int:
        """How many moments the loss looks at as truths."""
        observations = some.observations.clone().requires_grad_()
        made.losses(Batch(**{**vars(some), "observations": observations}), progress, torch.Generator())[
            "mean"
        ].backward()  # type: ignore[no-untyped-call]
        assert observations.grad is not None
        return int((observations.grad.abs().sum((0, 2)) > 0).sum())

    assert [touched(progress) for progress in (0.0, 0.25, 0.5, 1.0)] == [2, 3, 5, 5]


def test_the_spread_is_that_of_the_errors() -> None:
    """Where the truth is noise that nothing foretells, sigma becomes that noise's, with the posterior's own."""
    torch.manual_seed(0)
    made = LatentGRU(2, F, LatentGRUConfig(hidden=16, context=1, horizon=1))
    optimiser = torch.optim.Adam(made.parameters(), lr=3e-3)
    noise = torch.tensor([0.5, 1.0])
    generator = torch.Generator().manual_seed(0)
    for _ in range(500):
        observations = torch.randn(256, 2, 2, generator=generator) * noise
        observations[:, 0] = 0
        some = Batch(
            observations,
            torch.full_like(observations, 0.3),
            torch.zeros(256, 1, F),
            torch.zeros(256, 1),
            torch.zeros(256, 1),
            torch.ones(256, 2, dtype=torch.bool),
        )
        optimiser.zero_grad()
        made.losses(some, 1.0, generator)["loss"].backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    latents = made.imagine(made.read(some, generator), some.actions, generator).latents
    assert latents is not None
    expected = (noise**2 + 0.3**2).sqrt()
    np.testing.assert_allclose(latents.sigma.mean((0, 1)).detach().numpy(), expected.numpy(), rtol=0.15)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": 0}, "hidden must be at least 1"),
        ({"context": 0}, "context must"),
        ({"warm_up": 0.0}, "warm_up must"),
    ],
)
def test_settings_that_mean_nothing(settings: dict[str, float], message: str) -> None:
    with one_clear_error(message):
        LatentGRUConfig(**settings)  # type: ignore[arg-type]
