import math
from collections.abc import Callable, Iterator
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from memworld.actions import sequence_features
from memworld.baselines.network import Batch, Network
from memworld.baselines.rssm import LatentRSSM, PixelRSSM, RSSMConfig
from memworld.baselines.rssm.model import RecurrentModel
from memworld.baselines.rssm.objective import distortion, divergence
from memworld.encoders.training_data import pixel_statistics
from memworld.gaussian import at_mean, seeded
from tests.helpers import DISCRETE, moving_square_dataset, one_clear_error

SMALL = RSSMConfig(stochastic=3, deterministic=7, hidden=5, free_nats=0.5, overshooting=4, samples=2)
FRAME = (8, 8, 3)
D, F = 4, 2


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def latent_network(config: RSSMConfig = SMALL, seed: int = 0) -> LatentRSSM:
    torch.manual_seed(seed)
    return LatentRSSM(D, F, config, torch.rand(D), torch.rand(D) + 0.5, reward_std=2.0)


def pixel_network(config: RSSMConfig = SMALL, seed: int = 0) -> PixelRSSM:
    torch.manual_seed(seed)
    return PixelRSSM(FRAME, F, config, torch.rand(FRAME), torch.rand(FRAME) + 0.1, channels=(4, 6))


BOTH = pytest.mark.parametrize("build", [latent_network, pixel_network])


def noise_batch(network: RecurrentModel, known: Tensor, seed: int = 0) -> Batch:
    """Random sequences for a network."""
    rng = torch.Generator().manual_seed(seed)
    count, moments = known.shape
    if network.sees_pixels:
        observations = torch.randint(0, 256, (count, moments, *FRAME), generator=rng, dtype=torch.uint8)
        sigma = None
    else:
        observations = torch.randn(count, moments, D, generator=rng)
        sigma = torch.rand(count, moments, D, generator=rng) + 0.1
    return Batch(
        observations,
        sigma,
        torch.randn(count, moments - 1, F, generator=rng),
        torch.randn(count, moments - 1, generator=rng),
        torch.randint(0, 2, (count, moments - 1), generator=rng).float(),
        known,
    )


def spans(ends: list[tuple[int, int]], moments: int) -> Tensor:
    """bool (B, M): row b is known from the first to before the second of its numbers."""
    return torch.tensor([[first <= m < last for m in range(moments)] for first, last in ends])


def spoilt(batch: Batch, seed: int) -> Batch:
    """The same with other numbers wherever a moment is not known, NaN and infinity among them."""
    rng = torch.Generator().manual_seed(seed)
    known, steps = batch.known, batch.known[:, :-1] & batch.known[:, 1:]

    def spoil(values: Tensor, keep: Tensor) -> Tensor:
        keep = keep.reshape(*keep.shape, *[1] * (values.ndim - 2))
        if values.dtype == torch.uint8:
            return torch.where(keep, values, torch.randint(0, 256, values.shape, generator=rng, dtype=torch.uint8))
        odd = torch.tensor([math.nan, math.inf, -3.0, 1e6])[torch.randint(0, 4, values.shape, generator=rng)]
        return torch.where(keep, values, odd)

    return Batch(
        spoil(batch.observations, known),
        None if batch.sigma is None else spoil(batch.sigma, known),
        spoil(batch.actions, steps),
        spoil(batch.rewards, steps),
        spoil(batch.terminations, steps),
        known,
    )


