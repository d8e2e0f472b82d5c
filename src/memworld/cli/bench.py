"""The command about speed: bench."""

from pathlib import Path
from typing import Annotated

import typer

from memworld.cli.app import app
from memworld.cli.options import Overwrite, Quiet, Resume, Seed, on_existing
from memworld.errors import MemworldError


@app.command()
def bench(
    quick: Annotated[bool, typer.Option("--quick", help="The cases that matter most, in a few minutes.")] = False,
    json: Annotated[Path | None, typer.Option("--json", help="Keep all numbers there, after every case.")] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="PNG: time against rows, and the machine's limit.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    rows: Annotated[list[int] | None, typer.Option("--rows", help="Only memories of so many rows.")] = None,
    d: Annotated[list[int] | None, typer.Option("--d", help="Only latents of so many numbers.")] = None,
    batch: Annotated[list[int] | None, typer.Option("--batch", help="Only batches of so many queries.")] = None,
    index: Annotated[list[str] | None, typer.Option("--index", help="Only exact, or only approximate.")] = None,
    seed: Seed = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Measure search and imagination, beside other ways to search and what this machine allows.

    The options that say "only" may be given several times.
    """
    from memworld.bench.cases import chosen, settings_for
    from memworld.bench.run import run
    from memworld.bench.show import check_plot, text, write_plot
    from memworld.search.products import choose_device

    existing = on_existing(resume, overwrite)
    if json is None and existing != "error":
        raise MemworldError("--resume and --overwrite are about the file of --json: name it")
    if plot is not None:
        check_plot(plot)
        if plot == json:
            raise MemworldError("--json and --plot name one file: name two")
    settings = settings_for(quick, seed=seed, device=choose_device(device).type)
    cases = chosen(settings.cases, rows=rows, d=d, batch=batch, index=index)
    # Who asks for some searches only does not ask for imagination.
    imagined = settings.imagined if cases == settings.cases else None
    settings = settings_for(quick, seed=seed, device=settings.device, cases=cases, imagined=imagined)
    results = run(settings, json, existing, progress=not quiet)
    typer.echo(text(results))
    if json is not None:
        typer.echo(f"\nnumbers: {json}")
    if plot is not None:
        write_plot(plot, results)
        typer.echo(f"picture: {plot}")
