"""The paper's three retrieval strategies: which rows of memory answer a query (METHOD section 2)."""

from collections.abc import Callable
from dataclasses import dataclass

from memworld.search import Index, Matches, Query


def from_every_episode(index: Index, query: Query, k: int) -> Matches:
    """The one nearest row of each episode, (Q, E); k does not apply."""
    return index.nearest_per_episode(query)


def from_all_memory(index: Index, query: Query, k: int) -> Matches:
    """The k nearest rows of all memory, (Q, k)."""
    return index.nearest(query, k)


@dataclass(frozen=True)
class Strategy:
    """A way to retrieve, with the paper's settings as defaults.

    Attributes:
        search: which rows answer.
        metric: distance between query and rows, a name in `gaussian.DISTANCES`.
        k: rows asked for.
        rule: how their successors become a prediction, a name in `aggregate.RULES`.
    """

    search: Callable[[Index, Query, int], Matches]
    metric: str
    k: int
    rule: str


STRATEGIES: dict[str, Strategy] = {
    "rollout": Strategy(from_every_episode, "l2", k=1, rule="gaussian"),
    "replay_l2": Strategy(from_all_memory, "l2", k=10, rule="gaussian"),
    "replay_kl": Strategy(from_all_memory, "kl_stored_query", k=1, rule="sample"),
}
"""The strategies by name."""
