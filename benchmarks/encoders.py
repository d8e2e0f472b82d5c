"""Encoders for search: which latents suit neighbours? All variants train for the same time.

    python benchmarks/encoders.py runs/better/worlds/*/episodes [--seconds 180] [--output FOLDER]

Each folder holds the recording of a world. Every variant trains on the same episodes for the same seconds of one
processor core, then the same episodes are remembered with it, and imagined on held-out ones by the library's own
dynamics and by Replay-KL. An error above the encoder's bound is the search's; the bound is the encoder's.
"""

import argparse
import math
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from memworld.actions import action_features
from memworld.analogues import AnalogueConfig
from memworld.datasets import EpisodeDataset
from memworld.dynamics import DynamicsConfig
from memworld.encoders.network import VAENetwork
from memworld.encoders.training import TrainingConfig, count_active
from memworld.encoders.training_data import pixel_statistics
from memworld.encoders.vae import VAE, VAEConfig, normalise
from memworld.engine import DynamicsSettings
from memworld.errors import MemworldError
from memworld.evaluate.experiments.config import StudyConfig
from memworld.evaluate.experiments.measuring import at_steps
from memworld.evaluate.methods import encoder_bound, persistence, search_methods
from memworld.evaluate.metrics import mean_of_numbers, median_picture
from memworld.evaluate.protocol import Judge
from memworld.evaluate.windows import held_out_windows
from memworld.formats import open_dataset
from memworld.pixels import MOVING
from memworld.remember import remember
from memworld.storage import write_json
from memworld.studies.prepare import split
from memworld.training import scheduled
from memworld.world_model import WorldModel

HORIZONS = (1, 5, 20)

STARTS = 20
"""Windows of each held-out episode."""

SCHEDULE = 1500
"""Steps of the learning rate's schedule, which here goes by the share of the time."""


@dataclass(frozen=True)
class Variant:
    """One way to train.

    Attributes:
        vae: shape and objective.
        rate: weight of the rate (the KL to the prior); 1 is the evidence lower bound.
        moving: by how much more a pixel counts that differs from the median picture.
        temporal: weight of the nats by which the next moment is missed that a linear map predicts from two.
    """

    vae: VAEConfig = field(default_factory=lambda: VAEConfig((4, 8, 8)))
    rate: float = 1.0
    moving: float = 0.0
    temporal: float = 0.0


VARIANTS = {
    "grid 4x8x8": Variant(),
    "vector 32": Variant(VAEConfig((32,))),
    "vector 128": Variant(VAEConfig((128,))),
    "grid 2x8x8": Variant(VAEConfig((2, 8, 8))),
    "grid 8x8x8": Variant(VAEConfig((8, 8, 8))),
    "grid 4x8x8, beta-VAE": Variant(VAEConfig((4, 8, 8), objective="beta")),
    "grid 4x8x8, rate x 0.1": Variant(rate=0.1),
    "grid 4x8x8, rate x 4": Variant(rate=4.0),
    "grid 4x8x8, moving pixels x 5": Variant(moving=4.0),
    "grid 4x8x8, predictable, 0.1": Variant(temporal=0.1),
    "grid 4x8x8, predictable, 1": Variant(temporal=1.0),
}


class NextMoment(nn.Module):
    """A linear map from two moments and the action between the later one and the next to the change to the next."""

    def __init__(self, latent_shape: tuple[int, ...], actions: int) -> None:
        super().__init__()
        self.latent_shape = latent_shape
        inputs = 2 * latent_shape[0] + actions
        self.change = nn.Conv2d(inputs, latent_shape[0], 3, padding=1)

    def forward(self, before: Tensor, now: Tensor, action: Tensor) -> Tensor:
        """(B, D) twice and (B, A) to the next mean, (B, D)."""
        before, now = (x.reshape(-1, *self.latent_shape) for x in (before, now))
        plane = action[..., None, None].expand(-1, -1, *self.latent_shape[1:])
        return torch.as_tensor(now + self.change(torch.cat([now, now - before, plane], 1))).flatten(1)


class Recording:
    """The frames to train on, end to end, and what may be asked of them."""

    def __init__(self, dataset: EpisodeDataset) -> None:
        episodes = list(dataset)
        self.frames = torch.cat([torch.tensor(episode.observations) for episode in episodes])
        features = [
            torch.tensor(action_features(episode.actions, dataset.info.action_space)).float() for episode in episodes
        ]
        self.actions = torch.cat([nn.functional.pad(a, (0, 0, 0, 1)) for a in features])
        ends = torch.tensor([len(episode) + 1 for episode in episodes]).cumsum(0) - 1
        middle = torch.ones(len(self.frames), dtype=torch.bool)
        middle[ends] = middle[(ends + 1)[:-1]] = False
        middle[0] = False
        self.middle = torch.nonzero(middle)[:, 0]
        self.mean, self.scale = pixel_statistics(self.frames, VAEConfig().std_floor)
        self.median = torch.tensor(median_picture(dataset))

    def moving(self, frames: Tensor) -> Tensor:
        """(B, 1, H, W) float32: 1 where uint8 frames (B, H, W, C) differ from the median picture."""
        return ((frames.int() - self.median.int()).abs() > MOVING * 255).any(3)[:, None].float()


