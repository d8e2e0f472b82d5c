"""Training a baseline: resumable, stopped in time on validation episodes, the same bytes for the same seed."""

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from memworld.baselines.config import BaselineTraining
from memworld.baselines.kinds import KINDS, Kind, Shapes, new_network
from memworld.baselines.model import MEASURES, TrainedBaseline
from memworld.baselines.network import Batch
from memworld.baselines.sequences import Sequences
from memworld.datasets import EpisodeDataset
from memworld.encoders import Encoder
from memworld.encoders.training_data import digest, pixel_statistics
from memworld.errors import MemworldError, lookup
from memworld.search.products import choose_device
from memworld.storage import OnExisting, locked, prepare_folder, to_json
from memworld.training import Run, scheduled, step_generator

_LOOKED_AT = 64
"""Most validation sequences in a look."""

_CLIP = {True: 100.0, False: 10.0}
"""Norm to which gradients are clipped, of a network that sees pixels and of one that does not: PlaNet's
losses are sums over pixels, and only what is far off is to be held back."""

_SCALE_FLOOR = 0.1
"""Smallest per-pixel standard deviation (of frames in [0, 1]) to scale by, that of the VAE."""


def train_baseline(
    name: str,
    training: EpisodeDataset,
    validation: EpisodeDataset,
    encoder: Encoder,
    output: str | Path,
    config: Any = None,
    how: BaselineTraining | None = None,
    *,
    on_existing: OnExisting = "error",
    device: str = "auto",
    progress: bool = False,
) -> TrainedBaseline:
    """Train a baseline on the episodes of `training`, stop in time by those of `validation`, write it to `output`.

    The folder `output` then holds `model.json`, `model.safetensors` and `training.json` (settings, and the
    validation loss over steps and seconds). While training runs, it holds a checkpoint from which
    `on_existing="resume"` goes on, to the same weights as an uninterrupted run.

    Args:
        name: `latent_gru`, `rssm_latents` or `rssm_pixels`.
        training: the episodes that the memory to compare with holds.
        validation: others, which tell when to stop and which weights to keep.
        encoder: the memory's encoder.
        output: the folder to write.
        config: settings of the network; None takes those of `KINDS`.
        how: settings of the training; None takes those of `KINDS`.
        on_existing: what to do if the folder holds something, see `storage.prepare_folder`.
        device: `cpu`, `cuda`, or `auto`, a GPU if there is one.
        progress: whether to show a progress bar.

    Raises:
        MemworldError: an unknown name, no episodes, episodes of different worlds or in both parts, a
            folder that cannot be used, a checkpoint of other settings, or a loss that is no number.
    """
    kind = lookup(KINDS, name, "baseline")
    config, how, output = config or kind.config, how or kind.training, Path(output)
    if not isinstance(config, type(kind.config)):
        raise MemworldError(f"{name} takes a {type(kind.config).__name__}, got a {type(config).__name__}")
    _check(training, validation, encoder)
    where = choose_device(device)
    how = replace(how, precision="bfloat16" if how.bfloat16 else "float32")
    settings = {
        "network": {"name": name, **to_json(config)},
        "training": to_json(how),
        "episodes": {"training": digest(training), "validation": digest(validation), "encoder": encoder.fingerprint},
    }
    with locked(output):
        prepare_folder(output, on_existing, "training.json", "baseline")
        run = Run(output, "baseline", settings, how.steps, how.patience, MEASURES[1:])
        if run.finished:
            return TrainedBaseline.open(output, encoder)
        sequences = Sequences.load(training, encoder, kind.sees_pixels, how.max_moments)
        looked_at = Sequences.load(validation, encoder, kind.sees_pixels, how.max_moments)
        shapes = _shapes(kind, training, encoder, sequences)
        network = new_network(kind, shapes, config, how.seed)
        _run(run, network, sequences, looked_at.spread(_LOOKED_AT, config.length), config, how, where, progress)
        model = TrainedBaseline(
            name, config, shapes, network, training.info.action_space, encoder, (*training.ids, *validation.ids)
        )
        model.save(output)
        run.finish()
    return TrainedBaseline.open(output, encoder)


