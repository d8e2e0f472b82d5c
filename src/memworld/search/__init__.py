"""Search in memory: the `Index` protocol, what it searches, what one asks of it, and what it answers."""

from collections.abc import Sized
from dataclasses import dataclass, replace
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from memworld.errors import MemworldError
from memworld.gaussian import Latents
from memworld.memory import Rows

Conditioning = Literal["none", "hard", "soft", "mixed"]
"""What must be so of a row's action; see `Query`."""

CONDITIONINGS = get_args(Conditioning)


@dataclass(frozen=True, eq=False)
class Candidates:
    """The rows that may answer. Nothing is copied: an index reads the memory's own latents.

    Attributes:
        latents: (N, D) latents of all rows of memory.
        rows: (M,) int64 rows of `latents` that may answer, ascending.
        episodes: (M,) int64 their episodes, numbered from 0 in order of rows.
        actions: (M, A) float64 features of their actions (`actions.action_features`).
        discrete: (A,) bool, which of the features belong to discrete choices; None means all.

    Raises:
        MemworldError: there is no row.
    """

    latents: Latents
    rows: Tensor
    episodes: Tensor
    actions: Tensor
    discrete: Tensor | None = None

    def __post_init__(self) -> None:
        assert self.rows.shape == self.episodes.shape == self.actions.shape[:1], (self.rows.shape, self.actions.shape)
        if len(self.rows) == 0:
            raise MemworldError("cannot search an empty memory: remember at least one episode first")
        assert bool((self.episodes[1:] >= self.episodes[:-1]).all())

    @classmethod
    def of(cls, rows: Rows) -> "Candidates":
        """A memory's rows that have a successor."""
        chosen = rows.candidates
        return cls(rows.latents, chosen, rows.episodes[chosen], rows.actions[chosen], rows.discrete)

    def settle(self, query: "Query") -> "Query":
        """`query` with `mixed` called by the name that it has where actions are all discrete, or all continuous."""
        if query.conditioning != "mixed":
            return query
        if self.discrete is None or bool(self.discrete.all()):
            return replace(query, conditioning="hard")
        return query if bool(self.discrete.any()) else replace(query, conditioning="soft")

    def must_equal(self, features: Tensor, conditioning: Conditioning) -> Tensor | None:
        """Those of the action features (n, A) in which a row must equal the query; None if there are none."""
        if conditioning == "mixed" and self.discrete is not None:
            return features[:, self.discrete]
        return features if conditioning == "hard" else None

    def may_differ(self, features: Tensor, conditioning: Conditioning) -> Tensor | None:
        """Those of the action features (n, A) whose difference adds to the distance; None if there are none."""
        if conditioning == "mixed" and self.discrete is not None:
            return features[:, ~self.discrete]
        return features if conditioning == "soft" else None

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device) -> "Candidates":
        """The same on a device; itself if it lies there, so that its latents stay the ones that were given."""
        parts = (*vars(self.latents).values(), self.rows, self.episodes, self.actions, self.discrete)
        if all(part is None or part.device == device for part in parts):
            return self
        latents = self.latents.to(device)
        discrete = None if self.discrete is None else self.discrete.to(device)
        return Candidates(latents, self.rows.to(device), self.episodes.to(device), self.actions.to(device), discrete)

    def check(self) -> "Candidates":
        """Return self if every number of the rows that may answer is sound.

        Raises:
            MemworldError: otherwise.
        """
        for rows in torch.split(self.rows, 1 << 16):
            Latents(*(x.index_select(0, rows) for x in (self.latents.mu, self.latents.sigma, self.latents.z))).check(
                "memory"
            )
        if not bool(torch.isfinite(self.actions).all()):
            raise MemworldError("memory: an action holds NaN or infinity: record the episode again")
        return self

    @property
    def dim(self) -> int:
        """D, the number of latent variables."""
        return self.latents.dim


