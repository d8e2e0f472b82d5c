"""The command line: parse, call one library function, print. One file per group of commands."""

# Importing a group registers its commands, in the order in which `--help` lists them.
from memworld.cli import runs, data, model, play, control, living, memory, share, bench  # noqa: F401, I001
from memworld.cli.app import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the program."""
    app()
