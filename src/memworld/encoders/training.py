"""Training the VAE: resumable, stopped early on validation episodes, the same bytes for the same seed."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from memworld.datasets import EpisodeDataset
from memworld.encoders import Encoder, check_not_collapsed
from memworld.encoders.network import VAENetwork
from memworld.encoders.training_data import TrainingData, digest
from memworld.encoders.vae import VAE, VAEConfig, normalise
from memworld.errors import MemworldError
from memworld.storage import OnExisting, locked, one_line, prepare_folder, to_json, write_picture
from memworld.training import Run, TrainingSettings, scheduled, step_generator

ACTIVE_STD = 0.1
"""A latent is active if its mean varies by more than this over the training frames (METHOD section 5)."""


@dataclass(frozen=True)
class TrainingConfig(TrainingSettings):
    """How to train.

    Attributes:
        steps: most gradient steps.
        batch_size: frames per step.
        learning_rate: its peak; it warms up over 50 steps and falls along a cosine.
        seed: of weights, batches and noise.
        validate_every: steps between looks at the validation episodes.
        patience: looks without improvement after which training stops.
        max_frames: frames held in memory at once; of a larger data set an even share of every episode.
        precision: `auto` takes bfloat16 where the processor computes in it, else float32.
    """

    steps: int = 1500
    batch_size: int = 64
    learning_rate: float = 2e-3
    validate_every: int = 150
    max_frames: int = 50_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_frames < 1:
            raise MemworldError(f"max_frames must be at least 1, got {self.max_frames}")


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
        encoder: with the weights that did best on the validation episodes.
        history: one entry per look: step, validation loss, rate and error.
        stopped_early: whether the validation loss stopped improving before the last step.
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
        return Loss(distortion + rate, distortion, rate, error.detach())
    distortion = 0.5 * pixels * error
    return Loss(distortion + config.beta * rate, distortion, rate, error.detach())


def train_vae(
    training: EpisodeDataset,
    validation: EpisodeDataset,
    output: str | Path,
    config: VAEConfig | None = None,
    how: TrainingConfig | None = None,
    *,
    on_existing: OnExisting = "error",
    progress: bool = False,
) -> TrainingResult:
    """Train a VAE on the frames of `training`, stop in time by those of `validation`, and write it to `output`.

    The folder `output` then holds `encoder.json`, `encoder.safetensors`, `training.json` (settings and
    history) and `reconstructions.png` (validation frames above their reconstructions). While training
    runs, it holds a checkpoint from which `on_existing="resume"` goes on, to the same result as an
    uninterrupted run.

    Raises:
        MemworldError: no episodes, validation ones of other frames or among the training ones, an
            output folder that cannot be used or is being written to, a checkpoint of other settings
            or episodes, frames that cannot be halved enough, a network too large, a loss that is no
            number any more, or an encoder that collapsed; its files stay, to be looked at.
    """
    config, how, output = config or VAEConfig(), how or TrainingConfig(), Path(output)
    for part, name in ((training, "training"), (validation, "validation")):
        if len(part) == 0:
            raise MemworldError(f"no {name} episodes: give at least one")
    if validation.info.observation_shape != training.info.observation_shape:
        raise MemworldError(
            f"training episodes have frames of {training.info.observation_shape}, validation ones of "
            f"{validation.info.observation_shape}: resize them first"
        )
    shared = set(training.ids) & set(validation.ids)
    if shared:
        raise MemworldError(f"episode {min(shared)} is in training and validation: split them by episode")
    # Spelt out, so that what is written says what was done, and a resumed run does the same.
    config = replace(config, channels=config.network_channels(training.info.observation_shape))
    how = replace(how, precision="bfloat16" if how.bfloat16 else "float32")
    network = _new_network(training.info.observation_shape, config, how.seed)

    def load() -> TrainingData:
        return TrainingData.load(training, validation, how.max_frames, config.std_floor)

    # Nothing is emptied for frames that cannot be loaded; a run that is resumed may need none.
    data = load() if on_existing == "overwrite" else None
    settings = {
        "vae": to_json(config),
        "training": to_json(how),
        "episodes": {"training": digest(training), "validation": digest(validation)},
    }
    with locked(output):
        prepare_folder(output, on_existing, "training.json", "encoder")
        run = Run(output, "encoder", settings, how.steps, how.patience, ("loss", "rate", "error"))
        if run.finished:
            encoder = VAE.open(output)
        else:
            data = data or load()
            _run(run, network, data, config, how, progress)
            encoder = VAE(config, network, data.mean, data.scale, active_units=0)
            active = count_active(encoder, data.frames)
            encoder = VAE(config, network, data.mean, data.scale, active, (*training.ids, *validation.ids))
            encoder.save(output)
            write_reconstructions(encoder, data.validation, output / "reconstructions.png")
            run.finish()
    check_not_collapsed(encoder)
    return TrainingResult(encoder, run.history, run.stopped_early)


def _new_network(frame_shape: tuple[int, int, int], config: VAEConfig, seed: int) -> VAENetwork:
    """A network of random weights; torch draws them from its global generator, the caller's stays as it is."""
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = VAENetwork(frame_shape, config.latent_shape, config.network_channels(frame_shape))
    except (RuntimeError, MemoryError, OverflowError, TypeError) as error:
        raise MemworldError(
            f"a network of channels {config.channels} and latents {config.latent_shape} cannot be built "
            f"({one_line(error)}): use smaller ones"
        ) from error
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _run(
    run: Run, network: VAENetwork, data: TrainingData, config: VAEConfig, how: TrainingConfig, progress: bool
) -> None:
    """Train from where the run is, and leave the best weights in the network."""
    optimiser = torch.optim.Adam(network.parameters(), lr=how.learning_rate, betas=(0.9, 0.99))
    run.load(network, optimiser)
    with tqdm(total=how.steps, initial=run.step, desc="train encoder", unit="step", disable=not progress) as bar:
        while run.step < how.steps and not run.stopped_early:
            loss = gradient_step(network, optimiser, data.frames, data.mean, data.scale, config, how, run.step)
            run.step += 1
            bar.update()
            if run.step % how.validate_every == 0 or run.step == how.steps:
                run.look(_evaluate(network, data.validation, data.mean, data.scale, config, how), network)
                run.save(network, optimiser)
                bar.set_postfix(error=f"{float(loss.error):.4f}", validation_error=f"{run.history[-1]['error']:.4f}")
    network.load_state_dict(run.best)


