"""What actions steer: the part of a moment that what is done has changed, and so what an agent has to look at.

A player is a few pixels among many that move by themselves. Moments that are alike in all but where the
player is are not alike for one who has to choose. So keys are also compared in the directions in which actions
have moved them, by least squares over memory: of what changes within a few steps, the share that
actions account for and the moment before does not. Closed form, one matrix per block.
"""

import torch
from torch import Tensor

AHEAD = (3, 6, 10)
"""Steps within which changes are looked at."""

_SAMPLE = 12000
"""Rows that are looked at."""

_KNOWN, _DONE = 1e-3, 10.0
"""Ridge penalties: of what the moment before tells, as a share of the rows; of what actions do, in rows."""

_FAINT = 1e-6
"""Variance, as a share of the mean one, that is added to every direction."""


def steered(keys: Tensor, actions: Tensor, left: Tensor, context: int, seed: int) -> Tensor:
    """The linear map to the directions that actions steer, each weighed by how far they do.

    Args:
        keys: (P, N, context * c) of all rows, the latest moment's c numbers first.
        actions: (N, A) action features of all rows.
        left: (N,) int64 how many rows of its episode come after each.
        context: moments in a key.
        seed: which rows are looked at, if there are many.

    Returns:
        (P, context * c, c) float64 whose image of a random row has a total variance of 1; zeros where no
        episode is long enough or nothing varies with what was done.
    """
    blocks, _, size = keys.shape
    count = size // context
    found = torch.zeros(blocks, size, count, dtype=torch.float64)
    lasting = torch.nonzero(left >= max(AHEAD))[:, 0]
    rows = lasting[torch.randperm(len(lasting), generator=torch.Generator().manual_seed(seed))[:_SAMPLE]]
    if len(rows) < 2:
        return found
    known = keys[:, rows].double()
    known = torch.cat([known - known.mean(1, keepdim=True), torch.ones_like(known[..., :1])], 2)
    now = keys[:, rows, :count].double()
    moved = torch.zeros(blocks, count, count, dtype=torch.float64)
    for steps in AHEAD:
        done = torch.stack([actions[rows + step].double() for step in range(steps)])
        # What was done in all, and in the first half of the time, tells early actions from late ones.
        taken = torch.cat([done.sum(0), done[: steps // 2].sum(0)], 1).expand(blocks, -1, -1)
        changed = keys[:, rows + steps, :count].double() - now
        taken, changed = (_left_over(known, part - part.mean(1, keepdim=True)) for part in (taken, changed))
        accounted = taken @ _ridge(taken, changed, _DONE)
        moved += _covariance(accounted) / len(AHEAD)
    total = _covariance(now)
    mean = total.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
    root = torch.linalg.cholesky(total + (_FAINT * mean + 1e-12) * torch.eye(count, dtype=torch.float64))
    half = torch.linalg.solve_triangular(root, moved, upper=False)
    shares, vectors = torch.linalg.eigh(torch.linalg.solve_triangular(root, half.transpose(1, 2), upper=False))
    shares = shares.clamp(min=0)
    all_shares = shares.sum(1, keepdim=True)
    weights = torch.where(all_shares > 1e-9, shares / all_shares.clamp(min=1e-9), 0).sqrt()
    found[:, :count] = torch.linalg.solve_triangular(root.transpose(1, 2), vectors, upper=True) * weights[:, None]
    return found


def _left_over(known: Tensor, wanted: Tensor) -> Tensor:
    """Of (P, R, m) what is known (P, R, n) does not tell by least squares."""
    return wanted - known @ _ridge(known, wanted, _KNOWN * known.shape[1])


def _ridge(inputs: Tensor, outputs: Tensor, penalty: float) -> Tensor:
    square = inputs.transpose(1, 2) @ inputs + penalty * torch.eye(inputs.shape[2], dtype=inputs.dtype)
    return torch.cholesky_solve(inputs.transpose(1, 2) @ outputs, torch.linalg.cholesky(square))


def _covariance(values: Tensor) -> Tensor:
    centred = values - values.mean(1, keepdim=True)
    return centred.transpose(1, 2) @ centred / values.shape[1]
