"""The published way to act: moments like the present one vote with what their own episodes did next."""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from memworld.actions import ActionSpace, action_parts
from memworld.memory import Memory
from memworld.world_model import WorldModel

PLAN_STEPS = 5
"""Actions that are voted on at a time (the paper's h)."""

_DIGITS = 9
"""Shares add up to no more digits than these: equal votes stay equal, and half a step stays half a step."""


@dataclass(frozen=True, eq=False)
class Vote:
    """What threads agreed on, step by step.

    Attributes:
        actions: (T,) or (T, A) in the stored form.
        voters: (T,) int64 threads that reach so far.
        unanimous: (T,) bool, whether all of them took one action.
    """

    actions: np.ndarray
    voters: np.ndarray
    unanimous: np.ndarray


def vote(threads: Sequence[np.ndarray], space: ActionSpace) -> Vote:
    """Vote on each step: in every column the majority of choices, the mean of what is continuous.

    Of choices with equally many votes the one of the nearest row wins. A thread that has ended votes no more.

    Args:
        threads: what each retrieved row's episode did from that row on, at least one (T_i,) or (T_i, A) array
            in the stored form with T_i of at least 1, the nearest row's first.
        space: the actions' space.

    Returns:
        As many steps as the longest thread has.
    """
    assert threads
    assert all(len(thread) for thread in threads)
    heard = [np.stack([t[step] for t in threads if len(t) > step]) for step in range(max(map(len, threads)))]
    return Vote(
        np.stack([elect(actions, space) for actions in heard]),
        np.array([len(actions) for actions in heard]),
        np.array([bool((actions == actions[0]).all()) for actions in heard]),
    )


def elect(actions: np.ndarray, space: ActionSpace, weights: np.ndarray | None = None) -> np.ndarray:
    """The one action, () or (A,), that the actions (K,) or (K, A), the nearest row's first, vote for.

    Each has the vote that `weights` (K,), which sum to 1, give it; without, all have the same.
    """
    columns = actions.reshape(len(actions), -1)
    shares = np.full(len(actions), 1 / len(actions)) if weights is None else weights
    elected = np.empty(columns.shape[1], columns.dtype)
    for part in action_parts(space):
        whole = not np.issubdtype(part.space.dtype, np.floating)
        for at in range(part.columns.start, part.columns.stop):
            if part.discrete:
                values, first, same = np.unique(columns[:, at], return_index=True, return_inverse=True)
                # Of equal votes the choice wins that a nearer row made.
                votes = np.bincount(same, shares).round(_DIGITS)
                elected[at] = values[np.lexsort((first, -votes))[0]]
            else:
                mean = shares @ columns[:, at].astype(np.float64)
                elected[at] = np.round(mean.round(_DIGITS)) if whole else mean
    return elected.reshape(actions.shape[1:])


class Voter:
    """A policy that retrieves moments like the present one, plays what they vote for, and plans again.

    Attributes:
        support: support quantile of the nearest row, of every plan.
        unanimous: of every step played on which several threads voted, whether they took one action.
        nearest: nearest row of every plan.
        planned_at: step of every plan.
        decision_seconds: of every plan.
    """

    def __init__(self, world: WorldModel, generator: torch.Generator) -> None:
        """Begin an episode.

        Args:
            world: gives encoder, memory, and how to retrieve; its dynamics must not heed actions, as there
                is none yet.
            generator: of the samples z of encoded frames, by which L2 searches.
        """
        assert world.lookup.settings.conditioning == "none"
        self._world = world
        self._generator = generator
        self._plan: deque[tuple[np.ndarray, int, bool]] = deque()
        self._steps = 0
        self.support: list[float] = []
        self.unanimous: list[bool] = []
        self.nearest: list[int] = []
        self.planned_at: list[int] = []
        self.decision_seconds: list[float] = []

    def __call__(self, observation: np.ndarray, info: Mapping[str, Any]) -> np.ndarray:
        """The action to take, in the stored form."""
        if not self._plan:
            began = time.perf_counter()
            decided = self._decide(observation)
            self.decision_seconds.append(time.perf_counter() - began)
            self._plan.extend(zip(decided.actions, decided.voters.tolist(), decided.unanimous.tolist(), strict=True))
        action, voters, unanimous = self._plan.popleft()
        if voters > 1:
            self.unanimous.append(unanimous)
        self._steps += 1
        return action

    def _decide(self, observation: np.ndarray) -> Vote:
        """Encode, retrieve, vote."""
        world, memory = self._world, self._world.memory
        state = world.encode(observation, self._generator)
        matches = world.lookup.retrieve(state, memory.rows.actions[:1])  # of any action: none is heeded
        rows = matches.rows[0][matches.found[0]].tolist()
        self.support.append(float(world.lookup.support.quantile(matches.distances.amin(1))[0]))
        self.nearest.append(rows[0])
        self.planned_at.append(self._steps)
        return vote([recorded_next(memory, row, PLAN_STEPS) for row in rows], memory.info.action_space)


def recorded_next(memory: Memory, row: int, steps: int) -> np.ndarray:
    """The actions that a row's own episode recorded from it on, up to `steps` of them and to the episode's end."""
    episode, step = int(memory.rows.episodes[row]), int(memory.rows.steps[row])
    return memory.episodes[episode].actions[step : step + steps]
