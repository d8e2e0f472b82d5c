"""What is in a memory: counts, actions, rewards, and how well it covers its own latent space."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from memworld.actions import describe_actions
from memworld.gaussian import Latents, at_mean
from memworld.inspection.statistics import rewards_of, spread
from memworld.memory import Memory, Rows
from memworld.search import Query
from memworld.search.exact import ExactIndex
from memworld.storage import one_line

_STEPS = 5
"""Coverage asks for another moment nearer than the world moves in this many steps."""


def inspect_memory(memory: Memory, samples: int = 512, seed: int = 0) -> dict[str, Any]:
    """Describe a memory in plain JSON values.

    `coverage` says how much of memory is backed by other episodes: `covered` is the share of
    sampled rows with a row of another episode nearer than the latent means typically move in five
    steps. It is null for a memory of one episode, or of none as long as that.

    Raises:
        MemworldError: the memory is empty.
    """
    rows = memory.rows
    lengths = np.array([e.entry.steps for e in memory.episodes])
    rewards = np.concatenate([e.rewards for e in memory.episodes])
    returns = np.array([e.rewards.sum(dtype=np.float64) for e in memory.episodes])
    actions = np.concatenate([e.actions for e in memory.episodes])
    names = memory.info.action_names
    return {
        "world": memory.info.world,
        "episodes": len(memory.episodes),
        "transitions": memory.steps,
        "rows": len(memory),
        "steps_per_episode": spread(lengths),
        "observation_shape": list(memory.info.observation_shape),
        "frames_kept": memory.keep_frames,
        "action_space": one_line(memory.info.action_space),
        "actions": describe_actions(actions, memory.info.action_space),
        "action_names": list(names),
        "rewards": rewards_of(rewards),
        "returns": spread(returns),
        "terminated_episodes": int(sum(e.terminations[-1] for e in memory.episodes)),
        "truncated_episodes": int(sum(e.truncations[-1] for e in memory.episodes)),
        "encoder": memory.encoder_fingerprint,
        "latent_shape": list(memory.latent_shape),
        "coverage": _coverage(rows, samples, seed),
        "bytes": {
            "latents": 3 * 4 * rows.latents.mu.numel(),
            "frames": sum(0 if e.frames is None else e.frames.nbytes for e in memory.episodes),
        },
        "episode_ids": list(memory.ids),
    }


def _coverage(rows: Rows, samples: int, seed: int) -> dict[str, float] | None:
    # The means alone: a sample's own noise is no distance that the world has moved.
    means = at_mean(rows.latents.mu, rows.latents.sigma)
    moved = _moved(rows, means)
    if int(rows.episodes[-1]) == 0 or moved is None:
        return None
    index = ExactIndex.of(replace(rows, latents=means), "l2")
    chosen = rows.candidates
    picked = chosen[torch.randperm(len(chosen), generator=torch.Generator().manual_seed(seed))[:samples]]
    nearest = index.nearest(Query(means[picked], exclude_episode=rows.episodes[picked]), 1).distances[:, 0]
    return {
        "covered": float((nearest <= moved).double().mean()),
        "nearest_of_another_episode": float(nearest.median().sqrt()),
        "moved_in_5_steps": float(moved.sqrt()),
    }


def _moved(rows: Rows, means: Latents) -> torch.Tensor | None:
    """The median squared distance between latent means `_STEPS` apart in one episode; None without any."""
    later = torch.arange(_STEPS, max(_STEPS, len(rows.steps)))
    same = rows.episodes[later] == rows.episodes[later - _STEPS]
    if not bool(same.any()):
        return None
    change = means.mu[later[same]] - means.mu[later[same] - _STEPS]
    return (change**2).sum(1).median()
