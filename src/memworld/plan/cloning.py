"""Ways to act without imagination: do what was done in moments like the present."""

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memworld.analogues.threads import log_kernel
from memworld.plan.behaviour import CONTEXT, Behaviour
from memworld.plan.vote import elect, recorded_next
from memworld.search import Query
from memworld.search.exact import ExactIndex
from memworld.world_model import WorldModel

NEIGHBOURS = 10
"""Moments that are asked."""


class BehaviourPolicy:
    """Draws from what good episodes' agents would do; see `Behaviour`."""

    def __init__(self, world: WorldModel, behaviour: Behaviour, rng: np.random.Generator) -> None:
        """Begin an episode."""
        self._world, self._behaviour, self._rng = world, behaviour, rng
        self._recent: deque[Tensor] = deque(maxlen=CONTEXT)
        self.support: list[float] = []
        self.decision_seconds: list[float] = []

    def __call__(self, observation: np.ndarray, info: Mapping[str, Any]) -> np.ndarray:
        """The action to take, in the stored form."""
        began = time.perf_counter()
        self._recent.appendleft(self._world.encoder.encode(observation[None])[0][0])
        action: np.ndarray = self._behaviour.draw(torch.stack([*self._recent])[None], self._rng)[0]
        self.decision_seconds.append(time.perf_counter() - began)
        return action


class NearestNeighbours:
    """Behaviour cloning by nearest neighbours (VINN, Pari et al. 2021), in the memory's latents.

    The moments nearest to the present say what to do, each by a kernel of its distance: the choice with most weight,
    and the weighted mean of what is continuous.
    """

    def __init__(self, world: WorldModel, index: ExactIndex) -> None:
        """Begin an episode; `index` is of the latents of the memory's rows, in L2."""
        self._world, self._index = world, index
        self.support: list[float] = []
        self.decision_seconds: list[float] = []

    def __call__(self, observation: np.ndarray, info: Mapping[str, Any]) -> np.ndarray:
        """The action to take, in the stored form."""
        began = time.perf_counter()
        memory = self._world.memory
        state = self._world.encode(observation, torch.Generator().manual_seed(0))
        matches = self._index.nearest(Query(state), min(NEIGHBOURS, memory.steps))
        weights = torch.softmax(log_kernel(matches.distances[0], matches.found[0]), 0).numpy()
        taken = np.concatenate([recorded_next(memory, row, 1) for row in matches.rows[0].tolist()])
        action = elect(taken, memory.info.action_space, weights)
        self.decision_seconds.append(time.perf_counter() - began)
        return action
