"""The one error that memworld raises for bad input."""

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


class MemworldError(ValueError):
    """Bad input, said in one line that names the cause and the fix.

    The command line prints the message alone and ends with exit code 2; a library user catches it
    as a `ValueError`.
    """


def lookup(table: Mapping[str, T], name: str, what: str) -> T:
    """The entry of `table` called `name`.

    Raises:
        MemworldError: there is none; the message calls it an unknown `what` and lists those there are.
    """
    if name not in table:
        raise MemworldError(f"unknown {what} {name!r}: use one of {', '.join(table)}")
    return table[name]
