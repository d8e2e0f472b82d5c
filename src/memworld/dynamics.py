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
        delta: predict the current latent plus the retrieved change, rather than the retrieved place.
        conditioning: whether rows must have the asked action: `none` (the paper's tables), `hard`,
            `soft`, or `mixed`, which is hard on discrete choices and soft on continuous numbers. None
            takes `hard` where all of an action is discrete, `soft` where nothing is, else `mixed`.
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
        if self.action_weight is not None and conditioning not in ("soft", "mixed"):
            raise MemworldError(f"action_weight belongs to soft conditioning, not to {conditioning}: leave it out")
        return ResolvedDynamics(
            self.strategy,
            self.metric or own.metric,
            self.k or own.k,
            self.rule or own.rule,
            self.delta,
            conditioning,
            1.0 if self.action_weight is None else self.action_weight,
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
