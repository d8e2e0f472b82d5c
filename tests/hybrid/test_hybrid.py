"""The correction on residuals that are known, and the hybrid as a world's dynamics."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from typer.testing import CliRunner

from memworld.analogues import AnalogueConfig, AnalogueDynamics, Analogues, Panel
from memworld.analogues.keys import rows_left
from memworld.analogues.lessons import Lessons
from memworld.cli import app
from memworld.engine import Engine, named_dynamics
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.formats import open_dataset
from memworld.gaussian import at_mean
from memworld.hybrid import HybridConfig, HybridDynamics
from memworld.hybrid.correction import Correction, CorrectionNetwork, _judge
from memworld.imagine import Mode, imagine_latents
from memworld.memory import Memory, Rows
from memworld.rollout import History, Prediction
from memworld.world_model import WorldModel
from tests.analogues.toys import ACTIONS, glide, make_index, rows_of
from tests.helpers import LEFT_RIGHT, PixelEncoder, one_clear_error, untrained_vae, walk

DIM = 4
SMALL = AnalogueConfig(horizon=4, samples=400)
QUICK = HybridConfig(SMALL, hidden=24, steps=100, batch_size=48, learning_rate=1e-2)
RECORDED = Path(__file__).parents[1] / "recorded"

Residual = Callable[[Rows, Tensor, int], Tensor]


def lessons_of(rows: Rows, horizon: int, residual: Residual) -> Lessons:
    """Predictions that miss what came by a residual of (rows, chosen rows, steps ahead)."""
    lessons = Lessons()
    for ahead in range(1, horizon + 1):
        chosen = torch.nonzero(rows_left(rows) >= ahead)[:, 0]
        lessons.add(chosen, rows.latents.mu[chosen + ahead] - residual(rows, chosen, ahead))
    return lessons


PUSH = torch.randn(ACTIONS, DIM, generator=torch.Generator().manual_seed(5))


def of_the_action(rows: Rows, chosen: Tensor, ahead: int) -> Tensor:
    return rows.actions[chosen + ahead - 1].float() @ PUSH


def of_the_latent(rows: Rows, chosen: Tensor, ahead: int) -> Tensor:
    return torch.tanh(rows.latents.mu[chosen])


def noise(rows: Rows, chosen: Tensor, ahead: int) -> Tensor:
    return torch.randn(len(chosen), DIM, generator=torch.Generator().manual_seed(ahead))


def stray(*lengths: int, seed: int = 0) -> Rows:
    """Episodes of latents that have nothing to do with each other."""
    generator = torch.Generator().manual_seed(seed)
    means = [torch.randn(steps + 1, DIM, generator=generator) for steps in lengths]
    return rows_of(means, [torch.eye(ACTIONS)[torch.randint(ACTIONS, (n,), generator=generator)] for n in lengths])


def squared(made: Correction, lessons: Lessons, rows: Rows) -> tuple[Tensor, Tensor]:
    """(T,) mean squared errors of lessons, as predicted and as corrected."""
    recent, means, actions, true, known = lessons.batch(rows, torch.arange(len(lessons.rows)), SMALL.context)
    assert made.network is not None
    with torch.no_grad():
        added = made.network(recent, means, actions)
    sides = [means, means + made.shares[:, None] * added]
    before, after = (((true - said).square().sum(2) * known).sum(0) / known.sum(0) for said in sides)
    return before, after


@pytest.mark.parametrize("residual", [of_the_action, of_the_latent])
def test_what_predictions_always_miss_is_learned(residual: Residual) -> None:
    rows, others = stray(*[20] * 12), stray(*[20] * 8, seed=1)
    made = Correction.fit(lessons_of(rows, 3, residual), rows, QUICK, progress=False)
    before, after = squared(made, lessons_of(others, 3, residual), others)
    assert bool((after < 0.3 * before).all()), (before, after)
    assert bool((made.shares > 0.8).all())
    assert bool((made.spread < 0.6).all())


def test_of_noise_next_to_nothing_is_said() -> None:
    rows, others = stray(*[20] * 12), stray(*[20] * 8, seed=1)

    def fresh(rows: Rows, chosen: Tensor, ahead: int) -> Tensor:
        return rows.latents.mu[chosen + ahead]  # nothing is predicted, and nothing can be

    made = Correction.fit(lessons_of(rows, 3, fresh), rows, QUICK, progress=False)
    before, after = squared(made, lessons_of(others, 3, fresh), others)
    assert bool((after < 1.1 * before).all()), (before, after)
    assert bool((made.spread <= 1).all())
    assert bool((made.spread > 0.9).all())


def babbling(seed: int, unit: float = 1.0) -> CorrectionNetwork:
    """A network of random weights, which says something from the start."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = CorrectionNetwork(DIM, ACTIONS, SMALL.context, 8, unit)
        torch.nn.init.normal_(network.change.weight)
        torch.nn.init.normal_(network.change.bias)
    return network.eval()


