"""The baselines by name: which network, and how it is trained unless told otherwise."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from memworld.baselines.config import BaselineTraining
from memworld.baselines.latent_gru import LatentGRU, LatentGRUConfig
from memworld.baselines.rssm import LatentRSSM, PixelRSSM, RSSMConfig


@dataclass(frozen=True)
class Shapes:
    """What a network is built for.

    Attributes:
        frame_shape: (H, W, C) of the frames.
        latent_dim: D, numbers in a latent of the memory's encoder.
        action_features: F, numbers in an action's features.
        mean: (H, W, C) float32 mean picture of the training frames in [0, 1], for a network that sees pixels.
        scale: (H, W, C) float32 floored per-pixel standard deviation.
        reward_std: standard deviation of the training data's rewards, in which they are learned.
    """

    frame_shape: tuple[int, int, int]
    latent_dim: int
    action_features: int
    mean: Tensor | None = None
    scale: Tensor | None = None
    reward_std: float = 1.0


@dataclass(frozen=True)
class Kind:
    """One kind of baseline.

    Attributes:
        about: what it is, in a few words.
        sees_pixels: whether it is trained on frames rather than on latents.
        config: settings of its network by default; their class reads those that were stored.
        training: how it is trained by default.
        build: makes the network, of random weights.
    """

    about: str
    sees_pixels: bool
    config: Any
    training: BaselineTraining
    build: Callable[[Shapes, Any], nn.Module]


def _pixels(shapes: Shapes, config: RSSMConfig) -> nn.Module:
    assert shapes.mean is not None and shapes.scale is not None  # noqa: PT018
    return PixelRSSM(shapes.frame_shape, shapes.action_features, config, shapes.mean, shapes.scale, shapes.reward_std)


KINDS: dict[str, Kind] = {
    "latent_gru": Kind(
        "a GRU in the memory's latents, trained open-loop",
        False,
        LatentGRUConfig(),
        BaselineTraining(steps=3000, batch_size=64, learning_rate=2e-3, precision="float32"),
        lambda shapes, config: LatentGRU(shapes.latent_dim, shapes.action_features, config, shapes.reward_std),
    ),
    "rssm_latents": Kind(
        "PlaNet's RSSM in the memory's latents",
        False,
        RSSMConfig(),
        BaselineTraining(steps=2500, batch_size=32, learning_rate=2e-3),
        lambda shapes, config: LatentRSSM(
            shapes.latent_dim, shapes.action_features, config, reward_std=shapes.reward_std
        ),
    ),
    "rssm_pixels": Kind(
        "PlaNet's RSSM from pixels",
        True,
        # Prior means: eight blended futures are blurred pictures, and cost eight times as much to decode.
        RSSMConfig(samples=0),
        BaselineTraining(steps=1500, batch_size=16, learning_rate=1e-3),
        _pixels,
    ),
}
"""The kinds by the names that METHOD section 6 gives them in tables."""


def new_network(kind: Kind, shapes: Shapes, config: Any, seed: int) -> nn.Module:
    """A network of random weights; torch draws them from its global generator, the caller's stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind.build(shapes, config)
