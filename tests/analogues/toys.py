"""Rows of memory with known dynamics, without frames or an encoder."""

from collections.abc import Sequence

import torch
from torch import Tensor

from memworld.gaussian import at_mean
from memworld.memory import Rows
from memworld.search import Candidates, Index
from memworld.search.exact import ExactIndex

ACTIONS = 3
"""Choices of action."""


def make_index(candidates: Candidates) -> Index:
    return ExactIndex("l2", candidates, device="cpu")


def rows_of(episodes: Sequence[Tensor], actions: Sequence[Tensor]) -> Rows:
    """Rows of latent means (T+1, D) and action features (T, A), an episode each; a step's reward is its number."""
    lengths = [len(e) for e in episodes]
    means = torch.cat(list(episodes)).float()
    padded = [torch.cat([a, torch.zeros_like(a[:1])]) for a in actions]
    steps = torch.cat([torch.arange(n) for n in lengths])
    last = torch.cat([torch.arange(n) == n - 1 for n in lengths])
    return Rows(
        latents=at_mean(means, torch.full_like(means, 0.01)),
        actions=torch.cat(padded).double(),
        discrete=torch.ones(actions[0].shape[1], dtype=torch.bool),
        rewards=torch.where(last, 0, steps).float(),
        terminations=torch.zeros(len(means), dtype=torch.bool),
        episodes=torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)),
        steps=steps,
        has_successor=~last,
    )


def glide(episodes: int, steps: int, dim: int, seed: int = 0) -> tuple[list[Tensor], list[Tensor]]:
    """Points that glide on, turned a little by every step and pushed by its action: linear in two moments."""
    generator = torch.Generator().manual_seed(seed)
    angle = torch.tensor(0.15)
    turn = torch.eye(dim)
    turn[:2, :2] = torch.tensor([[torch.cos(angle), -torch.sin(angle)], [torch.sin(angle), torch.cos(angle)]])
    push = torch.randn(ACTIONS, dim, generator=torch.Generator().manual_seed(99)) * 0.05
    means, actions = [], []
    for _ in range(episodes):
        chosen = torch.nn.functional.one_hot(torch.randint(ACTIONS, (steps,), generator=generator), ACTIONS).float()
        place, speed = torch.randn(dim, generator=generator), torch.randn(dim, generator=generator) * 0.1
        track = [place]
        for action in chosen:
            speed = turn @ speed + action @ push
            place = place + speed
            track.append(place)
        means.append(torch.stack(track))
        actions.append(chosen)
    return means, actions
