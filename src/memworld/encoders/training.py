"""Training the VAE: resumable, stopped early on held-out episodes, the same bytes for the same seed."""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from memworld.encoders import check_not_collapsed
from memworld.encoders.network import VAENetwork
from memworld.encoders.vae import VAE, VAEConfig, normalise
from memworld.episodes import EpisodeDataset
from memworld.errors import MemworldError
from memworld.storage import (
    OnExisting,
    prepare_folder,
    read_arrays,
    read_json,
    to_json,
    write_arrays,
    write_json,
    write_picture,
)

_log = logging.getLogger(__name__)

ACTIVE_STD = 0.1
"""A latent is active if its mean varies by more than this over the training frames (METHOD section 5)."""


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Attributes:
        steps: most gradient steps.
        batch_size: frames per step.
        learning_rate: its peak; it warms up over 50 steps and falls along a cosine.
        seed: of weights, batches and noise.
        validate_every: steps between looks at the held-out episodes.
        patience: looks without improvement after which training stops.
        max_frames: frames held in memory at once; of a larger data set an even share of every episode.
        precision: `auto` takes bfloat16 where the processor computes in it, else float32.
    """

    steps: int = 1500
    batch_size: int = 64
    learning_rate: float = 2e-3
    seed: int = 0
    validate_every: int = 150
    patience: int = 4
    max_frames: int = 100_000
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "validate_every", "patience", "max_frames"):
            if getattr(self, name) < 1:
                raise MemworldError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.learning_rate > 0:
            raise MemworldError(f"learning_rate must be above 0, got {self.learning_rate}")

    @property
    def bfloat16(self) -> bool:
        """Whether to train in bfloat16."""
        if self.precision == "auto":
            return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
        return self.precision == "bfloat16"


@dataclass(frozen=True)
class Loss:
    """The loss of one batch, in nats per frame: `total = distortion + rate`; `error` is the mean squared error."""

    total: Tensor
    distortion: Tensor
    rate: Tensor
    error: Tensor


@dataclass(frozen=True)
class TrainingResult:
    """What training gave.

    Attributes:
        encoder: with the weights that did best on the held-out episodes.
        history: one entry per look: step, held-out loss, rate and error.
        stopped_early: whether the held-out loss stopped improving before the last step.
    """

    encoder: VAE
    history: list[dict[str, float]]
    stopped_early: bool


def elbo(network: VAENetwork, inputs: Tensor, noise: Tensor, config: VAEConfig) -> Loss:
    """The negative evidence lower bound, up to a constant.

    `sigma`: the decoder's variance is set to its optimum, the batch's mean squared error, which
    makes the distortion D/2 log(mse) (sigma-VAE, Rybkin et al. 2021). `beta`: unit variance and a
    weighted rate, as in the paper.

    Args:
        network: the VAE's layers.
        inputs: (B, C, H, W) normalised frames.
        noise: (B, D) standard normal numbers.
        config: objective and beta.
    """
    mu, sigma = network.posterior(inputs)
    decoded = network.reconstruct(mu + sigma * noise)
    error = ((decoded - inputs) ** 2).mean()
    pixels = inputs[0].numel()
    rate = (0.5 * (mu**2 + sigma**2 - 1) - torch.log(sigma)).sum(1).mean()
    if config.objective == "sigma":
        distortion = 0.5 * pixels * torch.log(error + 1e-8)
        return Loss(distortion + rate, distortion, rate, error)
    distortion = 0.5 * pixels * error
    return Loss(distortion + config.beta * rate, distortion, rate, error)


def train_vae(
    training: EpisodeDataset,
    held_out: EpisodeDataset,
    output: Path,
    config: VAEConfig | None = None,
    how: TrainingConfig | None = None,
    *,
    on_existing: OnExisting = "error",
    progress: bool = False,
) -> TrainingResult:
    """Train a VAE on the frames of `training` and write it to the folder `output`.

    `output` then holds `encoder.json`, `encoder.safetensors`, `training.json` (settings and
    history) and `reconstructions.png` (held-out frames above their reconstructions). While training
    runs, it holds a checkpoint from which `on_existing="resume"` goes on, to the same result as an
    uninterrupted run.

    Raises:
        MemworldError: no episodes, an output folder that cannot be used, a checkpoint of other
            settings, frames that cannot be halved enough, or an encoder that collapsed.
    """
    config, how = config or VAEConfig(), how or TrainingConfig()
    for part, name in ((training, "training"), (held_out, "held-out")):
        if len(part) == 0:
            raise MemworldError(f"no {name} episodes: give at least one")
    channels = config.network_channels(training.info.observation_shape)
    prepare_folder(output, on_existing, marker="training.json")
    run = _Run(output, {"vae": to_json(config), "training": to_json(how)})
    if run.finished:
        return TrainingResult(VAE.open(output), run.history, run.stopped_early)

    frames = load_frames(training, how.max_frames)
    mean, scale = pixel_statistics(frames, config.std_floor)
    torch.manual_seed(how.seed)
    network = VAENetwork(training.info.observation_shape, config.latent_shape, channels)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(network.parameters(), lr=how.learning_rate, betas=(0.9, 0.99))
    run.load(network, optimiser)
    look = load_frames(held_out, 512)
    bar = tqdm(total=how.steps, initial=run.step, desc="train encoder", unit="step", disable=not progress)
    while run.step < how.steps and not run.stopped_early:
        loss = _step(network, optimiser, frames, mean, scale, config, how, run.step)
        run.step += 1
        bar.update()
        if run.step % how.validate_every == 0 or run.step == how.steps:
            run.look(_evaluate(network, look, mean, scale, config, how), network, how.patience)
            run.save(network, optimiser)
            bar.set_postfix(error=f"{float(loss.error):.4f}", held_out=f"{run.history[-1]['loss']:.0f}")
    bar.close()

    network.load_state_dict(run.best)
    encoder = VAE(config, network, mean, scale, active_units=0)
    encoder = VAE(config, network, mean, scale, active_units=count_active(encoder, frames))
    encoder.save(output)
    write_reconstructions(encoder, look, output / "reconstructions.png")
    run.finish()
    check_not_collapsed(encoder)
    return TrainingResult(encoder, run.history, run.stopped_early)


def load_frames(dataset: EpisodeDataset, most: int) -> Tensor:
    """Up to `most` frames of a data set, uint8 (N, H, W, C): all, or every n-th of each episode."""
    stride = max(1, math.ceil((dataset.steps + len(dataset)) / most))
    return torch.from_numpy(np.concatenate([episode.observations[::stride] for episode in dataset]))


def pixel_statistics(frames: Tensor, floor: float) -> tuple[Tensor, Tensor]:
    """Mean picture and floored per-pixel standard deviation of uint8 (N, H, W, C) frames in [0, 1]."""
    total = torch.zeros(frames.shape[1:], dtype=torch.float64)
    squares = torch.zeros_like(total)
    for piece in torch.split(frames, 1024):
        values = piece.double() / 255
        total += values.sum(0)
        squares += (values**2).sum(0)
    mean = total / len(frames)
    std = (squares / len(frames) - mean**2).clamp(min=0).sqrt()
    return mean.float(), std.clamp(min=floor).float()


def count_active(encoder: VAE, frames: Tensor) -> int:
    """Latent means whose standard deviation over (at most 2,000 of) the frames exceeds `ACTIVE_STD`."""
    stride = max(1, len(frames) // 2000)
    mu, _ = encoder.encode(frames[::stride].numpy())
    return int((mu.std(0, correction=0) > ACTIVE_STD).sum())


def write_reconstructions(encoder: VAE, frames: Tensor, path: Path, count: int = 12) -> None:
    """Write a PNG of frames above their reconstructions."""
    chosen = frames[:: max(1, len(frames) // count)][:count].numpy()
    mu, _ = encoder.encode(chosen)
    write_picture(path, [chosen, encoder.decode(mu)])


def _step(
    network: VAENetwork,
    optimiser: torch.optim.Optimizer,
    frames: Tensor,
    mean: Tensor,
    scale: Tensor,
    config: VAEConfig,
    how: TrainingConfig,
    step: int,
) -> Loss:
    """One gradient step; its randomness depends on seed and step alone, so that a resumed run is the same run."""
    generator = torch.Generator().manual_seed((how.seed << 32) + step)
    for group in optimiser.param_groups:
        group["lr"] = how.learning_rate * _schedule(step, how.steps)
    batch = frames[torch.randint(len(frames), (how.batch_size,), generator=generator)]
    noise = torch.randn(how.batch_size, math.prod(config.latent_shape), generator=generator)
    network.train()
    with torch.autocast("cpu", torch.bfloat16, enabled=how.bfloat16):
        loss = elbo(network, normalise(batch, mean, scale), noise, config)
    optimiser.zero_grad()
    # Per pixel, so that clipping and learning rate mean the same for every frame size.
    (loss.total / batch[0].numel()).backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
    return loss


def _schedule(step: int, steps: int) -> float:
    """Share of the peak learning rate: linear over 50 steps, then a cosine down to 2%."""
    warm = min(1.0, (step + 1) / 50)
    return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def _evaluate(
    network: VAENetwork, frames: Tensor, mean: Tensor, scale: Tensor, config: VAEConfig, how: TrainingConfig
) -> dict[str, float]:
    """Loss, rate and error on held-out frames, decoded from the posterior's mean."""
    network.eval()
    with torch.inference_mode():
        noise = torch.zeros(len(frames), math.prod(config.latent_shape))
        loss = elbo(network, normalise(frames, mean, scale), noise, config)
    return {"loss": float(loss.total), "rate": float(loss.rate), "error": float(loss.error)}


