"""All episodes of a memory end to end, as a search sees them.

Row i is (episode, step, mu, sigma, z, action, reward, terminated, truncated), METHOD section 1. Each
frame and each latent is stored once: the successor of row i is row i+1. The last row of an
episode has no action, so it can be a successor but never a search candidate.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from memworld.actions import action_features, discrete_features
from memworld.datasets import DatasetInfo
from memworld.gaussian import Latents, concatenate
from memworld.memory.episode import MemoryEpisode


@dataclass(frozen=True, eq=False)
class Rows:
    """All episodes of a memory end to end, N rows.

    Attributes:
        latents: (N, D) float32.
        actions: (N, A) float64 features of each row's action; zeros in an episode's last row.
        discrete: (A,) bool, which of these features belong to discrete choices.
        rewards: (N,) float32, 0 in an episode's last row.
        terminations: (N,) bool, false in an episode's last row.
        episodes: (N,) int64, index into `Memory.episodes`.
        steps: (N,) int64, step in the episode.
        has_successor: (N,) bool, false in an episode's last row.
        lineage: the same object in rows that have grown from each other by appending.
    """

    latents: Latents
    actions: Tensor
    discrete: Tensor
    rewards: Tensor
    terminations: Tensor
    episodes: Tensor
    steps: Tensor
    has_successor: Tensor
    lineage: object = field(default_factory=object)

    def __len__(self) -> int:
        """N."""
        return len(self.steps)

    def grew_from(self, before: "Rows") -> bool:
        """Whether the first rows of these are those of `before`, which memory held earlier."""
        return self.lineage is before.lineage and len(before) <= len(self)

    @cached_property
    def candidates(self) -> Tensor:
        """(M,) int64: the rows that a search may return, ascending."""
        return torch.nonzero(self.has_successor)[:, 0]


def lay_out(episodes: Sequence[MemoryEpisode], info: DatasetInfo, before: Rows | None = None) -> Rows:
    """Put episodes end to end, at least one, after the rows `before` of the episodes that precede them."""

    def padded(values: np.ndarray) -> np.ndarray:
        # One more row for the last observation, which has no action.
        return np.concatenate([values, np.zeros_like(values[:1])])

    rows = assemble(
        concatenate([e.latents for e in episodes]),
        torch.from_numpy(np.concatenate([padded(action_features(e.actions, info.action_space)) for e in episodes])),
        torch.from_numpy(np.concatenate([padded(e.rewards) for e in episodes])),
        torch.from_numpy(np.concatenate([padded(e.terminations) for e in episodes])),
        np.array([e.entry.steps for e in episodes]),
        info,
    )
    return rows if before is None else _join(before, rows)


def assemble(
    latents: Latents,
    actions: Tensor,
    rewards: Tensor,
    terminations: Tensor,
    transitions: np.ndarray,
    info: DatasetInfo,
    lineage: object | None = None,
) -> Rows:
    """Rows of arrays that lie end to end already.

    Args:
        latents: (N, D).
        actions: (N, A) float64 features; those of an episode's last row are zeros.
        rewards: (N,).
        terminations: (N,).
        transitions: (E,) int64 T of each episode.
        info: of the memory.
        lineage: of the rows that these grew from; None begins one.
    """
    lengths = transitions + 1
    steps = np.arange(len(latents)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return Rows(
        latents=latents,
        actions=actions,
        discrete=torch.from_numpy(discrete_features(info.action_space)),
        rewards=rewards,
        terminations=terminations,
        episodes=torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths)),
        steps=torch.from_numpy(steps),
        has_successor=torch.from_numpy(steps < np.repeat(transitions, lengths)),
        lineage=object() if lineage is None else lineage,
    )


def _join(before: Rows, after: Rows) -> Rows:
    """Rows of later episodes after those of earlier ones."""
    return Rows(
        latents=concatenate([before.latents, after.latents]),
        actions=torch.cat([before.actions, after.actions]),
        discrete=before.discrete,
        rewards=torch.cat([before.rewards, after.rewards]),
        terminations=torch.cat([before.terminations, after.terminations]),
        episodes=torch.cat([before.episodes, after.episodes + before.episodes[-1] + 1]),
        steps=torch.cat([before.steps, after.steps]),
        has_successor=torch.cat([before.has_successor, after.has_successor]),
        lineage=before.lineage,
    )
