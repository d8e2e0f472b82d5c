from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memworld.analogues import AnalogueConfig
from memworld.dynamics import DynamicsConfig
from memworld.engine import Engine
from memworld.hybrid import HybridConfig
from memworld.memory import Memory
from memworld.play.settings import Choices
from memworld.store import open_memory
from tests.envs.toys import SPACES, noise
from tests.helpers import one_clear_error, unless_refused


@pytest.fixture(scope="module")
def choices(memory: Path) -> Choices:
    return Choices(open_memory(memory))


def test_what_is_left_out_is_as_usual(choices: Choices) -> None:
    usual = choices.settings({})
    assert usual.to_json() == {"strategy": "analogues", "mode": "follow", "decoding": "blend", "context": 2}
    assert usual.dynamics == AnalogueConfig()
    assert choices.settings({"strategy": "hybrid"}).dynamics == HybridConfig()
    paper = choices.settings({"strategy": "replay_l2", "k": 3, "context": 2})
    assert paper.dynamics == DynamicsConfig("replay_l2", k=3, rule="gaussian", conditioning="hard", context=(1.0, 1.0))
    assert choices.settings({"strategy": "rollout"}).k is None


def test_what_is_told_is_taken_back(choices: Choices) -> None:
    told = choices.to_json()
    assert told["usual"] in told["choices"]
    for strategy, defaults in told["defaults"].items():
        assert choices.settings(defaults).to_json() == defaults
        assert set(defaults) == {"strategy", *told["choices"][strategy]}


def test_every_choice_is_one_that_a_world_takes(choices: Choices, memory: Path) -> None:
    stored = open_memory(memory)
    for strategy, settings in choices.by_strategy.items():
        for name, allowed in settings.items():
            for value in allowed:
                resolved = choices.settings({"strategy": strategy, name: value}).dynamics.resolved(
                    stored.info.action_space
                )
                Engine("exact", "cpu").check(resolved)


def test_choices_are_those_that_mean_something(frameless: Path) -> None:
    kept: dict[str, Any] = {}
    for space in SPACES:
        told = Choices(noise(space).memory).by_strategy["replay_kl"]
        kept[type(space).__name__] = told["conditioning"]
    assert kept == {
        "Discrete": ("none", "hard", "soft"),
        "MultiDiscrete": ("none", "hard", "soft"),
        "Box": ("none", "soft"),
        "Dict": ("none", "hard", "soft", "mixed"),
    }
    without = Choices(open_memory(frameless))
    assert {settings["decoding"] for settings in without.by_strategy.values()} == {("decoder",)}
    assert without.settings({}).decoding == "decoder"


def test_a_memory_of_one_episode(memory: Path) -> None:
    stored = open_memory(memory)
    single = Memory.restore(stored.info, stored.encoder_fingerprint, stored.latent_shape, 0, True, stored.episodes[:1])
    assert "soft" not in Choices(single).by_strategy["replay_l2"]["conditioning"]
    assert Choices(single).by_strategy["replay_l2"]["k"] == range(1, 21)


@pytest.mark.parametrize(
    ("plain", "says"),
    [
        (None, "give names and values"),
        ([], "give names and values"),
        ({"strategy": "dreaming"}, "unknown strategy 'dreaming': use one of analogues, hybrid, rollout"),
        ({"strategy": ["analogues"]}, "unknown strategy"),
        ({"k": 3}, "analogues has no setting 'k': use mode, decoding, context"),
        ({"mode": "reanchor"}, "mode of analogues cannot be 'reanchor': use follow, requery"),
        ({"strategy": "rollout", "k": 1}, "rollout has no setting 'k'"),
        ({"strategy": "replay_l2", "k": 51}, "k of replay_l2 cannot be 51: use 1 to 50"),
        ({"strategy": "replay_l2", "k": True}, "cannot be True"),
        ({"strategy": "replay_l2", "k": 2.0}, "cannot be 2.0"),
        ({"context": [2]}, "cannot be"),
        ({"strategy": "replay_l2", "decoding": "blend"}, "use decoder, frame"),
    ],
)
def test_others_are_refused(choices: Choices, plain: Any, says: str) -> None:
    with one_clear_error(says):
        choices.settings(plain)


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(["strategy", "mode", "decoding", "context", "k", "conditioning", "rule", "other"])
values = json | st.sampled_from(
    ["analogues", "rollout", "replay_l2", "follow", "requery", "frame", "hard", "mean", 1, 2]
)


@given(json | st.dictionaries(names, values))
def test_nothing_else_is_ever_made_of_json(choices: Choices, plain: Any) -> None:
    made = unless_refused(lambda: choices.settings(plain))
    if made is not None:
        assert choices.settings(made.to_json()) == made
