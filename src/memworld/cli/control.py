"""The command that acts in the real world: control."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from memworld.cli import planning
from memworld.cli.app import app
from memworld.cli.options import Output, Overwrite, Quiet, Resume, Seed, on_existing

Planner = Annotated[
    list[str],
    typer.Option(
        "--planner", help="mppi, cem, random_shooting, vote (the paper's), behaviour or vinn; give several to compare."
    ),
]


@app.command()
def control(
    world: Annotated[str, typer.Argument(help="One of `memworld worlds`.")],
    memory: Annotated[Path, typer.Option("--memory", "-m", metavar="MEMORY", help="Folder of a memory of this world.")],
    planner: Planner,
    output: Output = Path("runs/control"),
    episodes: Annotated[int, typer.Option("--episodes", "-n", help="Real episodes of every way to act.")] = 20,
    max_steps: planning.MaxSteps = 1000,
    random_start: planning.RandomStart = 30,
    horizon: planning.Horizon = None,
    candidates: planning.Candidates = None,
    iterations: planning.Iterations = None,
    commit: planning.Commit = None,
    objective: Annotated[
        str | None, typer.Option("--objective", help="return, or goal: to look like a picture.")
    ] = None,
    goal: Annotated[Path | None, typer.Option("--goal", metavar="PNG", help="Picture, of --objective goal.")] = None,
    discount: planning.Discount = None,
    value: planning.Value = None,
    pessimism: planning.Pessimism = None,
    proposals: planning.Proposing = None,
    recalled: planning.Recalled = None,
    best: planning.Best = None,
    explore: planning.Explore = None,
    temperature: planning.Temperature = None,
    strategy: planning.ImaginedBy = None,
    yardsticks: Annotated[
        bool, typer.Option("--yardsticks/--no-yardsticks", help="Whether random play and the demonstrator play too.")
    ] = True,
    videos: Annotated[bool, typer.Option("--videos/--no-videos", help="Whether to write videos.")] = True,
    seed: Seed = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Act in the real world by planning in a memory of it, and compare what that gains.

    Every planner plays the same starts, and so do random play and the world's demonstrator. The output folder gets
    report.html, returns.json, videos and the episodes, which can be remembered in turn.
    """
    from memworld.control import PlayConfig, control_by_planning
    from memworld.control.show import table_text
    from memworld.engine import named_dynamics
    from memworld.plan import PlanConfig
    from memworld.worlds import open_world

    options = planning.given(
        planner,
        horizon=horizon,
        candidates=candidates,
        iterations=iterations,
        commit=commit,
        objective=objective,
        discount=discount,
        value=value,
        pessimism=pessimism,
        proposals=proposals,
        recalled=recalled,
        best=best,
        explore=explore,
        temperature=temperature,
    )
    words: list[object] = ["memworld", "control", world, "--memory", memory]
    words += [word for name in planner for word in ("--planner", name)]
    words += ["--output", output, "-n", episodes, "--max-steps", max_steps, "--random-start", random_start]
    words += planning.words(options)
    words += [] if goal is None else ["--goal", goal]
    words += [] if strategy is None else ["--strategy", strategy]
    words += [*([] if yardsticks else ["--no-yardsticks"]), *([] if videos else ["--no-videos"]), "--seed", seed]
    result = control_by_planning(
        open_world(world),
        memory,
        [PlanConfig(planner=name, **options) for name in planner],
        PlayConfig(episodes, max_steps, random_start, seed),
        output,
        on_existing(resume, overwrite),
        goal=goal,
        dynamics=None if strategy is None else named_dynamics(strategy, None, None),
        with_yardsticks=yardsticks,
        videos=videos,
        command=shlex.join(map(str, words)),
        progress=not quiet,
    )
    typer.echo(table_text(result.comparison.table))
    for note in result.comparison.notes:
        typer.echo(f"note: {note}")
    typer.echo(f"The report is {result.report}")
