"""The convolutional network of the VAE: frames to posterior parameters and back."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class VAENetwork(nn.Module):
    """Strided convolutions down to the latent, transposed ones back up.

    A vector latent (d,) goes through one linear layer each way; a grid (c, h, w) stays
    convolutional, so that each cell sees its part of the picture.
    """

    def __init__(self, frame_shape: tuple[int, int, int], latent_shape: tuple[int, ...], channels: Sequence[int]):
        """Build the layers.

        Args:
            frame_shape: (H, W, C) of the frames.
            latent_shape: (d,) or (c, h, w).
            channels: width after each halving of the frame, len(channels) halvings in all.
        """
        super().__init__()
        height, width, colours = frame_shape
        shrink = 2 ** len(channels)
        cells = (channels[-1], height // shrink, width // shrink)
        widths = (colours, *channels)
        down: list[nn.Module] = []
        for before, after in pairwise(widths):
            down += [nn.Conv2d(before, after, 4, 2, 1), nn.SiLU()]
        up: list[nn.Module] = []
        for after, before in reversed(list(pairwise(widths))):
            up += [nn.SiLU(), nn.ConvTranspose2d(before, after, 4, 2, 1)]
        if len(latent_shape) == 1:
            size = cells[0] * cells[1] * cells[2]
            down += [nn.Flatten(), nn.Linear(size, 2 * latent_shape[0])]
            up = [nn.Linear(latent_shape[0], size), nn.Unflatten(1, cells), *up]
        else:
            down += [nn.Conv2d(cells[0], 2 * latent_shape[0], 3, 1, 1), nn.Flatten()]
            up = [nn.Unflatten(1, latent_shape), nn.Conv2d(latent_shape[0], cells[0], 3, 1, 1), *up]
        self.encoder = nn.Sequential(*down)
        self.decoder = nn.Sequential(*up)

    def posterior(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) normalised frames to mu and sigma, each (B, D).

        Softplus keeps sigma above 0 without the exponential's blow-ups early in training.
        """
        mu, raw = self.encoder(inputs).float().chunk(2, dim=1)
        return mu, nn.functional.softplus(raw) + 1e-4

    def reconstruct(self, z: Tensor) -> Tensor:
        """(B, D) latents to (B, C, H, W) normalised frames."""
        return torch.as_tensor(self.decoder(z)).float()
