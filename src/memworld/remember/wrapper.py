"""Remember what an agent lives, while it lives it."""

from collections.abc import Callable
from typing import Any, SupportsFloat

import gymnasium
import numpy as np

from memworld.actions import as_actions, supported_space
from memworld.datasets import DatasetInfo
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.remember.stream import MemoryStream
from memworld.storage import check_name, one_line


class RememberWrapper(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment whose episodes go into a memory as they end.

    A reset or a close in mid-episode ends it as truncated. Closing the environment stores what waits, and
    leaves the stream open.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        stream: MemoryStream,
        *,
        name: str = "lived",
        frame: Callable[[Any], np.ndarray] | None = None,
    ) -> None:
        """Wrap an environment.

        Args:
            env: its actions must be the memory's.
            stream: where its episodes go.
            name: how their ids begin, before a number that is not taken yet.
            frame: from an observation to the frame, uint8 (H, W, C) as the memory's; None takes it as it is.

        Raises:
            MemworldError: other actions, observations that are no frames of the memory's size, or a name that
                cannot be a file's.
        """
        super().__init__(env)
        self._info, self._stream, self._frame = stream.memory.info, stream, frame
        self._name, self._number = check_name(name, "name"), 0
        if supported_space(env.action_space) != self._info.action_space:
            raise MemworldError(
                f"the environment has actions {one_line(env.action_space)}, the memory "
                f"{one_line(self._info.action_space)}: remember them apart"
            )
        if frame is None:
            _check_frames(env.observation_space, self._info)
        self._observations: list[np.ndarray] = []
        self._states: list[np.ndarray] = []
        self._actions: list[np.ndarray] = []
        self._rewards: list[float] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; one that has not ended is remembered as truncated."""
        self._end(terminated=False, truncated=True)
        observation, info = self.env.reset(seed=seed, options=options)
        self._see(observation, info)
        return observation, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step, and remember the episode if it has ended."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        if self._observations:  # not after an end without a reset
            try:
                taken = as_actions(action, self._info.action_space)
                self._see(observation, info)
            except MemworldError:  # what follows this step did not follow the one before it
                self._end(terminated=False, truncated=True)
                raise
            self._actions.append(taken)
            self._rewards.append(float(reward))
            if terminated or truncated:
                self._end(terminated=terminated, truncated=truncated)
        return observation, reward, terminated, truncated, info

    def close(self) -> None:
        """Remember the episode so far, store what waits, and close the environment."""
        try:
            self._end(terminated=False, truncated=True)
            self._stream.flush()
        finally:
            self.env.close()

    def _see(self, observation: Any, info: dict[str, Any]) -> None:
        frame = np.array(observation if self._frame is None else self._frame(observation))
        if frame.dtype != np.uint8 or frame.shape != self._info.observation_shape:
            raise MemworldError(
                f"the environment gave a frame {frame.dtype} {list(frame.shape)}, the memory has uint8 "
                f"{list(self._info.observation_shape)}: mend `frame`, or the environment"
            )
        if names := self._info.state_names:
            try:
                self._states.append(np.array(info["state"], np.float32).reshape(len(names)))
            except (KeyError, TypeError, ValueError) as error:
                raise MemworldError(
                    f"the memory has {len(names)} state variables, but the environment's info has no 'state' of as "
                    f"many numbers ({one_line(error)})"
                ) from error
        self._observations.append(frame)

    def _end(self, *, terminated: bool, truncated: bool) -> None:
        """Remember what was lived since the reset."""
        observations, states, actions, rewards = self._observations, self._states, self._actions, self._rewards
        self._observations, self._states, self._actions, self._rewards = [], [], [], []
        if not actions:
            return
        while (episode_id := f"{self._name}-{self._number:06}") in self._stream.ids:
            self._number += 1
        last = np.arange(len(actions)) == len(actions) - 1
        self._stream.append(
            Episode(
                episode_id,
                np.stack(observations),
                np.stack(actions),
                np.array(rewards, np.float32),
                last & terminated,
                last & truncated,
                np.stack(states) if states else None,
                {"recorded": "lived", "world": self._info.world},
            )
        )


def _check_frames(space: gymnasium.Space[Any], info: DatasetInfo) -> None:
    """Do nothing if observations are frames as the memory's."""
    if isinstance(space, gymnasium.spaces.Box) and space.dtype == np.uint8 and space.shape == info.observation_shape:
        return
    raise MemworldError(
        f"the environment has observations in {one_line(space)[:120]}, the memory frames uint8 "
        f"{list(info.observation_shape)}: wrap it to return these, or give `frame`"
    )
