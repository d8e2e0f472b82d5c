"""The settings of analogues."""

from dataclasses import dataclass

from memworld.actions import ActionSpace
from memworld.analogues.blocks import Scale
from memworld.errors import MemworldError


@dataclass(frozen=True)
class AnalogueConfig:
    """How analogues are found and followed.

    Attributes:
        scales: how to cut the latent; None takes `usual_scales`.
        context: moments that a search compares; more than 1 tell how things move.
        horizon: steps to follow before searching again, from what was predicted.
        agreement: by how much one other choice of action, or half the range of a continuous one, lowers the
            logarithm of a thread's weight.
        carry: whether what differs from an analogue is carried on; without, threads alone speak.
        samples: rows of memory that the closed-form parts are fitted on; all, if there are fewer.
        seed: which rows.
    """

    scales: tuple[Scale, ...] | None = None
    context: int = 2
    horizon: int = 20
    agreement: float = 0.8
    carry: bool = True
    samples: int = 4096
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("context", "horizon", "samples"):
            if getattr(self, name) < 1:
                raise MemworldError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.agreement < float("inf"):
            raise MemworldError(f"agreement must be finite, 0 or above, got {self.agreement}")
        if self.scales is not None and not self.scales:
            raise MemworldError("give at least one scale, or None for the usual ones")

    @classmethod
    def steering(cls) -> "AnalogueConfig":
        """Analogues to act by: a few threads of the whole, found by what actions steer, that differ by what was done.

        One scale alone, whose threads tell reward and termination, so that many futures cost little.
        """
        return cls(scales=(_steered(threads=10),), agreement=1.6)

    @classmethod
    def holding(cls, steps: int) -> "AnalogueConfig":
        """Analogues to train a policy in that holds each of its actions for some steps.

        A policy in training does what nobody did for long. So of more threads those speak that did the same, and none
        is followed further than an action is held: beyond, it tells what its own agent went on to do.

        Args:
            steps: for which an action is held, as `ImaginedConfig.action_repeat`.

        Raises:
            MemworldError: no step.
        """
        return cls(scales=(_steered(threads=32),), agreement=4.0, horizon=steps)

    def resolved(self, space: ActionSpace) -> "AnalogueConfig":
        """Itself: nothing in it depends on the actions."""
        return self

    @property
    def about(self) -> str:
        """The settings in a few words."""
        cuts = "usual" if self.scales is None else ", ".join(f"{scale.block or 'whole'}" for scale in self.scales)
        return f"analogues of {self.context} moments, scales {cuts}, followed for up to {self.horizon} steps"

    @property
    def least_rows(self) -> int:
        """Transitions that a memory must have to be asked."""
        return 1


def _steered(threads: int) -> Scale:
    """The whole latent, half of whose distance is in what actions steer."""
    return Scale(0, 0, 128, (threads,), places=0.2, changes=0.2, steering=0.5)
