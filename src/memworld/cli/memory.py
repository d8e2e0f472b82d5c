"""Commands about a memory on disk: distill, forget, compact, check, versions, restore."""

from pathlib import Path
from typing import Annotated

import typer

from memworld.cli.app import app
from memworld.cli.options import MemoryPath, Output, Overwrite, Quiet, Seed, on_existing
from memworld.errors import MemworldError


@app.command()
def distill(
    memory: MemoryPath,
    output: Output,
    rows: Annotated[int | None, typer.Option("--rows", help="How many rows to keep at most.")] = None,
    share: Annotated[float | None, typer.Option("--share", help="Or the share of rows to keep, as 0.25.")] = None,
    piece: Annotated[int, typer.Option("--piece", help="Steps of a piece, about.")] = 100,
    curve: Annotated[
        Path | None, typer.Option("--curve", help="Folder for the curve of error against rows kept.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="The memory's episodes and held-out ones, to measure that in pictures as well."),
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write a smaller memory of those episodes and pieces of episodes that cover the whole best."""
    from memworld.distill import DistillConfig, write_curve
    from memworld.distill import distill as distill_memory
    from memworld.formats import open_dataset

    if data is not None and curve is None:
        raise MemworldError("--data measures a curve: name a folder for it with --curve")
    found = distill_memory(
        memory,
        output,
        rows=rows,
        share=share,
        config=DistillConfig(piece=piece),
        curve=curve is not None,
        dataset=None if data is None else open_dataset(data),
        seed=seed,
        on_existing=on_existing(False, overwrite),
        progress=not quiet,
    )
    if curve is not None:
        write_curve(curve, found.curves)
    for line in found.curves:
        typer.echo(f"{line.about}:")
        for size, error, growth in zip(line.rows, line.errors, line.growth, strict=True):
            typer.echo(f"{size:>9} rows  {error.value:.4g}, {100 * (growth.value - 1):+.1f}% of that of all")
        for name, value in line.baselines.items():
            typer.echo(f"  {name:<13}  {value.value:.4g}")
    typer.echo(f"{output}: {found.memory}")


@app.command()
def forget(
    memory: MemoryPath,
    episodes: Annotated[list[str], typer.Argument(help="Ids of the episodes to remove.")],
    erase: Annotated[
        bool, typer.Option("--erase", help="Compact as well: their data, and all earlier versions, leave the disk.")
    ] = False,
) -> None:
    """Remove episodes from a memory; until it is compacted, one can go back."""
    from memworld.store import compact_memory, forget_episodes

    left = forget_episodes(memory, episodes)
    if erase:
        compact_memory(memory)
    also = "erased from the disk" if erase else "memworld compact erases them from the disk"
    typer.echo(f"{memory}: {left} transitions left; {also}")


@app.command()
def compact(memory: MemoryPath) -> None:
    """Write small files together; what was removed, and every earlier version, leaves the disk."""
    from memworld.store import compact_memory

    before = _size(memory)
    compact_memory(memory)
    typer.echo(f"{memory}: {before / 1e6:.1f} MB before, {_size(memory) / 1e6:.1f} MB now; there is no way back")


@app.command()
def check(
    memory: MemoryPath,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make the arrays anew from the table, if they are damaged.")
    ] = False,
) -> None:
    """Read all that a memory holds, and compare it with what was written; exit code 2 if anything is wrong."""
    from memworld.store import check_memory

    found = check_memory(memory, repair, apart=True)
    if found.problems:
        for problem in found.problems[:-1]:
            typer.echo(problem, err=True)
        raise MemworldError(found.problems[-1])
    versions = f", {len(found.versions)} version{'s' if len(found.versions) != 1 else ''}" if found.versions else ""
    typer.echo(f"{memory}: sound: {found.episodes} episodes, {found.rows} rows{versions}")


@app.command()
def versions(memory: MemoryPath) -> None:
    """List the versions of a memory that one can go back to."""
    from memworld.store import read_index, read_version, version_numbers

    _, present = read_index(memory)
    for number in version_numbers(memory):
        if number <= present:
            try:
                version = read_version(memory, number)
            except MemworldError as error:
                typer.echo(f"! {number:>5}  {error}", err=True)
                continue
            mark = "*" if number == present else " "
            typer.echo(
                f"{mark} {number:>5}  {version.time}  {version.episodes:>6} episodes  {version.rows:>9} rows  "
                f"{version.change}"
            )


@app.command()
def restore(
    memory: MemoryPath,
    version: Annotated[int, typer.Argument(help="Number of a version, as memworld versions lists them.")],
) -> None:
    """Go back to an earlier version of a memory; that makes a new version, so you can go forth again."""
    from memworld.store import go_back

    now = go_back(memory, version)
    typer.echo(f"{memory}: {now.episodes} episodes, {now.rows} rows, as in version {version}; now version {now.number}")


def _size(folder: MemoryPath) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
