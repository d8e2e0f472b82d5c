"""Imagined environments, many at once."""

import copy
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from memworld.actions import action_features, as_actions, stored_shape
from memworld.contexts import recorded_history
from memworld.envs.config import ImaginedConfig
from memworld.envs.dreams import Dreams
from memworld.envs.starts import Starts
from memworld.errors import MemworldError
from memworld.gaussian import seeded
from memworld.imagine import known_support
from memworld.memory import Rows
from memworld.pictures import decode
from memworld.plan.value import EpisodicValue
from memworld.rollout import Citation, Prediction, cite
from memworld.world_model import WorldModel

RENDERING: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 15}
"""What the metadata of imagined environments say of their frames."""


class _Step:
    """What a step of E environments has come to so far, over the imagined steps for which an action is held.

    Attributes:
        rewards: (E,) float64 their sums, before shaping.
        terminations: (E,) bool.
        truncations: (E,) bool.
        told: of every environment, the last imagined step's support and citations.
        worth: (E,) float64 of the moments led to, discounted; nothing is worth anything once it is over.
        discounts: (E,) float64 by how much that is.
    """

    def __init__(self, environments: int, worth: np.ndarray) -> None:
        """Begin; `worth` is that of the moments that are left."""
        self.rewards, self.discounts = np.zeros(environments), np.ones(environments)
        self.terminations, self.truncations = np.zeros(environments, bool), np.zeros(environments, bool)
        self.told: list[dict[str, Any]] = [{} for _ in range(environments)]
        self.worth = worth.copy()

    @property
    def over(self) -> np.ndarray:
        """(E,) bool, those that have ended."""
        return np.asarray(self.terminations | self.truncations)


