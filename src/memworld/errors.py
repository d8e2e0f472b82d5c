"""The one error that memworld raises for bad input."""


class MemworldError(ValueError):
    """Bad input, said in one line that names the cause and the fix.

    The command line prints the message alone and ends with exit code 2; a library user catches it
    as a `ValueError`.
    """
