"""The settings of an evaluation."""

from dataclasses import dataclass

from memworld.errors import MemworldError
from memworld.imagine import MODES, Mode
from memworld.search import Conditioning
from memworld.world_model import DynamicsConfig


@dataclass(frozen=True)
class EvaluationConfig:
    """What to evaluate.

    Attributes:
        horizon: steps to predict.
        starts: random starts per held-out episode.
        shown: steps ahead that tables and film strips show.
        strategies: of `retrieve.STRATEGIES`.
        modes: of `imagine.MODES`.
        conditioning: on actions: `none`, `hard` or `soft`.
        seed: of starts, sampling and bootstrap.
        strips: film strips to keep.
        retrievals: predictions per strategy whose neighbours to keep.
        timing_batch: imagined worlds in the batch that is timed.
    """

    horizon: int = 20
    starts: int = 20
    shown: tuple[int, ...] = (1, 5, 10, 20)
    strategies: tuple[str, ...] = ("rollout", "replay_l2", "replay_kl")
    modes: tuple[Mode, ...] = MODES
    conditioning: Conditioning = "none"
    seed: int = 0
    strips: int = 3
    retrievals: int = 2
    timing_batch: int = 64

    def __post_init__(self) -> None:
        if self.horizon < 1:
            raise MemworldError(f"horizon must be at least 1, got {self.horizon}")
        if self.starts < 1 or self.timing_batch < 1:
            raise MemworldError("starts and timing_batch must be at least 1")
        for strategy in self.strategies:
            DynamicsConfig(strategy, conditioning=self.conditioning)

    @property
    def shown_horizons(self) -> tuple[int, ...]:
        """The shown steps that lie within the horizon."""
        return tuple(h for h in self.shown if h <= self.horizon) or (self.horizon,)
