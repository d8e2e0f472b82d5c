"""What a pretrained encoder is besides its weights: settings, and what `encoder.json` says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from memworld.errors import MemworldError
from memworld.storage import one_line

KIND = "pretrained"
"""What `encoder.json` calls these encoders."""

FORMAT = 1
"""Version of their files."""

SIGMA = 0.1
"""Standard deviation for latents of about unit size whose model gives none: a choice, not a measured optimum."""

MOST_UPSCALE = 16


@dataclass(frozen=True)
class PretrainedConfig:
    """Everything of a pretrained encoder but its weights.

    Attributes:
        model: class of diffusers, `AutoencoderKL` or `AutoencoderTiny`.
        frame_shape: (H, W, C) of the frames; of one colour, they are shown to the model as grey.
        upscale: how many times larger along each side the model sees the frames.
        sigma: standard deviation of latents, in the units that `encode` gives; None where the model has its own.
        settings: the model's own, as diffusers describes them.
    """

    model: str
    frame_shape: tuple[int, int, int]
    upscale: int = 1
    sigma: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = self.frame_shape
        if len(shape) != 3 or not all(0 < n <= 2**16 for n in shape[:2]) or shape[2] not in (1, 3):
            raise MemworldError(f"frame_shape {shape} is not (H, W, C) of a picture, C of 1 or 3: resize the frames")
        if not isinstance(self.upscale, int) or not 1 <= self.upscale <= MOST_UPSCALE:
            raise MemworldError(f"upscale must be a whole number from 1 to {MOST_UPSCALE}, got {self.upscale}")
        if self.model == "AutoencoderKL" and self.sigma is not None:
            raise MemworldError(f"AutoencoderKL gives a sigma of its own, and {self.sigma} was asked for: leave it out")
        if self.model == "AutoencoderTiny":
            object.__setattr__(self, "sigma", SIGMA if self.sigma is None else self.sigma)
        if self.sigma is not None and not 1e-6 <= self.sigma <= 1e6:
            raise MemworldError(f"sigma must be from 1e-6 to 1e6, got {self.sigma}: latents are of about unit size")


def latent_units(settings: Any) -> tuple[Tensor, Tensor]:
    """The shift and scale, (c, 1, 1) or (1, 1, 1) each, that give latents about unit size: (z - shift) * scale."""
    try:
        mean, std = settings.get("latents_mean"), settings.get("latents_std")
        by_channel = mean is not None and std is not None
        shift = torch.tensor(mean if by_channel else [settings.get("shift_factor") or 0.0]).float()
        scale = float(settings["scaling_factor"]) / torch.tensor(std if by_channel else [1.0]).float()
        if not (shift.isfinite().all() and scale.isfinite().all() and (scale > 0).all()):
            raise ValueError("they must be finite, and scales above 0")
        if {shift.shape, scale.shape} - {(1,), (settings["latent_channels"],)}:
            raise ValueError(f"there are {settings['latent_channels']} channels")
    except (KeyError, RuntimeError, TypeError, ValueError, ZeroDivisionError) as error:
        raise MemworldError(f"the model's scale of latents means nothing ({one_line(error)}): restore it") from error
    return shift[:, None, None], scale[:, None, None]


def parse_description(description: Any, path: Path) -> tuple[PretrainedConfig, str, int, tuple[str, ...], str]:
    """The parts of `encoder.json`, checked."""
    try:
        if description["format"] != FORMAT:
            raise MemworldError(
                f"it has kind {KIND!r}, format {description['format']!r}; this version reads format {FORMAT}: update "
                "memworld"
            )
        given = dict(description["config"])
        given["frame_shape"] = tuple(map(int, given["frame_shape"]))
        given["settings"] = dict(given["settings"])
        return (
            PretrainedConfig(**given),
            str(description["source"]),
            int(description["active_units"]),
            tuple(map(str, description["episodes_seen"])),
            str(description["fingerprint"]),
        )
    except MemworldError as error:
        raise MemworldError(f"{path / 'encoder.json'} cannot be used: {error}") from error
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise MemworldError(
            f"{path / 'encoder.json'} is damaged ({type(error).__name__}: {one_line(error)}): restore or make it again"
        ) from error