class ImaginedVectorEnv(VectorEnv[np.ndarray, Any, np.ndarray]):
    """Environments that play in a world model: what happens in them was recorded, or follows from what was.

    Actions are those of the recorded world. Rewards are the predicted means, and whether a step terminates is drawn
    with the predicted probability. The memory is as it was at the last `reset` of all environments.

    `info` holds after a reset `start_episode` and `start_step`, the recorded moment, and after a step `support` and
    `citations`, a tuple of `Citation`.
    """

    def __init__(
        self,
        world: WorldModel,
        num_envs: int = 1,
        *,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **options: Any,
    ) -> None:
        """Imagine in a world.

        Args:
            world: what is imagined in.
            num_envs: how many environments.
            render_mode: `rgb_array` if `render` is to give frames.
            autoreset_mode: when an environment that has ended begins anew: at the next step, in the same step, or,
                with `DISABLED`, at `reset(options={"reset_mask": ...})`.
            options: see `ImaginedConfig`.

        Raises:
            MemworldError: an option that there is not or that has a wrong value, or an empty memory.
        """
        if type(num_envs) is not int or num_envs < 1:
            raise MemworldError(f"num_envs must be a whole number from 1, got {num_envs!r}")
        if render_mode not in (None, *RENDERING["render_modes"]):
            raise MemworldError(f"render_mode must be rgb_array or None, got {render_mode!r}")
        try:
            self._autoreset = AutoresetMode(autoreset_mode)
        except ValueError:
            modes = ", ".join(mode.value for mode in AutoresetMode)
            raise MemworldError(f"unknown autoreset mode {autoreset_mode!r}: use one of {modes}") from None
        self.metadata = {**RENDERING, "autoreset_mode": self._autoreset}
        self.num_envs, self.render_mode = num_envs, render_mode
        self.config = ImaginedConfig.of(options)
        self._world = world
        dim = world.memory.rows.latents.dim
        frames = gymnasium.spaces.Box(0, 255, world.encoder.frame_shape, np.uint8)
        latents = gymnasium.spaces.Box(-np.inf, np.inf, (dim,), np.float32)
        self.single_observation_space = frames if self.config.observations == "frames" else latents
        # Whoever samples from a space seeds it: the memory's own is not ours to hand out.
        self.single_action_space = copy.deepcopy(world.memory.info.action_space)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._mu, self._z = torch.zeros(num_envs, dim), torch.zeros(num_envs, dim)
        self._age = np.zeros(num_envs, np.int64)
        self._over = np.zeros(num_envs, bool)
        self._worth = np.zeros(num_envs)
        self._value: EpisodicValue | None = None  # of these rows, if rewards are shaped
        self._valued: Rows | None = None
        self._dreams: Dreams | None = None  # until the first reset, which makes these two as well
        self._starts: Starts
        self._generator: torch.Generator

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin anew, at recorded moments.

        Args:
            seed: of all that is drawn from here on; None goes on with what there was.
            options: `episode` and `step` (0 if not given), the recorded moment to start from; `reset_mask`, bool
                (num_envs,), which environments begin anew.

        Raises:
            MemworldError: an option that there is not, a moment that memory does not hold or that nothing follows, or
                a mask that is none.
        """
        super().reset(seed=seed)
        moment = dict(options or {})
        beginning = self._masked(moment.pop("reset_mask", None))
        everything = bool(beginning.all())
        starts = Starts(self._world.memory, self.config.starts) if everything else self._starts
        chosen = starts.choose(int(beginning.sum()), moment, self.np_random)
        if everything:
            if self.config.shaping is not None and starts.rows is not self._valued:
                self._value, self._valued = EpisodicValue(starts.rows, self.config.shaping), starts.rows
            self._dreams, self._starts = Dreams(self._world.prepare(), self.config.mode), starts
            self._generator = seeded(int(self.np_random.integers(2**32)))
        told = self._begin(beginning, chosen)
        return self._observe(), self._batched(told)

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Imagine one step of every environment, or as many as an action is held.

        Args:
            actions: of `action_space`.

        Returns:
            Observations, rewards (num_envs,) float64, terminations and truncations (num_envs,) bool, and info. With
            `NEXT_STEP`, those that had ended take no step but begin anew, for a reward of 0.

        Raises:
            MemworldError: actions outside the space, a step before the first reset, or one of an environment that has
                ended where autoreset is disabled.
        """
        asked, beginning = self._asked(actions), self._over
        if self._autoreset is AutoresetMode.DISABLED and beginning.any():
            raise MemworldError("an episode has ended, and nothing follows: reset its environment first")
        step = _Step(self.num_envs, self._worth)
        for _ in range(self.config.action_repeat):
            self._imagine(asked, step)
        told, self._over = step.told, step.over
        if self._value is not None:
            step.rewards += step.worth - self._worth
            self._worth = step.worth / step.discounts
        if self._autoreset is AutoresetMode.SAME_STEP:
            beginning = self._over.copy()
            for place, final in zip(np.flatnonzero(beginning), self._observe(beginning), strict=True):
                told[place] = {"final_obs": final, "final_info": told[place]}
        chosen = self._starts.choose(int(beginning.sum()), {}, self.np_random)
        for now, begun in zip(told, self._begin(beginning, chosen), strict=True):
            now |= begun
        return self._observe(), step.rewards, step.terminations, step.truncations, self._batched(told)

    def render(self) -> tuple[np.ndarray, ...] | None:
        """What every environment shows, uint8 (H, W, 3) at the recorded size, if `render_mode` says so."""
        if self.render_mode is None:
            return None
        frames = decode(self._world.encoder, self._z)
        return tuple(np.repeat(frames, 3 // frames.shape[-1], axis=-1))

    def _begin(self, beginning: np.ndarray, chosen: Tensor) -> list[dict[str, Any]]:
        """Begin environments anew, bool (num_envs,), at chosen rows, and tell of each where that is."""
        told: list[dict[str, Any]] = [{} for _ in beginning]
        places = np.flatnonzero(beginning)
        if len(places) == 0:
            return told
        dreams, starts = self._under_way(), self._starts
        history = recorded_history(starts.rows, chosen, dreams.context)
        dreams.keep(~beginning)
        dreams.begin(places, history)
        self._mu[places], self._z[places] = history.present.mu, history.present.z
        self._age[places], self._over[places] = 0, False
        if self._value is not None:
            self._worth[places] = self._value.of_rows[chosen].numpy()
        for place, row in zip(places, chosen.tolist(), strict=True):
            told[place] = dict(zip(("start_episode", "start_step"), starts.moment(row), strict=True))
        return told

    def _imagine(self, asked: Tensor, step: _Step) -> None:
        """Imagine one step of every environment under way, and add to `step` what came of it."""
        config = self.config
        for some, prediction in self._under_way().step(asked, self._generator):
            self._mu[some], self._z[some] = prediction.latents.mu, prediction.latents.z
            self._age[some] += 1
            support = (known_support(prediction) if config.needs_support else prediction.support).numpy()
            unsupported = support >= (config.support_limit or np.inf)
            rewards = prediction.reward.numpy() - (config.penalty * support if config.penalty else 0.0)
            terminations = self.np_random.random(len(some)) < prediction.termination.numpy()
            truncations = self._age[some] >= config.horizon
            if config.halt_reward is None:
                truncations |= unsupported & (self._age[some] > 1)
            else:
                terminations |= unsupported
                rewards = np.where(unsupported, config.halt_reward, rewards)
            step.rewards[some] += rewards
            step.terminations[some], step.truncations[some] = terminations, truncations
            if self._value is not None:
                step.discounts[some] *= self._value.discount
                worth = self._value.after(prediction.matches.rows, prediction.weights).numpy()
                step.worth[some] = step.discounts[some] * worth * ~terminations
            for place, known, cited in zip(some, support, self._cited(prediction), strict=True):
                step.told[place] = {"support": float(known), "citations": cited}
        self._under_way().keep(~step.over)

    def _observe(self, some: np.ndarray | None = None) -> np.ndarray:
        """What is seen now in some places, bool (num_envs,), or in all."""
        places = torch.ones(self.num_envs, dtype=torch.bool) if some is None else torch.from_numpy(some)
        if self.config.observations == "latents":
            return self._mu[places].numpy()
        return decode(self._world.encoder, self._z[places])

    def _cited(self, prediction: Prediction) -> list[tuple[Citation, ...]]:
        """The recorded moments with the largest shares in each of B predictions."""
        matches, rows, most = prediction.matches, self._starts.rows, self.config.citations
        if most == 0:
            return [()] * len(matches.rows)
        here = matches.rows.clamp(min=0)
        columns = (matches.rows, matches.distances, prediction.weights, rows.episodes[here], rows.steps[here])
        batch = zip(*(column.numpy() for column in columns), strict=True)
        return [tuple(cite(*one, episode_ids=self._starts.ids, most=most)) for one in batch]

    def _asked(self, actions: Any) -> Tensor:
        """The features (num_envs, A) of checked actions."""
        space = self._world.memory.info.action_space
        stored = as_actions(actions, space)
        if stored.shape != (expected := (self.num_envs, *stored_shape(space))):
            raise MemworldError(f"actions have shape {stored.shape}: {self.num_envs} environments take {expected}")
        return torch.from_numpy(action_features(stored, space))

    def _masked(self, mask: Any) -> np.ndarray:
        """Which environments begin anew, bool (num_envs,)."""
        if mask is None:
            return np.ones(self.num_envs, bool)
        beginning: np.ndarray = np.asarray(mask)
        if beginning.dtype != bool or beginning.shape != (self.num_envs,) or not beginning.any():
            raise MemworldError(f"reset_mask must be bool ({self.num_envs},) and name an environment, got {mask!r}")
        if not beginning.all():
            self._under_way()  # the others are, or this is too early
        return beginning

    def _under_way(self) -> Dreams:
        """The futures under way."""
        if self._dreams is None:
            raise MemworldError("no episode has begun: reset the environment first")
        return self._dreams

    def _batched(self, told: list[dict[str, Any]]) -> dict[str, Any]:
        """What is told of each environment, as gymnasium's vector environments tell it."""
        infos: dict[str, Any] = {}
        for place, info in enumerate(told):
            infos = self._add_info(infos, info, place)
        return infos
