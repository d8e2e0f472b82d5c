"""Packages that only some of memworld needs, imported when they are."""

import importlib
from typing import Any

from memworld.errors import MemworldError
from memworld.storage import one_line


def import_extra(module: str, extra: str, what: str) -> Any:
    """The module of an optional package.

    Args:
        module: its name.
        extra: memworld's extra that installs it.
        what: what needs it, in the plural, for the message.

    Raises:
        MemworldError: it is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MemworldError(
            f'{what} need the package {module} ({one_line(error)}): pip install "memworld[{extra}]"'
        ) from error
