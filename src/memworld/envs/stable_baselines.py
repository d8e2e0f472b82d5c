"""Vector environments as Stable-Baselines3 takes them; imported when they are asked for."""

from collections.abc import Sequence
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from memworld.errors import MemworldError


class StableBaselinesVecEnv(VecEnv):
    """A gymnasium vector environment in the interface that Stable-Baselines3 had before there was one."""

    def __init__(self, envs: VectorEnv[np.ndarray, Any, np.ndarray]) -> None:
        """Adapt.

        Args:
            envs: their autoreset is disabled; this one begins them anew.

        Raises:
            MemworldError: another autoreset.
        """
        mode = envs.metadata.get("autoreset_mode")
        if mode is not AutoresetMode.DISABLED:
            raise MemworldError(
                f"Stable-Baselines3 begins environments anew itself, these do so ({mode}): make them with "
                "autoreset_mode AutoresetMode.DISABLED"
            )
        self._envs = envs
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)
        self._actions: Any = None

    def reset(self) -> np.ndarray:
        """Begin all environments anew, with what `seed` and `set_options` of before say."""
        options = self._options[0]
        if any(other != options for other in self._options):
            raise MemworldError("the environments are begun together: give one set of options for all")
        observations, infos = self._envs.reset(seed=self._seeds[0], options=options or None)
        self.reset_infos = _apart(infos, self.num_envs)
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        """Take actions to step with."""
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Step; those that end begin anew, and their infos hold their `terminal_observation`."""
        observations, rewards, terminations, truncations, infos = self._envs.step(self._actions)
        told, ended = _apart(infos, self.num_envs), terminations | truncations
        for place, info in enumerate(told):
            info["TimeLimit.truncated"] = bool(truncations[place] and not terminations[place])
            if ended[place]:
                info["terminal_observation"] = observations[place]
        if ended.any():
            observations, infos = self._envs.reset(options={"reset_mask": ended})
            begun = _apart(infos, self.num_envs)
            self.reset_infos = [
                new if over else old for new, old, over in zip(begun, self.reset_infos, ended, strict=True)
            ]
        return observations, rewards.astype(np.float32), ended, told

    def close(self) -> None:
        """Close the environments."""
        self._envs.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """What each environment shows."""
        return cast("tuple[np.ndarray, ...] | None", self._envs.render()) or [None] * self.num_envs

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute, which all environments share."""
        return [getattr(self._envs, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Refused: environments that share their attributes have none of their own to set."""
        raise MemworldError(f"the environments share {attr_name}: make others to have it otherwise")

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        """Refused: no environment stands alone."""
        raise MemworldError(f"the environments are stepped together: call {method_name} of the vector environment")

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """No environment is wrapped on its own."""
        return [False for _ in self._get_indices(indices)]


def _apart(infos: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """A vector environment's info, an environment each."""
    names = [name for name in infos if not name.startswith("_")]
    return [{name: infos[name][place] for name in names if infos[f"_{name}"][place]} for place in range(count)]
