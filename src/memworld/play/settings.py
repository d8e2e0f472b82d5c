"""What a dream can be set to, and what it is set to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memworld.actions import discrete_features
from memworld.aggregate import RULES
from memworld.analogues import AnalogueConfig
from memworld.dynamics import DynamicsConfig
from memworld.engine import DynamicsSettings
from memworld.errors import MemworldError
from memworld.hybrid import HybridConfig
from memworld.imagine import MODES, Mode
from memworld.memory import Memory
from memworld.pictures import DECODINGS, Decoding
from memworld.retrieve import STRATEGIES
from memworld.storage import one_line

CONTEXTS = (1, 2, 3)
"""Moments that a search may compare."""

MOST_ROWS = 50
"""Of `k`."""

_FOLLOWING = ("analogues", "hybrid")

Choice = tuple[Any, ...] | range
"""What one setting may be: one of some words or numbers, or a whole number of a range."""


@dataclass(frozen=True)
class DreamSettings:
    """What one dream is set to.

    Attributes:
        strategy: `analogues`, `hybrid`, or one of the paper's.
        mode: of imagination.
        decoding: how predictions are shown.
        context: moments that a search compares.
        k: rows to retrieve, of the replay strategies; else None.
        conditioning: on actions, of the paper's strategies; else None.
        rule: by which rows become a prediction, of the paper's strategies; else None.
    """

    strategy: str
    mode: Mode
    decoding: Decoding
    context: int
    k: int | None = None
    conditioning: str | None = None
    rule: str | None = None

    @property
    def dynamics(self) -> DynamicsSettings:
        """The settings of the dynamics alone: dreams that share these share what is indexed and learned."""
        if self.strategy in _FOLLOWING:
            analogues = AnalogueConfig(context=self.context)
            return analogues if self.strategy == "analogues" else HybridConfig(analogues)
        return DynamicsConfig(
            self.strategy,
            k=self.k,
            rule=self.rule,
            conditioning=self.conditioning,  # type: ignore[arg-type]  # `Choices` has seen to it
            context=(1.0,) * self.context,
        )

    def to_json(self) -> dict[str, Any]:
        """In plain JSON values, as `Choices.settings` takes them: those that the strategy heeds."""
        return {name: value for name, value in vars(self).items() if value is not None}


class Choices:
    """What dreams in one memory can be set to: for each strategy the settings that it heeds, and what they may be."""

    usual = "analogues"
    """The strategy of a dream that names none."""

    def __init__(self, memory: Memory) -> None:
        """Find out."""
        decodings = DECODINGS if memory.keep_frames else ("decoder",)
        self.by_strategy: dict[str, dict[str, Choice]] = {}
        self.defaults: dict[str, DreamSettings] = {}
        for strategy in _FOLLOWING:
            # They have no `reanchor`: threads are weighed by how well actions agree.
            modes = ("follow", "requery")
            shown = tuple(sorted(decodings, key=lambda name: name != "blend"))
            self.by_strategy[strategy] = {"mode": modes, "decoding": shown, "context": CONTEXTS}
            self.defaults[strategy] = DreamSettings(strategy, "follow", shown[0], AnalogueConfig().context)
        conditionings = _conditionings(memory)
        for strategy in STRATEGIES:
            own = DynamicsConfig(strategy).resolved(memory.info.action_space)
            rows = range(1, max(1, min(MOST_ROWS, memory.steps)) + 1)
            usual = own.conditioning if own.conditioning in conditionings else conditionings[0]
            self.by_strategy[strategy] = {
                "mode": MODES,
                "decoding": tuple(name for name in decodings if name != "blend"),
                "context": CONTEXTS,
                "conditioning": conditionings,
                "rule": tuple(RULES),
            }
            k = None
            if strategy != "rollout":  # which takes one row per episode
                self.by_strategy[strategy]["k"] = rows
                k = min(own.k, rows[-1])
            self.defaults[strategy] = DreamSettings(strategy, "requery", "decoder", 1, k, usual, own.rule)

    def settings(self, plain: Any) -> DreamSettings:
        """The settings that plain JSON values ask for; what they leave out is as usual.

        Raises:
            MemworldError: they are no settings, or one means nothing or would be ignored.
        """
        if not isinstance(plain, Mapping):
            raise MemworldError(f"settings are {_short(plain)}: give names and values, as strategy and mode")
        strategy = plain.get("strategy", self.usual)
        if not isinstance(strategy, str) or strategy not in self.by_strategy:
            raise MemworldError(f"unknown strategy {_short(strategy)}: use one of {', '.join(self.by_strategy)}")
        choices = self.by_strategy[strategy]
        given = {name: value for name, value in plain.items() if name != "strategy"}
        for name, value in given.items():
            if name not in choices:
                raise MemworldError(f"{strategy} has no setting {_short(name)}: use {', '.join(choices)}")
            # True is a whole number to Python, and would pass for k=1.
            if isinstance(value, bool | float) or not isinstance(value, str | int) or value not in choices[name]:
                raise MemworldError(f"{name} of {strategy} cannot be {_short(value)}: use {_words(choices[name])}")
        return DreamSettings(**{**vars(self.defaults[strategy]), **given})

    def to_json(self) -> dict[str, Any]:
        """In plain JSON values: `choices` and `defaults` by strategy, and the `usual` one."""
        plain = {
            strategy: {
                name: {"low": allowed[0], "high": allowed[-1]} if isinstance(allowed, range) else list(allowed)
                for name, allowed in choices.items()
            }
            for strategy, choices in self.by_strategy.items()
        }
        defaults = {strategy: settings.to_json() for strategy, settings in self.defaults.items()}
        return {"choices": plain, "defaults": defaults, "usual": self.usual}


def _conditionings(memory: Memory) -> tuple[str, ...]:
    """Those that mean something for the actions of a memory, and different things."""
    discrete = discrete_features(memory.info.action_space)
    # Soft conditioning is measured in distances between episodes.
    soft = ("soft",) if len(memory.ids) > 1 else ()
    mixed = ("mixed",) if soft and discrete.any() and not discrete.all() else ()
    hard = ("hard",) if discrete.size and discrete.any() else ()
    return ("none", *hard, *soft, *mixed)


def _words(allowed: Choice) -> str:
    """What a setting may be, in words."""
    return f"{allowed[0]} to {allowed[-1]}" if isinstance(allowed, range) else ", ".join(map(str, allowed))


def _short(value: object) -> str:
    return one_line(repr(value))[:60]
