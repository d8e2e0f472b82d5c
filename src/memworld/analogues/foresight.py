"""Keys that know the future: two moments should be near if the same comes next.

Much of a key has no bearing on what follows, and what has may be small: a ball is a few pixels, and
where it flies is told by a fraction of them. So most of the distance between two keys is the distance
between what they foretell, by least squares over memory: where a block will be, and by how much it
will have changed. Closed form, one symmetric matrix per block.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from memworld.analogues.blocks import Blocks, Scale
from memworld.analogues.keys import Basis, own, pieces, rows_left
from memworld.analogues.steering import steered
from memworld.memory import Rows

AHEAD = (1, 3, 6, 10)
"""Steps after which a block is foretold."""

PENALTIES = (0.003, 0.03, 0.3, 3.0)
"""Ridge penalties to choose from, as shares of each number's sum of squares."""

_SAMPLE = 6000
"""Rows that are looked at."""

_LEAST = 0.01
"""Share of the mean square that is added to the squares by which numbers are penalised: fainter ones are noise."""

_FAINT = 1e-12
"""Keeps quotients finite where nothing varies."""


@dataclass(frozen=True, eq=False)
class Sight:
    """How every block of a scale is compared.

    Attributes:
        basis: of the keys.
        metric: (P, context * n, context * n) float32 by which keys are multiplied before they are compared.
    """

    basis: Basis
    metric: Tensor

    @classmethod
    def fit(cls, blocks: Blocks, rows: Rows, scale: Scale, context: int, seed: int) -> "Sight":
        """Take principal components of the rows, and learn what keys of them foretell."""
        basis = Basis.fit(blocks, rows.latents.mu, scale.components, seed)
        keys, numbers, left = basis.keys_of(rows, context), own(blocks, rows.latents.mu), rows_left(rows)
        *foretold, steering = scale.shares
        to = steered(keys, rows.actions, left, context, seed) if steering else None
        return cls(basis, metric(keys, numbers, left, pieces(rows), (foretold[0], foretold[1]), seed, to, steering))

    def compared(self, keys: Tensor, block: int | None = None) -> Tensor:
        """Keys as numbers of as many, whose squared distance says how unlike moments are.

        Args:
            keys: (P, Q, context * n), or (Q, context * n) of one block.
            block: which; None for all.
        """
        return keys @ (self.metric if block is None else self.metric[block])


def metric(
    keys: Tensor,
    own: Tensor,
    left: Tensor,
    apart: Tensor,
    shares: tuple[float, float],
    seed: int,
    steered: Tensor | None = None,
    steering: float = 0.0,
) -> Tensor:
    """What to multiply keys by so that their squared distance is, in part, that of what they foretell.

    Args:
        keys: (P, N, n) of all rows.
        own: (P, N, C) the blocks' own numbers.
        left: (N,) how many rows of its episode come after each.
        apart: (N,) what a row belongs to; the halves of a cross-validation share none of it.
        shares: of the mean squared distance, those of foretold places and of foretold changes; the rest is that of
            the keys themselves.
        seed: which rows are looked at, if there are many.
        steered: (P, n, c) the map to what actions steer.
        steering: its share of the distance.

    Returns:
        (P, n, n) float32, symmetric; the identity where nothing can be learned.
    """
    size = keys.shape[2]
    plain = torch.eye(size).expand(len(keys), -1, -1)
    order = torch.randperm(len(left), generator=torch.Generator().manual_seed(seed))
    ahead = AHEAD if int(left.max()) >= max(AHEAD) else AHEAD[:1]
    rows = order[left[order] >= max(ahead)][:_SAMPLE]
    half = torch.unique(apart[rows], return_inverse=True)[1] % 2 == 0
    if sum(shares) + steering == 0 or min(int(half.sum()), int((~half).sum())) < 2:
        return plain.contiguous()
    known = _centred(keys[:, rows])
    places = torch.cat([own[:, rows + h] for h in ahead], 2)
    changes = places - own[:, rows].repeat(1, 1, len(ahead))
    together = (1 - sum(shares) - steering) * torch.eye(size, dtype=torch.float64) / _spread(known)
    if steered is not None:
        together = together + steering * (steered @ steered.transpose(1, 2)) / _spread(known @ steered)
    for share, foretold in zip(shares, (places, changes), strict=True):
        if share == 0:
            continue
        matrix = _foretell(known, _centred(foretold), half)
        spread = _spread(known @ matrix)
        together = together + share * (matrix @ matrix.transpose(1, 2)) / spread
    values, vectors = torch.linalg.eigh(together)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()[:, None]) @ vectors.transpose(1, 2)
    return root.float()


def _centred(values: Tensor) -> Tensor:
    """(P, R, n) about its mean, float64."""
    return values.double() - values.double().mean(1, keepdim=True)


def _spread(centred: Tensor) -> Tensor:
    """(P, 1, 1) variance of (P, R, n), summed over the numbers."""
    return torch.as_tensor(centred.square().mean(1).sum(1)[:, None, None] + _FAINT)


def _foretell(known: Tensor, wanted: Tensor, half: Tensor) -> Tensor:
    """The linear map (P, n, m) from what is known (P, R, n) to what is wanted (P, R, m), penalised as serves best."""
    sides = [(known[:, side], wanted[:, side]) for side in (half, ~half)]
    sums = [(x.transpose(1, 2) @ x, x.transpose(1, 2) @ y) for x, y in sides]
    least, best = torch.inf, PENALTIES[-1]
    for penalty in PENALTIES:
        error = sum(
            float((x @ _solve(*other, penalty) - y).square().sum())
            for (x, y), other in zip(sides, reversed(sums), strict=True)
        )
        if error < least:
            least, best = error, penalty
    return _solve(sums[0][0] + sums[1][0], sums[0][1] + sums[1][1], best)


def _solve(square: Tensor, cross: Tensor, penalty: float) -> Tensor:
    """Numbers are penalised by their own squares, so that a faint one that tells much may do so."""
    squares = square.diagonal(dim1=1, dim2=2)
    ridge = penalty * (squares + _LEAST * squares.mean(1, keepdim=True)) + _FAINT
    # By Cholesky, as the matrix is positive definite. In batches MKL's LU fails once the number of threads is set.
    return torch.cholesky_solve(cross, torch.linalg.cholesky(square + torch.diag_embed(ridge)))
