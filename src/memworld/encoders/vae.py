"""The convolutional VAE in use: encode, decode, save, open. How it is trained: `training.py`.

Inputs are centred on the training data's mean picture and scaled by its floored per-pixel
standard deviation: without that, a plain VAE encodes nothing of a small moving thing (METHOD
section 5).
"""

import math
import operator
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from memworld.encoders import check_frames, check_latents, fingerprint
from memworld.encoders.network import VAENetwork
from memworld.errors import MemworldError
from memworld.storage import make_folder, one_line, read_arrays, read_json, remove_unfinished, write_arrays, write_json

FORMAT = 1
"""Version of the encoder's files."""

_BATCH = 256
"""Frames per pass: bounds the working memory. How many frames share a pass changes codes by float noise only."""


@dataclass(frozen=True)
class VAEConfig:
    """The shape of a VAE.

    Attributes:
        latent_shape: (d,) for a vector, (c, h, w) for a spatial grid.
        channels: width after each halving of the frame; None chooses by the latent's shape.
        objective: `sigma` for the calibrated decoder (sigma-VAE), `beta` for the paper's beta-VAE.
        beta: weight of the KL term, of `beta` only.
        std_floor: smallest per-pixel standard deviation (of frames in [0, 1]) to scale by.
    """

    latent_shape: tuple[int, ...] = (32,)
    channels: tuple[int, ...] | None = None
    objective: Literal["sigma", "beta"] = "sigma"
    beta: float = 1.0
    std_floor: float = 0.1

    def __post_init__(self) -> None:
        shape = _positive(self.latent_shape)
        if len(shape) not in (1, 3):
            raise MemworldError(f"latent shape {self.latent_shape} is neither (d,) nor (c, h, w) of positive numbers")
        object.__setattr__(self, "latent_shape", shape)
        if self.objective not in ("sigma", "beta"):
            raise MemworldError(f"unknown objective {self.objective!r}: use sigma or beta")
        if self.objective == "sigma" and self.beta != 1:
            raise MemworldError(f"beta ({self.beta:g}) belongs to the objective beta, not to sigma: leave it out")
        if not (0 < self.beta < math.inf and 0 < self.std_floor < math.inf):
            raise MemworldError(f"beta ({self.beta:g}) and std_floor ({self.std_floor:g}) must be finite and above 0")
        if self.channels is not None:
            channels = _positive(self.channels)
            if not 0 < len(channels) <= 16:
                given = str(self.channels)[:60]
                raise MemworldError(f"channels {given} must be positive numbers, one for each halving, at most 16")
            object.__setattr__(self, "channels", channels)

    def network_channels(self, frame_shape: tuple[int, int, int]) -> tuple[int, ...]:
        """The channels to build for frames of this shape.

        Raises:
            MemworldError: the frame cannot be halved down to the latent's grid.
        """
        height, width, _ = frame_shape
        channels = self.channels or _default_channels(self.latent_shape, height)
        shrink = 2 ** len(channels)
        if height % shrink or width % shrink:
            raise MemworldError(
                f"frames of {height}x{width} cannot be halved {len(channels)} times: "
                f"resize them to a multiple of {shrink}, as with memworld convert --size"
            )
        grid = (height // shrink, width // shrink)
        if len(self.latent_shape) == 3 and grid != self.latent_shape[1:]:
            raise MemworldError(
                f"frames of {height}x{width} give a grid of {grid[0]}x{grid[1]} after {len(channels)} halvings, not "
                f"{self.latent_shape[1]}x{self.latent_shape[2]}: change latent_shape or channels"
            )
        return channels


def _positive(numbers: Any) -> tuple[int, ...]:
    """The numbers as a tuple of integers, empty if one of them is no integer above 0."""
    try:
        integers = tuple(map(operator.index, numbers))
    except TypeError:
        return ()
    return integers if min(integers, default=0) > 0 else ()


def _default_channels(latent_shape: tuple[int, ...], height: int) -> tuple[int, ...]:
    """Halve down to 8 rows for a vector, to the grid's own rows for a grid; double the width as one goes."""
    rows = 8 if len(latent_shape) == 1 else latent_shape[1]
    halvings = max(1, (height // rows).bit_length() - 1)
    return tuple(24 * 2**i for i in range(halvings))


class VAE:
    """A trained VAE; an `Encoder`."""

    def __init__(
        self,
        config: VAEConfig,
        network: VAENetwork,
        mean: Tensor,
        scale: Tensor,
        active_units: int,
        episodes_seen: Sequence[str] = (),
    ) -> None:
        """Wrap a trained network.

        Args:
            config: its shape.
            network: its layers.
            mean: (H, W, C) float32 mean picture of the training frames in [0, 1].
            scale: (H, W, C) float32 floored per-pixel standard deviation.
            active_units: latent means that vary by more than 0.1 over the training frames.
            episodes_seen: ids of the episodes that it was trained or chosen on.
        """
        self.config = config
        # One memory layout for trained and opened weights: another could round otherwise.
        self.network = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.mean = mean
        self.scale = scale
        self._active_units = active_units
        self._episodes_seen = tuple(episodes_seen)

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        height, width, colours = self.mean.shape
        return height, width, colours

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(d,) or (c, h, w)."""
        return self.config.latent_shape

    @property
    def episodes_seen(self) -> tuple[str, ...]:
        """Ids of the episodes that it was trained or chosen on."""
        return self._episodes_seen

    @property
    def active_units(self) -> int:
        """Latent means that vary by more than 0.1 over the training frames."""
        return self._active_units

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of settings and weights."""
        return fingerprint(asdict(self.config), self._arrays())

    def encode(self, frames: np.ndarray) -> tuple[Tensor, Tensor]:
        """uint8 (B, H, W, C) frames to mu and sigma, float32 (B, D) each.

        Raises:
            MemworldError: frames of another type or size.
        """
        check_frames(frames, self.frame_shape)
        if len(frames) == 0:
            return torch.empty(0, math.prod(self.latent_shape)), torch.empty(0, math.prod(self.latent_shape))
        parts = []
        # The same codes and frames whatever precision the code around asks for.
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):
            for start in range(0, len(frames), _BATCH):
                # torch takes no negative strides, as of mirrored frames.
                batch = torch.tensor(np.ascontiguousarray(frames[start : start + _BATCH]))
                parts.append(self.network.posterior(normalise(batch, self.mean, self.scale)))
        mu, sigma = (torch.cat(side).clone() for side in zip(*parts, strict=True))
        return mu, sigma

    def decode(self, z: Tensor) -> np.ndarray:
        """(B, D) latents to uint8 (B, H, W, C) frames.

        Raises:
            MemworldError: latents of another size.
        """
        check_latents(z, self.latent_shape)
        parts = []
        # The same codes and frames whatever precision the code around asks for.
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):
            for start in range(0, len(z), _BATCH):
                decoded = self.network.reconstruct(z[start : start + _BATCH].float()).permute(0, 2, 3, 1)
                pixels = (decoded * self.scale + self.mean).clamp(0, 1) * 255
                parts.append(pixels.round().to(torch.uint8).numpy())
        return np.concatenate(parts) if parts else np.zeros((0, *self.frame_shape), np.uint8)

    def _arrays(self) -> dict[str, np.ndarray]:
        weights = {f"network.{k}": v.detach().numpy() for k, v in self.network.state_dict().items()}
        return {**weights, "mean": self.mean.numpy(), "scale": self.scale.numpy()}

    def save(self, path: Path) -> None:
        """Write `encoder.json` and `encoder.safetensors` into the folder `path`.

        Raises:
            MemworldError: the folder cannot be written.
        """
        make_folder(path)
        remove_unfinished(path)
        write_arrays(path / "encoder.safetensors", self._arrays())
        write_json(
            path / "encoder.json",
            {
                "format": FORMAT,
                "kind": "vae",
                "config": asdict(self.config),
                "frame_shape": list(self.frame_shape),
                "active_units": self.active_units,
                "episodes_seen": list(self.episodes_seen),
                "fingerprint": self.fingerprint,
            },
        )

    @classmethod
    def open(cls, path: Path) -> "VAE":
        """Read what `save` wrote.

        Raises:
            MemworldError: files that are missing, damaged, of another version or do not belong together.
        """
        description = read_json(path / "encoder.json", "encoder")
        config, frame_shape, active_units, seen, fingerprint = _parse(description, path)
        arrays = read_arrays(path / "encoder.safetensors", "encoder weights")
        channels = config.network_channels(frame_shape)
        try:
            # Without weights of its own: they would be drawn from, and so change, torch's global generator.
            with torch.device("meta"):
                network = VAENetwork(frame_shape, config.latent_shape, channels)
            state = {
                k.removeprefix("network."): torch.from_numpy(v) for k, v in arrays.items() if k.startswith("network.")
            }
            network.load_state_dict(state, assign=True)
            mean, scale = torch.from_numpy(arrays["mean"]), torch.from_numpy(arrays["scale"])
        except (KeyError, RuntimeError, MemoryError, OverflowError, TypeError, ValueError) as error:
            raise MemworldError(f"encoder weights in {path} do not fit their description: train it again") from error
        encoder = cls(config, network, mean, scale, active_units, seen)
        if encoder.fingerprint != fingerprint:
            raise MemworldError(f"encoder weights in {path} are not those that were saved: restore or train again")
        return encoder


def _parse(description: Any, path: Path) -> tuple[VAEConfig, tuple[int, int, int], int, tuple[str, ...], str]:
    """The parts of `encoder.json`, checked."""
    try:
        if description["format"] != FORMAT or description["kind"] != "vae":
            raise MemworldError(
                f"it has kind {description['kind']!r}, format {description['format']!r}; "
                f"this version reads vae, format {FORMAT}: update memworld"
            )
        given = dict(description["config"])
        given["latent_shape"] = tuple(given["latent_shape"])
        given["channels"] = None if given["channels"] is None else tuple(given["channels"])
        height, width, colours = map(int, description["frame_shape"])
        if not (0 < height <= 2**16 and 0 < width <= 2**16 and colours in (1, 3)):
            raise ValueError(f"frame_shape {description['frame_shape']}")
        return (
            VAEConfig(**given),
            (height, width, colours),
            int(description["active_units"]),
            tuple(map(str, description.get("episodes_seen", ()))),
            str(description["fingerprint"]),
        )
    except MemworldError as error:
        raise MemworldError(f"{path / 'encoder.json'} cannot be used: {error}") from error
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise MemworldError(
            f"{path / 'encoder.json'} is damaged ({type(error).__name__}: {one_line(error)}): restore or train again"
        ) from error


def normalise(frames: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """uint8 (B, H, W, C) frames to centred, scaled float32 (B, C, H, W) in channels-last layout."""
    inputs = (frames.float() / 255 - mean) / scale
    # NHWC memory seen as NCHW is channels-last, the layout in which CPU convolutions are fastest.
    return inputs.permute(0, 3, 1, 2)
