"""Encoders whose weights were trained elsewhere: the autoencoders of latent diffusion, as `diffusers` stores them.

With them nothing is trained on the episodes at all. `AutoencoderKL` gives a Gaussian posterior;
`AutoencoderTiny` (TAESD) gives a point, to which a constant sigma is added.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from memworld.datasets import EpisodeDataset
from memworld.encoders import check_frames, check_latents, check_not_collapsed, fingerprint
from memworld.encoders.autoencoders import build_network, locate, posterior, read_model, shrink_factor
from memworld.encoders.pretrained_config import FORMAT, KIND, PretrainedConfig, latent_units, parse_description
from memworld.encoders.training import count_active, write_reconstructions
from memworld.encoders.training_data import load_frames
from memworld.errors import MemworldError
from memworld.storage import (
    KIND_KEY,
    OnExisting,
    locked,
    make_folder,
    one_line,
    prepare_folder,
    read_arrays,
    read_json,
    remove_unfinished,
    to_json,
    write_arrays,
    write_json,
)

ACTIVE_FRAMES = 256
"""Frames over which active units are counted: such models are slow without a GPU."""

_BATCH_PIXELS = 2**17
"""Most pixels of a pass, 32 frames of 64x64: bounds the working memory. A frame that is larger goes alone."""


class PretrainedVAE:
    """A pretrained autoencoder; an `Encoder`.

    Latents are in the units in which the model's authors use them, of about unit size: the model's
    shift is taken off and its scale applied, to sigma too (Rombach et al. 2022, section D.1).
    """

    def __init__(
        self,
        config: PretrainedConfig,
        network: nn.Module,
        source: str,
        active_units: int,
        episodes_seen: Sequence[str] = (),
    ) -> None:
        """Wrap a network.

        Args:
            config: its settings.
            network: of diffusers, made by `build_network`.
            source: where it came from, for people to read.
            active_units: latent means that vary by more than 0.1 over the training frames.
            episodes_seen: ids of the episodes that it was trained or chosen on, if it was on any.

        Raises:
            MemworldError: the model does not fit the frames, or its scale means nothing.
        """
        shrink = shrink_factor(config.model, config.settings)
        height, width = (side * config.upscale for side in config.frame_shape[:2])
        if height % shrink or width % shrink:
            raise MemworldError(
                f"frames of {config.frame_shape[0]}x{config.frame_shape[1]} at upscale {config.upscale} cannot be "
                f"divided into the {shrink}x{shrink} pixels of a cell of this {config.model}: resize them, or use "
                "another upscale"
            )
        self.config = config
        self.network = network
        self.source = source
        self._active_units = active_units
        self._episodes_seen = tuple(episodes_seen)
        self._latent_shape = (int(cast(Any, network).config.latent_channels), height // shrink, width // shrink)
        self._shift, self._scale = latent_units(cast(Any, network).config)

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.config.frame_shape

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(c, h, w)."""
        return self._latent_shape

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

    @classmethod
    def load(
        cls,
        source: str | Path,
        frames: np.ndarray,
        *,
        upscale: int = 1,
        sigma: float | None = None,
        progress: bool = False,
    ) -> "PretrainedVAE":
        """Load a model from a folder or the hub.

        Args:
            source: a folder that `save_pretrained` of diffusers wrote, or a hub id: owner/name, or
                owner/name/folder for a model inside a pipeline.
            frames: uint8 (N, H, W, C) of training episodes, over which active units are counted.
            upscale: how many times larger along each side the model sees the frames; such models were
                made for pictures larger than those of games.
            sigma: of `AutoencoderTiny` only; None takes `SIGMA`.
            progress: show progress bars of downloads.

        Raises:
            MemworldError: a source that is missing or no such model, weights that are pickled, damaged
                or not finite, frames that do not fit, or an extra that is not installed.
        """
        if frames.ndim != 4 or len(frames) == 0:
            raise MemworldError(f"frames have shape {frames.shape}: give at least one, as (N, H, W, C)")
        folder = locate(source, progress)
        model, settings, weights = read_model(folder)
        height, width, colours = map(int, frames.shape[1:])
        config = PretrainedConfig(model, (height, width, colours), upscale, sigma, settings)
        name = folder.resolve().name if Path(source).is_dir() else str(source)
        encoder = cls(config, build_network(model, settings, weights), name, active_units=0)
        mu, spread = encoder.encode(frames[:1])
        if not (mu.isfinite().all() and spread.isfinite().all() and (spread > 0).all()):
            raise MemworldError(f"the model of {name} turns a frame into latents that are no numbers: use another")
        encoder._active_units = count_active(encoder, torch.from_numpy(frames))
        return encoder

    def encode(self, frames: np.ndarray) -> tuple[Tensor, Tensor]:
        """uint8 (B, H, W, C) frames to mu and sigma, float32 (B, D) each.

        Raises:
            MemworldError: frames of another type or size.
        """
        check_frames(frames, self.frame_shape)
        empty = torch.empty(0, math.prod(self.latent_shape))
        parts = [(empty, empty)]
        # The same codes and frames whatever precision the code around asks for.
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):
            for start in range(0, len(frames), self._batch):
                # torch takes no negative strides, as of mirrored frames.
                batch = torch.tensor(np.ascontiguousarray(frames[start : start + self._batch]))
                mu, sigma = posterior(self.network, self._shown(batch), 1.0)
                mu = (mu - self._shift) * self._scale
                sigma = sigma * self._scale if self.config.sigma is None else torch.full_like(mu, self.config.sigma)
                parts.append((mu.flatten(1), sigma.flatten(1)))
        mu, sigma = (torch.cat(side).clone() for side in zip(*parts, strict=True))
        return mu, sigma

    def decode(self, z: Tensor) -> np.ndarray:
        """(B, D) latents to uint8 (B, H, W, C) frames.

        Raises:
            MemworldError: latents of another size.
        """
        check_latents(z, self.latent_shape)
        parts = [np.zeros((0, *self.frame_shape), np.uint8)]
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):
            for start in range(0, len(z), self._batch):
                grid = z[start : start + self._batch].float().reshape(-1, *self.latent_shape)
                picture = cast(Any, self.network).decode(grid / self._scale + self._shift).sample
                parts.append(self._reduced(picture).numpy())
        return np.concatenate(parts)

    @property
    def _batch(self) -> int:
        """Frames per pass; how many share one changes codes by float noise only."""
        height, width, _ = self.frame_shape
        return max(1, _BATCH_PIXELS // (height * width * self.config.upscale**2))

    def _shown(self, frames: Tensor) -> Tensor:
        """uint8 (B, H, W, C) frames as the model takes them: (B, 3, H', W') in [-1, 1], each pixel made a square."""
        inputs = (frames.float() / 127.5 - 1).permute(0, 3, 1, 2)
        inputs = inputs.expand(-1, 3, -1, -1)
        for side in (2, 3):
            inputs = inputs.repeat_interleave(self.config.upscale, side)
        return inputs.contiguous()

    def _reduced(self, pictures: Tensor) -> Tensor:
        """The way back of `_shown`: squares and, for grey frames, colours are averaged."""
        pictures = nn.functional.avg_pool2d(pictures.clamp(-1, 1), self.config.upscale)
        if self.frame_shape[2] == 1:
            pictures = pictures.mean(1, keepdim=True)
        return ((pictures + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)

    def _arrays(self) -> dict[str, np.ndarray]:
        return {name: value.numpy() for name, value in self.network.state_dict().items()}

    def save(self, path: Path) -> None:
        """Write `encoder.json` and `encoder.safetensors`, all that opening takes, into the folder `path`.

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
                "kind": KIND,
                "source": self.source,
                "config": to_json(self.config),
                "active_units": self.active_units,
                "episodes_seen": list(self.episodes_seen),
                "fingerprint": self.fingerprint,
            },
        )

    @classmethod
    def open(cls, path: Path) -> "PretrainedVAE":
        """Read what `save` wrote; needs no network and nothing but this folder.

        Raises:
            MemworldError: files that are missing, damaged, of another version or do not belong
                together, or an extra that is not installed.
        """
        description = read_json(path / "encoder.json", "encoder")
        config, source, active_units, seen, saved = parse_description(description, path)
        arrays = read_arrays(path / "encoder.safetensors", "encoder weights")
        try:
            weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
            encoder = cls(config, build_network(config.model, config.settings, weights), source, active_units, seen)
        except (MemworldError, TypeError) as error:
            raise MemworldError(f"the encoder in {path} cannot be used: {one_line(error)}") from error
        if encoder.fingerprint != saved:
            raise MemworldError(f"encoder weights in {path} are not those that were saved: restore or make it again")
        return encoder


def use_pretrained(
    source: str | Path,
    training: EpisodeDataset,
    output: str | Path,
    *,
    upscale: int = 1,
    sigma: float | None = None,
    on_existing: OnExisting = "error",
    progress: bool = False,
) -> PretrainedVAE:
    """Write an encoder of pretrained weights for the frames of `training` to `output`, instead of training one.

    The folder `output` then holds `encoder.json`, `encoder.safetensors`, `training.json` (where the
    weights came from) and `reconstructions.png` (frames above their reconstructions). It is written in
    one go, so there is nothing to resume.

    Args:
        source: see `PretrainedVAE.load`, as for `upscale` and `sigma`.
        training: episodes over whose frames active units are counted; the weights do not depend on them.
        output: the encoder's folder.
        upscale: how many times larger the model sees the frames.
        sigma: of `AutoencoderTiny` only.
        on_existing: what to do if the folder holds something.
        progress: show progress bars of downloads.

    Raises:
        MemworldError: no episodes, a source or frames that cannot be used, an output folder that
            cannot be used or is being written to, or an encoder to which all frames look alike; its
            files stay, to be looked at.
    """
    if len(training) == 0:
        raise MemworldError("no training episodes: give at least one")
    if on_existing == "resume":
        raise MemworldError("a pretrained encoder is written in one go, with nothing to resume: use --overwrite")
    output = Path(output)
    frames = load_frames(training, ACTIVE_FRAMES)
    encoder = PretrainedVAE.load(source, frames.numpy(), upscale=upscale, sigma=sigma, progress=progress)
    with locked(output):
        prepare_folder(output, on_existing, "training.json", "encoder")
        # First, as the mark by which a writing that was killed may be overwritten.
        settings = {"source": encoder.source, "upscale": upscale, "sigma": encoder.config.sigma}
        write_json(output / "training.json", {KIND_KEY: "encoder", "settings": {KIND: settings}})
        encoder.save(output)
        write_reconstructions(encoder, frames, output / "reconstructions.png")
    check_not_collapsed(encoder)
    return encoder
