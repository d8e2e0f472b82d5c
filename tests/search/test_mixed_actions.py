"""Actions that are chosen in part and measured in part: hard where discrete, soft where continuous."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.actions import action_features, as_actions, discrete_features
from memworld.datasets import DatasetInfo, EpisodeDataset
from memworld.dynamics import DynamicsConfig
from memworld.episodes import Episode
from memworld.gaussian import DISTANCES, Latents
from memworld.imagine import MODES
from memworld.memory import Memory
from memworld.search import Candidates, Index, Query
from memworld.search.approximate import ApproximateIndex
from memworld.search.exact import ExactIndex
from memworld.world_model import WorldModel
from tests.helpers import PixelEncoder, literal_distances, literal_nearest
from tests.search.trajectories import ACTIONS, asked_actions, candidates_of, trajectories

SPACE = Dict({"attack": Discrete(2), "camera": Box(-10, 10, (2,)), "item": Discrete(3)})
METRICS = sorted(DISTANCES)


def latents_of(rng: np.random.Generator, rows: int) -> Latents:
    mu, sigma = rng.normal(size=(rows, 3)), np.exp(rng.uniform(-1, 0, (rows, 3)))
    return Latents(*(torch.from_numpy(x.astype(np.float32)) for x in (mu, sigma, mu + sigma)))


def actions_of(rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
    return {
        "attack": rng.integers(2, size=rows),
        "camera": rng.uniform(-10, 10, (rows, 2)),
        "item": rng.integers(3, size=rows),
    }


def features(actions: dict[str, np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(action_features(as_actions(actions, SPACE), SPACE))


@pytest.mark.parametrize("kind", ["exact", "by_action", "approximate"])
@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=15)
@given(seed=st.integers(0, 2**31), weight=st.sampled_from([0.0, 0.3, 50.0]), k=st.integers(1, 9))
def test_mixed_conditioning_is_the_literal_filter_and_penalty(
    kind: str, metric: str, seed: int, weight: float, k: int
) -> None:
    rng = np.random.default_rng(seed)
    stored, query, taken, asked = latents_of(rng, 400), latents_of(rng, 5), actions_of(rng, 400), actions_of(rng, 5)
    discrete = torch.from_numpy(discrete_features(SPACE))
    candidates = Candidates(stored, torch.arange(400), torch.arange(400) // 50, features(taken), discrete)
    index: Index
    if kind == "approximate":
        index = ApproximateIndex(metric, candidates)
    else:
        index = ExactIndex(metric, candidates, by_action=kind == "by_action")
    same = (asked["attack"][:, None] == taken["attack"]) & (asked["item"][:, None] == taken["item"])
    # Half the camera's range is 10, and features of actions are stored as float32 numbers.
    turned = (asked["camera"].astype(np.float32)[:, None] - taken["camera"].astype(np.float32)).astype(np.float64) / 10
    costs = literal_distances(metric, query, stored) + weight * (turned**2).sum(2)
    found = index.nearest(Query(query, features(asked), "mixed", weight), k)
    rows, expected = literal_nearest(costs, same, k)
    assert (found.rows.numpy() == rows).mean() > 0.99  # a tie within rounding may fall the other way
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(found.found.numpy(), finite)
    np.testing.assert_allclose(found.costs.numpy()[finite], expected[finite], rtol=1e-5, atol=1e-5)
    best = index.nearest_per_episode(Query(query, features(asked), "mixed", weight))
    for q, row in enumerate(best.rows.numpy()):
        for answered in row[row >= 0]:
            episode = answered // 50
            own = np.flatnonzero(same[q] & (np.arange(400) // 50 == episode))
            assert costs[q, answered] == pytest.approx(costs[q, own].min(), rel=1e-5, abs=1e-5)
        assert (row >= 0).sum() == len(set((np.flatnonzero(same[q]) // 50).tolist()))


@pytest.mark.parametrize(("columns", "name"), [(slice(0, 2), "hard"), (slice(2, 4), "soft")])
def test_of_one_kind_of_choice_mixed_is_hard_or_soft(columns: slice, name: Any) -> None:
    rng = np.random.default_rng(0)
    stored, query = latents_of(rng, 200), latents_of(rng, 4)
    taken, asked = features(actions_of(rng, 200))[:, columns], features(actions_of(rng, 4))[:, columns]
    discrete = torch.from_numpy(discrete_features(SPACE))[columns]
    candidates = Candidates(stored, torch.arange(200), torch.arange(200) // 50, taken, discrete)
    for index in (ExactIndex("l2", candidates), ApproximateIndex("l2", candidates)):
        mixed, own = (index.nearest(Query(query, asked, how, 0.7), 5) for how in ("mixed", name))
        np.testing.assert_array_equal(mixed.rows, own.rows)
        np.testing.assert_array_equal(mixed.costs, own.costs)


def episode(id: str, pixels: list[int], actions: dict[str, list[Any]]) -> Episode:
    """Frames of one grey each."""
    frames = np.repeat(np.array(pixels, np.uint8)[:, None, None, None], 64, 1).reshape(-1, 8, 8, 1)
    steps = len(pixels) - 1
    end = np.arange(steps) == steps - 1
    return Episode(id, frames, as_actions(actions, SPACE), np.zeros(steps), ~end & end, end)


def test_a_world_of_mixed_actions() -> None:
    info = DatasetInfo((8, 8, 1), SPACE)
    still: dict[str, list[Any]] = {"camera": [[0.0, 0.0]] * 2, "item": [0, 0]}
    episodes = [
        episode("hit", [100, 150, 200], {"attack": [1, 1], **still}),
        episode("left", [100, 90, 80], {"attack": [0, 0], "camera": [[0.0, -9.0]] * 2, "item": [0, 0]}),
        episode("right", [100, 120, 140], {"attack": [0, 0], "camera": [[0.0, 9.0]] * 2, "item": [0, 0]}),
    ]
    encoder = PixelEncoder((8, 8, 1))
    memory = Memory(info, encoder)
    memory.extend(EpisodeDataset.from_episodes(info, episodes), encoder)
    world = WorldModel(encoder, memory, DynamicsConfig("replay_l2", k=1, rule="nearest"))
    assert world.lookup.settings.conditioning == "mixed"
    start = episodes[0].observations[0]

    def led_to(attack: int, yaw: float, item: int = 0) -> int:
        action = {"attack": attack, "camera": [0.0, yaw], "item": item}
        prediction = world.next(world.encode(start), action)
        return int(world.decode(prediction.latents)[0].mean().round())

    assert (led_to(1, 0.0), led_to(0, -5.0), led_to(0, 5.0)) == (150, 90, 120)
    # No row has this choice: nothing is known, the state stays, and support is the worst.
    unknown = world.next(world.encode(start), {"attack": 1, "camera": [0.0, 0.0], "item": 2})
    assert float(unknown.support[0]) == 1.0
    assert led_to(1, 0.0, item=2) == 100
    # Sequences, of a mapping and in the stored form, followed and searched for again.
    asked = {"attack": [[0, 0]], "camera": [[[0.0, 7.0]] * 2], "item": [[0, 0]]}
    for mode in MODES:
        for actions in (asked, as_actions(asked, SPACE)):
            rollout = world.imagine(start, actions, mode=mode)
            assert rollout.frames is not None
            assert [round(float(frame.mean())) for frame in rollout.frames[0]] == [120, 140]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("per_episode", [False, True])
def test_mixed_conditioning_by_codes(metric: str, per_episode: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a choice has too many rows to search them exactly, codes find candidates and penalties rank them."""
    rng = np.random.default_rng(1)
    plain = candidates_of(trajectories(rng, 100, 251, 24), 251)
    turned = torch.from_numpy(rng.uniform(-1, 1, (len(plain), 2)))
    discrete = torch.tensor([True] * ACTIONS + [False] * 2)
    candidates = replace(plain, actions=torch.cat([plain.actions, turned], 1), discrete=discrete)
    latents = trajectories(np.random.default_rng(2), 8, 16, 24)
    asked = torch.cat([asked_actions(128), torch.from_numpy(rng.uniform(-1, 1, (128, 2)))], 1)
    index, exact = ApproximateIndex(metric, candidates), ExactIndex(metric, candidates, device="cpu")
    assert index.codes == "proxy"
    monkeypatch.setattr("memworld.search.approximate.index._EXACT_UP_TO", 5000)  # a choice has about 8,300 rows
    weight = float(exact.nearest(Query(latents), 1).distances.median())
    query = Query(latents, asked, "mixed", weight, torch.arange(128) % 8 - 1)
    if per_episode:
        found, expected = index.nearest_per_episode(query), exact.nearest_per_episode(query)
        assert torch.equal(found.shortfall, expected.shortfall)
    else:
        found, expected = index.nearest(query, 10), exact.nearest(query, 10)
    place = torch.searchsorted(candidates.rows, found.rows.clamp(min=0))
    assert bool((candidates.actions[place][..., :ACTIONS] == asked[:, None, :ACTIONS]).all(2)[found.found].all())
    penalties = weight * ((candidates.actions[place][..., ACTIONS:] - asked[:, None, ACTIONS:]) ** 2).sum(2)
    torch.testing.assert_close(found.penalties[found.found], penalties[found.found])
    hit = (expected.rows[:, :, None] == found.rows[:, None, :]).any(2)
    assert float(hit[expected.found].double().mean()) >= (0.9 if per_episode else 0.98)