def gradients(network: RecurrentModel, loss: Tensor) -> dict[str, Tensor]:
    names, parameters = zip(*network.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


# --- what the formulas say, literally -----------------------------------------------------------------


def literal_beliefs(network: RecurrentModel, batch: Batch, noise: Tensor) -> list[list[dict[str, Tensor]]]:
    """Per sequence and moment, PlaNet's equations one at a time; None of it for moments not known."""
    cell, config = network.cell, network.config
    weight = torch.cat([cell.from_state.weight, cell.from_action.weight], 1)
    sequences = []
    for b in range(len(batch.known)):
        h, s = torch.zeros(1, config.deterministic), torch.zeros(1, config.stochastic)
        moments: list[dict[str, Tensor]] = []
        for m in range(batch.known.shape[1]):
            if not batch.known[b, m]:
                moments.append({})
                continue
            first = m == 0 or not batch.known[b, m - 1]
            action = torch.zeros(1, F) if first else batch.actions[b, m - 1][None]
            h = cell.recurrence(torch.relu(torch.cat([s, action], 1) @ weight.T + cell.from_state.bias), h)
            seen = network.embed(network.normalised(batch.observations[b, m][None]))
            hidden = torch.relu(cell.from_deterministic(h) + cell.from_embedding(seen))
            mu, raw = cell.to_posterior(hidden).chunk(2, 1)
            sigma = nn.functional.softplus(raw) + config.min_std
            s = mu + sigma * noise[m, b]
            moments.append({"h": h, "mu": mu, "sigma": sigma, "s": s})
        sequences.append(moments)
    return sequences


def normal(mu: Tensor, sigma: Tensor) -> torch.distributions.Distribution:
    return torch.distributions.Independent(torch.distributions.Normal(mu, sigma), 1)


def literal_prior(network: RecurrentModel, h: Tensor) -> tuple[Tensor, Tensor]:
    mu, raw = network.cell.to_prior(h).chunk(2, 1)
    return mu, nn.functional.softplus(raw) + network.config.min_std


def literal_losses(network: RecurrentModel, batch: Batch, seed: int) -> dict[str, Tensor]:
    """Every term, a sequence and a moment at a time, from the same random numbers."""
    config, (count, moments) = network.config, batch.known.shape
    rng = torch.Generator().manual_seed(seed)
    noise = torch.randn((moments, count, config.stochastic), generator=rng)
    ahead = [torch.randn((count, moments - d, config.stochastic), generator=rng) for d in range(1, moments)]
    sequences = literal_beliefs(network, batch, noise)
    kls, squares, observed_kls, overshot, rewards, terminations = [], [], [], [], [], []
    for b, sequence in enumerate(sequences):
        for m, now in enumerate(sequence):
            if not now:
                continue
            kls.append(
                torch.distributions.kl_divergence(
                    normal(now["mu"], now["sigma"]), normal(*literal_prior(network, now["h"]))
                )
            )
            features = torch.cat([now["h"], now["s"]], 1)
            seen = batch.observations[b, m][None]
            if isinstance(network, LatentRSSM):
                mean = network.predicted_mean(features)
                raw = network.predicted_sigma(features.detach())
                sigma = nn.functional.softplus(raw) * network.observation_scale + 1e-3
                assert batch.sigma is not None
                target = normal(seen, batch.sigma[b, m][None])
                guess = normal(mean.detach() * network.observation_scale + network.observation_mean, sigma)
                observed_kls.append(torch.distributions.kl_divergence(target, guess))
                squares.append(((mean - (seen - network.observation_mean) / network.observation_scale) ** 2).sum())
            else:
                assert isinstance(network, PixelRSSM)
                wanted = (seen / 255 - network.observation_mean) / network.observation_scale
                squares.append(((network.decoder(features).permute(0, 2, 3, 1) - wanted) ** 2).sum())
            if m and sequence[m - 1]:
                scaled = batch.rewards[b, m - 1] / network.reward_std
                rewards.append(0.5 * (network.reward(features).squeeze() - scaled) ** 2)
                p = torch.sigmoid(network.termination(features).squeeze())
                wanted = batch.terminations[b, m - 1]
                terminations.append(-(wanted * p.log() + (1 - wanted) * (1 - p).log()))
        for start in range(moments):
            state = dict(sequence[start])
            for d in range(1, config.overshooting + 1):
                if not state or start + d >= moments or not sequence[start + d]:
                    break
                action = batch.actions[b, start + d - 1][None]
                hidden = torch.relu(network.cell.from_state(state["s"]) + network.cell.from_action(action))
                state["h"] = network.cell.recurrence(hidden, state["h"])
                mu, sigma = literal_prior(network, state["h"])
                state["s"] = mu + sigma * ahead[d - 1][b, start]
                if d > 1:
                    there = sequence[start + d]
                    fixed = normal(there["mu"].detach(), there["sigma"].detach())
                    overshot.append(
                        torch.distributions.kl_divergence(fixed, normal(mu, sigma)).clamp(min=config.free_nats)
                    )
    terms = {"reconstruction": 0.5 * torch.stack(squares).mean(), "kl": torch.cat(kls).mean()}
    if observed_kls:
        terms["calibration"] = torch.cat(observed_kls).mean()
    terms |= {"reward": torch.stack(rewards).mean(), "termination": torch.stack(terminations).mean()}
    loss = terms["reconstruction"] + terms.get("calibration", torch.tensor(0.0))
    loss = loss + config.kl_scale * torch.cat(kls).clamp(min=config.free_nats).mean()
    if config.overshooting > 1:
        terms["overshooting"] = torch.cat(overshot).mean()
        loss = loss + config.kl_scale * terms["overshooting"]
    loss = loss + config.reward_scale * terms["reward"] + terms["termination"]
    return {"loss": loss, **terms}


@BOTH
@pytest.mark.parametrize("overshooting", [0, 1, 2, 4, 50])
def test_losses_and_gradients_are_those_of_the_formulas(
    build: Callable[..., RecurrentModel], overshooting: int
) -> None:
    network = build(replace(SMALL, overshooting=overshooting, kl_scale=0.7, free_nats=0.8))
    batch = noise_batch(network, spans([(0, 6), (0, 3), (0, 1), (2, 6)], 6))
    fast, literal = network.losses(batch, 0.5, seeded(5)), literal_losses(network, batch, 5)
    assert fast.keys() == literal.keys()
    for name, value in fast.items():
        torch.testing.assert_close(value, literal[name], rtol=1e-4, atol=1e-5, msg=name)
    wanted = gradients(network, literal["loss"])
    for name, gradient in gradients(network, fast["loss"]).items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-3, atol=1e-4, msg=name)


