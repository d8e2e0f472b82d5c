"""The command line: parse, call one library function, print."""

import json
import logging
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from memworld.errors import MemworldError
from memworld.storage import OnExisting

_INTERRUPTED = 130
"""The shell's exit code of a program that was stopped with Ctrl-C."""


class _Commands(TyperGroup):
    """Turns what may go wrong into one line and an exit code, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except MemworldError as error:
            _fail(str(error))
        except BrokenPipeError:
            raise typer.Exit(0) from None
        except OSError as error:
            _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        except KeyboardInterrupt:
            typer.echo(
                "memworld: interrupted; what was finished is kept: give the command again, with --resume where it has "
                "that option, and it goes on",
                err=True,
            )
            raise typer.Exit(_INTERRUPTED) from None


def _fail(message: str) -> None:
    one_line = " ".join(message.split())
    typer.echo(f"memworld: error: {one_line}", err=True)
    raise typer.Exit(2) from None


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="World models by search in memory: recorded episodes become a world to step, see and question.",
)

Output = Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run of this command stopped.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier run of this command wrote.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything that depends on chance.")]
Data = Annotated[Path, typer.Argument(help="Recorded episodes: a folder in a format that memworld reads.")]
MemoryPath = Annotated[Path, typer.Argument(metavar="MEMORY", help="Folder of a memory.")]
HeldOut = Annotated[
    int | None, typer.Option("--held-out", min=0, help="Episodes to hold out, by seed [default: a fifth].")
]
Strategy = Annotated[str, typer.Option("--strategy", help="rollout, replay_l2 or replay_kl.")]
ModeOption = Annotated[str, typer.Option("--mode", help="requery or follow.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")]


def _on_existing(resume: bool, overwrite: bool) -> OnExisting:
    if resume and overwrite:
        raise MemworldError("--resume and --overwrite contradict each other: give one")
    return "resume" if resume else "overwrite" if overwrite else "error"


def _show_version(value: bool) -> None:
    if value:
        from memworld import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what is being done.")] = False,
) -> None:
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(name)s: %(message)s")


@app.command()
def demo(
    output: Output = Path("runs/demo"),
    world: Annotated[str, typer.Option("--world", help="pong or freeway.")] = "pong",
    seed: Seed = 0,
    quick: Annotated[bool, typer.Option("--quick", help="A tiny run that only shows that everything works.")] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Record a game, build a world model of it, measure it, and write a report.

    An interrupted run goes on when the command is given again.
    """
    from memworld.demo import demo_config, next_lines
    from memworld.pipeline import run

    config = demo_config(world, seed, quick)
    command = shlex.join(["memworld", "demo", "--world", world, "--seed", str(seed), "--output", str(output)])
    command += " --quick" if quick else ""
    result = run(config, output, "overwrite" if overwrite else "resume", command=command, progress=not quiet)
    for stage, seconds in result.stages.items():
        typer.echo(f"{stage:>10} {seconds:7.1f} s")
    for warning in result.evaluation.warnings:
        typer.echo(f"warning: {warning}")
    typer.echo(f"\nThe report is {result.report}\n\nNext:")
    for line in next_lines(output):
        typer.echo(f"  {line}")


@app.command()
def worlds() -> None:
    """List the worlds that episodes can be recorded in."""
    from memworld.worlds import world_names

    for name in world_names():
        typer.echo(name)


