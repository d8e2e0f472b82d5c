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

    A row is worth the discounted rewards of its own episode from it on. Where an episode was cut short, it is taken to
    have gone on gathering what it had gathered per step; where it terminated, nothing follows.
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
        steps, episodes = rows.steps.numpy(), rows.episodes.numpy()
        gathered = np.bincount(episodes, np.where(last, 0.0, rewards))
        values = np.empty(len(rewards))
        following = 0.0
        for row in range(len(rewards) - 1, -1, -1):
            if last[row]:
                over = row > 0 and bool(rows.terminations[row - 1])
                following = 0.0 if over else gathered[episodes[row]] / max(int(steps[row]), 1) / (1 - discount)
            else:
                following = rewards[row] + (0.0 if rows.terminations[row] else discount * following)
            values[row] = following
        self.of_rows: Tensor = torch.from_numpy(values)
        """(N,) float64."""
        self._over = rows.terminations
        self.spread = float(self.of_rows[torch.from_numpy(~last)].std(correction=0))
        """Standard deviation of the values of recorded moments: the unit in which scores differ."""
        assert math.isfinite(self.spread)

    def at_end(self, rollout: Rollout) -> Tensor:
        """(B,) float64: what the last imagined moments are worth, by the rows that they were read from."""
        return self.after(rollout.rows[:, -1], rollout.weights[:, -1])

    def after(self, rows: Tensor, weights: Tensor) -> Tensor:
        """What moments are worth that come after recorded ones: (B,) float64.

        Rows whose step terminated their episode have no say: it is the worth of a future that goes on.

        Args:
            rows: (B, K) int64 the recorded moments; -1 where there is none.
            weights: (B, K) their shares.
        """
        known = rows.clamp(min=0)
        weights = weights.double() * ((rows >= 0) & ~self._over[known])
        return (weights * self.of_rows[known + 1]).sum(1) / weights.sum(1).clamp(min=1e-12)
