"""Imagination: one prediction after another over a batch of action sequences."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from memworld.errors import MemworldError
from memworld.gaussian import Latents, stack
from memworld.search import Matches

Mode = Literal["requery", "follow"]

MODES: tuple[Mode, ...] = ("requery", "follow")
"""`requery`: each predicted latent is the next query (the paper's text). `follow`: rows are
retrieved once and their own recorded threads are walked forward (the published code), and left
where their episode ends or, under `hard` conditioning, where another action was taken than asked."""


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
            (`support.Support`); 1 is worst.
    """

    latents: Latents
    reward: Tensor
    termination: Tensor
    matches: Matches
    weights: Tensor
    support: Tensor


class Dynamics(Protocol):
    """What imagination asks of a world model."""

    def retrieve(self, state: Latents, actions: Tensor) -> Matches:
        """Search memory for rows like `state` (B, D) under `actions` (B, A)."""
        ...

    def follow(self, matches: Matches, actions: Tensor) -> Matches:
        """The rows one step later in their own episodes, under `actions` (B, A); -1 where a thread is left."""
        ...

    def estimate(self, state: Latents, matches: Matches, generator: torch.Generator) -> Prediction:
        """The prediction that rows make."""
        ...


@dataclass(frozen=True)
class Citation:
    """One recorded moment behind a prediction.

    Attributes:
        episode: id of the recorded episode.
        step: step in it; the prediction was read from the step after.
        distance: to the query, in the metric of the search, when it was retrieved.
        weight: share in the prediction.
    """

    episode: str
    step: int
    distance: float
    weight: float


@dataclass(frozen=True, eq=False, repr=False)
class Rollout:
    """B imagined futures of T steps. Entry t is the state after t + 1 actions.

    Imagination goes on after a likely termination; `termination` says where that is.

    Attributes:
        latents: (B, T, D) predicted Gaussians and their samples.
        frames: uint8 (B, T, H, W, C) decoded frames, or None if not asked for.
        rewards: (B, T) float32.
        termination: (B, T) float32 share of the rows whose step terminated their episode.
        rows: (B, T, K) int64 memory rows behind each step, -1 where fewer were found or threads ended.
        distances: (B, T, K) float64 their distances when they were retrieved.
        weights: (B, T, K) float32 their shares in the prediction.
        support: (B, T) float64 quantile of the nearest distance in the search that the step rests
            on, which in `follow` may lie some steps back; 1 is worst.
        searched: (B, T) bool whether memory was searched at this step.
        episode_ids: the memory's episodes at the time, by number.
        episodes: (B, T, K) int64 number of each row's episode, -1 where none.
        steps: (B, T, K) int64 its step there, -1 where none.
    """

    latents: Latents
    frames: np.ndarray | None
    rewards: Tensor
    termination: Tensor
    rows: Tensor
    distances: Tensor
    weights: Tensor
    support: Tensor
    searched: Tensor
    episode_ids: tuple[str, ...]
    episodes: Tensor
    steps: Tensor

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

    def citations(self, batch: int, step: int) -> list[Citation]:
        """The recorded moments behind one predicted step that have a share in it, largest share first."""
        cited = []
        for column in torch.argsort(self.weights[batch, step], descending=True, stable=True).tolist():
            weight = float(self.weights[batch, step, column])
            if weight == 0 or int(self.rows[batch, step, column]) < 0:
                continue
            episode = self.episode_ids[int(self.episodes[batch, step, column])]
            recorded = int(self.steps[batch, step, column])
            cited.append(Citation(episode, recorded, float(self.distances[batch, step, column]), weight))
        return cited

    def __repr__(self) -> str:
        batch, steps, rows = self.rows.shape
        return (
            f"Rollout({batch} futures of {steps} steps, up to {rows} rows each, frames="
            f"{None if self.frames is None else list(self.frames.shape)}, "
            f"mean support {float(self.support.nanmean()):.2f})"
        )


def imagine_latents(
    dynamics: Dynamics,
    start: Latents,
    actions: Tensor,
    mode: Mode,
    generator: torch.Generator,
    on_step: Callable[[int], None] | None = None,
) -> tuple[list[Prediction], Tensor]:
    """Predict one step after another.

    Args:
        dynamics: the world model.
        start: (B, D) where imagination starts.
        actions: (B, T, A) action features.
        mode: `requery` or `follow`.
        generator: of all sampling.
        on_step: called after each step with its number.

    Returns:
        One `Prediction` per step, and (B, T) bool whether memory was searched.

    Raises:
        MemworldError: unknown mode or no actions.
    """
    check_mode(mode)
    if actions.shape[1] < 1:
        raise MemworldError("horizon is 0: give at least one action")
    predictions: list[Prediction] = []
    searched = torch.ones(actions.shape[:2], dtype=torch.bool)
    state = start
    for step in range(actions.shape[1]):
        if step == 0 or mode == "requery":
            matches = dynamics.retrieve(state, actions[:, step])
        else:
            matches, searched[:, step] = _follow(dynamics, predictions[-1].matches, state, actions[:, step])
        predictions.append(dynamics.estimate(state, matches, generator))
        state = predictions[-1].latents
        if on_step is not None:
            on_step(step)
    return predictions, searched


def check_mode(mode: str) -> None:
    """Do nothing if there is a mode of that name.

    Raises:
        MemworldError: there is none.
    """
    if mode not in MODES:
        raise MemworldError(f"unknown mode {mode!r}: use one of {', '.join(MODES)}")


def _follow(dynamics: Dynamics, matches: Matches, state: Latents, actions: Tensor) -> tuple[Matches, Tensor]:
    """Walk threads on; where all of a query's are left, search again. Returns which (B,) were searched."""
    walked = dynamics.follow(matches, actions)
    ended = ~walked.found.any(1)
    if bool(ended.any()):
        fresh = dynamics.retrieve(state[ended], actions[ended])
        for name in ("rows", "distances", "penalties"):
            getattr(walked, name)[ended] = getattr(fresh, name)
    return walked, ended


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
