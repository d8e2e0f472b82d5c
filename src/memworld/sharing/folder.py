"""A folder that a memory is pulled from, which may be anybody's."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from memworld.errors import MemworldError
from memworld.sharing.parts import CARD, FIGURES, Part
from memworld.storage import check_no_links
from memworld.store.opening import PARTS

_CHUNK = 1 << 20
"""Bytes that are copied at once."""

_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""Neither a link is followed, nor a pipe waited for."""


class Folder:
    """An `Origin` on disk."""

    is_whole = False

    def __init__(self, path: Path) -> None:
        """Look into a folder.

        Raises:
            MemworldError: there is none, or something in it is a link, which could lead anywhere.
        """
        if not path.is_dir():
            raise MemworldError(f"{path} is no folder: give the folder of a memory, or hub:owner/name")
        check_no_links(path, *PARTS, CARD, FIGURES)
        self.name = str(path)
        self._path = path

    def size(self, name: str) -> int | None:
        """See `Origin`."""
        try:
            found = (self._path / name).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._unreadable(name, error) from error
        if not stat.S_ISREG(found.st_mode):
            raise MemworldError(f"{self._path / name} is no file: put one in its place")
        return found.st_size

    def fetch(self, parts: Sequence[Part], folder: Path) -> None:
        """See `Origin`; of files that grow, the part that belongs to the version."""
        for part in parts:
            try:
                handle = os.open(self._path / part.name, _FLAGS)
            except OSError as error:
                raise self._unreadable(part.name, error) from error
            (folder / part.name).parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(handle, "rb") as source, (folder / part.name).open("wb") as copy:
                left = part.most
                while left and (chunk := source.read(min(left, _CHUNK))):
                    copy.write(chunk)
                    left -= len(chunk)

    def _unreadable(self, name: str, error: OSError) -> MemworldError:
        return MemworldError(
            f"cannot read {self._path / name} ({error.strerror or error}): check the path and its permissions; if the "
            "memory is being written to, pull again"
        )
