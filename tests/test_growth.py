"""Worlds whose memory grows: they answer as if it had been so from the start, and index only what is new."""

import itertools
from collections.abc import Sequence

import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld import engine
from memworld.analogues import AnalogueConfig, AnalogueDynamics
from memworld.analogues.motion import Motion
from memworld.datasets import DatasetInfo
from memworld.dynamics import DynamicsConfig
from memworld.engine import DynamicsSettings, Engine
from memworld.episodes import Episode
from memworld.gaussian import at_mean
from memworld.hybrid import HybridConfig, HybridDynamics
from memworld.imagine import Dynamics, Mode, imagine_latents
from memworld.learned import learned
from memworld.memory import Memory
from memworld.pictures import Blend
from memworld.rollout import History, Prediction
from memworld.search import Candidates
from memworld.search.exact import ExactIndex
from memworld.search.growing import Run
from memworld.support import MOST_GROWTH
from memworld.world_model import WorldModel
from tests.analogues.toys import glide, make_index, rows_of
from tests.helpers import PixelEncoder

SHAPE = (4, 4, 1)
STEPS = 6


class GridEncoder(PixelEncoder):
    """Its latents are the pixels in their grid, the brighter the less sure."""

    def __init__(self) -> None:
        super().__init__(SHAPE)
        self.latent_shape = (1, 4, 4)

    def encode(self, frames: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        mu, _ = super().encode(frames)
        return mu, 2 + mu / 50


ENCODER = GridEncoder()
ACTIONS = gymnasium.spaces.Discrete(3)
ANALOGUES = AnalogueConfig(horizon=4)


def drift(number: int, steps: int) -> Episode:
    """A smooth picture that its actions push about."""
    rng = np.random.default_rng(number)
    actions = rng.integers(0, 3, steps)
    phase = rng.uniform(0, 6, (1, 16)) + np.cumsum(np.r_[0, 0.3 * actions])[:, None]
    frames = (127 + 100 * np.sin(phase + np.arange(16) ** 2)).round().astype(np.uint8).reshape(-1, *SHAPE)
    last = np.arange(steps) == steps - 1
    return Episode(f"e{number}", frames, actions, rng.normal(size=steps).astype(np.float32), last, last & False)


def memory_of(lengths: Sequence[int], first: int = 0) -> Memory:
    memory = Memory(DatasetInfo(SHAPE, ACTIONS), ENCODER)
    append(memory, lengths, first)
    return memory


def append(memory: Memory, lengths: Sequence[int], first: int) -> None:
    memory.extend([drift(first + number, steps) for number, steps in enumerate(lengths)], ENCODER)


def predicted(dynamics: Dynamics, mode: Mode | None = None) -> list[Prediction]:
    """What a dynamics says of six futures, two of which begin in memory."""
    pasts = [drift(number, 9).observations[:3] for number in (0, 1, 100, 101, 102, 103)]
    mu = torch.stack([ENCODER.encode(past)[0] for past in pasts])
    history = History(at_mean(mu, torch.full_like(mu, 4.0)), torch.ones(mu.shape[:2], dtype=torch.bool))
    actions = torch.eye(3, dtype=torch.float64)[torch.arange(6 * STEPS).reshape(6, STEPS) % 3] / 2**0.5
    return imagine_latents(dynamics, history, actions, mode, torch.Generator().manual_seed(0))[0]


def assert_same(one: list[Prediction], other: list[Prediction]) -> None:
    """To the last bit."""
    for a, b in zip(one, other, strict=True):
        for name in ("mu", "sigma", "z"):
            assert torch.equal(getattr(a.latents, name), getattr(b.latents, name))
        for left, right in zip(a.matches.columns, b.matches.columns, strict=True):
            assert torch.equal(left, right)
        for name in ("reward", "termination", "weights"):
            assert torch.equal(getattr(a, name), getattr(b, name))
        torch.testing.assert_close(a.support, b.support, rtol=0, atol=0, equal_nan=True)


def assert_close(one: list[Prediction], other: list[Prediction]) -> None:
    """The same rows, and what products of other sizes round to."""
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a.matches.rows, b.matches.rows)
        for name in ("mu", "sigma"):
            assert torch.allclose(getattr(a.latents, name), getattr(b.latents, name), rtol=1e-4, atol=1e-2)
        assert torch.allclose(a.weights, b.weights, atol=1e-4)


