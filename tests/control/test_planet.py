"""PlaNet's way to act, with a network that was trained on a square which actions move; reward lies at the left edge."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from memworld.baselines.config import BaselineTraining
from memworld.baselines.model import TrainedBaseline
from memworld.baselines.rssm import RSSMConfig
from memworld.control.planet import planet_policy
from memworld.plan import PlanConfig
from memworld.rollout import Past
from tests.baselines.toys import HELD_OUT, SHAPE, train
from tests.helpers import one_clear_error

LEFT = 0
PLAN = PlanConfig("cem", horizon=8, candidates=64, iterations=2, commit=2)
RSSM = RSSMConfig(stochastic=8, deterministic=32, hidden=32, free_nats=1.0, length=12, samples=0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TrainedBaseline:
    """Trained for a few seconds."""
    how = BaselineTraining(steps=300, batch_size=16, learning_rate=3e-3, validate_every=100, seed=0)
    return train(tmp_path_factory.mktemp("planet") / "rssm", how, RSSM, name="rssm_latents")


def frame_of(x: int) -> np.ndarray:
    """The square in column x."""
    frame = np.full(SHAPE, 20, np.uint8)
    frame[2:4, x : x + 2] = 230
    return frame


def test_outcomes_are_those_of_imagination(model: TrainedBaseline) -> None:
    episode = HELD_OUT[0]
    actions, past = episode.actions[None, 5:11], Past.of(episode, np.array([5]), 4)
    imagined = model.imagine(episode.observations[5], actions, past=past, seed=3, decode=False)
    rewards, termination = model.foretell(episode.observations[5], past=past, seed=3)(actions)
    assert torch.equal(rewards, imagined.rewards)
    assert torch.equal(termination, imagined.termination)


def test_outcomes_are_those_of_a_single_future_drawn(model: TrainedBaseline, monkeypatch: pytest.MonkeyPatch) -> None:
    frame, actions = HELD_OUT[0].observations[5], HELD_OUT[0].actions[None, 5:11]

    def drawing(samples: int) -> None:
        monkeypatch.setattr(model.network, "config", dataclasses.replace(RSSM, samples=samples))

    drawing(1)
    single = model.imagine(frame, actions, seed=3, decode=False).rewards
    drawing(8)
    assert torch.equal(model.foretell(frame, seed=3)(actions)[0], single)
    assert not torch.equal(model.imagine(frame, actions, seed=3, decode=False).rewards, single)


def test_a_network_without_outcomes_is_refused(tmp_path: Path) -> None:
    gru = train(tmp_path / "gru")
    with one_clear_error("plan with PlaNet's RSSM"):
        gru.foretell(frame_of(0))


def test_it_goes_where_reward_is_said_to_be(model: TrainedBaseline) -> None:
    gathered = []
    for seed in range(8):
        policy, x = planet_policy(model, PLAN)(np.random.default_rng(seed)), 4
        for _ in range(16):
            action = int(policy(frame_of(x), {}))
            x = int(np.clip(x + (-1 if action == LEFT else action == 1), 0, 6))
            gathered.append(x == 0)
    # At random it is at the edge in 4% of the steps.
    assert np.mean(gathered) > 0.4, np.mean(gathered)


def test_the_same_seed_acts_alike_and_commits(model: TrainedBaseline) -> None:
    frames = [frame_of(x) for x in (4, 3, 3, 2, 1)]
    runs = []
    for _ in range(2):
        policy = planet_policy(model, PLAN)(np.random.default_rng(1))
        runs.append([int(policy(frame, {})) for frame in frames])
        assert len(policy.decision_seconds) == 3  # type: ignore[attr-defined]
    assert runs[0] == runs[1]