@settings(max_examples=30)
@given(seed=st.integers(0, 9999), good=st.floats(-2, 2), size=st.sampled_from([0.0, 1e-3, 1.0, 100.0]))
def test_shares_are_the_best_between_none_and_all_and_never_make_it_worse(seed: int, good: float, size: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    recent, means, actions = (torch.randn(30, *n, generator=generator) for n in ((2, DIM), (3, DIM), (3, ACTIONS)))
    known = (torch.rand(30, 3, generator=generator) < 0.7).float()
    network = babbling(seed)
    with torch.no_grad():
        added = network(recent, means, actions)
    true = means + good * added + size * torch.randn(30, 3, DIM, generator=generator)
    shares, spread, error = _judge(network, recent, means, actions, true, known)
    total = 0.0
    for step in range(3):
        missing, said = ((x[known[:, step] > 0, step]).double() for x in (true - means, added))
        best = min(max(float((missing * said).sum() / (said**2).sum()), 0), 1)
        left, before = float(((missing - best * said) ** 2).sum()), float((missing**2).sum())
        assert float(shares[step]) == pytest.approx(best, abs=1e-4)
        assert left <= before
        assert float(spread[step]) ** 2 * before == pytest.approx(left, rel=1e-2, abs=1e-4 * before)
        assert float(spread[step]) <= 1 + 1e-6
        total += left
    assert error == pytest.approx(total, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("nothing", ["known", "missing"])
def test_where_nothing_can_be_told_neither_mean_nor_spread_is_touched(nothing: str) -> None:
    """No episode held back lasts so long, or its predictions are right as they are."""
    recent, means, actions = torch.randn(9, 2, DIM), torch.randn(9, 3, DIM), torch.randn(9, 3, ACTIONS)
    true, known = torch.randn(9, 3, DIM), torch.ones(9, 3)
    if nothing == "known":
        known[:, 2] = 0
    else:
        true[:, 2] = means[:, 2]
    shares, spread, _ = _judge(babbling(0), recent, means, actions, true, known)
    assert (float(shares[2]), float(spread[2])) == (0, 1)


def test_steps_that_the_episodes_held_back_do_not_reach_keep_their_spread() -> None:
    """Whichever of these episodes are held back, few last longer than a step: all but those that are long."""
    rows = stray(*[1] * 200, 60, 60, 60)
    made = Correction.fit(lessons_of(rows, 3, of_the_action), rows, QUICK, progress=False)
    assert made.network is not None
    assert bool((made.spread > 0.01).all())
    short = [n for n in range(40) if _only_short(rows, n)]
    config = HybridConfig(SMALL, hidden=8, steps=5, seed=short[0])
    made = Correction.fit(lessons_of(rows, 3, of_the_action), rows, config, progress=False)
    assert made.network is not None
    assert made.shares[1:].tolist() == [0, 0]
    assert made.spread[1:].tolist() == [1, 1]


def _only_short(rows: Rows, seed: int) -> bool:
    """Whether no long episode is held back with this seed: then nothing is judged beyond a step."""
    config = HybridConfig(SMALL, hidden=8, steps=1, seed=seed)
    return bool((Correction.fit(lessons_of(rows, 2, noise), rows, config, progress=False).shares[1:] == 0).all())


@pytest.mark.parametrize("lengths", [(), (5,), (200,), (20, 20), (31, 40), (150, 31)])
def test_with_too_little_to_learn_or_to_judge_from_nothing_is_corrected(lengths: tuple[int, ...]) -> None:
    """Of two episodes one is held back; of one, all of it."""
    rows = stray(*lengths or (3,))
    lessons = lessons_of(rows, 3, of_the_action) if lengths else Lessons()
    assert Correction.fit(lessons, rows, QUICK, progress=False).network is None


@pytest.mark.parametrize("steps", [1, 2, 8, 9, 10, 19, 51])
def test_any_number_of_steps_can_be_trained(steps: int) -> None:
    rows = stray(40, 40, 40)
    config = HybridConfig(SMALL, hidden=4, steps=steps, batch_size=4)
    assert Correction.fit(lessons_of(rows, 2, of_the_action), rows, config, progress=False).network is not None


def test_training_that_comes_to_nothing_corrects_nothing() -> None:
    rows = stray(*[40] * 4)
    config = HybridConfig(SMALL, hidden=8, steps=20, learning_rate=1e15)
    made = Correction.fit(lessons_of(rows, 2, of_the_action), rows, config, progress=False)
    assert made.network is None
    assert (made.shares.tolist(), made.spread.tolist()) == ([0, 0], [1, 1])


def test_the_same_seed_gives_the_same_and_nobody_elses_numbers_change() -> None:
    rows = stray(*[40] * 8)
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    first = Correction.fit(lessons_of(rows, 2, of_the_action), rows, QUICK, progress=False)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(4)
    second = Correction.fit(lessons_of(rows, 2, of_the_action), rows, QUICK, progress=False)
    other = Correction.fit(
        lessons_of(rows, 2, of_the_action), rows, HybridConfig(SMALL, 24, 100, 48, 1e-2, seed=1), progress=False
    )
    assert torch.equal(first.shares, second.shares)
    assert torch.equal(first.spread, second.spread)
    weights = [[*made.network.parameters()] for made in (first, second, other) if made.network is not None]
    assert all(torch.equal(a, b) for a, b in zip(weights[0], weights[1], strict=True))
    assert not torch.equal(weights[0][0], weights[2][0])


GLIDES = glide(24, 14, DIM)
AHEAD = glide(5, 14, DIM, seed=7)


def fitted() -> Analogues:
    return Analogues(Panel(rows_of(*GLIDES), (DIM,), SMALL, make_index))


def histories(start: int = 3) -> History:
    recent = torch.stack([track[start - 1 : start + 1] for track in AHEAD[0]])
    return History(at_mean(recent, torch.ones_like(recent)), torch.ones(recent.shape[:2]).bool())


def asked(steps: int, start: int = 3) -> Tensor:
    return torch.stack([chosen[start : start + steps] for chosen in AHEAD[1]]).double()


def imagined(dynamics: AnalogueDynamics, actions: Tensor, mode: Mode | None = None) -> tuple[list[Prediction], Tensor]:
    return imagine_latents(dynamics, histories(), actions, mode, torch.Generator())


def means(predictions: list[Prediction]) -> Tensor:
    return torch.stack([p.latents.mu for p in predictions], 1)


ANALOGUES = fitted()
SHARES, SPREAD = torch.tensor([0.5, 0.0, 0.9, 1.0]), torch.tensor([0.9, 1.0, 0.7, 0.5])
HYBRID = HybridDynamics(ANALOGUES, Correction(babbling(1), SHARES, SPREAD))


def assert_same_sources(one: Prediction, other: Prediction) -> None:
    assert torch.equal(one.matches.rows, other.matches.rows)
    assert torch.equal(one.matches.distances, other.matches.distances)
    for name in ("weights", "support", "reward", "termination"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name


@pytest.mark.parametrize("mode", ["follow", "requery"])
def test_without_a_network_it_says_what_analogues_say(mode: Mode) -> None:
    none = HybridDynamics(ANALOGUES, Correction(None, torch.zeros(4), torch.ones(4)))
    predictions, searched = imagined(none, asked(6), mode)
    plain, plainly = imagined(AnalogueDynamics(ANALOGUES), asked(6), mode)
    assert torch.equal(searched, plainly)
    for one, other in zip(predictions, plain, strict=True):
        assert torch.equal(one.latents.mu, other.latents.mu)
        assert torch.equal(one.latents.sigma, other.latents.sigma)
        assert_same_sources(one, other)


def test_what_is_added_is_what_was_judged() -> None:
    """Up to the next search, a hybrid is the analogues and the network's word on all steps, times its shares."""
    predictions, _ = imagined(HYBRID, asked(4))
    plain, _ = imagined(AnalogueDynamics(ANALOGUES), asked(4))
    said = means(plain)
    assert HYBRID.correction.network is not None
    with torch.no_grad():
        added = HYBRID.correction.network(histories().latents.mu.flip(1), said, asked(4).float())
    assert float(added.abs().mean()) > 0.1
    assert torch.allclose(means(predictions), said + SHARES[:, None] * added, atol=1e-5)
    for ahead, (one, other) in enumerate(zip(predictions, plain, strict=True)):
        own, before = ANALOGUES.own_variance, other.latents.sigma.square()
        assert torch.allclose(one.latents.sigma.square(), own + (before - own) * SPREAD[ahead] ** 2, atol=1e-6)
        assert torch.equal(one.latents.z, one.latents.mu)
        assert_same_sources(one, other)


def test_the_next_search_begins_where_the_correction_led() -> None:
    predictions, searched = imagined(HYBRID, asked(6))
    assert searched.tolist() == [[True, False, False, False, True, False]] * len(AHEAD[0])
    reached = means(predictions)[:, 2:4]
    again = History(at_mean(reached, torch.ones_like(reached)), torch.ones(reached.shape[:2]).bool())
    rest, _ = imagine_latents(HYBRID, again, asked(6)[:, 4:], None, torch.Generator())
    for one, other in zip(predictions[4:], rest, strict=True):
        assert torch.equal(one.latents.mu, other.latents.mu)
        assert_same_sources(one, other)


def test_requeried_every_step_is_a_first_step() -> None:
    predictions, searched = imagined(HYBRID, asked(3), "requery")
    assert bool(searched.all())
    reached = torch.cat([histories().latents.mu, means(predictions)], 1)
    for step in range(3):
        now = reached[:, step : step + 2]
        history = History(at_mean(now, torch.ones_like(now)), torch.ones(now.shape[:2]).bool())
        (first,), _ = imagine_latents(HYBRID, history, asked(3)[:, step : step + 1], None, torch.Generator())
        assert torch.equal(first.latents.mu, predictions[step].latents.mu)


def test_no_action_tells_of_steps_before_it() -> None:
    whole = means(imagined(HYBRID, asked(6))[0])
    for steps in (1, 3, 5):
        other = asked(6)
        other[:, steps:] = other[:, steps:].roll(1, 2)
        said = means(imagined(HYBRID, other)[0])
        assert torch.equal(said[:, :steps], whole[:, :steps])
        assert not torch.equal(said[:, steps:], whole[:, steps:])


def test_threads_without_anything_carried_on_are_as_recorded() -> None:
    """The prediction is the shares' mean of what the threads' own rows say, by loops."""
    rows = rows_of(*GLIDES)
    alone = Analogues(Panel(rows, (DIM,), AnalogueConfig(horizon=3, carry=False), make_index))
    predictions, _ = imagined(AnalogueDynamics(alone), asked(3))
    for prediction in predictions:
        for future in range(len(AHEAD[0])):
            mean = torch.zeros(DIM, dtype=torch.float64)
            for row, weight in zip(prediction.matches.rows[future], prediction.weights[future], strict=True):
                if int(row) >= 0:
                    mean += float(weight) * rows.latents.mu[int(row) + 1].double()
            assert torch.allclose(prediction.latents.mu[future].double(), mean, atol=1e-4)


def world(*lengths: int, config: HybridConfig | AnalogueConfig = QUICK) -> WorldModel:
    encoder = PixelEncoder()
    memory = Memory(LEFT_RIGHT, encoder)
    rng = np.random.default_rng(0)
    for number, length in enumerate(lengths):
        actions = rng.integers(0, 2, length).tolist()
        memory.append(walk(f"e{number}", 120, actions, lane=int(rng.integers(0, 9))), encoder)
    return WorldModel(encoder, memory, config)


FRAME = np.array([[[120], [3]]], np.uint8)


@pytest.mark.parametrize("lengths", [(1,), (3, 1, 4), (70,), (30, 1, 30, 1)])
def test_small_memories_answer_as_analogues_do(lengths: tuple[int, ...]) -> None:
    hybrid, plain = (world(*lengths, config=config).imagine(FRAME, [[1, 0, 1, 1]]) for config in (QUICK, SMALL))
    assert torch.equal(hybrid.latents.mu, plain.latents.mu)
    assert torch.equal(hybrid.latents.sigma, plain.latents.sigma)


def test_a_world_imagines_cites_and_is_stepped() -> None:
    model = world(*[40] * 6)
    made = model.prepare()
    assert isinstance(made, HybridDynamics)
    assert made.correction.network is not None
    assert model.usual_mode == "follow"
    actions = [[1, 0, 1, 1, 0, 1, 1]]
    rollout = model.imagine(FRAME, actions)
    assert rollout.frames is not None
    assert rollout.searched.tolist() == [[True, False, False, False, True, False, False]]
    assert bool(torch.isfinite(rollout.latents.mu).all())
    assert sum(c.weight for c in rollout.citations(0, 6)) == pytest.approx(1, abs=1e-5)
    assert torch.equal(rollout.latents.mu, world(*[40] * 6).imagine(FRAME, actions, seed=9).latents.mu)
    plain = world(*[40] * 6, config=SMALL)
    assert not torch.equal(rollout.latents.mu, plain.imagine(FRAME, actions).latents.mu)
    state = model.encode(FRAME)
    one, other = model.next(state, 1), plain.next(state, 1)
    assert torch.allclose(one.latents.mu, model.imagine(state, [[1]], decode=False).latents.mu[:, 0])
    assert_same_sources(one, other)
    asked_anew = model.imagine(FRAME, actions, mode="requery")
    assert bool(asked_anew.searched.all())
    with pytest.raises(MemworldError, match="use follow or requery"):
        model.imagine(FRAME, actions, mode="reanchor")


def test_what_is_remembered_later_is_trained_on_too() -> None:
    model = world(*[40] * 4)
    first = model.prepare()
    assert model.prepare() is first
    model.memory.append(walk("new", 120, [1, 0] * 20), model.encoder)
    assert model.prepare() is not first


def test_training_is_possible_where_nobody_wants_gradients() -> None:
    with torch.no_grad():
        rollout = world(*[40] * 4).imagine(FRAME, [[1]])
    assert not rollout.latents.mu.requires_grad


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden": 0},
        {"steps": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"weight_decay": -0.1},
        {"weight_decay": float("nan")},
        {"held_back": 0.0},
        {"held_back": 1.0},
        {"held_back": float("nan")},
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, float]) -> None:
    with one_clear_error(next(iter(wrong))):
        HybridConfig(**wrong)  # type: ignore[arg-type]


def test_it_has_a_name() -> None:
    assert named_dynamics("hybrid") == HybridConfig()
    with one_clear_error("hybrid has numbers of threads"):
        named_dynamics("hybrid", k=3)
    with one_clear_error("hybrid has numbers of threads"):
        named_dynamics("hybrid", conditioning="hard")
    with one_clear_error("hybrid"):
        named_dynamics("hybrids")
    Engine("exact", "cpu").check(HybridConfig())


def test_the_program_imagines_with_it(tmp_path: Path) -> None:
    data, encoder = open_dataset(RECORDED / "pong"), untrained_vae((64, 64, 3), (4,))
    memory = Memory(data.info, encoder)
    for number in range(40):  # short ones, of which a correction of few steps is learned soon
        whole, first = data[number % 2], number
        part, moments = slice(first, first + 3), slice(first, first + 4)
        assert whole.states is not None
        cut = Episode(
            f"part{number}",
            whole.observations[moments],
            whole.actions[part],
            whole.rewards[part],
            whole.terminations[part],
            whole.truncations[part],
            whole.states[moments],
        )
        memory.append(cut, encoder)
    WorldModel(encoder, memory).save(tmp_path / "memory")
    arguments = ["imagine", str(tmp_path / "memory"), str(RECORDED / "pong"), "--horizon", "3", "--strategy", "hybrid"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "t=3" in done.output
    refused = CliRunner().invoke(app, [*arguments, "--k", "3"])
    assert refused.exit_code == 2
    assert "leave out k" in refused.stderr