def test_overshooting_adds_to_the_loss_from_two_steps_on() -> None:
    def loss(steps: int) -> float:
        network = latent_network(replace(SMALL, overshooting=steps))
        return float(network.losses(noise_batch(network, spans([(0, 6)], 6)), 1.0, seeded(0))["loss"].detach())

    assert loss(0) == loss(1) < loss(2)
    assert loss(2) != loss(3)


def test_the_divergence_below_the_free_nats_costs_them_and_teaches_nothing() -> None:
    torch.manual_seed(0)
    mu, sigma = torch.randn(2, 50, 3), torch.rand(2, 50, 3) + 0.2
    mu[:, :10], sigma[:, :10] = 0.5, 0.4
    mu[0, :10] += 0.1
    posterior, prior = mu[0].requires_grad_(), at_mean(mu[1], sigma[1])
    nats = torch.distributions.kl_divergence(normal(posterior, sigma[0]), normal(mu[1], sigma[1]))
    assert 0 < nats.detach().lt(3).sum() < 50
    descended, actual = divergence(at_mean(posterior, sigma[0]), prior, 3.0)
    torch.testing.assert_close(actual, nats.mean())
    torch.testing.assert_close(descended, nats.clamp(min=3).mean())
    (gradient,) = torch.autograd.grad(descended, posterior)
    assert torch.equal(gradient.abs().sum(1) > 0, nats > 3)


def test_the_optimal_sigma_is_the_root_of_the_mean_squared_error() -> None:
    torch.manual_seed(0)
    predicted, observed = torch.randn(6, 5), torch.randn(6, 5)
    unit, optimal = RSSMConfig(), RSSMConfig(observation_sigma="optimal")

    def nats(sigma: float) -> float:
        return float(-normal(predicted, torch.full((6, 5), sigma)).log_prob(observed).mean()) - 2.5 * math.log(
            2 * math.pi
        )

    assert float(distortion(predicted, observed, unit)) == pytest.approx(nats(1.0), rel=1e-5)
    best = math.sqrt(float(((predicted - observed) ** 2).mean()))
    assert float(distortion(predicted, observed, optimal)) + 2.5 == pytest.approx(nats(best), rel=1e-5)
    assert min(nats(best * 0.9), nats(best * 1.1)) > nats(best)


