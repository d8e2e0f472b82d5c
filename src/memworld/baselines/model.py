"""A trained baseline in use: imagine, save, open. How it is trained: `training.py`."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memworld.actions import (
    ActionSpace,
    discrete_features,
    sequence_features,
    space_from_json,
    space_to_json,
)
from memworld.baselines.kinds import KINDS, Shapes, new_network
from memworld.baselines.network import Batch, Futures
from memworld.encoders import Encoder
from memworld.errors import MemworldError
from memworld.gaussian import Latents, at_mean, concatenate, seeded
from memworld.rollout import Imagined, Past
from memworld.storage import KIND_KEY, make_folder, one_line, read_arrays, read_json, write_arrays, write_json

FORMAT = 1
"""Version of the model's files."""

MEASURES = ("step", "loss", "train_loss", "seconds")
"""What is noted at a look while a baseline is trained."""

Foretell = Callable[[Any], tuple[Tensor, Tensor]]
"""From sequences of actions to rewards and terminations."""

_BATCH = 128
"""Futures per pass: bounds the working memory."""


class TrainedBaseline:
    """A network with the encoder in whose latents it answers; a `Baseline`."""

    def __init__(
        self,
        name: str,
        config: Any,
        shapes: Shapes,
        network: Any,
        action_space: ActionSpace,
        encoder: Encoder,
        episodes_seen: tuple[str, ...],
        history: tuple[Mapping[str, float], ...] = (),
    ) -> None:
        """Wrap a trained network.

        Args:
            name: its kind in `KINDS`.
            config: the network's settings.
            shapes: what it was built for.
            network: a `Network`.
            action_space: of the actions that it knows.
            encoder: the memory's.
            episodes_seen: ids of the episodes that it was trained or chosen on.
            history: looks at the validation episodes while it was trained: `step`, `loss`, `train_loss`, and
                `seconds` of training up to then.
        """
        self.name = name
        self.config = config
        self.shapes = shapes
        self.network = network.eval()
        self.action_space = action_space
        self.encoder = encoder
        self.history = history
        self._episodes_seen = episodes_seen

    @property
    def about(self) -> str:
        """What it is and how it was trained, in a line."""
        trained = ""
        if self.history:
            last, best = self.history[-1], min(self.history, key=lambda look: look["loss"])
            trained = (
                f", trained for {int(last['step'])} steps in {last['seconds']:.0f} s, best on validation at step "
                f"{int(best['step'])}"
            )
        return KINDS[self.name].about + trained

    @property
    def encoder_fingerprint(self) -> str:
        """Of the encoder in whose latents it answers."""
        return self.encoder.fingerprint

    @property
    def episodes_seen(self) -> tuple[str, ...]:
        """Ids of the episodes that it was trained or chosen on."""
        return self._episodes_seen

    def imagine(
        self,
        observations: np.ndarray,
        actions: Any,
        *,
        past: Past | None = None,
        seed: int = 0,
        decode: bool = True,
    ) -> Imagined:
        """Imagine what follows `observations` under sequences of actions; see `Baseline.imagine`.

        A network that sees pixels gives frames, and its latents are their posteriors.

        Raises:
            MemworldError: a horizon of 0, shapes that do not fit, actions outside the space.
        """
        frames = np.asarray(observations)
        frames = frames[None] if frames.ndim == len(self.encoder.frame_shape) else frames
        if frames.dtype != np.uint8 or frames.shape[1:] != self.encoder.frame_shape or len(frames) == 0:
            raise MemworldError(
                f"frames must be uint8 {self.encoder.frame_shape}, one or several, got {frames.dtype} {frames.shape}"
            )
        features = torch.from_numpy(sequence_features(actions, self.action_space)).float()
        if len(frames) != len(features) and 1 not in (len(frames), len(features)):
            raise MemworldError(
                f"{len(frames)} observations and {len(features)} action sequences: give one of either, or equal numbers"
            )
        if past is not None:
            past.check(len(frames), self.encoder.frame_shape)
        context = self._context(frames, past)
        batch = max(len(frames), len(features))
        generator = seeded(seed)
        parts = []
        with torch.inference_mode():
            for start in range(0, batch, _BATCH):
                rows = torch.arange(start, min(batch, start + _BATCH))
                read = self.network.read(context[rows.clamp(max=len(frames) - 1)], generator)
                asked = features[rows.clamp(max=len(features) - 1)]
                parts.append(self._imagined(self.network.imagine(read, asked, generator), decode))
        return Imagined(
            concatenate([p.latents for p in parts]),
            np.concatenate([p.frames for p in parts]) if decode else None,
            torch.cat([p.rewards for p in parts]).clone(),
            torch.cat([p.termination for p in parts]).clone(),
        )

    def foretell(self, observation: np.ndarray, *, past: Past | None = None, seed: int = 0) -> Foretell:
        """Look at one observation, and be asked as often as one likes what may follow it.

        Args:
            observation: uint8 (H, W, C).
            past: one past, before the observation.
            seed: of all sampling.

        Returns:
            From sequences of actions (B, T) or (B, T, A) to their rewards and terminations, (B, T) float32 each. One
            future is drawn for each, where `imagine` gives the mean of several.

        Raises:
            MemworldError: as `imagine`, or a network that does not tell outcomes apart from pictures.
        """
        if not hasattr(self.network, "outcomes"):
            raise MemworldError(f"{self.name} tells no outcomes by themselves: plan with PlaNet's RSSM")
        if past is not None:
            past.check(1, self.encoder.frame_shape)
        generator = seeded(seed)
        with torch.inference_mode():
            read = self.network.read(self._context(observation[None], past), generator)
        drawn_so_far = generator.get_state()

        def outcomes(actions: Any) -> tuple[Tensor, Tensor]:
            features = torch.from_numpy(sequence_features(actions, self.action_space)).float()
            generator.set_state(drawn_so_far)
            with torch.inference_mode():
                rewards, termination = self.network.outcomes(read.repeated(len(features)), features, generator)
            return rewards.clone(), termination.clone()

        return outcomes

    def _imagined(self, futures: Futures, decode: bool) -> Imagined:
        """Latents of frames, or frames of latents, whichever the network does not give."""
        if futures.latents is not None:
            latents = Latents(
                *(part.clone() for part in (futures.latents.mu, futures.latents.sigma, futures.latents.z))
            )
            frames = None
            if decode:
                frames = self.encoder.decode(latents.flatten().z)
                frames = frames.reshape(*latents.z.shape[:2], *self.encoder.frame_shape)
        else:
            assert futures.frames is not None  # a network gives one or the other
            frames = futures.frames
            flat = at_mean(*self.encoder.encode(frames.reshape(-1, *self.encoder.frame_shape)))
            latents = flat.reshape(*frames.shape[:2])
            frames = frames if decode else None
        return Imagined(latents, frames, futures.rewards, futures.termination)

    def _context(self, frames: np.ndarray, past: Past | None) -> Batch:
        """The past and the present as (B, C+1) moments, in what the network sees."""
        seen = frames[:, None] if past is None else np.concatenate([past.observations, frames[:, None]], 1)
        moments = seen.shape[1]
        observations = torch.tensor(seen)
        sigma: Tensor | None = None
        if not self.network.sees_pixels:
            mu, spread = self.encoder.encode(seen.reshape(-1, *self.encoder.frame_shape))
            observations, sigma = (part.reshape(len(frames), moments, -1) for part in (mu, spread))
        known = torch.ones(len(frames), moments, dtype=torch.bool)
        actions = torch.zeros(len(frames), moments - 1, self.shapes.action_features)
        if past is not None and moments > 1:
            known[:, :-1] = torch.from_numpy(past.known)
            actions = torch.from_numpy(sequence_features(past.actions, self.action_space)).float()
        blank = torch.zeros(len(frames), moments - 1)
        return Batch(observations, sigma, actions, blank, blank, known)

    def save(self, path: Path) -> None:
        """Write `model.json` and `model.safetensors` into the folder `path`.

        Raises:
            MemworldError: the folder cannot be written.
        """
        make_folder(path)
        arrays = {name: value.detach().cpu().numpy() for name, value in self.network.state_dict().items()}
        write_arrays(path / "model.safetensors", arrays)
        write_json(
            path / "model.json",
            {
                KIND_KEY: "model",
                "format": FORMAT,
                "name": self.name,
                "config": asdict(self.config),
                "action_space": space_to_json(self.action_space),
                "encoder": self.encoder.fingerprint,
                "episodes_seen": list(self._episodes_seen),
                "weights": _digest(arrays),
            },
        )

    @classmethod
    def open(cls, path: str | Path, encoder: Encoder) -> "TrainedBaseline":
        """Open what `save` wrote.

        Raises:
            MemworldError: it is missing, damaged, of an unknown kind, or was trained with another encoder.
        """
        path = Path(path)
        described = read_json(path / "model.json", "baseline")
        arrays = read_arrays(path / "model.safetensors", "weights of a baseline")
        history = _history(path)
        try:
            if described["format"] != FORMAT or described["name"] not in KINDS:
                raise MemworldError(
                    f"{path} holds a {described['name']!r} of format {described['format']!r}; this version reads "
                    f"{', '.join(KINDS)} of format {FORMAT}: update memworld"
                )
            name, kind = described["name"], KINDS[described["name"]]
            if described["encoder"] != encoder.fingerprint:
                raise MemworldError(
                    f"{path} was trained with encoder {described['encoder'][:12]}, this is encoder "
                    f"{encoder.fingerprint[:12]}: open it with the memory's own encoder, or train it again"
                )
            if _digest(arrays) != described["weights"]:
                raise MemworldError(f"weights in {path} are not those that were saved: restore or train again")
            space = space_from_json(described["action_space"])
            config = type(kind.config)(
                **{k: tuple(v) if isinstance(v, list) else v for k, v in described["config"].items()}
            )
            features = len(discrete_features(space))
            blank = torch.ones(encoder.frame_shape)
            shapes = Shapes(encoder.frame_shape, math.prod(encoder.latent_shape), features, blank, blank)
            network = new_network(kind, shapes, config, seed=0)
            network.load_state_dict({k: torch.from_numpy(v) for k, v in arrays.items()})
            seen = tuple(map(str, described["episodes_seen"]))
        except MemworldError:
            raise
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise MemworldError(
                f"{path / 'model.json'} is damaged ({type(error).__name__}: {one_line(error)}): train again"
            ) from error
        return cls(name, config, shapes, network, space, encoder, seen, history)


def _history(path: Path) -> tuple[Mapping[str, float], ...]:
    """The looks that the training noted beside the model, if they are there."""
    log = path / "training.json"
    if not log.exists():
        return ()
    try:
        looks = read_json(log, "training run")["history"]
        return tuple({name: float(look[name]) for name in MEASURES} for look in looks)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MemworldError(f"{log} is damaged ({type(error).__name__}): train again") from error


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(json.dumps([name, list(array.shape), str(array.dtype)]).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
