"""One remembered episode."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from memworld.datasets import EpisodeEntry
from memworld.encoders import Encoder
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.gaussian import Latents, derived_seed, draw, seeded
from memworld.stored_frames import StoredFrames


@dataclass(frozen=True, eq=False)
class MemoryEpisode:
    """One remembered episode of T actions.

    Attributes:
        entry: its id, number of steps and source.
        latents: (T+1, D) float32.
        actions: (T,) int64 or (T, A) float32.
        rewards: (T,) float32.
        terminations: (T,) bool.
        truncations: (T,) bool.
        frames: (T+1, H, W, C) uint8, in memory or in a file, or None if not kept.
        sha256: of all but the frames as stored, None if it is not stored.
    """

    entry: EpisodeEntry
    latents: Latents
    actions: np.ndarray
    rewards: np.ndarray
    terminations: np.ndarray
    truncations: np.ndarray
    frames: np.ndarray | StoredFrames | None
    sha256: str | None = None


def encode_episode(episode: Episode, encoder: Encoder, seed: int, keep_frames: bool) -> MemoryEpisode:
    """Encode an episode, and draw the one sample of each of its posteriors.

    The sample depends on the seed and the episode's id alone, so that it is the same whatever else is
    encoded, and wherever.

    Raises:
        MemworldError: frames of another size, or codes that are not what an encoder promises.
    """
    mu, sigma = encoder.encode(episode.observations)
    expected = (len(episode) + 1, math.prod(encoder.latent_shape))
    for code in (mu, sigma):
        if (code.shape, code.dtype) != (expected, torch.float32):
            raise MemworldError(
                f"encoder {encoder.fingerprint[:12]} gave {code.dtype} {list(code.shape)} for episode "
                f"{episode.id}, expected torch.float32 {list(expected)}: mend the encoder's encode"
            )
    latents = draw(mu, sigma, seeded(derived_seed(seed, episode.id))).check(f"episode {episode.id}")
    return MemoryEpisode(
        EpisodeEntry(episode.id, len(episode), episode.source),
        latents,
        episode.actions,
        episode.rewards,
        episode.terminations,
        episode.truncations,
        episode.observations if keep_frames else None,
    )