def train(recording: Recording, variant: Variant, seconds: float, seed: int) -> tuple[VAE, int]:
    """Train for so many seconds of processor time; the encoder, and how many steps it made."""
    how = TrainingConfig(seed=seed)
    torch.manual_seed(seed)
    height, width, colours = recording.frames.shape[1:]
    shape = (height, width, colours)
    channels = variant.vae.network_channels(shape)
    network = VAENetwork(shape, variant.vae.latent_shape, channels).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    parameters = list(network.parameters())
    predictor = NextMoment(variant.vae.latent_shape, recording.actions.shape[1]) if variant.temporal else None
    if predictor is not None:
        parameters += list(predictor.parameters())
    optimiser = torch.optim.Adam(parameters, lr=how.learning_rate, betas=(0.9, 0.99))
    began, steps, spent = time.process_time(), 0, 0.0
    while spent < seconds:
        for group in optimiser.param_groups:
            group["lr"] = how.learning_rate * scheduled(int(spent / seconds * SCHEDULE), SCHEDULE)
        with torch.autocast("cpu", torch.bfloat16, enabled=how.bfloat16):
            loss = step_loss(network, predictor, recording, variant, how.batch_size)
        optimiser.zero_grad()
        (loss / math.prod(shape)).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        steps += 1
        spent = time.process_time() - began
    encoder = VAE(variant.vae, network, recording.mean, recording.scale, active_units=0)
    active = count_active(encoder, recording.frames)
    return VAE(variant.vae, network, recording.mean, recording.scale, active), steps


def step_loss(
    network: VAENetwork, predictor: NextMoment | None, recording: Recording, variant: Variant, batch: int
) -> Tensor:
    """The loss of one random batch, in nats per frame."""
    now = recording.middle[torch.randint(len(recording.middle), (batch,))]
    frames = recording.frames[now]
    inputs = normalise(frames, recording.mean, recording.scale)
    mu, sigma = network.posterior(inputs)
    squared = (network.reconstruct(mu + sigma * torch.randn_like(mu)) - inputs) ** 2
    weights = 1 + variant.moving * recording.moving(frames)
    error = (squared * weights).sum() / (weights.sum() * squared.shape[1])
    pixels = inputs[0].numel()
    distortion = 0.5 * pixels * (error if variant.vae.objective == "beta" else torch.log(error + 1e-8))
    loss: Tensor = distortion + variant.rate * (0.5 * (mu**2 + sigma**2 - 1) - torch.log(sigma)).sum(1).mean()
    if predictor is None:
        return loss
    around = torch.cat([recording.frames[now - 1], recording.frames[now + 1]])
    (before, after), (_, spread) = (
        x.chunk(2) for x in network.posterior(normalise(around, recording.mean, recording.scale))
    )
    missed = (predictor(before, mu, recording.actions[now]) - after) ** 2 / (2 * spread.detach() ** 2)
    return torch.as_tensor(loss + variant.temporal * missed.sum(1).mean())


def measure(encoder: VAE, training: EpisodeDataset, held_out: EpisodeDataset) -> dict[str, list[float]]:
    """Mean errors on moving pixels at `HORIZONS`, by method."""
    settings: dict[str, DynamicsSettings] = {
        "default": AnalogueConfig(samples=2048),
        "replay_kl": DynamicsConfig("replay_kl", conditioning="none"),
    }
    judge = Judge(median_picture(training), None)
    errors: dict[str, list[np.ndarray]] = {}
    with tempfile.TemporaryDirectory() as folder:
        memory = remember(training, encoder, Path(folder) / "memory")
        methods = [encoder_bound(encoder), persistence()]
        for name, dynamics in settings.items():
            methods += search_methods(WorldModel(encoder, memory, dynamics), name, ("follow",), 0)
        for windows in held_out_windows(held_out, encoder, HORIZONS[-1], STARTS, 0, past=3):
            for method in methods:
                measured = judge.measure(*at_steps(windows, method.predict(windows), HORIZONS))
                errors.setdefault(method.name, []).append(mean_of_numbers(measured["moving_pixel_l1"]))
    return {name: np.mean(found, 0).tolist() for name, found in errors.items()}


def main() -> None:
    """Train and measure every variant in every world."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("episodes", type=Path, nargs="+", help="folders with 20 episodes each")
    parser.add_argument("--seconds", type=float, default=180.0, help="of processor time, to train each variant")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("runs/encoders"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.output.mkdir(parents=True, exist_ok=True)
    for folder in options.episodes:
        parts = split(open_dataset(folder), StudyConfig(further=0))
        recording = Recording(parts.training)
        print(f"\n{folder}: moving-pixel L1 at t = {HORIZONS}", flush=True)
        found = {}
        for name, variant in VARIANTS.items():
            encoder, steps = train(recording, variant, options.seconds, options.seed)
            try:
                errors = measure(encoder, parts.training, parts.held_out)
            except MemworldError as problem:  # a variant that collapses is a result too
                print(f"| {name} | {steps} | {encoder.active_units} | {problem} |", flush=True)
                continue
            found[name] = {"steps": steps, "active units": encoder.active_units, **errors}
            print(f"| {name} | {steps} | {encoder.active_units} |", *_cells(errors), flush=True)
            write_json(options.output / f"{folder.parent.name}.json", found)


def _cells(errors: dict[str, list[float]]) -> list[str]:
    return [f"{label} {' / '.join(f'{x:.4f}' for x in values)} |" for label, values in errors.items()]


if __name__ == "__main__":
    main()
