"""What the solvers of stable-worldmodel ask of a world: the cost of sequences of actions.

Its solvers (Maes et al. 2026, https://github.com/galilai-group/stable-worldmodel) plan with any object that has
`get_cost`. Here a memory answers. Nothing of that package is needed: what it passes are tensors.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from torch import Tensor

from memworld.actions import stored_dtype, stored_shape
from memworld.errors import MemworldError
from memworld.plan.objective import Goal, Objective, goal_unit
from memworld.plan.sequences import stored
from memworld.rollout import Past
from memworld.storage import one_line
from memworld.world_model import WorldModel

Restore = Callable[[np.ndarray], np.ndarray]
"""From the numbers (N, A) that a solver draws to those that the environment takes."""


class SolverCost:
    """Costs of candidates by imagination: what stable-worldmodel calls a `Costable`.

    For solvers that draw candidates: of numbers `CEMSolver`, `ICEMSolver`, `MPPISolver` and
    `PredictiveSamplingSolver`, of choices `CategoricalCEMSolver`.
    """

    def __init__(
        self,
        world: WorldModel,
        objective: Objective | None = None,
        *,
        key: str = "pixels",
        goal_key: str = "goal",
        restore: Restore | None = None,
    ) -> None:
        """Prepare.

        Args:
            world: to imagine in; its actions are a `Box` or a `Discrete`.
            objective: what is wanted, such as `Return.of(world.memory.rows)`; None wants to come to look like the
                goal picture that stands beside what is seen.
            key: under which pictures of what is seen stand, as they were taken.
            goal_key: under which goal pictures stand.
            restore: what becomes of a solver's numbers before they are done, if its policy has a `process` for
                actions: `process["action"].inverse_transform`.

        Raises:
            MemworldError: an empty memory, or actions that these solvers do not draw.
        """
        if world.memory.steps == 0:
            raise MemworldError("the memory is empty: remember episodes before planning with it")
        space = world.memory.info.action_space
        if not isinstance(space, Box | Discrete):
            raise MemworldError(
                f"the solvers of stable-worldmodel draw actions of a Box or a Discrete, not of {one_line(space)}: "
                "plan with memworld's own"
            )
        self._world, self._space, self._objective = world, space, objective
        self._unit = goal_unit(world.memory.rows.latents.mu)
        self._key, self._goal_key, self._restore = key, goal_key, restore

    def get_cost(self, info_dict: Mapping[str, Any], action_candidates: Tensor) -> Tensor:
        """The costs (B, S) of S candidates in each of B environments: minus the scores of what is imagined.

        Args:
            info_dict: uint8 tensors or arrays (B, S, ..., H, W, C) or (B, S, ..., C, H, W) of pictures, in the
                memory's size and the same for all S. In between are moments, the oldest first, the last of which is
                the present.
            action_candidates: (B, S, horizon, block * A) numbers of a `Box`, taken within its bounds, or
                (B, S, horizon, block * n) one-hot choices of a `Discrete`; `block` actions are done in each step.

        Raises:
            MemworldError: candidates that ask for gradients or fit no action, pictures that are missing, of another
                type or size.
        """
        if action_candidates.requires_grad:
            raise MemworldError(
                "a search in memory has no gradients: use a solver that draws candidates, such as CEMSolver, "
                "ICEMSolver, MPPISolver or CategoricalCEMSolver"
            )
        # What is learned of memory on the way must be of use outside of a solver's inference mode.
        with torch.inference_mode(False), torch.no_grad():
            actions = self._actions(action_candidates.detach().cpu().numpy())
            seen = self._pictures(info_dict, self._key, len(actions))
            goals = self._pictures(info_dict, self._goal_key, len(actions)) if self._objective is None else seen
            scores = [self._scores(*parts) for parts in zip(seen, goals, actions, strict=True)]
            return -torch.stack(scores).to(action_candidates)

    def criterion(self, info_dict: Mapping[str, Any], action_candidates: Tensor) -> Tensor:
        """The same as `get_cost`, under the other name that a `Costable` has."""
        return self.get_cost(info_dict, action_candidates)

    def _scores(self, seen: np.ndarray, goal: np.ndarray, actions: np.ndarray) -> Tensor:
        """(S,) of one environment: moments (C, H, W, C), goal pictures likewise, and actions (S, T) or (S, T, A)."""
        before = len(seen) - 1
        done = np.zeros((1, before, *stored_shape(self._space)), stored_dtype(self._space))  # nothing looks at them
        past = Past(seen[None, :-1], done, np.ones((1, before), bool))
        futures = self._world.imagine(seen[-1], actions, past=past, decode=False)
        objective = self._objective or Goal(self._world.history(goal[-1]).present, self._unit)
        return objective.score(futures)

    def _actions(self, candidates: np.ndarray) -> np.ndarray:
        """Candidates (B, S, horizon, ...) as actions (B, S, T) or (B, S, T, A) in the stored form."""
        width = int(self._space.n) if isinstance(self._space, Discrete) else stored_shape(self._space)[0]
        if candidates.ndim != 4 or candidates.shape[3] == 0 or candidates.shape[3] % width:
            raise MemworldError(
                f"candidates have shape {candidates.shape}: {one_line(self._space)} asks for (B, S, horizon, {width}), "
                f"or a multiple of {width} where a step is a block of actions"
            )
        single = candidates.reshape(*candidates.shape[:2], -1, width)
        if isinstance(self._space, Discrete):
            return np.asarray(single.argmax(3) + self._space.start)
        if self._restore is not None:
            single = np.asarray(self._restore(single.reshape(-1, width))).reshape(single.shape)
        if not np.isfinite(single).all():
            raise MemworldError("candidates hold NaN or infinity: lower the solver's variance")
        return stored(single.astype(np.float64), self._space)

    def _pictures(self, info: Mapping[str, Any], key: str, count: int) -> np.ndarray:
        """The moments (B, C, H, W, C) that stand under a key."""
        shape = self._world.encoder.frame_shape
        if key not in info:
            raise MemworldError(
                f"there are no pictures under {key!r}, only {', '.join(map(str, info))}: name their key"
            )
        pictures = info[key].cpu().numpy() if isinstance(info[key], Tensor) else np.asarray(info[key])
        if pictures.dtype != np.uint8:
            raise MemworldError(
                f"pictures under {key!r} are {pictures.dtype}: give them as they were taken, uint8, without a transform"
            )
        channels_first = (shape[2], *shape[:2])
        if pictures.ndim < 5 or pictures.shape[-3:] not in (shape, channels_first) or len(pictures) != count:
            raise MemworldError(
                f"pictures under {key!r} have shape {pictures.shape}: the memory's are {shape} and there are {count} "
                "environments with candidates"
            )
        if pictures.shape[-3:] != shape:
            pictures = np.moveaxis(pictures, -3, -1)
        return pictures[:, 0].reshape(count, -1, *shape)
