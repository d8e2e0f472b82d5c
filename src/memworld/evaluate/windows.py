"""What a method is asked: random starts in held-out episodes, the actions that followed, and the truth."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from memworld.datasets import EpisodeDataset
from memworld.encoders import Encoder
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.gaussian import Latents, at_mean
from memworld.rollout import Past


@dataclass(frozen=True, eq=False)
class Windows:
    """S windows of one held-out episode: the frame at the start, H actions, and what they led to.

    A method may read `past`, `start_*` and `actions`; only what is labelled as using the truth (the
    encoder's bound, the oracle, the metrics) may read `true_*`.

    Attributes:
        episode: id of the episode.
        starts: (S,) int64 step of each window's first frame.
        past: the moments before the first frame.
        start_frames: uint8 (S, H, W, C).
        start_latents: (S, D), with z at the mean.
        actions: (S, T) int64 or (S, T, A) float32.
        true_frames: uint8 (S, T, H, W, C) frames after 1 to T actions.
        true_latents: (S, T, D) their posteriors, with z at the mean.
        true_states: float32 (S, T, K) the world's state after 1 to T actions, or None.
    """

    episode: str
    starts: np.ndarray
    past: Past
    start_frames: np.ndarray
    start_latents: Latents
    actions: np.ndarray
    true_frames: np.ndarray
    true_latents: Latents
    true_states: np.ndarray | None

    @property
    def horizon(self) -> int:
        """T, the number of steps to predict."""
        return int(self.actions.shape[1])


def held_out_windows(
    dataset: EpisodeDataset, encoder: Encoder, horizon: int, starts: int, seed: int, past: int = 0
) -> Iterator[Windows]:
    """The windows of each episode that is long enough, with up to `past` moments before each, one episode at a time.

    Starts are drawn without repetition; an episode with fewer than `starts` possible ones gives
    all of them.

    Raises:
        MemworldError: horizon or starts below 1, or no episode of at least `horizon` steps.
    """
    long_enough = episodes_of(dataset, horizon)
    if starts < 1:
        raise MemworldError(f"starts must be at least 1, got {starts}")
    return _windows(dataset, long_enough, encoder, horizon, starts, seed, past)


def episodes_of(dataset: EpisodeDataset, horizon: int) -> list[int]:
    """The positions of the episodes of at least `horizon` steps.

    Raises:
        MemworldError: horizon below 1, or there is no such episode.
    """
    if horizon < 1:
        raise MemworldError(f"horizon must be at least 1, got {horizon}")
    long_enough = [i for i, entry in enumerate(dataset.entries) if entry.steps >= horizon]
    if not long_enough:
        raise MemworldError(
            f"no held-out episode has {horizon} steps: ask for a shorter horizon or hold out longer episodes"
        )
    return long_enough


def _windows(
    dataset: EpisodeDataset, numbers: list[int], encoder: Encoder, horizon: int, starts: int, seed: int, past: int
) -> Iterator[Windows]:
    for number in numbers:
        episode = dataset[number]
        rng = np.random.default_rng([seed, number])
        possible = len(episode) - horizon + 1
        chosen = np.sort(rng.choice(possible, size=min(starts, possible), replace=False))
        yield _cut(episode, encoder, chosen, horizon, past)


def _cut(episode: Episode, encoder: Encoder, starts: np.ndarray, horizon: int, past: int) -> Windows:
    """The windows of one episode; each of its frames is encoded once."""
    latents = at_mean(*encoder.encode(episode.observations))
    after = starts[:, None] + np.arange(1, horizon + 1)
    return Windows(
        episode=episode.id,
        starts=starts,
        past=Past.of(episode, starts, past),
        start_frames=episode.observations[starts],
        start_latents=latents[torch.from_numpy(starts)],
        actions=episode.actions[after - 1],
        true_frames=episode.observations[after],
        true_latents=latents[torch.from_numpy(after)],
        true_states=None if episode.states is None else episode.states[after],
    )
