"""A dream step by step is what imagining it all at once gives."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from memworld.actions import action_features
from memworld.contexts import recorded_history
from memworld.gaussian import seeded
from memworld.imagine import imagine_latents
from memworld.memory import Memory
from memworld.play.dream import LiveDream
from memworld.play.stage import Stage
from memworld.rollout import stack_predictions
from memworld.world_model import WorldModel
from tests.helpers import moving_square_dataset, one_clear_error, untrained_vae

SETTINGS: list[dict[str, Any]] = [
    {},
    {"decoding": "decoder", "context": 3},
    {"decoding": "frame"},
    {"mode": "requery", "context": 1},
    {"strategy": "hybrid"},
    {"strategy": "replay_l2", "rule": "mean", "k": 3},
    {"strategy": "replay_kl", "rule": "nearest", "decoding": "frame", "mode": "reanchor", "context": 2},
    {"strategy": "replay_kl", "rule": "sample", "k": 5, "conditioning": "none"},
    {"strategy": "rollout", "rule": "weighted", "mode": "follow", "conditioning": "soft"},
]


def asked(stage: Stage, *actions: int) -> list[torch.Tensor]:
    features = action_features(np.array(actions), stage.memory.info.action_space)
    return [torch.from_numpy(one[None]) for one in features]


@pytest.mark.parametrize("plain", SETTINGS, ids=str)
def test_steps_are_those_of_imagination(stage: Stage, plain: dict[str, Any]) -> None:
    settings, row, steps = stage.choices.settings(plain), stage.row(2, 4), 12
    actions = moving_square_dataset(episodes=6, steps=20)[2].actions[4 : 4 + steps]
    model, rows = stage.model(settings), stage.memory.rows
    history = recorded_history(rows, torch.tensor([row]), 3)
    features = torch.stack(asked(stage, *actions), 1)
    predictions, searched = imagine_latents(model.dynamics, history, features, settings.mode, seeded(0))
    latents, columns = stack_predictions(predictions)
    draws = (latents, stage.memory.frames([row]), columns["rows"], columns["weights"], predictions[0].squares)
    frames = model.world.painter.draw(settings.decoding, *draws)[0]

    dream = LiveDream(stage, settings, row)
    np.testing.assert_array_equal(dream.shown.frame, stage.memory.frames([row])[0])
    for step, action in enumerate(asked(stage, *actions)):
        shown, expected = dream.step(action), predictions[step]
        assert np.abs(shown.frame.astype(int) - frames[step]).max() <= 1  # the start was decoded in another batch
        assert shown.reward == float(expected.reward[0])
        assert shown.termination == float(expected.termination[0])
        itself = settings.strategy.startswith(("replay", "rollout")) and bool(
            (expected.matches.distances[0] == 0).any()
        )
        assert shown.support == (None if itself else float(expected.support[0]))
        assert ("found that very one" in shown.no_support) == itself
        assert shown.searched == bool(searched[0, step])
        np.testing.assert_array_equal(shown.place, stage.projection.places(expected.latents.mu)[0].numpy())
        shares: dict[tuple[int, int], float] = {}
        for cited, weight in zip(expected.matches.rows[0].tolist(), expected.weights[0].tolist(), strict=True):
            if cited >= 0:
                moment = stage.moment(cited)
                shares[moment] = shares.get(moment, 0) + weight
        told = [(stage.numbers[cited.episode], cited.step) for cited in shown.cited]
        np.testing.assert_allclose(
            [cited.weight for cited in shown.cited], [shares[moment] for moment in told], rtol=1e-5
        )
        assert sorted(shares.values(), reverse=True)[: len(told)] == pytest.approx([shares[moment] for moment in told])
    assert dream.total == pytest.approx(float(columns["rewards"].sum()))


def test_support_that_says_nothing_is_none(stage: Stage) -> None:
    walks = stage.choices.settings({"strategy": "replay_kl", "k": 1, "conditioning": "none"})
    dream = LiveDream(stage, walks, stage.row(2, 4))
    assert dream.shown.no_support.startswith("Nothing is predicted yet")
    for action in asked(stage, 0, 1, 2):  # each finds the row again that the step before has predicted
        shown = dream.step(action)
        assert (shown.support, shown.cited[0].distance) == (None, 0)
        assert "found that very one, at distance 0" in shown.no_support
    dream.change(stage.choices.settings({}))
    for action in asked(stage, 0, 1):
        assert dream.step(action).no_support == ""
    assert dream.shown.support is not None


def test_a_memory_of_one_episode_has_no_support() -> None:
    dataset = moving_square_dataset(episodes=1, steps=20)
    memory = Memory(dataset.info, encoder := untrained_vae((16, 16, 1), (4, 4, 4)))
    memory.extend(dataset, encoder)
    stage = Stage(WorldModel(encoder, memory))
    settings = {"strategy": "replay_l2", "conditioning": "hard", "rule": "mean"}
    dream = LiveDream(stage, stage.choices.settings(settings), stage.row(0, 2))
    other = next(action for action in range(4) if action != dataset[0].actions[2])
    shown = dream.step(asked(stage, other)[0])
    assert (shown.support, "single episode" in shown.no_support) == (None, True)


def test_other_settings_go_on_from_where_it_is(stage: Stage) -> None:
    dream = LiveDream(stage, stage.choices.settings({}), stage.row(0, 2))
    first, second, third = asked(stage, 1, 3, 0)
    dream.step(first)
    where = dream.shown
    settings = stage.choices.settings({"strategy": "replay_l2", "rule": "nearest", "k": 1, "conditioning": "none"})
    dream.change(settings)
    assert dream.shown is where
    dream.step(second)
    assert dream.settings == settings
    # The nearest row to where the dream was, of whatever action, and what followed it.
    rows = stage.memory.rows
    found = ((rows.latents.z[rows.candidates] - dream._history.latents.z[0, -2]) ** 2).sum(1).argmin()
    cited = dream.shown.cited[0]
    assert stage.memory.row_of(cited.episode, cited.step) == int(rows.candidates[found])
    dream.change(stage.choices.settings({"context": 3}))
    dream.step(third)


def test_a_branch_goes_its_own_way(stage: Stage) -> None:
    usual = stage.choices.settings({})
    dream = LiveDream(stage, usual, stage.row(0, 2))
    first, left, right = asked(stage, 3, 0, 1)
    dream.step(first)
    other = dream.branch(usual)
    assert other.shown is dream.shown
    dream.step(left)
    before = dream.shown.frame.copy()
    other.step(right)
    np.testing.assert_array_equal(dream.shown.frame, before)
    assert not np.array_equal(other.shown.place, dream.shown.place)
    assert other.branch(usual).total == other.total


def test_where_nothing_follows_there_is_no_start(stage: Stage) -> None:
    with one_clear_error("nothing follows step 20"):
        stage.start(0, 20)
    with one_clear_error("episodes 0 to 5, not 6"):
        stage.start(6, 0)
    with one_clear_error("steps 0 to 20, not 21"):
        stage.start(0, 21)
    assert stage.moment(stage.start(3, 19)) == (3, 19)


def test_a_memory_without_frames_shows_decoded_ones(frameless: Path) -> None:
    stage = Stage(WorldModel.open(frameless))
    dream = LiveDream(stage, stage.choices.settings({}), stage.row(1, 5))
    mu = stage.memory.rows.latents.mu[[stage.row(1, 5)]]
    np.testing.assert_array_equal(dream.shown.frame, stage.world.encoder.decode(mu)[0])
    assert dream.step(asked(stage, 1)[0]).frame.shape == (16, 16, 1)


def test_frames_that_were_read_are_kept_for_the_next_time(stage: Stage) -> None:
    rows = [5, 3, 5, 100]
    np.testing.assert_array_equal(stage.frames(rows), stage.memory.frames(rows))
    np.testing.assert_array_equal(stage.frames(rows[::-1]), stage.memory.frames(rows[::-1]))
    assert stage.frames([]).shape == (0, 16, 16, 1)


def test_models_are_shared_and_few_are_kept(memory: Path) -> None:
    stage = Stage(WorldModel.open(memory))
    one, other = (stage.model(stage.choices.settings({"decoding": how})) for how in ("blend", "frame"))
    assert one is other
    assert list((memory / "learned").glob("analogues-*.json"))  # for the next time
    dream = LiveDream(stage, stage.choices.settings({"strategy": "replay_l2", "k": 1}), stage.row(0, 0))
    for k in range(2, 12):
        stage.model(stage.choices.settings({"strategy": "replay_l2", "k": k}))
    assert len(stage._models) == 8
    assert dream.step(asked(stage, 0)[0]).cited
