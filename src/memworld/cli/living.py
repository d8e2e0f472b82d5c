"""The command that learns by living: live."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from memworld.cli import planning
from memworld.cli.app import app
from memworld.cli.options import Output, Overwrite, Quiet, Resume, Seed, on_existing


@app.command()
def live(
    world: Annotated[str, typer.Argument(help="One of `memworld worlds`.")],
    memory: Annotated[
        Path,
        typer.Option("--memory", "-m", metavar="MEMORY", help="Folder of a memory to begin with; it stays as it is."),
    ],
    output: Output = Path("runs/living"),
    episodes: Annotated[int, typer.Option("--episodes", "-n", help="Real episodes to live in all.")] = 50,
    every: Annotated[int, typer.Option("--every", help="Episodes until what was lived counts.")] = 5,
    max_steps: planning.MaxSteps = 1000,
    random_start: planning.RandomStart = 30,
    planner: Annotated[
        str, typer.Option("--planner", help="mppi, cem, random_shooting, vote, behaviour or vinn.")
    ] = "mppi",
    horizon: planning.Horizon = None,
    candidates: planning.Candidates = None,
    iterations: planning.Iterations = None,
    commit: planning.Commit = None,
    discount: planning.Discount = None,
    value: planning.Value = None,
    pessimism: planning.Pessimism = None,
    proposals: planning.Proposing = None,
    recalled: planning.Recalled = None,
    best: planning.Best = None,
    explore: planning.Explore = None,
    temperature: planning.Temperature = None,
    strategy: planning.ImaginedBy = None,
    seed: Seed = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Act in the real world by planning in a memory that remembers what is lived, and see whether the return grows.

    Until memory holds a reward, episodes are acted at random. The output folder gets report.html, living.json and
    the memory that grew.
    """
    from memworld.control import PlayConfig, live
    from memworld.control.show import table_text
    from memworld.engine import named_dynamics
    from memworld.plan import PlanConfig
    from memworld.report.tables import with_minus
    from memworld.worlds import open_world

    options = planning.given(
        [planner],
        horizon=horizon,
        candidates=candidates,
        iterations=iterations,
        commit=commit,
        discount=discount,
        value=value,
        pessimism=pessimism,
        proposals=proposals,
        recalled=recalled,
        best=best,
        explore=explore,
        temperature=temperature,
    )
    words: list[object] = ["memworld", "live", world, "--memory", memory, "--output", output, "-n", episodes]
    words += ["--every", every, "--max-steps", max_steps, "--random-start", random_start, "--planner", planner]
    words += [*planning.words(options), *([] if strategy is None else ["--strategy", strategy]), "--seed", seed]
    result = live(
        open_world(world),
        memory,
        PlanConfig(planner=planner, **options),
        PlayConfig(episodes, max_steps, random_start, seed),
        output,
        on_existing(resume, overwrite),
        every=every,
        dynamics=None if strategy is None else named_dynamics(strategy, None, None),
        command=shlex.join(map(str, words)),
        progress=not quiet,
    )
    typer.echo(table_text(result.growth.table))
    for note in result.growth.notes:
        typer.echo(f"note: {note}")
    typer.echo(with_minus(result.growth.sentence))
    typer.echo(f"The report is {result.report}")
