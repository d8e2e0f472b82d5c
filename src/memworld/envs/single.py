"""One imagined environment."""

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from memworld.envs.vector import RENDERING, ImaginedVectorEnv
from memworld.world_model import WorldModel


class ImaginedEnv(gymnasium.Env[np.ndarray, Any]):
    """An environment that plays in a world model: `ImaginedVectorEnv`'s case of one."""

    metadata = RENDERING

    def __init__(self, world: WorldModel, *, render_mode: str | None = None, **options: Any) -> None:
        """Imagine in a world.

        Args:
            world: what is imagined in.
            render_mode: `rgb_array` if `render` is to give frames.
            options: see `ImaginedConfig`.

        Raises:
            MemworldError: an option that there is not or that has a wrong value, or an empty memory.
        """
        self._envs = ImaginedVectorEnv(
            world, 1, render_mode=render_mode, autoreset_mode=AutoresetMode.DISABLED, **options
        )
        self.render_mode = render_mode
        self.observation_space = self._envs.single_observation_space
        self.action_space = self._envs.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode at a recorded moment.

        Args:
            seed: of all that is drawn from here on; None goes on with what there was.
            options: `episode` and `step` (0 if not given), the recorded moment to start from.

        Raises:
            MemworldError: an option that there is not, or a moment that memory does not hold or that nothing follows.
        """
        super().reset(seed=seed)
        self._envs.np_random = self.np_random
        observations, infos = self._envs.reset(options=options)
        return observations[0], _only(infos)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Imagine one step.

        Raises:
            MemworldError: an action outside the space, or a step before a reset or after an episode's end.
        """
        observations, rewards, terminations, truncations, infos = self._envs.step(_batch_of(action))
        return observations[0], float(rewards[0]), bool(terminations[0]), bool(truncations[0]), _only(infos)

    def render(self) -> np.ndarray | None:
        """What it shows, uint8 (H, W, 3) at the recorded size, if `render_mode` says so."""
        frames = self._envs.render()
        return None if frames is None else frames[0]


def _batch_of(action: Any) -> Any:
    """One action as a batch of one."""
    if isinstance(action, Mapping):
        return {name: np.asarray(part)[None] for name, part in action.items()}
    return np.asarray(action)[None]


def _only(infos: dict[str, Any]) -> dict[str, Any]:
    """The info of a single environment."""
    return {name: values.tolist()[0] for name, values in infos.items() if not name.startswith("_")}
