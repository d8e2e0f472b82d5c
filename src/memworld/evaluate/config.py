"""The settings of an evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from memworld.analogues import AnalogueConfig
from memworld.dynamics import DynamicsConfig
from memworld.engine import DynamicsSettings
from memworld.errors import MemworldError
from memworld.imagine import Mode, check_mode
from memworld.retrieve import STRATEGIES
from memworld.search import Conditioning

PAPER_MODES: tuple[Mode, ...] = ("requery", "follow")
"""The modes of the paper's text and of its code."""


def paper_strategies(conditioning: Conditioning = "none") -> dict[str, DynamicsConfig]:
    """The paper's three strategies under their names."""
    return {name: DynamicsConfig(name, conditioning=conditioning) for name in STRATEGIES}


def usual_dynamics(conditioning: Conditioning = "none") -> dict[str, DynamicsSettings]:
    """The paper's three strategies under their names, and the library's own dynamics as `default`."""
    return {**paper_strategies(conditioning), "default": AnalogueConfig()}


@dataclass(frozen=True)
class EvaluationConfig:
    """What to evaluate.

    Attributes:
        horizon: steps to predict.
        starts: random starts per held-out episode.
        context: frames up to the start, that one included, that a method with a past may see.
        shown: steps ahead that tables and film strips show; those beyond the horizon are left out.
        dynamics: what to compare, by the names that the tables give them.
        modes: of `imagine.MODES`; each of the paper's strategies is measured in all of them, other dynamics in their
            own mode.
        seed: of starts, sampling and bootstrap.
        strips: film strips to keep.
        retrievals: predictions per dynamics whose neighbours to keep.
        timing_batch: imagined worlds in the batch that is timed.

    Raises:
        MemworldError: a number out of its range, or an unknown mode.
    """

    horizon: int = 20
    starts: int = 20
    context: int = 4
    shown: tuple[int, ...] = (1, 5, 10, 20)
    dynamics: Mapping[str, DynamicsSettings] = field(default_factory=usual_dynamics)
    modes: tuple[Mode, ...] = PAPER_MODES
    seed: int = 0
    strips: int = 3
    retrievals: int = 2
    timing_batch: int = 64

    def __post_init__(self) -> None:
        for name in ("horizon", "starts", "context", "timing_batch"):
            if getattr(self, name) < 1:
                raise MemworldError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("seed", "strips", "retrievals"):
            if getattr(self, name) < 0:
                raise MemworldError(f"{name} must be at least 0, got {getattr(self, name)}")
        if any(h < 1 for h in self.shown):
            raise MemworldError(f"shown steps must be at least 1, got {self.shown}")
        if not self.dynamics or not self.modes:
            raise MemworldError("name at least one dynamics and one mode to evaluate")
        for mode in self.modes:
            check_mode(mode)

    @property
    def shown_horizons(self) -> tuple[int, ...]:
        """The shown steps that lie within the horizon."""
        return tuple(h for h in self.shown if h <= self.horizon) or (self.horizon,)
