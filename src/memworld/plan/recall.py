"""What was done next in moments like the present: recorded continuations as proposals."""

import numpy as np
import torch
from torch import Tensor

from memworld.actions import stored_dtype, stored_shape
from memworld.contexts import recent_moments
from memworld.plan.likeness import CONTEXT, Likeness
from memworld.plan.problem import Proposals
from memworld.plan.vote import recorded_next
from memworld.rollout import Past
from memworld.world_model import WorldModel

NEAREST = 10
"""Moments whose mean distance is the scale on which chances fall."""


class Recall:
    """Finds the recorded moments like a present, and how their episodes went on."""

    def __init__(self, world: WorldModel, likeness: Likeness, most: int) -> None:
        """Index the memory.

        Args:
            world: gives encoder and memory, which is not empty.
            likeness: of its moments.
            most: moments to find, at most.
        """
        self._world, self._likeness, self._most = world, likeness, most
        rows = world.memory.rows
        self._rows = torch.nonzero(rows.has_successor)[:, 0]
        self._places = self._likeness.of_rows(rows, self._rows)

    def nearest(self, frame: np.ndarray, past: Past) -> tuple[Tensor, Tensor]:
        """The rows (K,) int64 of the moments most like a frame after its past, the nearest first, and how far (K,)."""
        recent = recent_moments(self._world.history(frame, past), CONTEXT).mu
        apart = (self._places - self._likeness(recent)).square().sum(1).double()
        distances, found = apart.topk(min(self._most, len(apart)), largest=False)
        return self._rows[found], distances

    def continuations(self, frame: np.ndarray, past: Past, horizon: int) -> Proposals:
        """The actions that followed the moments nearest to a frame after its past, the nearest first.

        Where an episode ended before the horizon, its last action is held on. A moment is the likelier the nearer
        it is, falling exponentially on the scale of the nearest `NEAREST`.
        """
        memory = self._world.memory
        rows, distances = self.nearest(frame, past)
        shape = (len(rows), horizon, *stored_shape(memory.info.action_space))
        actions = np.empty(shape, stored_dtype(memory.info.action_space))
        for place, row in enumerate(rows.tolist()):
            taken = recorded_next(memory, row, horizon)
            actions[place, : len(taken)] = taken
            actions[place, len(taken) :] = taken[-1]
        nearest = distances[:NEAREST]
        chances = torch.softmax(-(distances - distances.min()) / (nearest - nearest.min()).mean().clamp(min=1e-12), 0)
        return Proposals(actions, chances.numpy())
