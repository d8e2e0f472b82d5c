"""Commands about episodes: worlds, record, convert, inspect."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from memworld.cli.app import app
from memworld.cli.options import (
    Camera,
    Cut,
    FrameAfterAction,
    Output,
    Overwrite,
    Quiet,
    Resume,
    Seed,
    Size,
    To,
    on_existing,
    read_options,
)
from memworld.errors import MemworldError
from memworld.storage import one_line


@app.command()
def worlds(
    as_json: Annotated[bool, typer.Option("--json", help="Also what is missing, as JSON.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Also the Atari games that have no demonstrator.")] = False,
) -> None:
    """List the worlds that episodes can be recorded in, and whether they can run here."""
    from memworld.worlds import availability

    listed = availability()
    if as_json:
        typer.echo(json.dumps([asdict(world) for world in listed], indent=2))
        return
    shown = [world for world in listed if every or not world.name.startswith("atari/")]
    for world in shown:
        typer.echo(f"{world.name:<36} {world.simulator if world.runs else f'needs {world.missing[0]}'}")
    if len(shown) < len(listed):
        typer.echo(f"and {len(listed) - len(shown)} more Atari games: memworld worlds --all")


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
    to: To = "npz",
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
        format=to,
        on_existing=on_existing(resume, overwrite),
        progress=not quiet,
    )
    typer.echo(f"{output}: {dataset}")


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="Recorded episodes in a format that memworld reads.")],
    output: Output,
    to: To = "npz",
    size: Size = None,
    camera: Camera = None,
    frame_after_action: FrameAfterAction = False,
    cut: Cut = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out episodes that cannot be read, and name them.")
    ] = False,
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write recorded episodes in another format, or with frames of another size."""
    from memworld.formats import open_dataset
    from memworld.formats.convert import convert as convert_dataset

    converted = convert_dataset(
        open_dataset(source, read_options(size, camera, frame_after_action, cut)),
        output,
        to,
        skip_broken=skip_broken,
        on_existing=on_existing(resume, overwrite),
        progress=not quiet,
    )
    typer.echo(f"{output}: {converted.dataset}")
    for why in converted.skipped.values():
        typer.echo(f"skipped: {one_line(why)}", err=True)
    for left_out in converted.left_out:
        typer.echo(f"not kept: {one_line(left_out)}", err=True)


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="Folder of a memory, or recorded episodes.")],
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
    picture: Annotated[Path | None, typer.Option("--picture", help="PNG of sample frames to write.")] = None,
    size: Size = None,
    camera: Camera = None,
    frame_after_action: FrameAfterAction = False,
    cut: Cut = None,
    quiet: Quiet = False,
) -> None:
    """Say what a memory, or a data set of any format, holds, and what is wrong with it."""
    from memworld.formats import open_dataset
    from memworld.inspection import inspect_path, is_memory, write_sample
    from memworld.recorded import check_picture

    options = read_options(size, camera, frame_after_action, cut)
    if picture is not None:
        check_picture(picture)
        if is_memory(path):
            raise MemworldError(f"{path} is a memory: --picture shows frames of recorded episodes, inspect those")
    found = inspect_path(path, options, progress=not quiet)
    if picture is not None:
        write_sample(open_dataset(path, options), picture)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    problems = found.pop("problems", [])
    names = found["action_names"]
    if len(names) == len(found["actions"]):
        found["actions"] = dict(zip(names, found["actions"].values(), strict=True))
    for name, value in found.items():
        if value == "" or value == []:
            continue
        typer.echo(f"{name.replace('_', ' '):<18} {one_line(_short(value))}")
    for problem in problems:
        typer.echo(f"{'problem':<18} {one_line(problem)}")
    if picture is not None:
        typer.echo(f"{'picture':<18} {picture}")


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} ({_short(v)})" if isinstance(v, dict) else f"{k} {_short(v)}" for k, v in value.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list) and len(value) > 6:
        return f"{', '.join(map(_short, value[:5]))}, ... ({len(value)} in all)"
    return ", ".join(map(_short, value)) if isinstance(value, list) else str(value)
