"""Commands about episodes: worlds, record, inspect."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from memworld.cli.app import app
from memworld.cli.options import Output, Overwrite, Quiet, Resume, Seed, on_existing


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
        on_existing=on_existing(resume, overwrite),
        progress=not quiet,
    )
    typer.echo(f"{output}: {dataset}")


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


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list) and len(value) > 6:
        return f"{', '.join(map(str, value[:5]))}, ... ({len(value)} in all)"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
