"""The settings of a planner."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from memworld.errors import MemworldError
from memworld.plan.value import check_discount

ObjectiveKind = Literal["return", "goal"]
ProposalKind = Literal["memory", "behaviour", "even"]

PROPOSALS: tuple[ProposalKind, ...] = get_args(ProposalKind)


_IMAGINING = frozenset(
    ("horizon", "candidates", "commit", "objective", "discount", "value", "pessimism", "proposals", "explore")
)

HEEDED: Mapping[str, frozenset[str]] = {
    "vote": frozenset(),
    "vinn": frozenset(),
    "behaviour": frozenset(("best",)),
    "random_shooting": _IMAGINING,
    "cem": _IMAGINING | {"iterations"},
    "mppi": _IMAGINING | {"iterations", "temperature"},
}
"""The settings that each planner heeds, beside those of its proposals, which are in `_OF_PROPOSALS`."""

_OF_PROPOSALS: Mapping[str, frozenset[str]] = {
    "memory": frozenset(("recalled", "best")),
    "behaviour": frozenset(("best",)),
    "even": frozenset(),
}


def check_heeded(planners: Sequence[str], given: Mapping[str, Any]) -> None:
    """Do nothing if some planner heeds each setting that was given; unknown planners are another's concern.

    Raises:
        MemworldError: a setting that would be ignored.
    """
    heeded = frozenset[str]().union(*(HEEDED.get(planner, frozenset(given)) for planner in planners))
    if "proposals" in heeded:
        heeded |= _OF_PROPOSALS.get(given.get("proposals", PlanConfig.proposals), frozenset())
    if given.get("objective") == "goal":
        heeded -= {"discount", "value", "pessimism"}
    if ignored := [name for name in given if name not in heeded]:
        raise MemworldError(
            f"{ignored[0]} says nothing to {', '.join(planners)} as asked: leave it out, or name a planner, "
            "proposals or an objective that it belongs to"
        )


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
        best: share of the episodes, those of the highest return, whose play is good: `behaviour` does what they did,
            and `memory` takes moments for alike in which they would do the same.
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
    best: float = 0.5
    explore: float = 0.0
    temperature: float = 0.2

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
