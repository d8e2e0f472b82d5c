"""How far from the stored rows a query may be, so that float32 still tells which of them are nearer.

Far away, what all rows have in common drowns what sets them apart.
"""

import torch
from torch import Tensor

from memworld.gaussian import Latents
from memworld.search.approximate.proxy import position

FAR = 100.0
"""Times the spread of the rows; squared, it leaves float32 differences of a thousandth of that spread."""


class Reach:
    """Mean and spread of some rows under one metric."""

    def __init__(self, metric: str, sample: Latents) -> None:
        """Measure them.

        Args:
            metric: a name in `gaussian.DISTANCES`.
            sample: (N, D) of the rows.
        """
        self._metric = metric
        places = position(metric, sample)
        self._mean, self._variance = places.mean(0), places.var(0, correction=0)
        precision = sample.sigma.double() ** -2
        self._precision = precision.mean(0)
        self._uneven = precision.std(0, correction=0) / self._precision

    def holds(self, latents: Latents) -> Tensor:
        """(Q,) bool of queries (Q, D): whether each is near enough."""
        common, apart = (position(self._metric, latents) - self._mean) ** 2, self._variance
        if self._metric == "kl_stored_query":
            precision = latents.sigma.double() ** -2
        elif self._metric == "kl_query_stored":
            precision, wide = self._precision, latents.sigma.double() ** 2
            common, apart = common + wide, apart + wide * self._uneven
        else:
            precision = torch.ones_like(self._mean)
        # What is NaN here is not near enough.
        return (common * precision).sum(1) <= FAR**2 * (apart * precision).sum(-1)