def _check(training: EpisodeDataset, validation: EpisodeDataset, encoder: Encoder) -> None:
    for part, what in ((training, "training"), (validation, "validation")):
        if len(part) == 0:
            raise MemworldError(f"no {what} episodes: give at least one")
    if training.info.observation_shape != encoder.frame_shape:
        raise MemworldError(
            f"the encoder takes frames of {encoder.frame_shape}, the episodes have {training.info.observation_shape}: "
            "give those that it was trained on"
        )
    if training.info.to_json() != validation.info.to_json():
        raise MemworldError("training and validation episodes differ in world, frames or actions: split one data set")
    shared = set(training.ids) & set(validation.ids)
    if shared:
        raise MemworldError(f"episode {min(shared)} is in training and validation: split them by episode")


def _shapes(kind: Kind, training: EpisodeDataset, encoder: Encoder, sequences: Sequences) -> Shapes:
    mean, scale = pixel_statistics(sequences.observations, _SCALE_FLOOR) if kind.sees_pixels else (None, None)
    latent_dim, features = math.prod(encoder.latent_shape), sequences.actions.shape[1]
    spread = float(sequences.rewards.std(correction=0))
    # Where all rewards are alike, as where there are none, there is nothing to scale.
    return Shapes(training.info.observation_shape, latent_dim, features, mean, scale, spread or 1.0)


def _run(
    run: Run,
    network: Any,
    sequences: Sequences,
    looked_at: Batch,
    config: Any,
    how: BaselineTraining,
    where: torch.device,
    progress: bool,
) -> None:
    """Train from where the run is, and leave the best weights in the network, on the CPU."""
    network.to(where)
    optimiser = torch.optim.AdamW(network.parameters(), lr=how.learning_rate, eps=1e-5, weight_decay=how.weight_decay)
    run.load(network, optimiser)
    seconds = run.history[-1]["seconds"] if run.history else 0.0
    began, recent = time.perf_counter(), []
    name = run.settings["network"]["name"]
    with tqdm(total=how.steps, initial=run.step, desc=f"train {name}", unit="step", disable=not progress) as bar:
        while run.step < how.steps and not run.stopped_early:
            recent.append(_gradient_step(network, optimiser, sequences, config, how, run.step, where))
            run.step += 1
            bar.update()
            if run.step % how.validate_every == 0 or run.step == how.steps:
                # A look is no training: its time does not count.
                seconds += time.perf_counter() - began
                look = {"loss": _look(network, looked_at, how, where), "train_loss": sum(recent) / len(recent)}
                run.look({**look, "seconds": seconds}, network)
                run.save(network, optimiser)
                bar.set_postfix(loss=f"{look['train_loss']:.4g}", validation_loss=f"{look['loss']:.4g}")
                began, recent = time.perf_counter(), []
    network.load_state_dict(run.best)
    network.to("cpu")


def _gradient_step(
    network: Any,
    optimiser: torch.optim.Optimizer,
    sequences: Sequences,
    config: Any,
    how: BaselineTraining,
    step: int,
    device: torch.device,
) -> float:
    """One gradient step; its randomness depends on seed and step alone, so that a resumed run is the same run."""
    generator = step_generator(how.seed, step)
    for group in optimiser.param_groups:
        group["lr"] = how.learning_rate * scheduled(step, how.steps)
    batch = sequences.sample(how.batch_size, config.length, generator).to(device)
    network.train()
    with torch.autocast(device.type, torch.bfloat16, enabled=how.bfloat16):
        loss = network.losses(batch, step / how.steps, generator)["loss"]
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), _CLIP[network.sees_pixels])
    optimiser.step()
    return float(loss.detach())


def _look(network: Any, looked_at: Batch, how: BaselineTraining, device: torch.device) -> float:
    """The loss on the validation sequences, with the same noise at every look."""
    network.eval()
    total, count = 0.0, 0
    with torch.inference_mode():
        for start in range(0, len(looked_at.known), how.batch_size):
            part = looked_at[start : start + how.batch_size].to(device)
            generator = step_generator(how.seed, start)
            total += float(network.losses(part, 1.0, generator)["loss"]) * len(part.known)
            count += len(part.known)
    return total / count
