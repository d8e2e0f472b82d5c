"""A planner at work: see, plan, act, and plan again."""

import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from memworld.actions import stored_dtype, stored_shape
from memworld.errors import MemworldError
from memworld.memory import Memory
from memworld.plan.behaviour import CONTEXT, Behaviour
from memworld.plan.config import PlanConfig
from memworld.plan.likeness import Likeness
from memworld.plan.objective import Goal, Objective, Return
from memworld.plan.problem import Planner, Problem, Proposals
from memworld.plan.recall import Recall
from memworld.plan.recent import Recent
from memworld.plan.sequences import held_actions
from memworld.rollout import Past, Rollout
from memworld.world_model import WorldModel


class Mind:
    """What planning in one world needs and every decision shares: made for what memory holds, once."""

    def __init__(self, world: WorldModel, config: PlanConfig, goal: np.ndarray | None = None) -> None:
        """Prepare.

        Args:
            world: to imagine with, of a memory that is not empty.
            config: how to plan.
            goal: uint8 (H, W, C) the picture to come to look like; of the objective `goal` alone.

        Raises:
            MemworldError: a memory without rewards, a horizon longer than anything recorded, a goal where none is asked
                for, or none where one is.
        """
        self.world, self.config, self._goal = world, config, goal
        self.space = world.memory.info.action_space
        if config.horizon > (longest := longest_episode(world.memory)):
            raise MemworldError(
                f"horizon is {config.horizon}, but the longest recorded episode has {longest} steps, beyond which "
                f"memory knows nothing: use one of at most {longest}, or remember longer episodes"
            )
        rows = world.memory.rows
        likeness = Likeness.of(rows, config.best)
        self.objective = self._objective(likeness)
        self._behaviour = Behaviour(rows, self.space, config.best) if config.proposals == "behaviour" else None
        self._recall: Recall | None = None
        if config.proposals == "memory":
            self._recall = Recall(
                world, likeness, config.recalled, config.horizon, config.commit, self.objective.recorded
            )
        self.context = max(CONTEXT, world.prepare().context)

    def _objective(self, likeness: Likeness) -> Objective:
        config = self.config
        if config.objective == "goal":
            if self._goal is None:
                raise MemworldError("the objective is a goal: give its picture")
            return Goal.of(self.world, self._goal)
        if self._goal is not None:
            raise MemworldError("a goal picture was given for another objective: use the objective goal")
        return Return.of(self.world.memory.rows, config.discount, config.value, config.pessimism, likeness)

    def propose(
        self, frame: np.ndarray, past: Past, before: np.ndarray, count: int, rng: np.random.Generator
    ) -> Proposals:
        """Sequences worth a thought; a share of them drawn evenly, the first of these what is left of the last plan."""
        horizon, share = self.config.horizon, self.config.explore
        given = round(share * count) if self.config.proposals != "even" else count
        even = held_actions(self.space, count, horizon, rng)
        if len(before):
            even[0] = np.concatenate([before, np.repeat(before[-1:], horizon - len(before), 0)])[:horizon]
        if self._behaviour is not None:
            return self._act(frame, past, even[:given], count, rng)
        if self._recall is None or given == count:
            return Proposals.alike(even)
        recalled = self._recall.continuations(frame, past)
        told = recalled.chances[: count - given]
        chances = np.concatenate([(1 - share) * told / told.sum(), np.full(given, share / max(given, 1))])
        return Proposals(np.concatenate([recalled.actions[: len(told)], even[:given]]), chances / chances.sum())

    def _act(self, frame: np.ndarray, past: Past, given: np.ndarray, count: int, rng: np.random.Generator) -> Proposals:
        """What the behaviour does in imagination, but for the first futures, in which sequences are given."""
        behaviour, step = self._behaviour, itertools.count()
        assert behaviour is not None

        def act(recent: Tensor) -> np.ndarray:
            chosen: np.ndarray = behaviour.draw(recent, rng)
            chosen[: len(given)] = given[:, next(step)]
            return chosen

        futures, actions = self.world.imagine_policy(
            frame, act, self.config.horizon, count=count, past=past, decode=False
        )
        return Proposals.alike(actions, futures)


def longest_episode(memory: Memory) -> int:
    """The steps of a memory's longest episode, the longest horizon that it supports; 0 if it is empty."""
    return max((entry.steps for entry in memory.entries), default=0)


class PlanningPolicy:
    """Acts for one episode.

    Attributes:
        support: of every decision, how badly memory knew the first steps of the sequences imagined last, at their
            median; 0 well, 1 not at all.
        decision_seconds: of every decision.
    """

    def __init__(self, mind: Mind, planner: Planner, rng: np.random.Generator) -> None:
        """Begin an episode."""
        self._mind, self._planner, self._rng = mind, planner, rng
        self._recent = Recent(mind.space, mind.context)
        self._plan = np.empty((0, *stored_shape(mind.space)), stored_dtype(mind.space))
        self._left = 0
        self.support: list[float] = []
        self.decision_seconds: list[float] = []

    def __call__(self, observation: np.ndarray, info: Mapping[str, Any]) -> np.ndarray:
        """The action to take, in the stored form."""
        self._recent.see(observation)
        if self._left == 0:
            began = time.perf_counter()
            self._decide()
            self.decision_seconds.append(time.perf_counter() - began)
        action: np.ndarray = np.asarray(self._plan[0])
        self._plan = self._plan[1:]
        self._left -= 1
        self._recent.do(action)
        return action

    def _decide(self) -> None:
        """See, propose, imagine, choose."""
        mind, config = self._mind, self._mind.config
        frame, past = self._recent.frame, self._recent.past
        supports: list[float] = []

        def propose(count: int, rng: np.random.Generator) -> Proposals:
            return mind.propose(frame, past, self._plan, count, rng)

        def score(proposed: Proposals) -> Tensor:
            futures = proposed.futures  # not to be imagined twice
            if futures is None:
                futures = mind.world.imagine(frame, proposed.actions, past=past, decode=False)
            if isinstance(futures, Rollout):
                supports.append(float(futures.support[:, : config.commit].mean(1).median()))
            return mind.objective.score(futures)

        problem = Problem(mind.space, config.horizon, propose, score, mind.objective.unit)
        decision = self._planner.plan(problem, self._rng)
        self._plan, self._left = decision.actions, config.commit
        self.support.append(supports[-1] if supports else float("nan"))


Policy = Callable[[np.ndarray, Mapping[str, Any]], Any]
"""From an observation and what else is known to an action in the stored form."""

PolicyMaker = Callable[[np.random.Generator], Policy]
"""Makes the policy of one episode."""
