"""What a caller asks a world model about, checked and in the form that imagination takes."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memworld.actions import ActionSpace, action_features, as_actions, stored_shape
from memworld.encoders import Encoder
from memworld.errors import MemworldError
from memworld.gaussian import Latents, at_mean
from memworld.rollout import History, Past


def frames_of(encoder: Encoder, observations: np.ndarray) -> np.ndarray:
    """One frame (H, W, C) or several as several, (B, H, W, C)."""
    frames = np.asarray(observations)
    return frames[None] if frames.ndim == len(encoder.frame_shape) else frames


def history_of(encoder: Encoder, present: Latents, past: Past | None) -> History:
    """The present (B, D) and what went before it, encoded.

    Raises:
        MemworldError: the past is not of as many, or of other frames.
    """
    if past is not None:
        past.check(len(present), encoder.frame_shape)
    if past is None or past.known.shape[1] == 0:
        return History.of(present)
    before = at_mean(*encoder.encode(past.observations.reshape(-1, *encoder.frame_shape)))
    before = before.reshape(len(present), -1)
    latents = Latents(*(torch.cat([getattr(before, n), getattr(present, n)[:, None]], 1) for n in ("mu", "sigma", "z")))
    return History(latents, torch.cat([torch.from_numpy(past.known), torch.ones(len(present), 1).bool()], 1))


def check_states(encoder: Encoder, states: Any) -> None:
    """Do nothing if these are (B, D) latents of the encoder, at least one.

    Raises:
        MemworldError: they are not.
    """
    if not isinstance(states, Latents):
        raise MemworldError(f"a state must be latents, not {type(states).__name__}: encode frames first, with encode")
    dim = math.prod(encoder.latent_shape)
    if states.mu.ndim != 2 or len(states) == 0 or states.dim != dim:
        raise MemworldError(
            f"states must be (B, {dim}) latents with B of at least 1, got {tuple(states.mu.shape)}: "
            "take them from encode or from an earlier prediction"
        )


def features_of(actions: Any, space: ActionSpace, batch: int) -> Tensor:
    """B actions, or one for all, to features (B, A), float64.

    Raises:
        MemworldError: another number of them, or actions outside the space.
    """
    stored = as_actions(actions, space)
    own = len(stored_shape(space))
    stored = stored if stored.ndim == 1 + own else stored[None]
    if len(stored) not in (1, batch) or stored.ndim != 1 + own:
        raise MemworldError(f"actions have shape {stored.shape}: give one per state ({batch}), or one for all")
    return torch.from_numpy(action_features(stored, space)).expand(batch, -1)


class Choices:
    """The features of what a policy chooses; what it chose is noted."""

    def __init__(self, policy: Callable[[Tensor], np.ndarray], space: ActionSpace) -> None:
        """Choose by a policy, from the latest moments (B, C, D) to B actions in the stored form of a space."""
        self._policy, self._space = policy, space
        self.taken: list[np.ndarray] = []
        """At every step, (B,) or (B, A) actions in the stored form."""

    def __call__(self, recent: Tensor) -> Tensor:
        """The features (B, A), float64, of what it chooses now.

        Raises:
            MemworldError: another number of actions, or actions outside the space.
        """
        chosen = as_actions(self._policy(recent), self._space)
        if chosen.shape != (len(recent), *stored_shape(self._space)):
            raise MemworldError(f"the policy gave actions of shape {chosen.shape}: give one per future ({len(recent)})")
        self.taken.append(chosen)
        return features_of(chosen, self._space, len(recent))