# --- what is not known is not looked at -----------------------------------------------------------------


@st.composite
def known_moments(draw: st.DrawFn) -> Tensor:
    """bool (B, M), a piece known in each row, the last moment of the first row among them."""
    moments = draw(st.integers(1, 6))
    ends = [(draw(st.integers(0, moments - 1)), moments)]
    for _ in range(draw(st.integers(0, 2))):
        first = draw(st.integers(0, moments - 1))
        ends.append((first, draw(st.integers(first + 1, moments))))
    return spans(ends, moments)


@BOTH
@given(known=known_moments(), seed=st.integers(0, 99))
@settings(max_examples=25)
def test_numbers_of_unknown_moments_change_nothing(
    build: Callable[..., RecurrentModel], known: Tensor, seed: int
) -> None:
    network = build()
    batch = noise_batch(network, known, seed)
    other = spoilt(batch, seed)
    losses, spoilt_losses = (network.losses(b, 0.0, seeded(seed)) for b in (batch, other))
    for name, value in losses.items():
        assert torch.isfinite(value), name
        assert torch.equal(value, spoilt_losses[name]), name
    wanted = gradients(network, losses["loss"])
    assert all(torch.equal(g, wanted[name]) for name, g in gradients(network, spoilt_losses["loss"]).items())
    state, spoilt_state = (network.read(b, seeded(seed)) for b in (batch, other))
    assert torch.equal(state.features[known[:, -1]], spoilt_state.features[known[:, -1]])
    actions = torch.randn(len(known), 3, F)
    one, two = (network.imagine(s, actions, seeded(1)) for s in (state, spoilt_state))
    rows = known[:, -1]
    assert torch.equal(one.rewards[rows], two.rewards[rows])
    assert torch.equal(one.termination[rows], two.termination[rows])
    if one.latents is None or two.latents is None:
        assert one.frames is not None
        assert two.frames is not None
        np.testing.assert_array_equal(one.frames[rows.numpy()], two.frames[rows.numpy()])
    else:
        assert torch.equal(one.latents.mu[rows], two.latents.mu[rows])
        assert torch.equal(one.latents.sigma[rows], two.latents.sigma[rows])


@BOTH
def test_a_past_begins_at_its_first_known_moment(build: Callable[..., RecurrentModel]) -> None:
    network = build()
    late = noise_batch(network, spans([(3, 6)], 6))
    cut = Batch(
        late.observations[:, 3:],
        None if late.sigma is None else late.sigma[:, 3:],
        *(getattr(late, name)[:, 3:] for name in ("actions", "rewards", "terminations", "known")),
    )
    embedded = [network.embed(network.normalised(b.observations[0]))[None] for b in (late, cut)]
    with torch.no_grad():
        long, short = (
            network.cell.believe(e, b.actions, b.known, seeded(0)) for e, b in zip(embedded, (late, cut), strict=True)
        )
    # Their samples differ with the random numbers, but nothing was sampled before the first known moment.
    torch.testing.assert_close(long.deterministic[:, 3], short.deterministic[:, 0])
    torch.testing.assert_close(long.posterior.mu[:, 3], short.posterior.mu[:, 0])
    torch.testing.assert_close(long.prior.sigma[:, 3], short.prior.sigma[:, 0])


# --- what is imagined -----------------------------------------------------------------------------------