@app.command()
def record(
    world: Annotated[str, typer.Argument(help="A world, see `memworld worlds`.")],
    output: Output,
    policy: Annotated[
        str, typer.Option("--policy", help="random, demonstrator, or your own function as module:function.")
    ] = "random",
    episodes: Annotated[int, typer.Option("--episodes", "-n", help="How many.")] = 10,
    max_steps: Annotated[int, typer.Option("--max-steps", help="Most steps of an episode.")] = 1000,
    skill: Annotated[
        list[float] | None,
        typer.Option("--skill", help="In [0, 1]; give several and episodes take them in turn [default: 1.0]."),
    ] = None,
    random_start: Annotated[int, typer.Option("--random-start", help="Most random steps before an episode.")] = 30,
    seed: Seed = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Play episodes in a world and write them."""
    from memworld.record import record as record_episodes
    from memworld.worlds import open_world

    dataset = record_episodes(
        open_world(world),
        policy,
        output,
        episodes=episodes,
        max_steps=max_steps,
        seed=seed,
        skills=tuple(skill or (1.0,)),
        random_start=random_start,
        on_existing=_on_existing(resume, overwrite),
        progress=not quiet,
    )
    typer.echo(f"{output}: {dataset}")


@app.command()
def train(
    data: Data,
    output: Output,
    latent_shape: Annotated[
        str, typer.Option("--latent-shape", help="A number for a vector, CxHxW for a grid, as 4x8x8.")
    ] = "32",
    objective: Annotated[str, typer.Option("--objective", help="sigma (calibrated) or beta (the paper's).")] = "sigma",
    beta: Annotated[float, typer.Option("--beta", help="Weight of the KL term, of beta only.")] = 1.0,
    steps: Annotated[int, typer.Option("--steps", help="Most gradient steps.")] = 1500,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Frames per step.")] = 64,
    held_out: HeldOut = None,
    seed: Seed = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Train an encoder on recorded episodes that are not held out; an eighth of them tells it when to stop."""
    from memworld.encoders.training import TrainingConfig, train_vae
    from memworld.encoders.vae import VAEConfig

    training, _ = _split(data, held_out, seed)
    if len(training) < 2:
        raise MemworldError(
            f"{len(training)} episode is left to train on, and one more is needed to stop in time: record more, or "
            "hold out fewer"
        )
    training, validation = training.split(max(1, len(training) // 8), seed)
    config = VAEConfig(_parse_shape(latent_shape), objective=objective, beta=beta)  # type: ignore[arg-type]
    how = TrainingConfig(steps=steps, batch_size=batch_size, seed=seed)
    result = train_vae(
        training, validation, output, config, how, on_existing=_on_existing(resume, overwrite), progress=not quiet
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
    quiet: Quiet = False,
) -> None:
    """Encode episodes into a memory; those that `train` held out with the same seed stay out of it."""
    from memworld.encoders import open_encoder
    from memworld.remember import remember as remember_episodes

    training, _ = _split(data, held_out, seed)
    memory = remember_episodes(
        training,
        open_encoder(encoder),
        output,
        seed=seed,
        keep_frames=frames,
        on_existing=_on_existing(resume, overwrite),
        progress=not quiet,
    )
    typer.echo(f"{output}: {memory}")


@app.command()
def forget(
    memory: MemoryPath,
    episodes: Annotated[list[str], typer.Argument(help="Ids of the episodes to remove.")],
) -> None:
    """Remove episodes from a memory; their files are deleted."""
    from memworld.memory_files import open_memory, save_memory

    opened = open_memory(memory)
    opened.remove(episodes)
    save_memory(opened, memory, "resume")
    typer.echo(f"{memory}: {opened}")


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="Folder of a memory or of recorded episodes.")],
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
) -> None:
    """Say what a memory, or a data set, holds."""
    from memworld.inspection import inspect_path

    found = inspect_path(path)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        text = ", ".join(f"{k} {_short(v)}" for k, v in value.items()) if isinstance(value, dict) else _short(value)
        typer.echo(f"{name.replace('_', ' '):<18} {text}")