@dataclass(frozen=True, eq=False)
class Query:
    """A batch of searches.

    Attributes:
        latents: (Q, D) what to look for.
        actions: (Q, A) features of the asked actions (`actions.action_features`), or None.
        conditioning: `none` ignores actions, `hard` admits only rows with the same action, `soft`
            adds `action_weight` times the squared difference of action features to the distance,
            `mixed` is hard on the features of discrete choices and soft on the others.
        action_weight: of `soft` and `mixed`, in units of the metric.
        exclude_episode: (Q,) int64 episode whose rows may not answer, -1 for none; or None.
    """

    latents: Latents
    actions: Tensor | None = None
    conditioning: Conditioning = "none"
    action_weight: float = 0.0
    exclude_episode: Tensor | None = None

    def __getitem__(self, index: slice | Tensor) -> "Query":
        actions = None if self.actions is None else self.actions[index]
        exclude = None if self.exclude_episode is None else self.exclude_episode[index]
        return Query(self.latents[index], actions, self.conditioning, self.action_weight, exclude)

    def __len__(self) -> int:
        return len(self.latents)

    def to(self, device: torch.device) -> "Query":
        """The same on a device."""
        actions = None if self.actions is None else self.actions.to(device)
        exclude = None if self.exclude_episode is None else self.exclude_episode.to(device)
        return Query(self.latents.to(device), actions, self.conditioning, self.action_weight, exclude)

    def check(self, candidates: Candidates) -> None:
        """Do nothing if these candidates can be asked this.

        Raises:
            MemworldError: latents of another size or not sound, no query at all, actions or excluded
                episodes missing, of another size or not sound.
        """
        if self.latents.mu.ndim != 2 or len(self) == 0:
            raise MemworldError(f"queries must be (Q, D) with Q of at least 1, got {tuple(self.latents.mu.shape)}")
        if self.latents.dim != candidates.dim:
            raise MemworldError(
                f"query has d={self.latents.dim}, memory has d={candidates.dim}: encode both with one encoder"
            )
        self.latents.check("query")
        if self.conditioning not in CONDITIONINGS:
            raise MemworldError(f"unknown conditioning {self.conditioning!r}: use {', '.join(CONDITIONINGS)}")
        excluded = self.exclude_episode
        if excluded is not None and (excluded.shape != (len(self),) or excluded.dtype != torch.int64):
            raise MemworldError(
                f"excluded episodes must be int64 ({len(self)},), one per query, got {excluded.dtype} "
                f"{tuple(excluded.shape)}"
            )
        if self.conditioning == "none":
            return
        if self.actions is None:
            raise MemworldError(f"{self.conditioning} conditioning needs the actions asked for")
        expected = (len(self), candidates.actions.shape[1])
        if self.actions.shape != expected:
            raise MemworldError(f"query has action features {tuple(self.actions.shape)}, expected {expected}")
        if not bool(torch.isfinite(self.actions).all()):
            raise MemworldError("query: an action holds NaN or infinity")
        if not 0 <= self.action_weight < 1e150:
            raise MemworldError(f"the action weight must be finite, 0 or above, got {self.action_weight}")


@dataclass(frozen=True, eq=False)
class Matches:
    """Rows of memory that answer a batch of queries, the least `costs` first.

    Attributes:
        rows: (Q, K) int64 memory rows; -1 where fewer than K were found.
        distances: (Q, K) float64 distances of the metric; infinite where fewer than K were found.
        penalties: (Q, K) float64 what soft conditioning adds to them; 0 otherwise.
    """

    rows: Tensor
    distances: Tensor
    penalties: Tensor

    @property
    def columns(self) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, distances, penalties."""
        return self.rows, self.distances, self.penalties

    @property
    def costs(self) -> Tensor:
        """(Q, K) float64 distance and penalty, by which rows are ranked."""
        return self.distances + self.penalties

    @property
    def found(self) -> Tensor:
        """(Q, K) bool: which places hold a row."""
        return self.rows >= 0

    @property
    def shortfall(self) -> Tensor:
        """(Q,) int64: how many of the asked rows were missing."""
        return (self.rows < 0).sum(1)


class Index(Protocol):
    """Exact or approximate search over candidates.

    Ties go to the lower row.
    """

    def nearest(self, query: Query, k: int) -> Matches:
        """The k nearest rows of all memory, (Q, k)."""
        ...

    def nearest_per_episode(self, query: Query) -> Matches:
        """The nearest row of each of E episodes, (Q, E), nearest episode first."""
        ...


def check_k(k: int, candidates: Sized) -> None:
    """Do nothing if k rows can be asked for.

    Raises:
        MemworldError: k is no whole number, below 1 or above the number of candidates.
    """
    if not isinstance(k, int) or isinstance(k, bool):
        raise MemworldError(f"k must be a whole number, got {k!r}")
    if not 1 <= k <= len(candidates):
        raise MemworldError(f"k={k} is outside 1 to {len(candidates)}, the rows of memory with a successor")


def concatenate(parts: list[Matches]) -> Matches:
    """Join the answers to consecutive pieces of a batch."""
    if len(parts) == 1:
        return parts[0]
    return Matches(*(torch.cat(column) for column in zip(*(part.columns for part in parts), strict=True)))
