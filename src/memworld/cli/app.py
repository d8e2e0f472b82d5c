"""The program: its options, and what becomes of what goes wrong."""

import logging
import os
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from memworld.errors import MemworldError
from memworld.storage import one_line

_INTERRUPTED = 130
"""The shell's exit code of a program that was stopped with Ctrl-C."""

_STOPPED = (
    "memworld: interrupted; what was finished is kept: give the command again, with --resume where it has that option, "
    "and it goes on"
)


class _Commands(TyperGroup):
    """Turns what may go wrong into one line and an exit code, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except MemworldError as error:
            _fail(str(error))
        except BrokenPipeError:
            raise typer.Exit(0) from None
        except OSError as error:
            _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        except MemoryError:
            _fail("out of memory: ask for less at once, as a smaller batch, or fewer or shorter episodes")
        except RuntimeError as error:
            if isinstance(error.__cause__, KeyboardInterrupt):  # which struck while a class was being made
                _interrupted()
            # What PyTorch raises where NumPy raises a MemoryError; anything else is a defect to be seen.
            if "alloc" not in str(error):
                raise
            _fail("out of memory: ask for less at once, as a smaller batch or latent")
        except KeyboardInterrupt:
            _interrupted()


def end_at_once() -> NoReturn:
    """End the interrupted program though a thread computes: were Python torn down under it, it would abort."""
    typer.echo(_STOPPED, err=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_INTERRUPTED)


def _interrupted() -> None:
    typer.echo(_STOPPED, err=True)
    raise typer.Exit(_INTERRUPTED) from None


def _fail(message: str) -> None:
    typer.echo(f"memworld: error: {one_line(message)}", err=True)
    raise typer.Exit(2) from None


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="World models by search in memory: recorded episodes become a world to step, see and question.",
)


def _show_version(value: bool) -> None:
    if value:
        from memworld import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what is being done.")] = False,
) -> None:
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(name)s: %(message)s")
