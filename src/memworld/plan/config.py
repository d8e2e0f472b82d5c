"""The settings of a planner."""

from dataclasses import dataclass
from typing import Literal, get_args

from memworld.errors import MemworldError
from memworld.plan.value import check_discount

ObjectiveKind = Literal["return", "goal"]
ProposalKind = Literal["memory", "behaviour", "even"]

PROPOSALS: tuple[ProposalKind, ...] = get_args(ProposalKind)


@dataclass(frozen=True)
class PlanConfig:
    """How to act.

    Attributes:
        planner: a name in `plan.PLANNERS`.
        horizon: steps to imagine.
        candidates: sequences of actions to imagine for a decision.
        iterations: in how many rounds; None takes the planner's own number.
        commit: steps of a plan that are taken before the next decision.
        objective: `return`, or `goal`, to come to look like a given picture.
        discount: of a step's reward.
        value: whether to count what memory says that the end of a future is worth.
        pessimism: what is taken off for steps that memory does not know, see `objective.Return`.
        proposals: where sequences come from: `memory`, what was done next in moments like the present;
            `behaviour`, what the best episodes' agents might do; or `even`, all actions alike.
        recalled: moments like the present whose continuations `memory` proposes; more of them are less like it.
        best: share of the episodes, of the highest return, that `behaviour` learns from.
        explore: share of the proposals that are drawn evenly even so.
        temperature: of `mppi`.

    Raises:
        MemworldError: a name or number that means nothing.
    """

    planner: str = "mppi"
    horizon: int = 20
    candidates: int = 256
    iterations: int | None = None
    commit: int = 5
    objective: ObjectiveKind = "return"
    discount: float = 0.98
    value: bool = True
    pessimism: float = 0.0
    proposals: ProposalKind = "memory"
    recalled: int = 10
    best: float = 0.3
    explore: float = 0.0
    temperature: float = 0.3

    def __post_init__(self) -> None:
        for name in ("horizon", "candidates", "commit", "recalled"):
            if getattr(self, name) < 1:
                raise MemworldError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.iterations is not None and self.iterations < 1:
            raise MemworldError(f"iterations must be at least 1, got {self.iterations}")
        if self.commit > self.horizon:
            raise MemworldError(f"commit is {self.commit}, more than the {self.horizon} steps of a plan: lower it")
        if self.objective not in ("return", "goal"):
            raise MemworldError(f"unknown objective {self.objective!r}: use return or goal")
        if self.proposals not in PROPOSALS:
            raise MemworldError(f"unknown proposals {self.proposals!r}: use {', '.join(PROPOSALS)}")
        for name in ("best", "explore"):
            if not 0 <= getattr(self, name) <= 1:
                raise MemworldError(f"{name} is a share, from 0 to 1, got {getattr(self, name)}")
        if not 0 <= self.pessimism < float("inf"):
            raise MemworldError(f"pessimism must be 0 or above, got {self.pessimism}")
        check_discount(self.discount)