@dataclass
class _Run:
    """The state of a training run and its checkpoint on disk."""

    output: Path
    settings: dict[str, Any]
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_loss: float = math.inf
    looks_since_best: int = 0
    stopped_early: bool = False
    finished: bool = False

    def __post_init__(self) -> None:
        log = self.output / "training.json"
        if not log.exists():
            self._write_log()
            return
        stored = read_json(log, "training run")
        try:
            if stored["settings"] != self.settings:
                raise MemworldError(
                    f"{self.output} was trained with {stored['settings']}, asked now for {self.settings}: "
                    "use the same settings to resume, or --overwrite"
                )
            self.finished, self.stopped_early = bool(stored["finished"]), bool(stored["stopped_early"])
            if self.finished:
                self.history = list(stored["history"])
        except (KeyError, TypeError) as error:
            raise MemworldError(f"{log} is damaged ({error!r}): use --overwrite") from error

    def _write_log(self) -> None:
        write_json(
            self.output / "training.json",
            {
                "settings": self.settings,
                "finished": self.finished,
                "stopped_early": self.stopped_early,
                "history": self.history,
            },
        )

    def look(self, result: dict[str, float], network: VAENetwork, patience: int) -> None:
        """Note a look at the held-out episodes; keep the weights if they are the best so far."""
        self.history.append({"step": float(self.step), **result})
        if result["loss"] < self.best_loss:
            self.best_loss, self.looks_since_best = result["loss"], 0
            self.best = {k: v.detach().clone() for k, v in network.state_dict().items()}
        else:
            self.looks_since_best += 1
            self.stopped_early = self.looks_since_best >= patience

    def save(self, network: VAENetwork, optimiser: torch.optim.Optimizer) -> None:
        """Write the checkpoint: one file, so that its parts always belong together."""
        arrays = {f"network.{k}": v for k, v in network.state_dict().items()}
        arrays |= {f"best.{k}": v for k, v in self.best.items()}
        arrays |= dict(_optimiser_tensors(optimiser))
        for name in ("step", "loss", "rate", "error"):
            arrays[f"history.{name}"] = torch.tensor([h[name] for h in self.history], dtype=torch.float64)
        arrays["looks_since_best"] = torch.tensor(self.looks_since_best)
        write_arrays(self.output / "checkpoint.safetensors", {k: v.detach().numpy() for k, v in arrays.items()})

    def load(self, network: VAENetwork, optimiser: torch.optim.Optimizer) -> None:
        """Go on from the checkpoint, if there is one."""
        path = self.output / "checkpoint.safetensors"
        if not path.exists():
            return
        arrays = {k: torch.from_numpy(v) for k, v in read_arrays(path, "checkpoint").items()}
        try:
            network.load_state_dict(
                {k.removeprefix("network."): v for k, v in arrays.items() if k.startswith("network.")}
            )
            self.best = {k.removeprefix("best."): v for k, v in arrays.items() if k.startswith("best.")}
            columns = {n: arrays[f"history.{n}"].tolist() for n in ("step", "loss", "rate", "error")}
            self.looks_since_best = int(arrays["looks_since_best"])
            for name, tensor in _optimiser_tensors(optimiser):
                tensor.copy_(arrays[name])
        except (KeyError, RuntimeError) as error:
            raise MemworldError(f"{path} does not fit these settings: use --overwrite") from error
        self.history = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        self.step = int(self.history[-1]["step"])
        self.best_loss = min(h["loss"] for h in self.history)
        _log.info("resumed training at step %d", self.step)

    def finish(self) -> None:
        """Note that the encoder is written; the checkpoint is no longer needed."""
        self.finished = True
        self._write_log()
        (self.output / "checkpoint.safetensors").unlink(missing_ok=True)


def _optimiser_tensors(optimiser: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    """Adam's state, one named tensor at a time, made now if no step has been taken yet."""
    for number, parameter in enumerate(p for group in optimiser.param_groups for p in group["params"]):
        state = optimiser.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        for name in ("step", "exp_avg", "exp_avg_sq"):
            yield f"optimiser.{number}.{name}", state[name]
