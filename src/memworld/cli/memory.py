"""Commands about a memory on disk: forget, compact, check, versions, restore."""

from typing import Annotated

import typer

from memworld.cli.app import app
from memworld.cli.options import MemoryPath
from memworld.errors import MemworldError


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
            version = read_version(memory, number)
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
