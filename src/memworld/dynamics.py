"""The settings of a dynamics by search: strategy, metric, rule, conditioning."""

from dataclasses import dataclass

from memworld.actions import ActionSpace, discrete_features
from memworld.aggregate import RULES
from memworld.errors import MemworldError, lookup
from memworld.gaussian import DISTANCES
from memworld.retrieve import STRATEGIES
from memworld.search import CONDITIONINGS, Conditioning


@dataclass(frozen=True)
class DynamicsConfig:
    """How the next state is found. None takes the strategy's own (the paper's) setting.

    Attributes:
        strategy: `rollout`, `replay_l2` or `replay_kl`.
        metric: `l2`, `kl_stored_query` or `kl_query_stored`.
        k: rows to retrieve; does not apply to `rollout`, which takes one per episode.
        rule: how successors become a prediction, a name in `aggregate.RULES`.
        delta: predict the current latent plus the retrieved change, rather than the retrieved place;
            `local_linear` always does.
        conditioning: whether rows must have the asked action: `none` (the paper's tables), `hard`,
            `soft`, or `mixed`, which is hard on discrete choices and soft on continuous numbers. None
            takes `hard` where all of an action is discrete, `soft` where nothing is, else `mixed`.
        context: weights of the moments that a search compares, the present first: (1,) compares the present alone
            (the paper's), (1, 0.5) also the moment before it, which counts half.
        action_weight: of `soft` and `mixed`: how many typical neighbour distances a unit of squared difference
            costs, which is one other choice or half the range of one continuous dimension.
            None takes 1.

    Raises:
        MemworldError: a name or number that means nothing, or one that would be ignored.
    """

    strategy: str = "replay_kl"
    metric: str | None = None
    k: int | None = None
    rule: str | None = None
    delta: bool = False
    conditioning: Conditioning | None = None
    action_weight: float | None = None
    context: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        lookup(STRATEGIES, self.strategy, "strategy")
        if self.metric is not None:
            lookup(DISTANCES, self.metric, "metric")
        if self.rule is not None:
            lookup(RULES, self.rule, "rule")
        if self.conditioning is not None and self.conditioning not in CONDITIONINGS:
            raise MemworldError(f"unknown conditioning {self.conditioning!r}: use {', '.join(CONDITIONINGS)}")
        if self.k is not None and (not isinstance(self.k, int) or self.k < 1):
            raise MemworldError(f"k must be a whole number from 1, got {self.k}")
        if self.k is not None and self.strategy == "rollout":
            raise MemworldError("rollout takes one row per episode: leave k out, or use replay_l2")
        if not self.context or not all(0 < weight < float("inf") for weight in self.context):
            raise MemworldError(f"context must be one weight above 0 for each moment, got {self.context}")
        if self.action_weight is not None and not 0 <= self.action_weight < float("inf"):
            raise MemworldError(f"action_weight must be 0 or above, got {self.action_weight}")
        if self.action_weight is not None and self.conditioning in ("none", "hard"):
            raise MemworldError(f"action_weight belongs to soft conditioning, not to {self.conditioning}: leave it out")

    def resolved(self, space: ActionSpace) -> "ResolvedDynamics":
        """The same with every setting spelt out for actions of this space.

        Raises:
            MemworldError: an action weight where conditioning turns out not to be `soft`.
        """
        own = STRATEGIES[self.strategy]
        discrete = discrete_features(space)
        own_way: Conditioning = "hard" if discrete.all() else "mixed" if discrete.any() else "soft"
        conditioning = own_way if self.conditioning in (None, "mixed") else self.conditioning
        rule = self.rule or own.rule
        if self.action_weight is not None and conditioning not in ("soft", "mixed"):
            raise MemworldError(f"action_weight belongs to soft conditioning, not to {conditioning}: leave it out")
        return ResolvedDynamics(
            self.strategy,
            self.metric or own.metric,
            self.k or own.k,
            rule,
            self.delta or rule == "local_linear",
            conditioning,
            1.0 if self.action_weight is None else self.action_weight,
            self.context,
        )


@dataclass(frozen=True)
class ResolvedDynamics:
    """A `DynamicsConfig` in which nothing is left open; the attributes are its."""

    strategy: str
    metric: str
    k: int
    rule: str
    delta: bool
    conditioning: Conditioning
    action_weight: float
    context: tuple[float, ...] = (1.0,)

    @property
    def about(self) -> str:
        """The settings in a few words."""
        rows = "one row per episode" if self.strategy == "rollout" else f"k={self.k}"
        change = ", delta" if self.delta else ""
        moments = "" if len(self.context) == 1 else f" of {len(self.context)} moments"
        return f"{self.metric}{moments}, {rows}, {self.rule}{change}, conditioning on actions {self.conditioning}"

    @property
    def least_rows(self) -> int:
        """Transitions that a memory must have to be asked."""
        return self.k
