"""Commands that hand memories on: push, pull."""

from typing import Annotated

import typer

from memworld.cli.app import app
from memworld.cli.options import MemoryPath, Output, Overwrite, Quiet


@app.command()
def push(
    memory: MemoryPath,
    destination: Annotated[str, typer.Argument(help="hub:owner/name on the Hugging Face hub, or a folder.")],
    license: Annotated[
        str | None, typer.Option("--license", metavar="ID", help="Under which others may use it, as cc-by-4.0.")
    ] = None,
    message: Annotated[str | None, typer.Option("--message", help="Of the commit on the hub.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Let only its owner see it on the hub.")] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Hand a memory on, with a card that describes it: what counts now, and nothing that was removed."""
    from memworld.sharing import push_memory

    pushed = push_memory(
        memory,
        destination,
        license=license,
        message=message,
        private=private,
        overwrite=overwrite,
        progress=not quiet,
    )
    typer.echo(
        f"{pushed.url or pushed.place}: {pushed.episodes} episodes, {pushed.rows} rows, {pushed.bytes / 1e6:.1f} MB in "
        f"{pushed.files} files"
    )


@app.command()
def pull(
    source: Annotated[str, typer.Argument(help="hub:owner/name on the Hugging Face hub, or a folder.")],
    output: Output,
    revision: Annotated[
        str | None, typer.Option("--revision", help="Commit, branch or tag on the hub [default: the newest].")
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Take a memory that somebody has pushed, and check all of it."""
    from memworld.sharing import pull_memory

    pulled = pull_memory(source, output, revision=revision, overwrite=overwrite, progress=not quiet)
    typer.echo(
        f"{pulled.path}: sound: {pulled.episodes} episodes, {pulled.rows} rows, {pulled.bytes / 1e6:.1f} MB in "
        f"{pulled.files} files"
    )
