"""Which recorded moments are like a present one, for somebody who has to act.

Two things count alike. Every number of a latent counts by how sure the encoder is of it, as in the divergence of
Replay-KL: what is small in the picture, but sharp, counts. And those directions count on which it depends what
good players do: along which a regression of their actions is steep (recursive feature machines, Radhakrishnan
et al. 2024). Closed form, from the memory alone.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from memworld.analogues.keys import moments
from memworld.memory import Rows
from memworld.plan.behaviour import good_rows
from memworld.plan.kernel import KernelRegression

CONTEXT = 2
"""Moments that are looked at: the present, and the one before it, which tells how things move."""

_MOTION = 0.5
"""What a standard deviation of how a number moves counts, where one of the number counts 1."""

_EXAMPLES, _CENTRES, _PROBED = 8000, 2000, 1000
"""Moments that a regression is fitted to, is a sum over, and is asked how it changes at, at most."""

_ROUNDS = 2
"""Regressions, each by what the one before it was sensitive to."""

_ENOUGH = 50
"""Good moments below which nothing is learned from them."""

_WIDE = 512
"""Numbers of a moment above which only the principal components are asked."""

_FAINT = 1e-3
"""Share of all sensitivity below which a direction is left out."""

_AT_ONCE = 8192

_ASKED, _AT_A_TIME, _ALIKE = 1000, 200, 10
"""Moments of which values are told to see how far they can be, at a time, and like moments that tell one."""


@dataclass(frozen=True, eq=False)
class Likeness:
    """Turns moments into places: the nearer two are, the more alike for somebody who has to act.

    Attributes:
        mean: (D,) float64 of the means of recorded moments.
        sure: (D,) what a difference of each number counts by how sure the encoder is.
        spread: (2 D,) standard deviations of the numbers, and of how far they move within a step.
        telling: (2 D, n) from moments in units of `spread` to the directions on which good play depends.
    """

    mean: Tensor
    sure: Tensor
    spread: Tensor
    telling: Tensor

    @classmethod
    def of(cls, rows: Rows, best: float, seed: int = 0) -> "Likeness":
        """Learn it.

        Args:
            rows: the memory's.
            best: share of the episodes whose play is good, see `good_rows`.
            seed: which moments are looked at, where there are more than are taken.

        Raises:
            MemworldError: a share outside 0 to 1.
        """
        latents = rows.latents
        mean = latents.mu.double().mean(0)
        now = latents.mu.double().std(0, correction=0)
        sigma = latents.sigma.double().mean(0).clamp(min=1e-12)
        sure = 1 / (sigma * (now / sigma).square().sum().sqrt().clamp(min=1e-12))
        drawn = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:_EXAMPLES]
        recent = moments(rows, drawn, CONTEXT).double()
        moved = (recent[:, 0] - recent[:, 1]).std(0, correction=0)
        spread = torch.cat([now, moved / _MOTION]).clamp(min=1e-6)
        blank = cls(mean, sure, spread, torch.zeros(len(spread), 0, dtype=torch.float64))
        good = good_rows(rows, best)
        if len(good) < _ENOUGH:
            return blank
        chosen = good[torch.randperm(len(good), generator=torch.Generator().manual_seed(seed))]
        chosen = chosen[: _EXAMPLES + _PROBED]
        seen = blank._standard(moments(rows, chosen, CONTEXT))
        basis = _basis(seen, seed)
        telling = basis @ sensitive(seen @ basis, rows.actions[chosen].double())
        if telling.shape[1] == 0:  # they always did the same
            return blank
        scale = (seen @ telling).var(0, correction=0).sum().sqrt()
        return cls(mean, sure, spread, telling / scale.clamp(min=1e-12))

    def __call__(self, recent: Tensor) -> Tensor:
        """Places (Q, D + n), float32, of moments (Q, C, D) of latent means, the latest first.

        Both parts have a total variance of about 1 over recorded moments. Where the moment before is not known, things
        are taken to have stood still.
        """
        if recent.shape[1] < CONTEXT:
            recent = torch.cat([recent, recent[:, -1:].expand(-1, CONTEXT - recent.shape[1], -1)], 1)
        known = (recent[:, 0].double() - self.mean) * self.sure
        return torch.cat([known, self._standard(recent) @ self.telling], 1).float()

    def of_rows(self, rows: Rows, chosen: Tensor) -> Tensor:
        """The places (Q, D + n) of recorded moments (Q,)."""
        return torch.cat([self(moments(rows, part, CONTEXT)) for part in torch.split(chosen, _AT_ONCE)])

    def _standard(self, recent: Tensor) -> Tensor:
        """Moments (Q, C, D) as where things are and how they move, (Q, 2 D) in units of `spread`, float64."""
        now = recent[:, 0].double()
        return torch.cat([now - self.mean, now - recent[:, 1].double()], 1) / self.spread


@torch.no_grad()
def reliability(values: Tensor, rows: Rows, likeness: Likeness, seed: int = 0) -> float:
    """How far values can be told from moments: the squared correlation of moments' values with those of like moments.

    Where what decides is not in the picture, as where health is not shown, it is near 0. Like moments are the nearest
    of other episodes; of a single episode nothing is measured, and all believed.

    Args:
        values: (N,) float64 of all rows.
        rows: the memory's.
        likeness: of moments.
        seed: which moments are asked, where there are more than are taken.

    Returns:
        0 to 1.
    """
    known = torch.nonzero(rows.has_successor)[:, 0]
    asked = known[torch.randperm(len(known), generator=torch.Generator().manual_seed(seed))[:_ASKED]]
    places = likeness.of_rows(rows, known)
    true, told = [], []
    for some in torch.split(asked, _AT_A_TIME):
        apart = torch.cdist(likeness.of_rows(rows, some), places)
        apart[rows.episodes[some][:, None] == rows.episodes[known][None]] = torch.inf
        nearest, found = apart.topk(min(_ALIKE, len(known)), largest=False)
        there = torch.isfinite(nearest)
        told.append((values[known[found]] * there).sum(1) / there.sum(1))  # not a number where there are none
        true.append(values[some])
    pairs = torch.stack([torch.cat(true), torch.cat(told)])
    pairs = pairs[:, torch.isfinite(pairs[1])]
    if pairs.shape[1] < 2:
        return 1.0
    spread = pairs.std(1, correction=0)
    if not bool((spread > 1e-12 * pairs.abs().amax()).all()):
        return 1.0  # all are worth the same, which is soon told
    correlation = float(torch.corrcoef(pairs)[0, 1])
    return max(correlation, 0.0) ** 2


def sensitive(inputs: Tensor, outputs: Tensor) -> Tensor:
    """The directions (D, n) in which outputs (E, F) change with inputs (E, D), each as long as they do.

    A regression is asked, at examples that it was not fitted to where there are enough, along what it is steep; what it
    is sensitive to is the metric of the next one.
    """
    metric = torch.eye(inputs.shape[1], dtype=torch.float64)
    fitted = inputs[: max(_CENTRES // 2, len(inputs) - _PROBED)][:_EXAMPLES]
    probed = inputs[len(fitted) :][:_PROBED] if len(inputs) > len(fitted) else fitted[:_PROBED]
    for _ in range(_ROUNDS):
        root = _root(metric)
        regression = KernelRegression.fit(fitted @ root, outputs[: len(fitted)], _CENTRES)
        metric = root @ regression.sensitivity(probed @ root) @ root.T
        metric = metric / metric.diagonal().mean().clamp(min=1e-30)
    return _root(metric)


def _basis(inputs: Tensor, seed: int) -> Tensor:
    """(D, n): what inputs (E, D) are asked in, their principal components where there are many numbers."""
    if inputs.shape[1] <= _WIDE:
        return torch.eye(inputs.shape[1], dtype=torch.float64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        components: Tensor = torch.svd_lowrank(inputs, min(_WIDE, len(inputs)))[2]
        return components


def _root(metric: Tensor) -> Tensor:
    """R (D, n) with R R^T = metric (D, D), but for what is faint."""
    shares, vectors = torch.linalg.eigh(metric)
    some = shares > _FAINT * shares.sum().clamp(min=1e-30)
    root: Tensor = vectors[:, some] * shares[some].sqrt()
    return root
