"""How a difference from an analogue grows or dies out: closed-form least squares, no gradients.

The mean of threads is a moment that resembles the present one and is not it. What remains between
the two at the start (the difference of keys), and between the actions since, is carried on by one
matrix per step ahead and block, fitted on memory itself: every sampled row is predicted from the other
episodes, and what its analogue got wrong is regressed on how it differed.

A matrix is kept close to a single number, the share of the present difference that is still there
after so many steps: a share of 1 would add the threads' changes to the present moment, and a share of
0 would take their places. How close, a cross-validation over episodes decides.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from memworld.analogues.threads import Analogue, Found

PENALTIES = (1e1, 1e2, 1e3, 1e4)
"""Ridge penalties to choose from, as numbers of rows without any difference."""

_APART = 6
"""Actions that are told apart; the later ones are summed."""

_LATEST = 4
"""Of those summed, so many of the latest are summed once more on their own."""


@dataclass(frozen=True, eq=False)
class Case:
    """What a propagation starts from: Q analogues in P blocks, and how they differ from what they stand for.

    Attributes:
        weights: (P, Q, k) shares of the threads.
        latent: (P, Q, C) the blocks' own numbers in the analogue, some steps on.
        apart: (P, Q, C) present less analogue, where the threads began.
        inputs: (P, Q, f) the differences of keys, of how they move, of actions since, and a constant.
    """

    weights: Tensor
    latent: Tensor
    apart: Tensor
    inputs: Tensor

    @classmethod
    def of(cls, found: Found, analogue: Analogue, asked: Tensor) -> "Case":
        """Compare an analogue with the moments searched for, and its actions with those asked (Q, steps, A)."""
        keys = found.asked - analogue.key
        keys = keys.reshape(*keys.shape[:2], found.context, -1)
        # Where a moment is and how it moves: as two moments, nearly the same, one could not tell these apart.
        moves = keys[:, :, :-1] - keys[:, :, 1:]
        other = asked[None] - analogue.actions
        parts = [keys[:, :, 0], moves.flatten(2), other[:, :, :_APART].flatten(2)]
        if other.shape[2] > _APART:
            parts.append(other[:, :, _APART:].sum(2))
        if other.shape[2] > _APART + _LATEST:
            parts.append(other[:, :, -_LATEST:].sum(2))
        inputs = torch.cat([*parts, torch.ones_like(found.asked[..., :1])], 2)
        return cls(analogue.weights, analogue.latent, found.present - analogue.began, inputs)

    @classmethod
    def joined(cls, parts: "list[Case]") -> "Case":
        """Consecutive parts of a batch as one."""
        names = ("weights", "latent", "apart", "inputs")
        return cls(*(torch.cat([getattr(part, name) for part in parts], 1) for name in names))


def inputs_of(key_size: int, action_features: int, steps: int) -> int:
    """f, the numbers in `Case.inputs` after so many steps."""
    told_apart = min(steps, _APART) + (steps > _APART) + (steps > _APART + _LATEST)
    return key_size + action_features * told_apart + 1


@dataclass(frozen=True, eq=False)
class Propagation:
    """What becomes of differences after a given number of steps.

    Attributes:
        share: of a present difference that is still there.
        matrix: (P, f, C) float32 what is added beyond that.
    """

    share: float
    matrix: Tensor

    @classmethod
    def none(cls, case: Case) -> "Propagation":
        """Nothing is carried on."""
        return cls(0.0, case.inputs.new_zeros(len(case.inputs), case.inputs.shape[2], case.latent.shape[2]))

    def correct(self, case: Case) -> Tensor:
        """The prediction (P, Q, C): the analogue, and what its differences have become."""
        return case.latent + self.share * case.apart + case.inputs @ self.matrix


@dataclass(frozen=True, eq=False)
class _Sums:
    """Least squares of part of the rows: inputs times inputs (P, f, f), inputs times outputs (P, f, C), and rows."""

    square: Tensor
    cross: Tensor
    rows: int

    def solve(self, penalty: float) -> Tensor:
        """(P, f, C). Inputs are penalised by their own variance, so that their units do not count."""
        variance = self.square.diagonal(dim1=1, dim2=2) / max(1, self.rows)
        ridge = penalty * (variance + 0.01 * variance.mean(1, keepdim=True) + 1e-12)
        solved = torch.cholesky_solve(self.cross, torch.linalg.cholesky(self.square + torch.diag_embed(ridge)))
        return solved.contiguous()  # as a file gives it back: products of another layout differ in their last bits


def fit(case: Case, true: Tensor, half: Tensor) -> tuple[Propagation, Tensor]:
    """Fit on R rows of memory that were predicted from other episodes.

    Args:
        case: of these rows.
        true: (P, R, C) what came of them.
        half: (R,) bool, which of two halves a row is in; no episode is in both.

    Returns:
        The propagation fitted on all rows; and for every row, (P, R, C), what one says that was fitted
        on the half that the row is not in.
    """
    missing = true - case.latent
    # A single number for all rows and blocks: what it learns from either half is the same.
    share = float((missing * case.apart).sum() / case.apart.square().sum().clamp(min=1e-12))
    rest = missing - share * case.apart
    sides = [torch.nonzero(side)[:, 0] for side in (half, ~half)]
    inputs, outputs = ([x[:, side] for side in sides] for x in (case.inputs, rest))
    sums = [_sum(*pair) for pair in zip(inputs, outputs, strict=True)]
    least, best, fair = torch.inf, PENALTIES[0], outputs
    for penalty in PENALTIES:
        said = [inputs[mine] @ sums[other].solve(penalty) for mine, other in ((0, 1), (1, 0))]
        error = sum(float((one - true_one).square().sum()) for one, true_one in zip(said, outputs, strict=True))
        if error < least:
            least, best, fair = error, penalty, said
    order = torch.argsort(torch.cat(sides))
    both = _Sums(sums[0].square + sums[1].square, sums[0].cross + sums[1].cross, len(half))
    return Propagation(share, both.solve(best)), case.latent + share * case.apart + torch.cat(fair, 1)[:, order]


def _sum(inputs: Tensor, outputs: Tensor) -> _Sums:
    turned = inputs.transpose(1, 2)
    return _Sums(turned @ inputs, turned @ outputs, inputs.shape[1])
