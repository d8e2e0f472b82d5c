"""Diagonal Gaussians and the distances between them, literally as the formulas read.

These functions are the reference: every fast path in `search` must agree with them.
`sigma` is a standard deviation everywhere.
"""

import hashlib
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from memworld.errors import MemworldError

SIGMA_FLOOR = 1e-3
"""Smallest standard deviation of a predicted Gaussian: identical successors would have 0, and no KL."""


@dataclass(frozen=True, eq=False)
class Latents:
    """Gaussians N(mu, diag(sigma^2)) with one sample of each (METHOD section 1).

    The same record holds encoded frames, memory rows, queries and predictions.

    Attributes:
        mu: (..., D) means.
        sigma: (..., D) standard deviations, above 0.
        z: (..., D) one sample of each Gaussian, drawn once.
    """

    mu: Tensor
    sigma: Tensor
    z: Tensor

    def __post_init__(self) -> None:
        assert self.mu.shape == self.sigma.shape == self.z.shape, (self.mu.shape, self.sigma.shape, self.z.shape)

    def __getitem__(self, index: object) -> "Latents":
        return Latents(self.mu[index], self.sigma[index], self.z[index])  # type: ignore[index]

    def __len__(self) -> int:
        return len(self.mu)

    @property
    def dim(self) -> int:
        """D, the number of latent variables."""
        return self.mu.shape[-1]

    def flatten(self) -> "Latents":
        """All leading axes as one: (..., D) to (N, D)."""
        return self.reshape(-1)

    def reshape(self, *leading: int) -> "Latents":
        """Other leading axes: (..., D) to (*leading, D)."""
        return Latents(*(x.reshape(*leading, self.dim) for x in (self.mu, self.sigma, self.z)))

    def double(self) -> "Latents":
        """The same in float64."""
        return Latents(self.mu.double(), self.sigma.double(), self.z.double())

    def to(self, device: torch.device) -> "Latents":
        """The same on a device; nothing is copied if it lies there."""
        return Latents(self.mu.to(device), self.sigma.to(device), self.z.to(device))

    def check(self, what: str) -> "Latents":
        """Return self if every number is finite and every sigma above 0.

        Raises:
            MemworldError: otherwise; the message calls the latents `what`.
        """
        # One sum tells of all at once; only where it is not finite need one look for the reason.
        if bool(torch.isfinite(self.mu.sum() + self.sigma.sum() + self.z.sum())) and bool((self.sigma > 0).all()):
            return self
        for name, values in (("mu", self.mu), ("sigma", self.sigma), ("z", self.z)):
            if not bool(torch.isfinite(values).all()):
                raise MemworldError(f"{what}: {name} holds NaN or infinity: encode again with a sound encoder")
        if bool((self.sigma <= 0).any()):
            raise MemworldError(f"{what}: sigma must be above 0, found {float(self.sigma.min()):g}")
        return self


def draw(mu: Tensor, sigma: Tensor, generator: torch.Generator) -> Latents:
    """Latents whose z is one new sample of N(mu, diag(sigma^2)); mu and sigma (..., D)."""
    noise = torch.randn(mu.shape, generator=generator, dtype=mu.dtype)
    return Latents(mu, sigma, mu + sigma * noise.to(mu.device))


def seeded(seed: int) -> torch.Generator:
    """A generator that starts from `seed`.

    Raises:
        MemworldError: `seed` is no whole number from 0 to 2^32 - 1, all that PyTorch's generator takes in.
    """
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise MemworldError(f"seed must be a whole number from 0 to 2^32 - 1, got {seed!r}")
    return torch.Generator().manual_seed(seed)


def derived_seed(seed: int, *names: str) -> int:
    """A seed of its own for what `names` name, so that one draw does not depend on the others made."""
    digest = hashlib.sha256(":".join([str(seed), *names]).encode()).digest()
    return int.from_bytes(digest[:4], "little")


def at_mean(mu: Tensor, sigma: Tensor) -> Latents:
    """Latents whose z is the mean: what deterministic predictions hand on; mu and sigma (..., D)."""
    return Latents(mu, sigma, mu)


def concatenate(parts: list[Latents]) -> Latents:
    """Join latents along their first axis."""
    return Latents(*(torch.cat([getattr(p, name) for p in parts]) for name in ("mu", "sigma", "z")))


def stack(parts: list[Latents], dim: int) -> Latents:
    """Stack latents along a new axis `dim`."""
    return Latents(*(torch.stack([getattr(p, name) for p in parts], dim) for name in ("mu", "sigma", "z")))


def kl(p: Latents, q: Latents, weights: Tensor | None = None) -> Tensor:
    """KL(p || q) in nats, summed over the last axis; p and q broadcast to (..., D), the result is (...).

    `weights` (D,), from 0, are of the latents in the sum; None counts each once.
    """
    ratio = torch.log(q.sigma / p.sigma)
    return _sum(ratio + (p.sigma**2 + (p.mu - q.mu) ** 2) / (2 * q.sigma**2) - 0.5, weights)


def l2(query: Latents, stored: Latents, weights: Tensor | None = None) -> Tensor:
    """Squared Euclidean distance between samples z, summed over the last axis; broadcasts and weighs like `kl`."""
    return _sum((query.z - stored.z) ** 2, weights)


def kl_stored_query(query: Latents, stored: Latents, weights: Tensor | None = None) -> Tensor:
    """KL(stored || query), the published direction (METHOD section 2)."""
    return kl(stored, query, weights)


def kl_query_stored(query: Latents, stored: Latents, weights: Tensor | None = None) -> Tensor:
    """KL(query || stored), the other direction."""
    return kl(query, stored, weights)


def _sum(terms: Tensor, weights: Tensor | None) -> Tensor:
    return terms.sum(-1) if weights is None else (terms * weights).sum(-1)


class Distance(Protocol):
    """A distance between queries and stored latents that broadcasts over leading axes."""

    def __call__(self, query: Latents, stored: Latents, weights: Tensor | None = None) -> Tensor:
        """(..., D) twice to (...)."""
        ...


DISTANCES: dict[str, Distance] = {"l2": l2, "kl_stored_query": kl_stored_query, "kl_query_stored": kl_query_stored}
"""Every metric by its name."""
