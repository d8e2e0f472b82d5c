"""Imagined environments: a world model as Gymnasium's environments, to train policies in.

Importing this registers `memworld/Imagined-v0`, so that `gymnasium.make("memworld/Imagined-v0", memory=PATH)` makes one
and `gymnasium.make_vec` many. Gymnasium 1 loads no plug-ins by itself: where memworld is not imported, its own
spelling `gymnasium.make("memworld:memworld/Imagined-v0", ...)` does so.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv

from memworld.engine import DynamicsSettings
from memworld.envs.config import ImaginedConfig
from memworld.envs.encoding import EncodeObservation
from memworld.envs.single import ImaginedEnv
from memworld.envs.vector import ImaginedVectorEnv
from memworld.extras import import_extra
from memworld.world_model import WorldModel

if TYPE_CHECKING:
    from memworld.envs.stable_baselines import StableBaselinesVecEnv

__all__ = [
    "ENV_ID",
    "EncodeObservation",
    "ImaginedConfig",
    "ImaginedEnv",
    "ImaginedVectorEnv",
    "for_stable_baselines",
    "open_env",
    "open_vector_env",
]

ENV_ID = "memworld/Imagined-v0"


def open_env(memory: str | Path, *, dynamics: DynamicsSettings | None = None, **options: Any) -> ImaginedEnv:
    """The imagined environment of a memory that holds its encoder; what `gymnasium.make` calls.

    Args:
        memory: its folder.
        dynamics: as for `WorldModel`.
        options: of `ImaginedEnv`.

    Raises:
        MemworldError: the memory is missing or damaged, or an option is wrong.
    """
    return ImaginedEnv(WorldModel.open(memory, dynamics), **options)


def open_vector_env(
    memory: str | Path, num_envs: int = 1, *, dynamics: DynamicsSettings | None = None, **options: Any
) -> ImaginedVectorEnv:
    """The same many times; what `gymnasium.make_vec` calls."""
    return ImaginedVectorEnv(WorldModel.open(memory, dynamics), num_envs, **options)


def for_stable_baselines(envs: VectorEnv[np.ndarray, Any, np.ndarray]) -> "StableBaselinesVecEnv":
    """A vector environment with autoreset disabled, as Stable-Baselines3 takes it.

    Raises:
        MemworldError: another autoreset, or Stable-Baselines3 is not installed (the extra `rl`).
    """
    import_extra("stable_baselines3", "rl", "vector environments for Stable-Baselines3")
    from memworld.envs.stable_baselines import StableBaselinesVecEnv

    return StableBaselinesVecEnv(envs)


gymnasium.register(ENV_ID, entry_point="memworld.envs:open_env", vector_entry_point="memworld.envs:open_vector_env")
