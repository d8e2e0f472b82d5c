"""The settings of a hybrid."""

from dataclasses import dataclass, field

from memworld.actions import ActionSpace
from memworld.analogues import AnalogueConfig
from memworld.errors import MemworldError


@dataclass(frozen=True)
class HybridConfig:
    """What is corrected, and how the correction is trained.

    Attributes:
        analogues: what it corrects.
        hidden: size of the network's memory.
        steps: gradient steps.
        batch_size: futures per step.
        learning_rate: the highest; it rises to it and falls to 0.
        weight_decay: of the weights, per step and unit of learning rate.
        held_back: share of the episodes that the network does not learn from, on which its share is decided.
        seed: of weights and batches.

    Raises:
        MemworldError: a number out of its range.
    """

    analogues: AnalogueConfig = field(default_factory=AnalogueConfig)
    hidden: int = 256
    steps: int = 300
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    held_back: float = 1 / 6
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("hidden", "steps", "batch_size"):
            if getattr(self, name) < 1:
                raise MemworldError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.learning_rate < float("inf"):
            raise MemworldError(f"learning_rate must be finite and above 0, got {self.learning_rate}")
        if not 0 <= self.weight_decay < float("inf"):
            raise MemworldError(f"weight_decay must be finite, 0 or above, got {self.weight_decay}")
        if not 0 < self.held_back < 1:
            raise MemworldError(f"held_back must lie between 0 and 1, got {self.held_back}")

    def resolved(self, space: ActionSpace) -> "HybridConfig":
        """Itself: nothing in it depends on the actions."""
        return self

    @property
    def about(self) -> str:
        """The settings in a few words."""
        return f"{self.analogues.about}, corrected by a network of {self.hidden} that trains for {self.steps} steps"

    @property
    def least_rows(self) -> int:
        """Transitions that a memory must have to be asked."""
        return self.analogues.least_rows
