"""Commands that serve a page: play, browse."""

from pathlib import Path
from typing import Annotated

import typer

from memworld.cli.app import app, end_at_once
from memworld.cli.options import MemoryPath
from memworld.errors import MemworldError

Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen at; 0 takes any that is free.")]
Host = Annotated[
    str, typer.Option("--host", help="Interface to listen at. Other computers reach any but 127.0.0.1, with a token.")
]
Token = Annotated[bool, typer.Option("--token", help="Ask for a token on this computer too.")]
NoOpen = Annotated[bool, typer.Option("--no-open", help="Open no browser.")]
Recorded = Annotated[Path, typer.Option("--output", "-o", help="Folder for what is recorded in the page.")]

PORT = 8700


@app.command()
def play(
    memory: MemoryPath,
    port: Port = PORT,
    host: Host = "127.0.0.1",
    token: Token = False,
    no_open: NoOpen = False,
    output: Recorded = Path("runs/play"),
) -> None:
    """Drive a memory in the browser, beside the recorded moments that every frame comes from.

    Ctrl-C ends it.
    """
    _serve([memory], "play", port, host, token, no_open, output)


@app.command()
def browse(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Memories, and data sets of any format.")],
    port: Port = PORT,
    host: Host = "127.0.0.1",
    token: Token = False,
    no_open: NoOpen = False,
    output: Recorded = Path("runs/play"),
) -> None:
    """Look through memories and recorded episodes in the browser, and play the memories among them.

    Ctrl-C ends it.
    """
    _serve(paths, "browse", port, host, token, no_open, output)


def _serve(paths: list[Path], opens: str, port: int, host: str, token: bool, no_open: bool, output: Path) -> None:
    """Serve until Ctrl-C, and say where."""
    from memworld.extras import import_extra

    for module in ("starlette", "uvicorn", "websockets"):
        import_extra(module, "play", "pages in the browser")
    from memworld.play.recorder import Recordings
    from memworld.play.server import PlayServer
    from memworld.play.serving import listen, open_library, serve

    if output.exists() and not output.is_dir():
        raise MemworldError(f"output {output} is a file: name a folder for recordings")
    library = open_library(paths, plays=opens == "play")
    at = listen(host, port, token)
    typer.echo(f"memworld {opens} at {at.address} (Ctrl-C ends it)")
    server = PlayServer(library, opens, Recordings(output))
    try:
        serve(server, at, show=not no_open)
    except KeyboardInterrupt:
        if server.computing:
            end_at_once()
        raise