@BOTH
def test_one_moment_is_past_enough_and_the_seed_decides(build: Callable[..., RecurrentModel]) -> None:
    network = build()
    checked: Network = network
    batch = noise_batch(network, torch.ones(3, 1, dtype=torch.bool))
    actions = torch.randn(3, 5, F)

    def futures(seed: int) -> Tensor:
        with torch.inference_mode():
            made = checked.imagine(checked.read(batch, seeded(seed)), actions, seeded(seed))
        assert made.rewards.shape == made.termination.shape == (3, 5)
        assert made.rewards.dtype == made.termination.dtype == torch.float32
        assert bool(((made.termination > 0) & (made.termination < 1)).all())
        if network.sees_pixels:
            assert made.latents is None
            assert made.frames is not None
            assert made.frames.shape == (3, 5, *FRAME)
            assert made.frames.dtype == np.uint8
        else:
            assert made.frames is None
            assert made.latents is not None
            assert made.latents.mu.shape == (3, 5, D)
            assert torch.equal(made.latents.z, made.latents.mu)
            made.latents.check("futures")
        return made.rewards

    assert torch.equal(futures(3), futures(3))
    assert not torch.equal(futures(3), futures(4))
    weight = network.cell.from_state.weight
    assert torch.equal(build(seed=0).cell.from_state.weight, weight)
    assert not torch.equal(build(seed=1).cell.from_state.weight, weight)


@BOTH
def test_no_samples_follow_the_means_without_chance(build: Callable[..., RecurrentModel]) -> None:
    network = build(replace(SMALL, samples=0))
    state = network.read(noise_batch(network, torch.ones(2, 3, dtype=torch.bool)), seeded(0))
    actions = torch.randn(2, 3, F)
    one, two = (network.imagine(state, actions, seeded(seed)) for seed in (0, 1))
    assert torch.equal(one.rewards, two.rewards)
    h, s = state.deterministic, state.stochastic
    with torch.no_grad():
        for t in range(3):
            h = network.cell.advance(
                replace(state, deterministic=h, stochastic=s), network.cell.from_action(actions[:, t])
            )
            s = literal_prior(network, h)[0]
            rewards = network.reward(torch.cat([h, s], 1)).squeeze(1) * network.reward_std
            torch.testing.assert_close(one.rewards[:, t], rewards)


def test_latents_are_the_moments_of_the_mixture_of_the_drawn_futures() -> None:
    network = latent_network()
    features = torch.randn(2, 5, 3, network.features)
    with torch.no_grad():
        made = network.futures(features, torch.zeros(2, 3), torch.zeros(2, 3)).latents
        each = network.predicted_mean(features) * network.observation_scale + network.observation_mean
        sigma = nn.functional.softplus(network.predicted_sigma(features)) * network.observation_scale + 1e-3
    assert made is not None
    many = (each[:, :, None] + sigma[:, :, None] * torch.randn(2, 5, 20_000, 3, D)).flatten(1, 2)
    torch.testing.assert_close(made.mu, each.mean(1))
    torch.testing.assert_close(made.sigma, many.std(1), rtol=0.02, atol=0)


def test_frames_are_the_mean_of_the_drawn_futures_however_many_passes_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = pixel_network()
    features = torch.randn(2, 3, 4, network.features)
    nothing = torch.zeros(2, 4)
    with torch.no_grad():
        whole = network.futures(features, nothing, nothing).frames
        monkeypatch.setattr("memworld.baselines.rssm.pixels._DECODED", 7)
        parts = network.futures(features, nothing, nothing).frames
        decoded = network.decoder(features.flatten(0, 2)).permute(0, 2, 3, 1)
    each = (decoded * network.observation_scale + network.observation_mean).clamp(0, 1).reshape(2, 3, 4, *FRAME)
    assert whole is not None
    assert parts is not None
    np.testing.assert_allclose(whole, 255 * each.mean(1).numpy(), atol=0.51)
    # Passes of another size round differently in the last bit of a float, which may tip one level.
    np.testing.assert_allclose(whole.astype(int), parts.astype(int), atol=1)


# --- training machinery ---------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("bfloat16", [False, True])
def test_the_gradient_reaches_every_parameter(build: Callable[..., RecurrentModel], bfloat16: bool) -> None:
    network = build(replace(SMALL, free_nats=0.0, deterministic=16, hidden=16))
    batch = noise_batch(network, spans([(0, 6), (0, 5)], 6))
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        losses = network.losses(batch, 0.0, seeded(0))
    assert all(value.dtype == torch.float32 and value.ndim == 0 for value in losses.values())
    for name, gradient in gradients(network, losses["loss"]).items():
        assert bool(torch.isfinite(gradient).all()), name
        assert float(gradient.abs().max()) > 0, name
    exact = network.losses(batch, 0.0, seeded(0))["loss"]
    assert float(losses["loss"].detach()) == pytest.approx(float(exact.detach()), rel=0.03)


