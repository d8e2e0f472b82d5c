"""What imagination is told and what it gives: the past, one predicted step, and imagined futures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.gaussian import Latents, stack
from memworld.search import Matches

SUPPORTED = 0.95
"""Support from which memory hardly knows a situation."""


@dataclass(frozen=True, eq=False)
class Past:
    """What was seen and done before the moments from which B futures are imagined: C moments, the oldest first.

    The last of them is one step before the start. A future that starts near its episode's beginning
    has fewer: the first ones are then not `known`, and hold numbers that mean nothing.

    Attributes:
        observations: uint8 (B, C, H, W, ch) frames.
        actions: (B, C) int64, or (B, C, A): the action taken at each moment, in the stored form.
        known: (B, C) bool; once true it stays true.
    """

    observations: np.ndarray
    actions: np.ndarray
    known: np.ndarray

    @classmethod
    def of(cls, episode: Episode, starts: np.ndarray, moments: int) -> "Past":
        """The moments before each of the (B,) starts in an episode, up to `moments` of them."""
        before = starts[:, None] - np.arange(moments, 0, -1)
        known = before >= 0
        clipped = before.clip(min=0)
        return cls(episode.observations[clipped], episode.actions[clipped], known)

    def __len__(self) -> int:
        """B, the number of futures."""
        return len(self.known)

    def check(self, count: int, frame_shape: tuple[int, int, int]) -> None:
        """Do nothing if this is a past of `count` futures in frames of that shape.

        Raises:
            MemworldError: its parts are of different or wrong shapes.
        """
        if len(self) != count:
            raise MemworldError(f"a past of {len(self)} and {count} observations: give one for each")
        shapes = self.observations.shape, self.actions.shape[:2], self.known.shape
        if shapes != ((*self.known.shape, *frame_shape), self.known.shape, self.known.shape):
            raise MemworldError(
                f"a past of frames {shapes[0]}, actions {self.actions.shape} and known {shapes[2]}: give "
                f"(B, C, *{frame_shape}) frames, (B, C) actions and (B, C) known"
            )


@dataclass(frozen=True, eq=False)
class History:
    """What B futures start from: C encoded moments, the oldest first, the last of them the present.

    Attributes:
        latents: (B, C, D).
        known: (B, C) bool, as in `Past`; the present always is.
    """

    latents: Latents
    known: Tensor

    def __post_init__(self) -> None:
        assert self.known.shape == self.latents.mu.shape[:2], (self.known.shape, self.latents.mu.shape)

    @classmethod
    def of(cls, present: Latents) -> "History":
        """A present (B, D) of which no past is known."""
        return cls(
            Latents(*(x[:, None] for x in (present.mu, present.sigma, present.z))), torch.ones(len(present), 1).bool()
        )

    def __getitem__(self, some: Tensor) -> "History":
        return History(self.latents[some], self.known[some])

    @property
    def present(self) -> Latents:
        """(B, D)."""
        return self.latents[:, -1]


@dataclass(frozen=True, eq=False)
class Prediction:
    """One predicted step of B imagined worlds.

    Attributes:
        latents: (B, D) the predicted Gaussian and its sample.
        reward: (B,) float32 mean reward of the rows behind it.
        termination: (B,) float32 share of the rows behind it whose step terminated their episode.
        matches: (B, K) the rows behind it.
        weights: (B, K) float32 share of each row in the prediction.
        support: (B,) float64 quantile of the nearest row's distance when it was retrieved
            (`support.Support`), or of the error expected of analogues; 1 is worst.
        squares: (K, 4) int64 the part of the latent's grid that each column of rows speaks for: top,
            bottom, left and right in cells; None where every row speaks for all of it.
    """

    latents: Latents
    reward: Tensor
    termination: Tensor
    matches: Matches
    weights: Tensor
    support: Tensor
    squares: Tensor | None = None


@dataclass(frozen=True)
class Citation:
    """One recorded moment behind a prediction.

    Attributes:
        episode: id of the recorded episode.
        step: step in it; the prediction was read from the step after.
        distance: to the query, in the metric of the search, when it was retrieved.
        weight: share in the prediction, or in the part of it that was asked about.
    """

    episode: str
    step: int
    distance: float
    weight: float


def cite(
    rows: np.ndarray,
    distances: np.ndarray,
    weights: np.ndarray,
    episodes: np.ndarray,
    steps: np.ndarray,
    *,
    episode_ids: Sequence[str],
    most: int | None = None,
) -> list[Citation]:
    """The recorded moments that have a share in one predicted step, largest share first.

    Args:
        rows: (K,) the memory rows behind it, -1 where none; one may stand in several columns.
        distances: (K,) theirs.
        weights: (K,) their shares.
        episodes: (K,) numbers of their episodes.
        steps: (K,) their steps there.
        episode_ids: the episodes by number.
        most: how many to name; None names all.
    """
    columns = np.flatnonzero((weights > 0) & (rows >= 0))
    _, first, same = np.unique(rows[columns], return_index=True, return_inverse=True)
    shares = np.bincount(same, weights[columns])
    cited = []
    for place in np.lexsort((first, -shares))[:most]:
        column = columns[first[place]]
        episode = episode_ids[int(episodes[column])]
        cited.append(Citation(episode, int(steps[column]), float(distances[column]), float(shares[place])))
    return cited


@dataclass(frozen=True, eq=False)
class Imagined:
    """B imagined futures of T steps, whatever imagined them. Entry t is the state after t + 1 actions.

    Imagination goes on after a likely termination; `termination` says where that is.

    Attributes:
        latents: (B, T, D) predicted Gaussians and their samples.
        frames: uint8 (B, T, H, W, C) the samples as frames, or None if not asked for.
        rewards: (B, T) float32.
        termination: (B, T) float32 in [0, 1]: how likely the step ends the episode; of a search, the
            share of the rows whose step did.
    """

    latents: Latents
    frames: np.ndarray | None
    rewards: Tensor
    termination: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Rollout(Imagined):
    """B futures imagined by search, with the recorded moments behind every step.

    Attributes:
        rows: (B, T, K) int64 memory rows behind each step, -1 where fewer were found or threads ended.
        distances: (B, T, K) float64 their distances when they were retrieved.
        weights: (B, T, K) float32 their shares in the prediction.
        support: (B, T) float64 quantile of the nearest distance in the search that the step rests
            on, which in `follow` may lie some steps back; of analogues, of the error expected so far from
            it; 1 is worst.
        searched: (B, T) bool whether memory was searched at this step.
        episode_ids: the memory's episodes at the time, by number.
        episodes: (B, T, K) int64 number of each row's episode, -1 where none.
        steps: (B, T, K) int64 its step there, -1 where none.
        squares: as in `Prediction`.
    """

    rows: Tensor
    distances: Tensor
    weights: Tensor
    support: Tensor
    searched: Tensor
    episode_ids: tuple[str, ...]
    episodes: Tensor
    steps: Tensor
    squares: Tensor | None = None

    @classmethod
    def of(
        cls,
        predictions: list[Prediction],
        searched: Tensor,
        episode_ids: tuple[str, ...],
        episodes: Tensor,
        steps: Tensor,
    ) -> "Rollout":
        """The futures of T predicted steps, without frames.

        Args:
            predictions: of B futures each, at least one.
            searched: (B, T) bool.
            episode_ids: the memory's, by number.
            episodes: (N,) int64 number of the episode of each of the memory's rows.
            steps: (N,) int64 its step there.
        """
        latents, columns = stack_predictions(predictions)
        known, found = columns["rows"].clamp(min=0), columns["rows"] >= 0
        return cls(
            latents=latents,
            frames=None,
            searched=searched,
            episode_ids=episode_ids,
            episodes=torch.where(found, episodes[known], -1),
            steps=torch.where(found, steps[known], -1),
            squares=predictions[0].squares,
            **columns,
        )

    @property
    def shortfall(self) -> Tensor:
        """(B, T) int64: how many of the asked rows each search did not find; 0 where there was none."""
        return torch.where(self.searched, (self.rows < 0).sum(2), 0)

    @property
    def ended_threads(self) -> Tensor:
        """(B, T) int64: how many of the rows last found are followed no longer (`follow`).

        Their episode has ended, or under `hard` conditioning gone on with another action.
        """
        missing = (self.rows < 0).sum(2)
        at_search = missing.clone()
        for step in range(1, missing.shape[1]):
            at_search[:, step] = torch.where(self.searched[:, step], missing[:, step], at_search[:, step - 1])
        return missing - at_search

    @property
    def found_nothing(self) -> Tensor:
        """(B, T) bool: no row at all was found, and the state was left as it was."""
        return (self.rows < 0).all(2)

    @property
    def accumulated_support(self) -> Tensor:
        """(B, T) float64: the worst support up to each step."""
        return torch.cummax(self.support, 1).values

    def supported(self, limit: float = SUPPORTED) -> Tensor:
        """(B, T) bool: whether a step and all before it had better support than `limit`."""
        return self.accumulated_support < limit

    def citations(self, batch: int, step: int, cell: tuple[int, int] | None = None) -> list[Citation]:
        """The recorded moments behind one predicted step that have a share in it, largest share first.

        Args:
            batch: which future.
            step: from 0.
            cell: row and column of the latent's grid, to be told only of what that part of the picture is made
                of; None for all of it.

        Raises:
            MemworldError: no row speaks for that cell.
        """
        rows, weights = self.rows[batch, step], self.weights[batch, step].clone()
        if cell is not None:
            weights = weights * self._speaks_for(cell)
            weights /= weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)
        columns = (rows, self.distances[batch, step], weights, self.episodes[batch, step], self.steps[batch, step])
        return cite(*(column.numpy() for column in columns), episode_ids=self.episode_ids)

    def _speaks_for(self, cell: tuple[int, int]) -> Tensor:
        """(K,) for each column of rows the share of its block that the cell is, 0 where it lies outside."""
        if self.squares is None:
            return torch.ones(self.rows.shape[2])
        top, bottom, left, right = self.squares.T
        inside = (top <= cell[0]) & (cell[0] < bottom) & (left <= cell[1]) & (cell[1] < right)
        if not bool(inside.any()):
            raise MemworldError(f"the latents have {int(bottom.max())}x{int(right.max())} cells, none at {cell}")
        cells = (bottom - top) * (right - left)
        return torch.where(inside, 1.0 / cells, 0.0)

    def __repr__(self) -> str:
        batch, steps, rows = self.rows.shape
        return (
            f"Rollout({batch} futures of {steps} steps, up to {rows} rows each, frames="
            f"{None if self.frames is None else list(self.frames.shape)}, "
            f"mean support {float(self.support.nanmean()):.2f})"
        )


def stack_predictions(predictions: list[Prediction]) -> tuple[Latents, dict[str, Tensor]]:
    """Per-step predictions to (B, T, ...) tensors under `Rollout`'s names."""
    columns = {
        "rewards": [p.reward for p in predictions],
        "termination": [p.termination for p in predictions],
        "rows": [p.matches.rows for p in predictions],
        "distances": [p.matches.distances for p in predictions],
        "weights": [p.weights for p in predictions],
        "support": [p.support for p in predictions],
    }
    latents = stack([p.latents for p in predictions], dim=1)
    return latents, {name: torch.stack(values, 1) for name, values in columns.items()}
