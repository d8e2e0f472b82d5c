import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.contexts import end_to_end, recent_moments, rows_back
from memworld.dynamics import DynamicsConfig
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.gaussian import DISTANCES, Latents, at_mean
from memworld.memory import Memory
from memworld.rollout import History, Past
from memworld.world_model import WorldModel
from tests.analogues.toys import rows_of
from tests.helpers import LEFT_RIGHT, PixelEncoder, walk


@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4), count=st.integers(1, 4))
def test_no_context_reaches_across_an_episode_s_start(lengths: list[int], count: int) -> None:
    rows = rows_of([torch.zeros(n + 1, 2) for n in lengths], [torch.zeros(n, 1) for n in lengths])
    every = torch.arange(len(rows.steps))
    back = rows_back(rows, every, count)
    for row in every.tolist():
        literal = []
        for steps in range(count):
            earlier = row - steps
            inside = earlier >= 0 and rows.episodes[earlier] == rows.episodes[row]
            literal.append(earlier if inside else int(torch.nonzero(rows.episodes == rows.episodes[row])[0]))
        assert back[row].tolist() == literal


def test_recent_moments_are_the_known_ones_and_the_earliest_of_them_for_those_before() -> None:
    mu = torch.arange(8.0).reshape(2, 4, 1)
    history = History(at_mean(mu, mu + 1), torch.tensor([[True] * 4, [False, False, True, True]]))
    for count, expected in (
        (1, [[3], [7]]),
        (3, [[3, 2, 1], [7, 6, 6]]),
        (5, [[3, 2, 1, 0, 0], [7, 6, 6, 6, 6]]),
    ):
        recent = recent_moments(history, count)
        assert recent.mu[..., 0].tolist() == expected
        assert torch.equal(recent.sigma, recent.mu + 1)
    assert recent_moments(History.of(history.present), 2).mu[..., 0].tolist() == [[3, 3], [7, 7]]


def world(*episodes: Episode, **given: object) -> WorldModel:
    encoder = PixelEncoder(sigma=0.01)
    memory = Memory(LEFT_RIGHT, encoder)
    memory.extend(episodes, encoder)
    return WorldModel(encoder, memory, DynamicsConfig(**{"conditioning": "none", **given}))  # type: ignore[arg-type]


def frame(position: int) -> np.ndarray:
    return np.array([[[position], [0]]], np.uint8)


def past(*positions: int) -> Past:
    frames = np.stack([frame(position) for position in positions])[None]
    return Past(frames, np.zeros((1, len(positions)), np.int64), np.ones((1, len(positions)), bool))


@pytest.mark.parametrize("strategy", ["replay_l2", "replay_kl"])
@pytest.mark.parametrize("mode", ["requery", "follow"])
def test_a_context_tells_which_way_things_move(strategy: str, mode: str) -> None:
    """Both walks pass every place, to opposite sides."""
    to_right, to_left = walk("right", 50, [1] * 8), walk("left", 130, [0] * 8)
    model = world(to_right, to_left, strategy=strategy, k=1, rule="nearest", context=(1.0, 1.0))
    for before, expected in ((80, [100, 110, 120]), (100, [80, 70, 60])):
        rollout = model.imagine(frame(90), [[0, 0, 0]], past=past(before), mode=mode)  # type: ignore[arg-type]
        assert rollout.frames is not None
        assert rollout.frames[0, :, 0, 0, 0].tolist() == expected


def test_weights_say_how_much_a_moment_counts() -> None:
    near, same_way = walk("near", 100, [0, 0, 0]), walk("way", 74, [1, 1, 1])
    for weight, expected in ((0.01, "near"), (10.0, "way")):
        model = world(near, same_way, strategy="replay_l2", k=1, rule="nearest", context=(1.0, weight))
        prediction = model.imagine(frame(91), [[0]], past=past(81))
        assert prediction.citations(0, 0)[0].episode == expected


@settings(max_examples=20)
@given(strategy=st.sampled_from(["replay_l2", "replay_kl"]), seed=st.integers(0, 99), count=st.integers(1, 3))
def test_distances_are_the_weighted_sums_over_the_moments(strategy: str, seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    context = tuple(float(w) for w in rng.uniform(0.1, 2, count))
    episodes = [walk(f"e{i}", 120, rng.integers(0, 2, 5).tolist()) for i in range(3)]
    model = world(*episodes, strategy=strategy, k=4, context=context)
    rows = model.memory.rows
    history = Latents(*(torch.from_numpy(rng.uniform(90, 150, (2, count, 2)).astype(np.float32)) for _ in range(3)))
    matches = model.lookup.retrieve(end_to_end(history), torch.zeros(2, 2))
    distance = DISTANCES[model.lookup.settings.metric]
    for query in range(2):
        literal = []
        for row in rows.candidates.tolist():
            back = rows_back(rows, torch.tensor([row]), count)[0]
            terms = [
                weight * float(distance(history[query, i].double(), rows.latents[back[i]].double()))
                for i, weight in enumerate(context)
            ]
            literal.append(sum(terms))
        assert matches.distances[query].tolist() == pytest.approx(sorted(literal)[:4], rel=1e-6)


def test_settings_of_a_context_that_mean_nothing_are_refused() -> None:
    for context in ((), (1.0, 0.0), (1.0, -1.0), (float("nan"),), (float("inf"),)):
        with pytest.raises(MemworldError, match="context"):
            DynamicsConfig(context=context)
    encoder = PixelEncoder()
    memory = Memory(LEFT_RIGHT, encoder)
    with pytest.raises(MemworldError, match="approximate"):
        WorldModel(encoder, memory, DynamicsConfig(context=(1.0, 0.5)), index="approximate")


def test_what_is_in_force_tells_of_the_context() -> None:
    model = world(walk("e", 100, [1, 1]), context=(1.0, 0.5))
    assert "of 2 moments" in model.dynamics.about