@BOTH
def test_a_state_dict_is_all_there_is_to_a_network(build: Callable[..., RecurrentModel]) -> None:
    network, other = build(), build(seed=1)
    batch, actions = noise_batch(network, torch.ones(2, 3, dtype=torch.bool)), torch.randn(2, 3, F)

    def rewards(which: RecurrentModel) -> Tensor:
        return which.imagine(which.read(batch, seeded(0)), actions, seeded(0)).rewards

    assert not torch.equal(rewards(network), rewards(other))
    other.load_state_dict(network.state_dict())
    assert torch.equal(rewards(network), rewards(other))


def test_bad_input_is_refused() -> None:
    whole_numbers = ("stochastic", "deterministic", "hidden", "overshooting", "samples", "length")
    for name in (f.name for f in fields(RSSMConfig)):
        bad: object = "half" if name == "observation_sigma" else (-1 if name in whole_numbers else math.nan)
        with one_clear_error(name):
            RSSMConfig(**{name: bad})  # type: ignore[arg-type]
    with one_clear_error("samples must be a whole number"):
        RSSMConfig(samples=1.5)  # type: ignore[arg-type]
    with one_clear_error(r"20x16x1 cannot be halved 4 times.*multiple of 16"):
        PixelRSSM((20, 16, 1), F)
    with one_clear_error("mean picture"):
        PixelRSSM((16, 16, 1), F, mean=torch.zeros(16, 16, 3), scale=torch.ones(16, 16, 3))
    with one_clear_error("mean has shape"):
        LatentRSSM(D, F, mean=torch.zeros(D), scale=torch.ones(D + 1))
    with one_clear_error("floor"):
        LatentRSSM(D, F, scale=torch.zeros(D))
    with one_clear_error("floor"):
        LatentRSSM(D, F, reward_std=0.0)
    with one_clear_error("latent_dim"):
        LatentRSSM(0, F)
    with one_clear_error("action_features"):
        LatentRSSM(D, 0)


# --- known worlds ---------------------------------------------------------------------------------------


def train(network: RecurrentModel, batches: Callable[[int], Batch], steps: int, rate: float) -> list[float]:
    """A plain training; the losses, step by step."""
    optimiser = torch.optim.Adam(network.parameters(), rate)
    generator, losses = seeded(0), []
    for step in range(steps):
        loss = network.losses(batches(step), step / steps, generator)["loss"]
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimiser.step()
        losses.append(loss.item())
    return losses


NOISE, SIGMA = 0.1, 0.05


def whirl(count: int, steps: int, seed: int) -> Batch:
    """A point that turns by 0.4 a step, is pushed by the action and trembles, seen through 4 latents.

    The reward of a step is the first coordinate after it; where the second gets above 1.5, the sequence ends.
    """
    rng = torch.Generator().manual_seed(seed)
    turn = torch.tensor([[math.cos(0.4), math.sin(0.4)], [-math.sin(0.4), math.cos(0.4)]])
    shown = torch.tensor([[1.0, 0.0, 0.7, 0.7], [0.0, 1.0, 0.7, -0.7]])
    actions = torch.rand(count, steps, 2, generator=rng) * 2 - 1
    angle = torch.rand(count, generator=rng) * 2 * math.pi
    places = [torch.stack([angle.cos(), angle.sin()], 1)]
    for t in range(steps):
        trembling = NOISE * torch.randn(count, 2, generator=rng)
        places.append(0.95 * places[-1] @ turn + 0.3 * actions[:, t] + trembling)
    path = torch.stack(places, 1)
    terminations = (path[:, 1:, 1] > 1.5).float()
    over = (terminations.cumsum(1) - terminations) > 0
    known = nn.functional.pad(~over, (1, 0), value=True)
    mu = path @ shown
    return Batch(mu, torch.full_like(mu, SIGMA), actions, path[:, 1:, 0], terminations, known)


