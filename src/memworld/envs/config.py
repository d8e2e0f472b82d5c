"""What an imagined environment is like, beside the world that it is imagined in."""

import math
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from memworld.errors import MemworldError
from memworld.imagine import Mode, check_mode
from memworld.plan.value import check_discount
from memworld.rollout import SUPPORTED

Observations = Literal["frames", "latents"]
StartKind = Literal["any", "first"]


@dataclass(frozen=True)
class ImaginedConfig:
    """The options of `ImaginedEnv` and `ImaginedVectorEnv`.

    Attributes:
        observations: `frames`, the predicted latents as the encoder decodes them, or `latents`, their means, which
            are far cheaper; `EncodeObservation` gives a real environment the same.
        starts: recorded moments to start from: `any` that something follows, or episodes' `first`.
        horizon: imagined steps after which an episode is truncated.
        action_repeat: imagined steps for which every action is held, as it then has to be in the real world too;
            their rewards are summed, and only the last is shown.
        support_limit: support from which memory does not know a situation, where an episode ends; None goes on.
        halt_reward: None truncates an episode that runs out of support, though as in `WorldModel.imagine` not at its
            first step; a number terminates it with this reward, which a pessimist sets below all others (the halt
            state of MOReL, arXiv 2005.05951, section 4).
        penalty: what support costs: a step's reward is lowered by this times its support (the uncertainty penalty of
            MOPO, arXiv 2005.13239, section 4.3).
        shaping: a discount of an imagined step, by which what recorded moments were worth (`EpisodicValue`) adds to
            rewards: the worth of the next moment so discounted, less that of the present one. It tells at once what
            pays later, and the best policy at that discount stays the best (Ng, Harada and Russell 1999). None leaves
            rewards as they were recorded.
        mode: of imagination; None takes the dynamics' own.
        citations: how many recorded moments `info` names, those with the largest share; 0 names none, and is quicker.
    """

    observations: Observations = "frames"
    starts: StartKind = "any"
    horizon: int = 100
    action_repeat: int = 1
    support_limit: float | None = SUPPORTED
    halt_reward: float | None = None
    penalty: float = 0.0
    shaping: float | None = None
    mode: Mode | None = None
    citations: int = 3

    def __post_init__(self) -> None:
        for name, choices in (("observations", get_args(Observations)), ("starts", get_args(StartKind))):
            if getattr(self, name) not in choices:
                raise MemworldError(f"{name} must be {' or '.join(choices)}, got {getattr(self, name)!r}")
        for name, least in (("horizon", 1), ("action_repeat", 1), ("citations", 0)):
            if type(number := getattr(self, name)) is not int or number < least:
                raise MemworldError(f"{name} must be a whole number from {least}, got {number!r}")
        if self.support_limit is not None and not 0 < _real(self.support_limit, "support_limit") <= 1:
            raise MemworldError(f"support_limit is a quantile above 0, up to 1, or None, got {self.support_limit}")
        if self.halt_reward is not None:
            _real(self.halt_reward, "halt_reward")
            if self.support_limit is None:
                raise MemworldError("halt_reward is for running out of support: give support_limit too")
        if _real(self.penalty, "penalty") < 0:
            raise MemworldError(f"penalty is taken from the reward, so 0 or above, got {self.penalty}")
        if self.shaping is not None:
            check_discount(_real(self.shaping, "shaping"))
        if self.mode is not None:
            check_mode(self.mode)

    @classmethod
    def of(cls, options: dict[str, Any]) -> "ImaginedConfig":
        """The configuration that options, which a caller gave by name, ask for.

        Raises:
            MemworldError: one that there is not, or a value that it cannot have.
        """
        known = [field.name for field in fields(cls)]
        if unknown := [name for name in options if name not in known]:
            raise MemworldError(f"unknown option {unknown[0]!r} of an imagined environment: use {', '.join(known)}")
        return cls(**options)

    @property
    def needs_support(self) -> bool:
        """Whether rewards or ends depend on support, so that memory must be able to tell it."""
        return self.support_limit is not None or self.penalty > 0


def _real(number: Any, name: str) -> float:
    """A finite number."""
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise MemworldError(f"{name} must be a finite number, got {number!r}")
    return number
