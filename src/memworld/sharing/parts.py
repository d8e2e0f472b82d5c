"""The files that a shared memory is made of, and how large each may be: nothing else is ever taken."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from memworld.errors import MemworldError
from memworld.storage import check_name, one_line
from memworld.store import INDEX, Version
from memworld.store.arrays import ARRAYS, LISTING, forms
from memworld.store.table import TABLE
from memworld.store.versions import VERSIONS, Settings, name_of

CARD = "README.md"
FIGURES = "figures"
STRIP, COVERAGE = f"{FIGURES}/strip.png", f"{FIGURES}/coverage.png"

_MB = 1 << 20


@dataclass(frozen=True)
class Part:
    """A file of a memory.

    Attributes:
        name: its path in the memory's folder, parts joined by slashes.
        most: bytes; more are refused.
        exact: whether it must have exactly so many.
        grows: whether a memory that is being written to may have more, of which the first belong to the version.
        needed: whether there is no memory without it.
    """

    name: str
    most: int
    exact: bool = False
    grows: bool = False
    needed: bool = True


FIRST = Part(INDEX, 64 * _MB)
"""What says all the rest."""


def version_part(number: int) -> Part:
    """The file of a version."""
    return Part(f"{VERSIONS}/{name_of(number)}", 256 * _MB)


def other_parts(settings: Settings, version: Version) -> Iterator[Part]:
    """All that belongs to a version, but for the two files that say so.

    Raises:
        MemworldError: the version names files that no memory has.
    """
    for name, seal in version.files.items():
        for step in name.split("/"):
            check_name(step, "part of a file's name")
        yield Part(f"{TABLE}/{name}", seal.bytes, exact=True)
    arrays = f"{ARRAYS}/{version.arrays}"
    for name, (dtype, shape) in forms(settings).items():
        row = dtype.itemsize * math.prod(shape)
        yield Part(f"{arrays}/{name}.bin", version.rows * row, exact=True, grows=True)
    yield Part(f"{arrays}/{LISTING}", version.listing.bytes, exact=True, grows=True)
    yield Part("encoder/encoder.json", 256 * _MB)
    yield Part("encoder/encoder.safetensors", 1 << 36)
    yield Part(CARD, 4 * _MB, needed=False)
    yield Part(STRIP, 64 * _MB, needed=False)
    yield Part(COVERAGE, 64 * _MB, needed=False)


class Origin(Protocol):
    """Where a memory is pulled from.

    Attributes:
        name: of the place, for messages.
        is_whole: whether nobody writes there, so that no file has more than its version needs.
    """

    name: str
    is_whole: bool

    def size(self, name: str) -> int | None:
        """How many bytes a file has there; None if it is not there.

        Raises:
            MemworldError: it is something that must not be taken, as a link.
        """
        ...

    def fetch(self, parts: Sequence[Part], folder: Path) -> None:
        """Bring files here, each into its place in a folder.

        Raises:
            MemworldError: one cannot be read there, or written here.
        """
        ...


def check_sizes(origin: Origin, parts: Sequence[Part], free: int) -> list[Part]:
    """Which of the parts are there, each of a size that it may have.

    Args:
        origin: where.
        parts: which.
        free: bytes that may be written in all.

    Raises:
        MemworldError: one is missing or too large or too small, or all of them are too much.
    """
    found, total = [], 0
    for part in parts:
        size = origin.size(part.name)
        if size is None:
            if part.needed:
                raise MemworldError(f"{origin.name} holds no whole memory: it has no {one_line(part.name)}")
            continue
        enough = size >= part.most if part.grows and not origin.is_whole else size == part.most
        if not (enough if part.exact else size <= part.most):
            raise MemworldError(
                f"{origin.name} cannot be taken: {one_line(part.name)} has {size} bytes, and "
                f"{'must have' if part.exact else 'may have at most'} {part.most}: push it there again"
            )
        total += part.most if part.exact else size
        found.append(part)
    if total > free:
        raise MemworldError(
            f"{origin.name} takes {total / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free here: free space, or name "
            "another output"
        )
    return found