def test_in_a_known_world_losses_fall_and_futures_beat_persistence_and_the_mean() -> None:
    torch.manual_seed(0)
    network = LatentRSSM(D, F, RSSMConfig(8, 48, 48, free_nats=1.0, observation_sigma="optimal", samples=16))
    losses = train(network, lambda step: whirl(32, 8, step), 150, 1e-2)
    assert np.mean(losses[-20:]) < np.mean(losses[:20]) - 5

    held, nothing, all_known = whirl(200, 13, 10_000), torch.zeros(200, 3), torch.ones(200, 4, dtype=torch.bool)
    assert held.sigma is not None
    past = Batch(held.observations[:, :4], held.sigma[:, :4], held.actions[:, :3], nothing, nothing, all_known)
    futures = network.imagine(network.read(past, seeded(0)), held.actions[:, 3:], seeded(1))
    assert futures.latents is not None
    true = held.observations[:, 4:]
    error = ((futures.latents.mu - true) ** 2).mean((0, 2))
    persistence = ((held.observations[:, 3:4] - true) ** 2).mean((0, 2))
    mean = ((true - held.observations.mean((0, 1))) ** 2).mean((0, 2))
    assert bool((error < 0.5 * torch.minimum(persistence, mean)).all())

    rewards, ended = held.rewards[:, 3:], held.terminations[:, 3:] > 0
    assert float(((futures.rewards - rewards) ** 2).mean()) < 0.3 * float(rewards.var())
    assert float(futures.termination[ended].mean()) > 3 * float(futures.termination[~ended].mean())

    # Calibrated: the squared distance of the true posterior's points is what the predicted sigma says, at every step.
    ratio = (((true - futures.latents.mu) ** 2 + SIGMA**2) / futures.latents.sigma**2).mean((0, 2))
    assert 0.6 < float(ratio.min()) <= float(ratio.max()) < 1.6


def test_from_pixels_futures_beat_persistence_and_the_mean_picture() -> None:
    episodes = list(moving_square_dataset(episodes=40, steps=30))
    frames = torch.tensor(np.stack([e.observations for e in episodes]))
    actions = torch.tensor(np.stack([sequence_features(e.actions[None], DISCRETE)[0] for e in episodes])).float()
    rewards = torch.tensor(np.stack([e.rewards for e in episodes]))
    mean, scale = pixel_statistics(frames[:32].flatten(0, 1), 0.1)
    torch.manual_seed(0)
    network = PixelRSSM((16, 16, 1), 4, RSSMConfig(16, 64, 64, samples=0), mean, scale, channels=(8, 16, 32))
    rng = seeded(1)

    def batch(step: int) -> Batch:
        rows, start = torch.randint(0, 32, (32,), generator=rng), int(torch.randint(0, 26, (), generator=rng))
        moments, steps = slice(start, start + 6), slice(start, start + 5)
        known = torch.ones(32, 6, dtype=torch.bool)
        return Batch(frames[rows, moments], None, actions[rows, steps], rewards[rows, steps], torch.zeros(32, 5), known)

    losses = train(network, batch, 110, 8e-3)
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:20])

    nothing, all_known = torch.zeros(8, 3), torch.ones(8, 4, dtype=torch.bool)
    past = Batch(frames[32:, 10:14], None, actions[32:, 10:13], nothing, nothing, all_known)
    futures = network.imagine(network.read(past, seeded(0)), actions[32:, 13:23], seeded(0))
    assert futures.frames is not None
    true = frames[32:, 14:24].float()
    error = (torch.from_numpy(futures.frames) - true).abs().mean((0, 2, 3, 4))
    persistence = (frames[32:, 13:14] - true).abs().mean((0, 2, 3, 4))
    picture = (255 * mean - true).abs().mean((0, 2, 3, 4))
    assert bool((error < 0.85 * torch.minimum(persistence, picture)).all())