@app.command()
def imagine(
    memory: MemoryPath,
    data: Annotated[Path, typer.Argument(help="Recorded episodes to start from, best held-out ones.")],
    episode: Annotated[str | None, typer.Option("--episode", help="Id [default: the first not in memory].")] = None,
    start: Annotated[int, typer.Option("--start", min=0, help="Step of the episode to start from.")] = 0,
    horizon: Annotated[int, typer.Option("--horizon", help="Steps to imagine.")] = 20,
    strategy: Strategy = "replay_kl",
    k: Annotated[int | None, typer.Option("--k", help="Rows to retrieve [default: the strategy's].")] = None,
    mode: ModeOption = "requery",
    conditioning: Annotated[
        str | None, typer.Option("--conditioning", help="On actions: none, hard or soft [default: by action space].")
    ] = None,
    seed: Seed = 0,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="PNG: truth above imagination.")] = None,
) -> None:
    """Imagine what follows a recorded moment under the recorded actions, and cite the moments behind it."""
    from memworld.formats import open_dataset
    from memworld.recorded import imagine_recorded
    from memworld.storage import write_picture
    from memworld.world_model import WorldModel

    world = WorldModel.open(memory, _dynamics(strategy, k, conditioning))
    compared = imagine_recorded(
        world,
        open_dataset(data),
        episode,
        start=start,
        horizon=horizon,
        mode=mode,  # type: ignore[arg-type]
        seed=seed,
    )
    rollout = compared.rollout
    typer.echo(f"from step {start} of {compared.episode}")
    for step in range(horizon):
        cited = ", ".join(f"{c.episode}@{c.step} ({c.weight:.0%})" for c in rollout.citations(0, step)[:3])
        typer.echo(
            f"t={step + 1:<3} reward {float(rollout.rewards[0, step]):+.2f}  "
            f"support {float(rollout.support[0, step]):.2f}  from {cited or 'nothing: no row was found'}"
        )
    if output is not None:
        assert rollout.frames is not None  # decoded by default
        write_picture(output, [compared.truth, rollout.frames[0]])
        typer.echo(f"picture: {output}")


@app.command()
def evaluate(
    memory: MemoryPath,
    data: Annotated[Path, typer.Argument(help="Recorded episodes: those in memory, and held-out ones beside them.")],
    output: Output,
    horizon: Annotated[int, typer.Option("--horizon", help="Steps to predict.")] = 20,
    starts: Annotated[int, typer.Option("--starts", help="Random starts per held-out episode.")] = 20,
    conditioning: Annotated[
        str, typer.Option("--conditioning", help="Of the paper's strategies on actions: none, hard or soft.")
    ] = "none",
    seed: Seed = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Measure the strategies and baselines on the episodes that are not in memory, and write a report."""
    from memworld.evaluate.config import EvaluationConfig, paper_strategies
    from memworld.pipeline import evaluate_memory

    config = EvaluationConfig(
        horizon=horizon,
        starts=starts,
        dynamics=paper_strategies(conditioning),  # type: ignore[arg-type]
        seed=seed,
    )
    options = ["--output", output, "--horizon", horizon, "--starts", starts, "--conditioning", conditioning]
    command = shlex.join(map(str, ["memworld", "evaluate", memory, data, *options, "--seed", seed]))
    result = evaluate_memory(
        memory, data, config, output, _on_existing(resume, overwrite), command=command, progress=not quiet
    )
    for warning in result.evaluation.warnings:
        typer.echo(f"warning: {warning}")
    typer.echo(f"The report is {result.report}")


def _split(data: Path, held_out: int | None, seed: int) -> Any:
    """Open a data set and split it, by default a fifth held out; the same for the same seed."""
    from memworld.formats import open_dataset

    dataset = open_dataset(data)
    count = max(1, len(dataset) // 5) if held_out is None else held_out
    return (dataset, dataset[:0]) if count == 0 else dataset.split(count, seed)


def _dynamics(strategy: str, k: int | None, conditioning: str | None) -> Any:
    from memworld.dynamics import DynamicsConfig

    return DynamicsConfig(strategy, k=k, conditioning=conditioning)  # type: ignore[arg-type]


def _parse_shape(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.lower().split("x"))
    except ValueError:
        raise MemworldError(f"latent shape {text!r} is neither a number nor CxHxW, as 32 or 4x8x8") from None


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list) and len(value) > 6:
        return f"{', '.join(map(str, value[:5]))}, ... ({len(value)} in all)"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def main() -> None:
    """Run the program."""
    app()


if __name__ == "__main__":
    main()
