"""Imagination: one prediction after another over a batch of action sequences."""

from collections.abc import Callable, Iterable
from typing import Literal, Protocol, Self

import torch
from torch import Tensor

from memworld.errors import MemworldError
from memworld.rollout import History, Prediction

Mode = Literal["requery", "follow", "reanchor"]

MODES: tuple[Mode, ...] = ("requery", "follow", "reanchor")
"""`requery`: each predicted latent is the next query (the paper's text). `follow`: rows are
retrieved once and their own recorded threads are walked forward (the published code); of the paper's
strategies a thread is left where its episode ends or, under `hard` conditioning, where another action
was taken than asked. `reanchor`: as `follow`, but a thread is left wherever another action was taken than
asked, and memory searched again where fewer than half of the retrieved rows are left."""


class Dream(Protocol):
    """B futures under way."""

    @property
    def phase(self) -> int:
        """Steps since the search that the futures go by together; 0 where the next step searches, or each its own."""
        ...

    def step(self, actions: Tensor, generator: torch.Generator) -> tuple[Prediction, Tensor]:
        """Predict the next step under action features (B, A), and say which (B,) bool needed a search."""
        ...

    def keep(self, some: Tensor) -> None:
        """Go on with some of the futures only, (B,) bool."""
        ...

    def join(self, other: Self) -> None:
        """Go on with the futures of another dream of the same dynamics and mode too, after its own; both in phase 0."""
        ...


class Dynamics(Protocol):
    """How the next state is found."""

    usual_mode: Mode
    """What it does unless it is told."""

    @property
    def context(self) -> int:
        """Moments of a history that it looks at, the present among them."""
        ...

    def begin(self, history: History, mode: Mode) -> Dream:
        """Imagine from the present of B histories on."""
        ...


Choose = Callable[[Tensor], Tensor]
"""From the latest moments (B, C, D), the latest first, to the features (B, A) of what is done next."""


def imagine_latents(
    dynamics: Dynamics,
    history: History,
    actions: Tensor | Iterable[Tensor | Choose],
    mode: Mode | None,
    generator: torch.Generator,
    stop_at: float | None = None,
) -> tuple[list[Prediction], Tensor]:
    """Predict one step after another.

    Args:
        dynamics: how.
        history: of B futures, up to where imagination starts.
        actions: (B, T, A) action features; or for each step (B, A) of them, or what chooses them.
        mode: `requery` or `follow`; None takes the dynamics' own.
        generator: of all sampling.
        stop_at: support at which a future is given up; imagination ends before the step at which none is left,
            but not before the first. None goes on to the end.

    Returns:
        One `Prediction` per step, and (B, T) bool whether memory was searched.

    Raises:
        MemworldError: unknown mode, no actions, or to stop at a support that this memory cannot tell.
    """
    mode = mode or dynamics.usual_mode
    check_mode(mode)
    dream = dynamics.begin(history, mode)
    predictions: list[Prediction] = []
    searched: list[Tensor] = []
    left = torch.ones(len(history.known), dtype=torch.bool)
    recent = history.latents.mu.flip(1)
    for asked in actions.unbind(1) if isinstance(actions, Tensor) else actions:
        prediction, fresh = dream.step(asked if isinstance(asked, Tensor) else asked(recent), generator)
        recent = torch.cat([prediction.latents.mu[:, None], recent], 1)
        if stop_at is not None:
            left &= known_support(prediction) < stop_at
            if predictions and not bool(left.any()):
                break
        predictions.append(prediction)
        searched.append(fresh)
    if not predictions:
        raise MemworldError("horizon is 0: give at least one action")
    return predictions, torch.stack(searched, 1)


def known_support(prediction: Prediction) -> Tensor:
    """(B,) float64 the support of a prediction that something is to be decided by.

    Raises:
        MemworldError: this memory cannot tell.
    """
    if bool(prediction.support.isnan().any()):
        raise MemworldError(
            "support is not known in a memory of a single episode: remember others, or do not stop by it"
        )
    return prediction.support


def check_mode(mode: str) -> None:
    """Do nothing if there is a mode of that name.

    Raises:
        MemworldError: there is none.
    """
    if mode not in MODES:
        raise MemworldError(f"unknown mode {mode!r}: use one of {', '.join(MODES)}")
