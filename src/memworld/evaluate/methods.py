"""The methods of a table: the strategies under test, the baselines, and the labelled oracle."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from memworld.baselines import Baseline
from memworld.dynamics import ResolvedDynamics
from memworld.encoders import Encoder
from memworld.evaluate.results import label_of
from memworld.evaluate.windows import Windows
from memworld.gaussian import Latents, derived_seed, draw, seeded
from memworld.imagine import Mode
from memworld.memory import Memory
from memworld.rollout import Rollout
from memworld.search import Query
from memworld.search.exact import ExactIndex
from memworld.world_model import WorldModel


@dataclass(frozen=True, eq=False)
class Predicted:
    """What a method says will follow S starts, T steps ahead.

    Attributes:
        latents: (S, T, D) predicted Gaussians; their z is what the frames show.
        frames: uint8 (S, T, H, W, C).
        states: float32 (S, T, K) if the method knows the state without a probe.
        rollout: of a search, with its provenance and support.
    """

    latents: Latents
    frames: np.ndarray
    states: np.ndarray | None = None
    rollout: Rollout | None = None


@dataclass(frozen=True)
class Method:
    """One row of a table.

    Attributes:
        name: as METHOD section 6 names it.
        mode: `requery` or `follow` of a search, "" where there is no such choice.
        predict: what it says about windows; it may read only `past`, `start_*` and `actions`, unless its
            kind (`results.KINDS`) is that it uses the truth.
    """

    name: str
    mode: str
    predict: Callable[[Windows], Predicted]

    @property
    def label(self) -> str:
        """Name and mode, for tables and pictures."""
        return label_of(self.name, self.mode)


def search_methods(world: WorldModel, name: str, modes: Sequence[Mode], seed: int) -> list[Method]:
    """A dynamics by search in each mode, under one name; other dynamics than the paper's in their own mode alone."""

    def method(mode: Mode) -> Method:
        def predict(windows: Windows) -> Predicted:
            # Other noise for every episode: what is averaged over episodes must not share it.
            own = derived_seed(seed, name, mode, windows.episode)
            rollout = world.imagine(windows.start_frames, windows.actions, past=windows.past, mode=mode, seed=own)
            assert rollout.frames is not None  # decode=True
            return Predicted(rollout.latents, rollout.frames, rollout=rollout)

        return Method(name, mode, predict)

    own = modes if isinstance(world.dynamics, ResolvedDynamics) else (world.usual_mode,)
    return [method(mode) for mode in own]


def trained(name: str, model: Baseline, seed: int) -> Method:
    """A baseline that was trained on the memory's episodes; its sampling depends on `seed` and the episode."""

    def predict(windows: Windows) -> Predicted:
        own = derived_seed(seed, name, windows.episode)
        imagined = model.imagine(windows.start_frames, windows.actions, past=windows.past, seed=own)
        assert imagined.frames is not None  # decode=True
        return Predicted(imagined.latents, imagined.frames)

    return Method(name, "", predict)


def oracle(encoder: Encoder, memory: Memory, seed: int) -> Method:
    """The published code's one-step Replay-KL, which queries with the very frame that it predicts.

    It is no prediction, and is shown only so that its numbers can be told from the others.
    """
    rows = memory.rows
    index = ExactIndex.of(rows, "kl_stored_query")

    def predict(windows: Windows) -> Predicted:
        true = windows.true_latents
        found = index.nearest(Query(true.flatten()), 1).rows[:, 0]
        generator = seeded(derived_seed(seed, "oracle", windows.episode))
        latents = draw(rows.latents.mu[found], rows.latents.sigma[found], generator)
        shaped = latents.reshape(*true.mu.shape[:2])
        return Predicted(shaped, _decode(encoder, shaped))

    return Method("oracle", "", predict)


def encoder_bound(encoder: Encoder) -> Method:
    """The encoder's reconstruction of the true frame: what its latents can show, hardly to be bettered."""

    def predict(windows: Windows) -> Predicted:
        return Predicted(windows.true_latents, _decode(encoder, windows.true_latents))

    return Method("encoder_bound", "", predict)


def persistence() -> Method:
    """The last frame, repeated."""

    def predict(windows: Windows) -> Predicted:
        steps = windows.horizon
        start = windows.start_latents
        repeated = Latents(*(x[:, None].expand(-1, steps, -1) for x in (start.mu, start.sigma, start.z)))
        return Predicted(repeated, np.repeat(windows.start_frames[:, None], steps, axis=1))

    return Method("persistence", "", predict)


def data_mean(memory: Memory, mean_frame: np.ndarray, mean_state: np.ndarray | None) -> Method:
    """The mean of the training data, whatever is asked.

    Args:
        memory: its latents' moments are the predicted Gaussian.
        mean_frame: uint8 (H, W, C).
        mean_state: float32 (K,), or None.
    """
    latents = memory.rows.latents
    mu = latents.mu.mean(0)
    sigma = torch.sqrt((latents.sigma**2).mean(0) + latents.mu.var(0, correction=0))

    def predict(windows: Windows) -> Predicted:
        size = (len(windows.starts), windows.horizon)
        constant = Latents(mu.expand(*size, -1), sigma.expand(*size, -1), mu.expand(*size, -1))
        frames = np.broadcast_to(mean_frame, (*size, *mean_frame.shape))
        return Predicted(
            constant, frames, None if mean_state is None else np.broadcast_to(mean_state, (*size, len(mean_state)))
        )

    return Method("data_mean", "", predict)


def _decode(encoder: Encoder, latents: Latents) -> np.ndarray:
    """(S, T, D) latents to uint8 (S, T, H, W, C)."""
    return encoder.decode(latents.z.flatten(0, 1)).reshape(*latents.z.shape[:2], *encoder.frame_shape)
