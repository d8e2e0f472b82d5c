"""A small recurrent network that corrects what analogues predict, trained for less than a minute.

It sees the moments that were searched for, every prediction in turn, and the actions, and adds to each
prediction what its hidden state says. It learns from memory's own moments, each predicted from other
episodes. How much of it counts, at each number of steps ahead, is decided on episodes that it did not
learn from: where it does not help, its share is 0, and the analogues are left as they are.
"""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from tqdm import tqdm

from memworld.analogues.lessons import Lessons
from memworld.gaussian import seeded
from memworld.hybrid.config import HybridConfig
from memworld.memory import Rows

_FEWEST = 32
"""Lessons to learn from, and to decide on, below which nothing is corrected."""

_LOOK_EVERY = 50
"""Steps after which it is looked at with the lessons held back; the best look is kept."""

_MOST_GRADIENT = 100.0
"""Norm to which gradients are clipped."""


class CorrectionNetwork(nn.Module):
    """Corrections of one prediction after another."""

    unit: Tensor

    def __init__(self, latent_dim: int, action_features: int, context: int, hidden: int, unit: float) -> None:
        """Build the layers.

        Args:
            latent_dim: D.
            action_features: A.
            context: moments that were searched for.
            hidden: size of its memory.
            unit: typical standard deviation of a latent, in which latents are read.
        """
        super().__init__()
        self.register_buffer("unit", torch.tensor(unit))
        self.begin = nn.Sequential(nn.Linear(context * latent_dim, hidden), nn.Tanh())
        self.enter = nn.Sequential(nn.Linear(2 * latent_dim + action_features, hidden), nn.SiLU())
        self.cell = nn.GRUCell(hidden, hidden)
        self.leave = nn.Sequential(nn.Linear(hidden, hidden), nn.SiLU())
        self.change = nn.Linear(hidden, latent_dim)
        # At first nothing is corrected: training starts from the analogues.
        nn.init.zeros_(self.change.weight)
        nn.init.zeros_(self.change.bias)

    def start(self, recent: Tensor) -> Tensor:
        """The memory (B, hidden) of moments (B, context, D), the latest first."""
        begun: Tensor = self.begin(recent.flatten(1) / self.unit)
        return begun

    def step(self, before: Tensor, predicted: Tensor, actions: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """What to add to a prediction (B, D), and the memory (B, hidden) after it.

        Args:
            before: (B, D) the moment before, as corrected.
            predicted: (B, D) by analogues.
            actions: (B, A) features of the action between them.
            memory: (B, hidden).
        """
        inputs = torch.cat([before / self.unit, (predicted - before) / self.unit, actions], 1)
        memory = self.cell(self.enter(inputs), memory)
        return self.change(self.leave(memory)), memory

    def forward(self, recent: Tensor, predicted: Tensor, actions: Tensor) -> Tensor:
        """Corrections (B, T, D) of predictions (B, T, D) under actions (B, T, A)."""
        memory, before = self.start(recent), recent[:, 0]
        added = []
        for t in range(predicted.shape[1]):
            change, memory = self.step(before, predicted[:, t], actions[:, t], memory)
            before = predicted[:, t] + change
            added.append(change)
        return torch.stack(added, 1)


class Correction:
    """A trained network, and how much of it counts."""

    def __init__(self, network: CorrectionNetwork | None, shares: Tensor, spread: Tensor) -> None:
        """Put together.

        Args:
            network: None corrects nothing.
            shares: (T,) from 0 to 1, of what the network says, by steps ahead.
            spread: (T,) what is left of the root mean squared error.
        """
        self.network, self.shares, self.spread = network, shares, spread

    @classmethod
    def fit(cls, lessons: Lessons, rows: Rows, config: HybridConfig, progress: bool) -> "Correction":
        """Train on what was predicted of memory's own rows; `progress` shows a bar."""
        steps = lessons.means.shape[1]
        best, least = cls(None, torch.zeros(steps), torch.ones(steps)), torch.inf
        mine, back = _divided(rows.episodes[lessons.rows], config)
        if min(len(mine), len(back)) < _FEWEST:
            return best
        judged = lessons.batch(rows, back, config.analogues.context)
        for network in _trained(lessons, rows, mine, config, progress):
            shares, spread, error = _judge(network, *judged)
            if error < least:
                best, least = cls(copy.deepcopy(network).eval(), shares, spread), error
        return best


@torch.no_grad()
def _judge(
    network: CorrectionNetwork, recent: Tensor, means: Tensor, actions: Tensor, true: Tensor, known: Tensor
) -> tuple[Tensor, Tensor, float]:
    """By steps ahead (T,): the shares that leave the least squared error and what they leave of its root; and its sum.

    The arguments are those of `Lessons.batch`.
    """
    added, missing, weight = network(recent, means, actions), true - means, known[..., None]
    shares = (missing * added * weight).sum((0, 2)) / (added.square() * weight).sum((0, 2)).clamp(min=1e-12)
    shares = shares.clamp(0, 1)
    left = ((missing - shares[:, None] * added).square() * weight).sum((0, 2))
    whole = (missing.square() * weight).sum((0, 2))
    # Where nothing was held back, or nothing was missing, nothing is known to have become better.
    spread = torch.where(whole > 0, left / whole, 1.0).sqrt()
    return shares, spread, float(left.sum())


def _divided(episodes: Tensor, config: HybridConfig) -> tuple[Tensor, Tensor]:
    """Lessons to learn from, and those held back, in whole episodes."""
    order = torch.unique(episodes)
    order = order[torch.randperm(len(order), generator=seeded(config.seed))]
    back = torch.isin(episodes, order[: max(1, round(config.held_back * len(order)))])
    return torch.nonzero(~back)[:, 0], torch.nonzero(back)[:, 0]


def _trained(
    lessons: Lessons, rows: Rows, mine: Tensor, config: HybridConfig, progress: bool
) -> Iterator[CorrectionNetwork]:
    """The network after every few steps of descending the squared error of all steps ahead at once."""
    context = config.analogues.context
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = CorrectionNetwork(
            rows.latents.dim, rows.actions.shape[1], context, config.hidden, float(rows.latents.mu.std(0).mean())
        )
    optimiser = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=config.steps + 1, pct_start=max(0.1, 2 / (config.steps + 1))
    )
    generator = seeded(config.seed)
    for step in tqdm(range(1, config.steps + 1), "train correction", disable=not progress):
        some = mine[torch.randint(len(mine), (config.batch_size,), generator=generator)]
        recent, means, actions, true, known = lessons.batch(rows, some, context)
        with torch.enable_grad():
            errors = (means + network(recent, means, actions) - true).square().sum(2)
            loss = (errors * known).sum() / known.sum()
            optimiser.zero_grad()
            loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), _MOST_GRADIENT)
        optimiser.step()
        schedule.step()
        if step % _LOOK_EVERY == 0 or step == config.steps:
            yield network
