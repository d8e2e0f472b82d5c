"""Commands that end in a report: demo, evaluate, paper, better."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memworld.cli.app import app
from memworld.cli.options import MemoryPath, Output, Overwrite, Quiet, Resume, Seed, on_existing
from memworld.errors import MemworldError

if TYPE_CHECKING:
    from memworld.pipeline import RunResult


@app.command()
def demo(
    output: Output = Path("runs/demo"),
    world: Annotated[str, typer.Option("--world", help="One of `memworld worlds`.")] = "pong",
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
    stages = ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in result.stages.items())
    typer.echo(f"Took {sum(result.stages.values()) / 60:.1f} minutes: {stages}")
    if quick:
        typer.echo("A quick run only shows that everything works: its numbers mean nothing.")
    _tell(result)
    typer.echo("\nNext:")
    for line in next_lines(output):
        typer.echo(f"  {line}")


@app.command()
def evaluate(
    memory: MemoryPath,
    data: Annotated[Path, typer.Argument(help="Recorded episodes: those in memory, and held-out ones beside them.")],
    output: Output,
    horizon: Annotated[int, typer.Option("--horizon", help="Steps to predict.")] = 20,
    starts: Annotated[int, typer.Option("--starts", help="Random starts per held-out episode.")] = 20,
    conditioning: Annotated[
        str, typer.Option("--conditioning", help="Of the paper's strategies on actions: none, hard, soft or mixed.")
    ] = "none",
    baseline: Annotated[
        list[Path] | None,
        typer.Option("--baseline", help="Folder of a trained baseline (`memworld baseline`) to measure; give several."),
    ] = None,
    seed: Seed = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Measure the strategies and baselines on the episodes that are not in memory, and write a report."""
    from memworld.evaluate.config import EvaluationConfig, usual_dynamics
    from memworld.pipeline import evaluate_memory

    config = EvaluationConfig(
        horizon=horizon,
        starts=starts,
        dynamics=usual_dynamics(conditioning),  # type: ignore[arg-type]
        seed=seed,
    )
    options = ["--output", output, "--horizon", horizon, "--starts", starts, "--conditioning", conditioning]
    options += [part for folder in baseline or () for part in ("--baseline", folder)]
    command = shlex.join(map(str, ["memworld", "evaluate", memory, data, *options, "--seed", seed]))
    result = evaluate_memory(
        memory,
        data,
        config,
        output,
        on_existing(resume, overwrite),
        tuple(baseline or ()),
        command=command,
        progress=not quiet,
    )
    _tell(result)


def _tell(result: "RunResult") -> None:
    """Print what was found, what held and what did not, what is to be distrusted, and where the report is."""
    from memworld.report.summary import held_text
    from memworld.report.summary import result as found

    evaluation = result.evaluation
    if said := found(evaluation):
        typer.echo(f"\n{said}")
    typer.echo("\nError on moving pixels t steps ahead, and whether it is shown to be below that of persistence, which")
    typer.echo(f"repeats the last frame ({evaluation.table.rows[0].n} held-out episodes):\n")
    typer.echo(held_text(evaluation))
    if evaluation.warnings:
        typer.echo("")
    for warning in evaluation.warnings:
        typer.echo(f"note: {warning}")
    typer.echo(f"\nThe report is {result.report}")


Quick = Annotated[bool, typer.Option("--quick", help="Tiny sizes, which only show that everything works.")]
Full = Annotated[bool, typer.Option("--full", help="Sizes that mean something, in hours.")]
Worlds = Annotated[
    list[str] | None, typer.Option("--world", help="Only this world; give several [default: the study's six].")
]
Experiments = Annotated[
    list[str] | None, typer.Option("--experiment", help="Only this experiment; give several [default: all].")
]
Again = Annotated[bool, typer.Option("--again", help="Do finished experiments anew.")]
Digest = Annotated[
    Path | None, typer.Option("--digest", help="Folder for a table of the claims and the main charts as PNGs.")
]


def _add_study(name: str, help: str) -> None:
    """Add the command of a study."""

    @app.command(
        name,
        help=f"{help}\n\nWhat has finished stays: give the command again, and an interrupted run goes on; name worlds "
        "and experiments to do it in pieces.",
    )
    def command(
        output: Output = Path("runs") / name,
        quick: Quick = False,
        full: Full = False,
        world: Worlds = None,
        experiment: Experiments = None,
        again: Again = False,
        digest: Digest = None,
        seed: Seed = 0,
        overwrite: Overwrite = False,
        quiet: Quiet = False,
    ) -> None:
        from memworld.studies import STUDIES, run_study, write_digest

        if quick == full:
            raise MemworldError("say how large: --quick (minutes) or --full (hours)")
        result = run_study(
            STUDIES[name],
            output,
            "quick" if quick else "full",
            world or (),
            experiment or (),
            seed,
            again=again,
            on_existing="overwrite" if overwrite else "resume",
            progress=not quiet,
        )
        if digest is not None:
            write_digest(result, digest)
        for gap in result.gaps:
            typer.echo(f"gap: {gap.world}{gap.experiment and f', {gap.experiment}'}: {gap.why}", err=True)
        for verdicts in result.verdicts:
            judged = verdicts.overall
            typer.echo(
                f"{judged.verdict:<14} {verdicts.claim.text} {judged.value:.3g} [{judged.low:.3g}, {judged.high:.3g}]"
            )
        typer.echo(f"\nThe report is {result.report}")


_add_study("paper", "Run the paper's experiments beside trained baselines, and judge each of its claims.")
_add_study(
    "better", "Measure the library's own dynamics beside the paper's strategies and trained baselines, and judge it."
)
