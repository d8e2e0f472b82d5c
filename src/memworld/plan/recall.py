"""What was done next in moments like the present: recorded continuations as proposals.

Moments are compared as Replay-KL does, by the divergence of their posteriors, in which every latent number
counts by how sure the encoder is of it. That serves acting better than plain distances: what is small in the
picture, but sharp, counts.
"""

import numpy as np
import torch

from memworld.actions import stored_dtype, stored_shape
from memworld.contexts import end_to_end, recent_moments
from memworld.dynamics import DynamicsConfig
from memworld.plan.problem import Proposals
from memworld.plan.vote import recorded_next
from memworld.rollout import Past
from memworld.world_model import WorldModel

NEAREST = 10
"""Moments whose mean distance is the scale on which chances fall."""

CONTEXT = (1.0, 0.2)
"""What the present moment counts, and the one before it, which tells how things move."""


class Recall:
    """Finds the recorded moments like a present, and how their episodes went on."""

    def __init__(self, world: WorldModel, most: int) -> None:
        """Index the memory.

        Args:
            world: gives encoder and memory.
            most: moments to find, at most.
        """
        count = max(1, min(most, world.memory.steps))
        settings = DynamicsConfig("replay_kl", k=count, conditioning="none", context=CONTEXT)
        self._world = WorldModel(world.encoder, world.memory, settings)
        self._world.prepare()

    def continuations(self, frame: np.ndarray, past: Past, horizon: int) -> Proposals:
        """The actions that followed the moments nearest to a frame after its past, the nearest first.

        Where an episode ended before the horizon, its last action is held on. A moment is the likelier the nearer
        it is, falling exponentially on the scale of the nearest `NEAREST`.
        """
        memory = self._world.memory
        history = self._world.history(frame, past)
        state = end_to_end(recent_moments(history, len(CONTEXT)))
        matches = self._world.lookup.retrieve(state, memory.rows.actions[:1])
        rows, distances = matches.rows[0], matches.distances[0].double()
        shape = (len(rows), horizon, *stored_shape(memory.info.action_space))
        actions = np.empty(shape, stored_dtype(memory.info.action_space))
        for place, row in enumerate(rows.tolist()):
            taken = recorded_next(memory, row, horizon)
            actions[place, : len(taken)] = taken
            actions[place, len(taken) :] = taken[-1]
        nearest = distances[:NEAREST]
        chances = torch.softmax(-(distances - distances.min()) / (nearest - nearest.min()).mean().clamp(min=1e-12), 0)
        return Proposals(actions, chances.numpy())
