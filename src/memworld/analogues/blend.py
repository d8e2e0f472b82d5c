"""Several forecasters as one, each with the share that it earned on memory itself, and how sure to be."""

from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

_FAINT = 1e-12
"""Keeps logarithms and quotients finite where moments repeat exactly."""


def shares(errors: Tensor) -> Tensor:
    """The weights (E,) from 0 that sum to 1 and make the mean square of the weighted errors least.

    Exact: the best weights of every set of forecasters are known in closed form, and there are few sets.

    Args:
        errors: (E, ...) of each forecaster on the same cases.
    """
    flat = errors.flatten(1).double()
    products = flat @ flat.T / flat.shape[1]
    products += torch.eye(len(flat), dtype=products.dtype) * (1e-6 * products.diagonal().mean() + _FAINT)
    least, found = torch.inf, torch.zeros(len(flat), dtype=products.dtype)
    for count in range(1, len(flat) + 1):
        for chosen in combinations(range(len(flat)), count):
            some = torch.tensor(chosen)
            inside = products[some][:, some]
            weights = torch.linalg.solve(inside, inside.new_ones(count))
            weights /= weights.sum()
            error = float(weights @ inside @ weights)
            if bool((weights >= 0).all()) and error < least:
                least, found = error, torch.zeros_like(found).index_put((some,), weights)
    return found.float()


@dataclass(frozen=True, eq=False)
class Trust:
    """How far off a prediction is expected to be, told from its circumstances.

    The mean squared error of a prediction, in units of what is usual so many steps ahead, is modelled as a
    product of powers of the circumstances: one linear regression of logarithms.

    Attributes:
        variance: (D,) usual squared error of each latent.
        weights: (1 + m,) of the constant and the logarithms of m circumstances.
        usual: (R,) ascending, what was expected of the rows that it was fitted on.
        furthest: (m,) largest circumstances of these rows.
    """

    variance: Tensor
    weights: Tensor
    usual: Tensor
    furthest: Tensor

    @classmethod
    def fit(cls, errors: Tensor, circumstances: Tensor) -> "Trust":
        """From errors (R, D) and circumstances (R, m) from 0, such as distances."""
        variance = errors.square().mean(0) + _FAINT
        size = (errors.square() / variance).mean(1)
        inputs = _logarithms(circumstances)
        ridge = torch.eye(inputs.shape[1]) * 1e-3 * len(inputs)
        ridge[0, 0] = 0
        square = inputs.T @ inputs + ridge
        weights = torch.linalg.solve(square, inputs.T @ torch.log(size + _FAINT))
        # The mean of a logarithm is not the logarithm of the mean: set right by the constant.
        weights[0] += torch.log((size / torch.exp(inputs @ weights)).mean() + _FAINT)
        return cls(variance, weights, torch.exp(inputs @ weights).sort().values, circumstances.amax(0))

    def expected(self, circumstances: Tensor) -> Tensor:
        """The expected squared error (Q,), 1 being usual, in circumstances (Q, m)."""
        return torch.exp(_logarithms(circumstances) @ self.weights)

    def doubt(self, circumstances: Tensor) -> Tensor:
        """The share (Q,) of memory's own predictions, each from other episodes, that were expected to be better.

        1 in circumstances worse than any of theirs: what was learned from them does not reach so far.
        """
        below = torch.searchsorted(self.usual, self.expected(circumstances)).double() / len(self.usual)
        return torch.where((circumstances > self.furthest).any(1), 1.0, below)


def _logarithms(circumstances: Tensor) -> Tensor:
    """(R, m) to (R, 1 + m)."""
    return torch.cat([torch.ones_like(circumstances[:, :1]), torch.log(circumstances + _FAINT)], 1)
