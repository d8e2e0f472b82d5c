"""Imagination: one prediction after another over a batch of action sequences."""

from collections.abc import Callable
from typing import Literal, Protocol

import torch
from torch import Tensor

from memworld.errors import MemworldError
from memworld.gaussian import Latents
from memworld.rollout import Prediction
from memworld.search import Matches

Mode = Literal["requery", "follow"]

MODES: tuple[Mode, ...] = ("requery", "follow")
"""`requery`: each predicted latent is the next query (the paper's text). `follow`: rows are
retrieved once and their own recorded threads are walked forward (the published code), and left
where their episode ends or, under `hard` conditioning, where another action was taken than asked."""


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
