"""Acting by what was done in moments like the present."""

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete

from memworld.actions import ActionSpace
from memworld.analogues.threads import log_kernel
from memworld.datasets import DatasetInfo
from memworld.episodes import Episode
from memworld.gaussian import draw
from memworld.memory import Memory
from memworld.plan import PlanConfig, planning_policy
from memworld.plan.cloning import NEIGHBOURS, BehaviourPolicy
from memworld.world_model import WorldModel
from tests.helpers import PixelEncoder
from tests.plan.toys import PLANS

SHAPE = (1, 2, 1)


def noise(space: ActionSpace, sigma: float = 2.0) -> WorldModel:
    """Episodes of three steps whose pictures and actions are drawn by chance."""
    rng, encoder = np.random.default_rng(0), PixelEncoder(SHAPE, sigma)
    memory = Memory(DatasetInfo(SHAPE, space), encoder)
    for number in range(15):
        frames = rng.integers(0, 256, (4, *SHAPE), np.uint8)
        discrete = isinstance(space, Discrete)
        actions = rng.integers(5, 8, 3) if discrete else rng.uniform(-1, 1, (3, 2)).astype(np.float32)
        last = np.arange(3) == 2
        memory.append(Episode(f"e{number}", frames, actions, np.ones(3), last & False, last), encoder)
    return WorldModel(encoder, memory, PLANS)


@pytest.mark.parametrize("space", [Discrete(3, start=5), Box(-1, 1, (2,))])
def test_the_nearest_moments_vote_by_a_kernel_of_their_distances(space: ActionSpace) -> None:
    world = noise(space)
    policy = planning_policy(world, PlanConfig(planner="vinn"))(np.random.default_rng(0))
    rows = world.memory.rows
    every = np.concatenate([np.concatenate([e.actions, e.actions[:1]]) for e in world.memory.episodes])
    for seed in range(8):
        frame = np.random.default_rng(100 + seed).integers(0, 256, SHAPE, np.uint8)
        z = draw(*world.encoder.encode(frame[None]), torch.Generator().manual_seed(0)).z
        distances = (rows.latents.z - z).double().square().sum(1)
        distances[~rows.has_successor] = torch.inf
        nearest = distances.argsort()[:NEIGHBOURS]
        weights = log_kernel(distances[nearest], torch.ones(NEIGHBOURS, dtype=torch.bool)).exp().numpy()
        taken = every[nearest.numpy()]
        action = policy(frame, {})
        if isinstance(space, Discrete):
            votes = {choice: weights[taken == choice].sum() for choice in set(taken.tolist())}
            assert votes[int(action)] == max(votes.values())
        else:
            assert action == pytest.approx((weights / weights.sum()) @ taken, rel=1e-4)


def test_of_the_behaviour_s_moments_the_latest_come_first() -> None:
    world = noise(Discrete(3, start=5))
    seen: list[torch.Tensor] = []

    class Recorder:
        def draw(self, recent: torch.Tensor, rng: np.random.Generator) -> np.ndarray:
            seen.append(recent)
            return np.array([6])

    policy = BehaviourPolicy(world, Recorder(), np.random.default_rng(0))  # type: ignore[arg-type]
    frames = [np.full(SHAPE, light, np.uint8) for light in (10, 20, 30)]
    assert [policy(frame, {}).tolist() for frame in frames] == [6, 6, 6]
    assert [recent[0, :, 0].tolist() for recent in seen] == [[10], [20, 10], [30, 20]]
    assert len(policy.decision_seconds) == 3
    assert policy.support == []
