"""What a recorded moment is worth: the discounted reward that followed it, as far as it was recorded."""

import math

import numpy as np
import torch
from torch import Tensor

from memworld.errors import MemworldError
from memworld.memory import Rows
from memworld.rollout import Rollout


def check_discount(discount: float) -> float:
    """Return it if it is one.

    Raises:
        MemworldError: it is not above 0 and below 1.
    """
    if not 0 < discount < 1:
        raise MemworldError(f"discount is {discount}: use one above 0 and below 1, such as 0.98")
    return discount


class EpisodicValue:
    """The values of a memory's rows, and of what is imagined from them.

    A row is worth the discounted rewards of its own episode from it on. Where an episode was cut short, what would
    have followed is taken to be worth what an average row is; where it terminated, nothing follows.
    """

    def __init__(self, rows: Rows, discount: float) -> None:
        """Sum up rewards.

        Args:
            rows: the memory's.
            discount: of a step.

        Raises:
            MemworldError: a discount outside 0 to 1, or a memory in which no reward was ever given or which has
                rewards that are not finite.
        """
        check_discount(discount)
        rewards = rows.rewards.numpy().astype(np.float64)
        if not np.isfinite(rewards).all():
            raise MemworldError("the memory has rewards that are not finite: remember its episodes without them")
        if not rewards.any():
            raise MemworldError(
                "in this memory no reward was ever given: plan for a goal picture, or remember episodes with rewards"
            )
        self.discount = discount
        last = ~rows.has_successor.numpy()
        over = rows.terminations.numpy()
        # What follows the end of an episode that was cut short has the mean value; the mean depends on it in turn.
        first = _discounted(rewards, last, over, discount, 0.0)
        per_tail = _discounted(np.zeros_like(rewards), last, over, discount, 1.0)
        share = float(per_tail[~last].mean())
        mean = float(first[~last].mean()) / max(1 - share, 1e-9) if share < 1 else 0.0
        self.of_rows: Tensor = torch.from_numpy(first + mean * per_tail)
        """(N,) float64."""
        self.spread = float(self.of_rows[torch.from_numpy(~last)].std(correction=0))
        """Standard deviation of the values of recorded moments: the unit in which scores differ."""
        assert math.isfinite(self.spread)

    def at_end(self, rollout: Rollout) -> Tensor:
        """(B,) float64: what the last imagined moments are worth, by the rows that they were read from."""
        rows, weights = rollout.rows[:, -1], rollout.weights[:, -1].double()
        return (weights * self.of_rows[rows.clamp(min=0) + 1] * (rows >= 0)).sum(1)


def _discounted(rewards: np.ndarray, last: np.ndarray, over: np.ndarray, discount: float, tail: float) -> np.ndarray:
    """(N,) discounted sums to the end of each row's episode, where `tail` follows unless it terminated."""
    values = np.empty(len(rewards))
    following = tail
    for row in range(len(rewards) - 1, -1, -1):
        following = tail if last[row] else rewards[row] + (0.0 if over[row] else discount * following)
        values[row] = following
    return values
