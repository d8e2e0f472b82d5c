"""What was done next in moments like the present: recorded continuations as proposals.

What a continuation came to counts, as it was recorded (reward-weighted regression, Peters and Schaal 2007): where it
cannot be told from a picture what an action is worth, planning does what was done, and play that stood before a wall
until it was over would keep a planner standing there. For the same reason a stretch of an episode has one say: many
like moments of one that stood still are not many witnesses (Theiler 1986, of neighbours along a trajectory).
"""

import numpy as np
import torch
from torch import Tensor

from memworld.actions import stored_dtype, stored_shape
from memworld.contexts import recent_moments
from memworld.plan.likeness import CONTEXT, Likeness
from memworld.plan.problem import Proposals
from memworld.plan.vote import recorded_next
from memworld.rollout import Past
from memworld.stretches import one_a_stretch
from memworld.world_model import WorldModel

NEAREST = 10
"""Moments whose mean distance is the scale on which chances fall."""


class Recall:
    """Finds the recorded moments like a present, and how their episodes went on."""

    def __init__(
        self,
        world: WorldModel,
        likeness: Likeness,
        most: int,
        horizon: int,
        stretch: int = 0,
        worth: Tensor | None = None,
    ) -> None:
        """Index the memory.

        Args:
            world: gives encoder and memory, which is not empty.
            likeness: of its moments.
            most: moments to find, at most.
            horizon: steps of a continuation.
            stretch: moments of an episode that are no more steps apart have one say.
            worth: (N,) float64 of the memory's rows, in units by which it really differs: a moment that is worth one
                more counts e times as much; None where all are worth the same.
        """
        self._world, self._likeness = world, likeness
        self._most, self._horizon, self._stretch = most, horizon, stretch
        rows = world.memory.rows
        self._rows = torch.nonzero(rows.has_successor)[:, 0]
        self._worth = torch.zeros(len(rows), dtype=torch.float64) if worth is None else worth
        self._places = self._likeness.of_rows(rows, self._rows)

    def nearest(self, frame: np.ndarray, past: Past) -> tuple[Tensor, Tensor]:
        """The recorded moments most like a frame after its past, of each stretch the one that is most like it.

        Args:
            frame: uint8 (H, W, C).
            past: the moments before it.

        Returns:
            Rows (K,) int64, the nearest first, and how far they are (K,) float64, in squares.
        """
        recent = recent_moments(self._world.history(frame, past), CONTEXT).mu
        apart = (self._places - self._likeness(recent)).square().sum(1).double()
        # So many hold the nearest of enough stretches, as each but the last rules out no more than its neighbours.
        asked = min(self._most * (2 * self._stretch + 1), len(apart))
        distances, found = apart.topk(asked, largest=False)
        rows, found_rows = self._world.memory.rows, self._rows[found]
        moments = zip(rows.episodes[found_rows].tolist(), rows.steps[found_rows].tolist(), strict=True)
        kept = one_a_stretch(moments, self._stretch, self._most)
        return found_rows[kept], distances[kept]

    def continuations(self, frame: np.ndarray, past: Past) -> Proposals:
        """The actions that followed the moments nearest to a frame after its past, the likeliest first.

        Where an episode ended before the horizon, its last action is held on. A moment is the likelier the nearer it
        is, falling exponentially on the scale of the nearest `NEAREST`, and the more it is worth.
        """
        memory, horizon = self._world.memory, self._horizon
        rows, distances = self.nearest(frame, past)
        shape = (len(rows), horizon, *stored_shape(memory.info.action_space))
        actions = np.empty(shape, stored_dtype(memory.info.action_space))
        for place, row in enumerate(rows.tolist()):
            taken = recorded_next(memory, row, horizon)
            actions[place, : len(taken)] = taken
            actions[place, len(taken) :] = taken[-1]
        nearest = distances[:NEAREST]
        scale = (nearest - nearest.min()).mean().clamp(min=1e-12)
        chances = torch.softmax(self._worth[rows] - (distances - distances.min()) / scale, 0)
        order = chances.argsort(descending=True, stable=True).numpy()
        return Proposals(actions[order], chances.numpy()[order])