@pytest.fixture
def indexed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows every index is made of."""
    sizes: list[int] = []

    class Counted(ExactIndex):
        def __init__(self, metric: str, candidates: Candidates, **options: object) -> None:
            sizes.append(len(candidates))
            super().__init__(metric, candidates, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "ExactIndex", Counted)
    return sizes


PAPER = [
    DynamicsConfig("rollout", conditioning="none"),
    DynamicsConfig("rollout", context=(1.0, 0.5), rule="weighted"),
    DynamicsConfig("replay_l2", k=4, conditioning="soft"),
    DynamicsConfig("replay_l2", k=4, conditioning="hard", context=(1.0, 1.0)),
    DynamicsConfig("replay_kl", conditioning="none"),
    DynamicsConfig("replay_kl", k=3, conditioning="hard", rule="mean"),
    DynamicsConfig("replay_kl", k=2, metric="kl_query_stored", conditioning="soft", context=(1.0, 0.3, 0.1)),
]


@pytest.mark.parametrize("dynamics", PAPER, ids=lambda d: f"{d.strategy}-{d.conditioning}-{len(d.context)}")
@settings(max_examples=12)
@given(
    first=st.lists(st.integers(2, 12), min_size=2, max_size=4),
    later=st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=2), max_size=3),
    mode=st.sampled_from(["requery", "follow"]),
)
def test_a_strategy_of_the_paper_answers_as_if_memory_had_always_been_so(
    dynamics: DynamicsConfig, first: list[int], later: list[list[int]], mode: Mode
) -> None:
    memory = memory_of(first)
    world = WorldModel(ENCODER, memory, dynamics, device="cpu")
    for lengths in later:
        predicted(world.prepare(), mode)
        append(memory, lengths, len(memory.ids))
    whole = WorldModel(ENCODER, memory_of([*first, *itertools.chain(*later)]), dynamics, device="cpu")
    whole.prepare()
    world.prepare()
    whole.lookup.support = world.lookup.support
    assert_same(predicted(world.prepare(), mode), predicted(whole.prepare(), mode))


@pytest.mark.parametrize("dynamics", PAPER, ids=lambda d: f"{d.strategy}-{d.conditioning}-{len(d.context)}")
def test_only_what_is_new_is_indexed(indexed: list[int], dynamics: DynamicsConfig) -> None:
    memory = memory_of([40, 40, 40])
    world = WorldModel(ENCODER, memory, dynamics, device="cpu")
    world.prepare()
    for lengths in ([5], [9], [9, 9]):
        append(memory, lengths, len(memory.ids))
        world.prepare()
    assert indexed == [120, 5, 14, 32]


def test_after_a_removal_all_is_indexed_anew(indexed: list[int]) -> None:
    memory = memory_of([40, 40, 40])
    world = WorldModel(ENCODER, memory, PAPER[0], device="cpu")
    world.prepare()
    memory.remove(["e1"])
    append(memory, [50], 3)
    found = predicted(world.prepare())
    assert indexed == [120, 130]
    assert_same(found, predicted(WorldModel(ENCODER, memory, PAPER[0], device="cpu").prepare()))


def test_support_is_measured_anew_after_a_quarter_and_where_there_was_none() -> None:
    memory = memory_of([40])
    world = WorldModel(ENCODER, memory, PAPER[4], device="cpu")
    world.prepare()
    assert len(world.lookup.support.distances) == 0
    append(memory, [3], 1)
    world.prepare()
    measured = world.lookup.support
    assert len(measured.distances) == 43
    append(memory, [7], 2)
    world.prepare()
    assert len(memory) == 53 <= MOST_GROWTH * 45
    assert world.lookup.support is measured
    append(memory, [3], 3)
    world.prepare()
    assert world.lookup.support.rows == len(memory) == 57
    assert len(world.lookup.support.distances) == 53


def build(world: WorldModel) -> AnalogueDynamics:
    """What a world follows, with the fit that it has, built of all rows at once."""
    made = world.prepare()
    whole = Engine("exact", "cpu").build(world.dynamics, world.memory.rows, (1, 4, 4), known=learned(made))
    assert isinstance(whole, AnalogueDynamics)
    return whole


@settings(max_examples=8)
@given(
    later=st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=2), min_size=1, max_size=3),
    mode=st.sampled_from(["requery", "follow"]),
)
def test_analogues_answer_as_if_memory_had_always_been_so(later: list[list[int]], mode: Mode) -> None:
    memory = memory_of([40, 40, 40, 40, 40])
    world = WorldModel(ENCODER, memory, ANALOGUES, device="cpu")
    fit = learned(world.prepare())
    for lengths in later:
        append(memory, lengths, len(memory.ids))
        world.prepare()
    made = world.prepare()
    assert isinstance(made, AnalogueDynamics)
    # There is room for a quarter of 205 rows.
    assert (learned(made) == fit) == (len(memory) <= 256)
    whole = build(world)
    assert_close(predicted(made, mode), predicted(whole, mode))
    assert torch.allclose(made.analogues.own_variance, whole.analogues.own_variance, rtol=1e-6)


@pytest.mark.parametrize("config", [ANALOGUES, HybridConfig(ANALOGUES, hidden=8, steps=12)])
def test_of_analogues_too_only_what_is_new_is_indexed(indexed: list[int], config: DynamicsSettings) -> None:
    memory = memory_of([40, 40, 40, 40])
    world = WorldModel(ENCODER, memory, config, device="cpu")
    made = world.prepare()
    state = world.encode(drift(50, 3).observations[0])
    world.next(state, [1])  # Nothing is known of what went before, so that motion is looked up as well.
    # The whole is searched twice, the quarters once, and motion.
    assert indexed == [160] * 7
    indexed.clear()
    append(memory, [12], 4)
    world.next(state, [1])
    assert indexed == [12] * 7
    grown = world.prepare()
    assert isinstance(grown, type(made))
    if isinstance(grown, HybridDynamics) and isinstance(made, HybridDynamics):
        assert grown.correction is made.correction
    indexed.clear()
    append(memory, [40], 5)  # By more than a quarter: learned anew, so that all keys are others.
    world.next(state, [1])
    assert indexed == [212] * 7


def test_motion_grows_as_well_whenever_it_is_asked_for(indexed: list[int]) -> None:
    memory = memory_of([40, 40, 40, 40])
    world = WorldModel(ENCODER, memory, ANALOGUES, device="cpu")
    state = world.encode(drift(50, 3).observations[0])
    world.next(state, [1])
    indexed.clear()
    for number in (4, 5):  # Twice without that it is asked for.
        append(memory, [6], number)
        world.prepare()
    assert indexed == [6] * 6 + [12] * 6
    world.next(state, [1])
    assert indexed[12:] == [12]


@given(lengths=st.lists(st.integers(1, 9), min_size=2, max_size=6), context=st.integers(1, 4), cut=st.integers(1, 5))
def test_what_moves_is_told_as_if_memory_had_always_been_so(lengths: list[int], context: int, cut: int) -> None:
    tracks = [glide(1, steps, 5, seed) for seed, steps in enumerate(lengths)]
    rows = rows_of([means[0] for means, _ in tracks], [actions[0] for _, actions in tracks])
    cut = min(cut, len(lengths) - 1)
    then = Run.of(rows, 0, int((rows.episodes < cut).sum())).rows
    first, alike = (Motion(then, context, 0, make_index) for _ in range(2))
    alike._index = type(alike._index)([], 0)
    grown, whole = (Motion(rows, context, 0, make_index, earlier) for earlier in (first, alike))
    present = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(grown.before(present), whole.before(present), atol=1e-5)


def test_a_single_episode_that_is_joined_by_others_is_no_longer_cut_into_pieces() -> None:
    """What is left out of a search is then an episode, so that all is indexed anew."""
    memory = memory_of([230])
    world = WorldModel(ENCODER, memory, ANALOGUES, device="cpu")
    world.prepare()
    append(memory, [20, 9], 1)
    made = world.prepare()
    assert isinstance(made, AnalogueDynamics)
    whole = build(world)
    assert_close(predicted(made), predicted(whole))
    for dynamics in (made, whole):
        rows, _ = dynamics.analogues.recall([1], 30)
        found = dynamics.analogues.panel.find(
            memory.rows.latents.mu[rows][:, None].expand(-1, 2, -1), memory.rows.episodes[rows]
        )
        assert all(bool((memory.rows.episodes[f.rows] != memory.rows.episodes[rows][:, None]).all()) for f in found)


def test_how_pictures_are_blended_is_kept_with_what_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = memory_of([40, 40, 40, 40])
    world = WorldModel(ENCODER, memory, ANALOGUES, device="cpu")
    chosen: list[Blend] = []
    fit = Blend.fit

    def counted(*arguments: object) -> Blend:
        chosen.append(fit(*arguments))  # type: ignore[arg-type]
        return chosen[-1]

    monkeypatch.setattr(Blend, "fit", counted)
    frame, actions = drift(50, 3).observations[0], [[1, 2]]
    world.imagine(frame, actions)
    append(memory, [12], 4)
    world.imagine(frame, actions)
    assert len(chosen) == 1
    memory.remove(["e0"])
    world.imagine(frame, actions)
    assert len(chosen) == 2