def count_active(encoder: Encoder, frames: Tensor) -> int:
    """Latent means whose standard deviation over (at most 2,000 of) the frames exceeds `ACTIVE_STD`."""
    stride = math.ceil(len(frames) / 2000)
    mu, _ = encoder.encode(frames[::stride].numpy())
    return int((mu.std(0, correction=0) > ACTIVE_STD).sum())


def write_reconstructions(encoder: Encoder, frames: Tensor, path: Path, count: int = 12) -> None:
    """Write a PNG of frames above their reconstructions."""
    chosen = frames[:: max(1, len(frames) // count)][:count].numpy()
    mu, _ = encoder.encode(chosen)
    write_picture(path, [chosen, encoder.decode(mu)])


def gradient_step(
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
    generator = step_generator(how.seed, step)
    for group in optimiser.param_groups:
        group["lr"] = how.learning_rate * scheduled(step, how.steps)
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


def _evaluate(
    network: VAENetwork, frames: Tensor, mean: Tensor, scale: Tensor, config: VAEConfig, how: TrainingConfig
) -> dict[str, float]:
    """Loss, rate and error on validation frames, with the same noise at every look."""
    network.eval()
    generator = torch.Generator().manual_seed(how.seed)
    with torch.inference_mode():
        noise = torch.randn(len(frames), math.prod(config.latent_shape), generator=generator)
        loss = elbo(network, normalise(frames, mean, scale), noise, config)
    return {"loss": float(loss.total), "rate": float(loss.rate), "error": float(loss.error)}
