"""Real environments, seen as imagined ones are."""

from typing import Any

import gymnasium
import numpy as np

from memworld.encoders import Encoder
from memworld.errors import MemworldError
from memworld.storage import one_line


class EncodeObservation(gymnasium.ObservationWrapper[np.ndarray, Any, np.ndarray]):
    """Frames become the means (D,) float32 of their latents.

    What is learned in an imagined environment of `observations="latents"` acts in the real one so wrapped.
    """

    def __init__(self, env: gymnasium.Env[np.ndarray, Any], encoder: Encoder) -> None:
        """Wrap an environment.

        Args:
            env: its observations are frames of the encoder's size.
            encoder: of the memory that is imagined in.

        Raises:
            MemworldError: other observations.
        """
        super().__init__(env)
        space, shape = env.observation_space, encoder.frame_shape
        if not isinstance(space, gymnasium.spaces.Box) or space.dtype != np.uint8 or space.shape != shape:
            raise MemworldError(
                f"the environment has observations in {one_line(space)[:120]}, the encoder takes frames uint8 "
                f"{list(shape)}: wrap it to return these"
            )
        self._encoder = encoder
        self.observation_space = gymnasium.spaces.Box(
            -np.inf, np.inf, (int(np.prod(encoder.latent_shape)),), np.float32
        )

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """The means of a frame's latents."""
        return self._encoder.encode(observation[None])[0][0].numpy()
