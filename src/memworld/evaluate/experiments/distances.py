"""How far episodes lie from one another in latent space, which of them cover the others, and what that tells.

Distances are Euclidean, between the means of posteriors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from memworld.gaussian import at_mean
from memworld.search import Candidates, Query
from memworld.search.exact import ExactIndex

TARGETS = 20_000
"""Most moments of a pool of episodes, evenly spaced, that its radius is calibrated on and its choices cover."""


def nearest_distances(moments: Tensor, episodes: Sequence[Tensor]) -> np.ndarray:
    """The Euclidean distance of every moment to the nearest one of every episode, exactly.

    Args:
        moments: (Q, D) float32 means of posteriors.
        episodes: (N_e, D) float32 means of each of E episodes.

    Returns:
        float64 (Q, E).
    """
    means = torch.cat(list(episodes))
    number = torch.repeat_interleave(torch.arange(len(episodes)), torch.tensor([len(e) for e in episodes]))
    stored = at_mean(means, torch.ones_like(means))
    index = ExactIndex("l2", Candidates(stored, torch.arange(len(means)), number, torch.zeros(len(means), 1)))
    found = index.nearest_per_episode(Query(at_mean(moments, torch.ones_like(moments))))
    # The matches of a query come nearest first; they are wanted in the order of the episodes.
    columns = number[found.rows]
    squared = torch.empty_like(found.distances).scatter_(1, columns, found.distances)
    return np.asarray(squared.sqrt().numpy())


def nearest_between(episodes: Sequence[Tensor]) -> np.ndarray:
    """The mean distance of one episode's moments to the nearest of another's, averaged over both directions.

    It knows no order: an episode played backwards is as near as one played forwards.

    Args:
        episodes: (N_e, D) float32 means of each of E episodes.

    Returns:
        float64 (E, E), symmetric, 0 on the diagonal.
    """
    ends = np.cumsum([len(moments) for moments in episodes])[:-1]
    found = np.split(nearest_distances(torch.cat(list(episodes)), episodes), ends)
    directed = np.stack([distances.mean(0) for distances in found])
    return np.asarray((directed + directed.T) / 2)


def warping_between(episodes: Sequence[Tensor], most: int) -> np.ndarray:
    """The mean distance of two episodes along their best alignment in time.

    Args:
        episodes: (N_e, D) float32 means of each of E episodes.
        most: moments that are taken of each, evenly spaced from its first to its last.

    Returns:
        float64 (E, E), symmetric, 0 on the diagonal.
    """
    courses = [episode[evenly(len(episode), most)].double() for episode in episodes]
    costs = np.zeros((len(courses), len(courses)))
    for i, one in enumerate(courses):
        for j, other in enumerate(courses[:i]):
            # Without the quick product, which would round away what lies close together.
            between = torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist")
            costs[i, j] = costs[j, i] = warping_cost(between.numpy())
    return costs


def warping_cost(distances: np.ndarray) -> float:
    """Dynamic time warping: the cost of the cheapest alignment of two courses, per step of its path.

    A path leads from both first moments to both last ones and advances by one moment in either
    course or in both (Sakoe and Chiba 1978, symmetric form without slope constraint, where a
    diagonal step counts once). Of equally cheap ways to a place the diagonal one is taken. The
    recursion is done one antidiagonal after the other, as its places do not depend on each other.

    Args:
        distances: float64 (N, M) between the moments of both.
    """
    n, m = distances.shape
    cost, steps = np.full((n + 1, m + 1), np.inf), np.zeros((n + 1, m + 1))
    cost[0, 0] = 0
    for diagonal in range(2, n + m + 1):
        i = np.arange(max(1, diagonal - m), min(n, diagonal - 1) + 1)
        j = diagonal - i
        before = ((i - 1, j - 1), (i - 1, j), (i, j - 1))
        costs = np.stack([cost[place] for place in before])
        best = costs.argmin(0)
        cost[i, j] = distances[i - 1, j - 1] + costs.min(0)
        steps[i, j] = 1 + np.choose(best, [steps[place] for place in before])
    return float(cost[n, m] / steps[n, m])


@dataclass(frozen=True, eq=False)
class Cover:
    """Which moments each of the E episodes of a pool covers.

    Attributes:
        radius: distance within which a moment is covered: the median distance of the pool's moments
            to the nearest one of any other episode of the pool.
        looked_at: every how many-th of the pool's moments was looked at, about.
        pool: bool (Q, E), for these moments of the pool.
        held_out: bool (N, E), for every moment of each held-out episode.
    """

    radius: float
    looked_at: float
    pool: np.ndarray
    held_out: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, pool: Sequence[Tensor], held_out: Sequence[Tensor], most: int = TARGETS) -> "Cover":
        """Calibrate on the pool, then see which held-out moments it covers.

        Args:
            pool: (N_e, D) means of each of E episodes, at least 2.
            held_out: (N, D) means of each held-out episode.
            most: moments of the pool to look at, evenly spaced.
        """
        moments = torch.cat(list(pool))
        owners = np.repeat(np.arange(len(pool)), [len(means) for means in pool])
        looked_at = evenly(len(moments), most)
        within = nearest_distances(moments[torch.from_numpy(looked_at)], pool)
        elsewhere = within.copy()
        elsewhere[np.arange(len(within)), owners[looked_at]] = np.inf
        nearest = elsewhere.min(1)
        # In a small world most moments are in another episode too, at distance 0; the others tell.
        apart = nearest[nearest > 0]
        radius = float(np.median(nearest)) or (float(np.median(apart)) if len(apart) else 0.0)
        covered = tuple(nearest_distances(means, pool) <= radius for means in held_out)
        return cls(radius, len(moments) / len(looked_at), within <= radius, covered)

    def share(self, chosen: Sequence[int]) -> np.ndarray:
        """(held-out episodes,): the share of the moments of each that these episodes of the pool cover."""
        return np.array([covers[:, list(chosen)].any(1).mean() for covers in self.held_out])


def choose_greedily(covers: np.ndarray, most: bool) -> list[int]:
    """All episodes in the order in which a greedy choice takes them; of equal ones, the first.

    Args:
        covers: bool (Q, E), which of Q moments each of E episodes covers.
        most: whether each next episode is the one that adds most coverage to those before it, or least.
    """
    covered, left, order = np.zeros(len(covers), bool), list(range(covers.shape[1])), []
    while left:
        added = (covers[:, left] & ~covered[:, None]).sum(0)
        order.append(left.pop(int(added.argmax() if most else added.argmin())))
        covered |= covers[:, order[-1]]
    return order


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation of two (N,) arrays; NaN where one of them is constant or N is below 3.

    Pairs in which a number is missing are left out.
    """
    import scipy.stats  # here and not above, as it is slow to import and only few need it

    known = np.isfinite(a) & np.isfinite(b)
    a, b = a[known], b[known]
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(scipy.stats.spearmanr(a, b).statistic)


def evenly(count: int, most: int) -> np.ndarray:
    """At most `most` of `count` places, evenly spaced, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))
