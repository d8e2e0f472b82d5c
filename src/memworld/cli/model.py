"""Commands about the world model: train, remember, baseline, imagine."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from memworld.cli.app import app
from memworld.cli.options import (
    Data,
    HeldOut,
    MemoryPath,
    ModeOption,
    Output,
    Overwrite,
    Quiet,
    Resume,
    Seed,
    Strategy,
    on_existing,
    split,
)
from memworld.errors import MemworldError

_OF_TRAINING = ("latent_shape", "objective", "beta", "steps", "batch_size", "resume")
"""Options of `train` that mean nothing to weights that are there already."""


@app.command()
def train(
    context: typer.Context,
    data: Data,
    output: Output,
    latent_shape: Annotated[
        str, typer.Option("--latent-shape", help="A number for a vector, CxHxW for a grid, as 4x8x8.")
    ] = "32",
    objective: Annotated[str, typer.Option("--objective", help="sigma (calibrated) or beta (the paper's).")] = "sigma",
    beta: Annotated[float, typer.Option("--beta", help="Weight of the KL term, of beta only.")] = 1.0,
    steps: Annotated[int, typer.Option("--steps", help="Most gradient steps.")] = 1500,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Frames per step.")] = 64,
    pretrained: Annotated[
        str | None,
        typer.Option(
            "--pretrained",
            metavar="FOLDER_OR_ID",
            help="Train nothing: take an autoencoder of diffusers, a folder or a hub id (extra `pretrained`).",
        ),
    ] = None,
    upscale: Annotated[
        int | None,
        typer.Option("--upscale", help="How many times larger a pretrained encoder sees the frames [default: 1]."),
    ] = None,
    sigma: Annotated[
        float | None,
        typer.Option("--sigma", help="Deviation of latents, of a pretrained AutoencoderTiny only [default: 0.1]."),
    ] = None,
    held_out: HeldOut = None,
    seed: Seed = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Train an encoder on recorded episodes that are not held out; an eighth of them tells it when to stop."""
    from memworld.encoders.pretrained import use_pretrained
    from memworld.encoders.training import TrainingConfig, train_vae
    from memworld.encoders.vae import VAEConfig

    if pretrained is not None:
        _refuse(context, _OF_TRAINING, "means nothing with --pretrained, which trains nothing")
        training, _ = split(data, held_out, seed)
        encoder = use_pretrained(
            pretrained,
            training,
            output,
            upscale=1 if upscale is None else upscale,
            sigma=sigma,
            on_existing=on_existing(resume, overwrite),
            progress=not quiet,
        )
        typer.echo(
            f"{output}: latents {list(encoder.latent_shape)}, {encoder.active_units} active units, weights of "
            f"{encoder.source}; see {output / 'reconstructions.png'}"
        )
        return
    _refuse(context, ("upscale", "sigma"), "means nothing without --pretrained")
    training, _ = split(data, held_out, seed)
    if len(training) < 2:
        raise MemworldError(
            f"{len(training)} episode is left to train on, and one more is needed to stop in time: record more, or "
            "hold out fewer"
        )
    training, validation = training.split(max(1, len(training) // 8), seed)
    config = VAEConfig(_parse_shape(latent_shape), objective=objective, beta=beta)  # type: ignore[arg-type]
    how = TrainingConfig(steps=steps, batch_size=batch_size, seed=seed)
    result = train_vae(
        training, validation, output, config, how, on_existing=on_existing(resume, overwrite), progress=not quiet
    )
    typer.echo(
        f"{output}: latents {list(result.encoder.latent_shape)}, {result.encoder.active_units} active units, "
        f"validation error {min(h['error'] for h in result.history):.4f}; see {output / 'reconstructions.png'}"
    )


@app.command()
def remember(
    data: Data,
    encoder: Annotated[Path, typer.Option("--encoder", help="Folder of a trained encoder.")],
    output: Output,
    held_out: HeldOut = None,
    frames: Annotated[bool, typer.Option(help="Keep frames, so that retrieved moments can be shown.")] = True,
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on, or add new episodes to the memory.")] = False,
    overwrite: Overwrite = False,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster",
            metavar="ADDRESS",
            help="Encode on a Ray cluster: host:port of its head, `auto` for the one that runs here, or `local` for "
            "processes of this machine (extra `cluster`).",
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Encode episodes into a memory; those that `train` held out with the same seed stay out of it."""
    from memworld.cluster import connect, remember_on_cluster
    from memworld.encoders import open_encoder
    from memworld.remember import remember as remember_episodes

    training, _ = split(data, held_out, seed)
    existing, progress = on_existing(resume, overwrite), not quiet
    if cluster is None:
        memory = remember_episodes(
            training,
            open_encoder(encoder),
            output,
            seed=seed,
            keep_frames=frames,
            on_existing=existing,
            progress=progress,
        )
    else:
        with connect(cluster) as connected:
            memory = remember_on_cluster(
                connected,
                data,
                encoder,
                output,
                ids=training.ids,
                seed=seed,
                keep_frames=frames,
                on_existing=existing,
                progress=progress,
            )
    typer.echo(f"{output}: {memory}")


@app.command()
def baseline(
    name: Annotated[str, typer.Argument(help="latent_gru, rssm_latents or rssm_pixels.")],
    memory: MemoryPath,
    data: Data,
    output: Output,
    steps: Annotated[int | None, typer.Option("--steps", help="Most gradient steps [default: the baseline's].")] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    seed: Seed = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Train a world model to compare with on the memory's own episodes; an eighth of them tells it when to stop.

    `memworld evaluate --baseline FOLDER` then measures it beside the searches.
    """
    from memworld.baselines.kinds import KINDS
    from memworld.baselines.training import train_baseline
    from memworld.encoders import open_encoder
    from memworld.errors import lookup
    from memworld.formats import open_dataset
    from memworld.recorded import check_same_world
    from memworld.store import open_memory

    how = lookup(KINDS, name, "baseline").training
    remembered, dataset = open_memory(memory), open_dataset(data)
    check_same_world(remembered, dataset)
    training = dataset.subset([i for i in dataset.ids if i in remembered.ids])
    if len(training) < 2:
        raise MemworldError(
            f"{data} has {len(training)} of the memory's episodes, and two are needed, one to train on and one to stop "
            "in time: give the data that was remembered"
        )
    training, validation = training.split(max(1, len(training) // 8), seed)
    model = train_baseline(
        name,
        training,
        validation,
        open_encoder(memory / "encoder"),
        output,
        how=replace(how, steps=how.steps if steps is None else steps, seed=seed),
        on_existing=on_existing(resume, overwrite),
        device=device,
        progress=not quiet,
    )
    typer.echo(f"{output}: {model.about}")


@app.command()
def imagine(
    memory: MemoryPath,
    data: Annotated[Path, typer.Argument(help="Recorded episodes to start from, best held-out ones.")],
    episode: Annotated[str | None, typer.Option("--episode", help="Id [default: the first not in memory].")] = None,
    start: Annotated[int, typer.Option("--start", min=0, help="Step of the episode to start from.")] = 0,
    horizon: Annotated[int, typer.Option("--horizon", help="Steps to imagine.")] = 20,
    strategy: Strategy = "analogues",
    k: Annotated[int | None, typer.Option("--k", help="Rows to retrieve [default: the strategy's].")] = None,
    mode: ModeOption = None,
    conditioning: Annotated[
        str | None,
        typer.Option("--conditioning", help="On actions: none, hard, soft or mixed [default: by action space]."),
    ] = None,
    seed: Seed = 0,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="PNG: truth above imagination.")] = None,
) -> None:
    """Imagine what follows a recorded moment under the recorded actions, and cite the moments behind it."""
    from memworld.engine import named_dynamics
    from memworld.formats import open_dataset
    from memworld.recorded import check_picture, imagine_recorded, write_comparison
    from memworld.world_model import WorldModel

    if output is not None:
        check_picture(output)
    dynamics = named_dynamics(strategy, k, conditioning)
    compared = imagine_recorded(
        WorldModel.open(memory, dynamics),
        open_dataset(data),
        episode,
        start=start,
        horizon=horizon,
        mode=mode,  # type: ignore[arg-type]
        seed=seed,
        progress=True,
    )
    if output is not None:
        write_comparison(output, compared)
    rollout = compared.rollout
    typer.echo(f"from step {start} of {compared.episode}")
    for step in range(horizon):
        unknown = "nothing: no recorded moment has the asked action"
        cited = ", ".join(f"{c.episode}@{c.step} ({c.weight:.0%})" for c in rollout.citations(0, step)[:3])
        typer.echo(
            f"t={step + 1:<3} reward {signed(float(rollout.rewards[0, step]))}  "
            f"support {float(rollout.support[0, step]):.2f}  from {cited or unknown}"
        )
    if output is not None:
        typer.echo(f"picture: {output}")


def signed(reward: float) -> str:
    """A reward with its sign; one of nearly 0 is `+0.00`, whatever its sign."""
    return f"{round(reward, 2) + 0.0:+.2f}"


def _refuse(context: typer.Context, names: tuple[str, ...], why: str) -> None:
    """Do nothing unless one of these options was given: it would be ignored."""
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT":
            raise MemworldError(f"--{name.replace('_', '-')} {why}: leave it out")


def _parse_shape(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.lower().split("x"))
    except ValueError:
        raise MemworldError(f"latent shape {text!r} is neither a number nor CxHxW, as 32 or 4x8x8") from None
