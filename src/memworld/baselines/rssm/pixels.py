"""PlaNet's model from pixels, as published."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from memworld.baselines.network import Futures
from memworld.baselines.rssm.config import RSSMConfig
from memworld.baselines.rssm.model import RecurrentModel
from memworld.baselines.rssm.objective import distortion
from memworld.encoders.vae import normalise
from memworld.errors import MemworldError

CHANNELS = (32, 64, 128, 256)
"""PlaNet's width after each halving of the frame."""

_DECODED = 512
"""Frames per pass in imagination: bounds the working memory."""


class PixelRSSM(RecurrentModel):
    """A recurrent state-space model that sees and predicts frames, with an encoder and a decoder of its own.

    It departs from PlaNet in its favour: frames are centred on the training data's mean picture and
    scaled by the floored standard deviation of each pixel, exactly as the VAE's are, where PlaNet
    takes them as they come. Without that a small moving thing is never encoded (METHOD section 5).
    Its layers have PlaNet's widths, kernels of 4 and strides of 2, with a border of 1 that makes
    every size divisible by 16 fit, not 64 alone.
    """

    sees_pixels = True

    def __init__(
        self,
        frame_shape: tuple[int, int, int],
        action_features: int,
        config: RSSMConfig | None = None,
        mean: Tensor | None = None,
        scale: Tensor | None = None,
        reward_std: float = 1.0,
        channels: Sequence[int] = CHANNELS,
    ) -> None:
        """Build the layers; their weights are drawn from torch's global generator.

        Args:
            frame_shape: (H, W, C).
            action_features: F, the size of an action.
            config: sizes and objective.
            mean: (H, W, C) mean picture of the training frames in [0, 1]; None takes a grey one.
            scale: (H, W, C) floored per-pixel standard deviation; None takes 1, PlaNet's own.
            reward_std: standard deviation of the training data's rewards, the unit in which they are learned.
            channels: width after each halving of the frame.

        Raises:
            MemworldError: frames that cannot be halved so often, mean or scale of another shape or not above 0.
        """
        config = config or RSSMConfig()
        height, width, colours = frame_shape
        shrink = 2 ** len(channels)
        if not channels or min(*frame_shape, *channels) < 1 or height % shrink or width % shrink:
            raise MemworldError(
                f"frames of {height}x{width}x{colours} cannot be halved {len(channels)} times to channels "
                f"{tuple(channels)}: resize them to a multiple of {shrink}, or use fewer channels"
            )
        mean = torch.full(frame_shape, 0.5) if mean is None else mean
        scale = torch.ones(frame_shape) if scale is None else scale
        if mean.shape != frame_shape:
            raise MemworldError(
                f"mean has shape {tuple(mean.shape)}, frames have {frame_shape}: use their mean picture"
            )
        cells = (channels[-1], height // shrink, width // shrink)
        super().__init__(config, math.prod(cells), action_features, mean, scale, reward_std)
        widths = (colours, *channels)
        down: list[nn.Module] = []
        for before, after in pairwise(widths):
            down += [nn.Conv2d(before, after, 4, 2, 1), nn.ReLU(inplace=True)]
        up: list[nn.Module] = []
        for after, before in reversed(list(pairwise(widths))):
            up += [nn.ConvTranspose2d(before, after, 4, 2, 1), nn.ReLU(inplace=True)]
        # Channels-last, the layout in which CPU convolutions are fastest.
        last = torch.channels_last
        self.encoder = nn.Sequential(*down, nn.Flatten()).to(memory_format=last)  # type: ignore[call-overload]
        self.decoder = nn.Sequential(nn.Linear(self.features, math.prod(cells)), nn.Unflatten(1, cells), *up[:-1]).to(
            memory_format=last
        )  # type: ignore[call-overload]

    def normalised(self, observations: Tensor) -> Tensor:
        """uint8 (N, H, W, C) frames to (N, C, H, W), centred and scaled, channels-last."""
        return normalise(observations, self.observation_mean, self.observation_scale)

    def embed(self, seen: Tensor) -> Tensor:
        """(N, C, H, W) normalised frames to (N, E)."""
        return torch.as_tensor(self.encoder(seen))

    def observation_losses(self, features: Tensor, seen: Tensor, sigma: Tensor | None) -> dict[str, Tensor]:
        """`reconstruction` of (N, C, H, W) normalised frames."""
        return {"reconstruction": distortion(self.decoder(features), seen, self.config)}

    def futures(self, features: Tensor, rewards: Tensor, termination: Tensor) -> Futures:
        """With the mean of the K futures' frames, uint8 (B, T, H, W, C): sharp with one future, a blend of more."""
        starts, drawn, horizon, size = features.shape
        # The futures of a moment side by side, so that a pass holds all of them.
        each = features.transpose(1, 2).reshape(starts * horizon, drawn, size)
        frames = []
        for part in torch.split(each, max(1, _DECODED // drawn)):
            decoded = self.decoder(part.flatten(0, 1)).float().permute(0, 2, 3, 1)
            pixels = (decoded * self.observation_scale + self.observation_mean).clamp(0, 1)
            mean = pixels.reshape(len(part), drawn, *pixels.shape[1:]).mean(1)
            frames.append((mean * 255).round().to(torch.uint8).cpu().numpy())
        shape = (starts, horizon, *self.observation_mean.shape)
        return Futures(rewards, termination, frames=np.concatenate(frames).reshape(shape))
