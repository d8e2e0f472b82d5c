"""An episode in a world: where it starts, and what is kept of it step by step."""

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from memworld.actions import ActionSpace, as_actions, restore_actions, stored_shape, supported_space
from memworld.datasets import DatasetInfo
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.storage import one_line
from memworld.worlds.policies import Policy, random_policy, skilled
from memworld.worlds.world import World


def dataset_info(world: World, env: gymnasium.Env[np.ndarray, Any]) -> DatasetInfo:
    """What all episodes of a world share, by one of its environments.

    Raises:
        MemworldError: its frames or actions cannot be stored.
    """
    observed = env.observation_space
    if not (isinstance(observed, gymnasium.spaces.Box) and observed.dtype == np.uint8 and len(observed.shape) == 3):
        raise MemworldError(
            f"{world.name} has observations in {one_line(observed)[:120]}, memworld needs uint8 frames (H, W, C): wrap "
            "it to return pictures, as with gymnasium's AddRenderObservation"
        )
    height, width, channels = observed.shape
    space = supported_space(env.action_space)
    return DatasetInfo((height, width, channels), space, world.name, world.state_names, world.action_names)


def begin_episode(
    env: gymnasium.Env[np.ndarray, Any], world: World, rng: np.random.Generator, seed: int, steps: int
) -> tuple[np.ndarray, dict[str, Any]]:
    """Reset and take the random steps before the recording; a game that ends in them starts over.

    Args:
        env: an environment of the world.
        world: the world.
        rng: of the random steps.
        seed: of the world.
        steps: how many.

    Returns:
        The first observation and info.
    """
    observation, info = env.reset(seed=seed)
    # The world's own chance, where it has one: not everywhere are all actions as likely.
    factory = world.policies.get("random", skilled(random_policy))
    chance = factory(supported_space(env.action_space), rng, 0.0)
    for _ in range(steps):
        observation, _, terminated, truncated, info = env.step(chance(observation, info))
        if terminated or truncated:
            observation, info = env.reset()
    return observation, info


def play_episode(
    env: gymnasium.Env[np.ndarray, Any],
    world: World,
    policy: Policy,
    first: tuple[np.ndarray, dict[str, Any]],
    max_steps: int,
    id: str,
    source: Mapping[str, Any],
) -> Episode:
    """Play on to the episode's end.

    Args:
        env: an environment of the world.
        world: the world.
        policy: what acts.
        first: observation and info to go on from, as `begin_episode` returns them.
        max_steps: most steps; an episode that is cut there is marked as truncated.
        id: of the episode.
        source: of the episode; its `policy` is named in errors.

    Raises:
        MemworldError: an action outside the space, or rewards, frames or states that no episode can hold.
    """
    space = supported_space(env.action_space)
    observation, info = first
    observations, states = [np.array(observation)], [_state(world, info)]
    actions: list[np.ndarray] = []
    rewards: list[float] = []
    terminated = truncated = False
    while not (terminated or truncated):
        chosen = policy(observation, info)
        action = _stored_action(chosen, space, f"{source.get('policy')}", id, len(actions))
        observation, reward, terminated, truncated, info = env.step(restore_actions(action, space))
        observations.append(np.array(observation))
        states.append(_state(world, info))
        actions.append(action)
        rewards.append(float(reward))
        truncated = truncated or (len(actions) == max_steps and not terminated)
    last = np.arange(len(actions)) == len(actions) - 1
    return Episode(
        id,
        np.stack(observations),
        np.stack(actions),
        np.array(rewards, np.float32),
        last & terminated,
        last & truncated,
        np.stack(states) if world.state_names else None,
        source,
    )


def _state(world: World, info: dict[str, Any]) -> np.ndarray:
    if not world.state_names:
        return np.empty(0, np.float32)
    try:
        return np.array(info["state"], np.float32).reshape(len(world.state_names))
    except (KeyError, TypeError, ValueError) as error:
        raise MemworldError(
            f"{world.name} names {len(world.state_names)} state variables, but its info has no 'state' of as many "
            f"numbers ({one_line(error)}): return them from reset and step, or name none"
        ) from error


def _stored_action(action: Any, space: ActionSpace, policy: str, episode: str, step: int) -> np.ndarray:
    """A policy's action in the stored form.

    Raises:
        MemworldError: it is not one action of the space.
    """
    try:
        stored = as_actions(action, space)
        if stored.shape != stored_shape(space):
            raise MemworldError(f"it has shape {stored.shape}, one action of {space} has {stored_shape(space)}")
    except (MemworldError, ValueError) as error:
        raise MemworldError(
            f"policy {policy} returned a bad action at step {step} of episode {episode}: {error}"
        ) from error
    return stored
