"""Where memories are pushed to and pulled from: folders, and repositories on the hub."""

from dataclasses import dataclass
from pathlib import Path

from memworld.errors import MemworldError
from memworld.storage import one_line

HUB = "hub:"
"""How the name of a place on the hub begins."""


@dataclass(frozen=True)
class HubPlace:
    """A data set repository on the hub.

    Attributes:
        repository: owner/name.
    """

    repository: str

    def __str__(self) -> str:
        return HUB + self.repository


def place_of(text: str | Path) -> HubPlace | Path:
    """What a destination or a source names: `hub:owner/name`, or the path of a folder.

    Raises:
        MemworldError: it is neither.
    """
    if isinstance(text, Path):
        return text
    if "://" in text:  # as the address of a page, which would become a folder of that name
        raise MemworldError(f"{one_line(text)[:120]} is an address: give hub:owner/name, or the path of a folder")
    if not text.startswith(HUB):
        return Path(text)
    repository = text.removeprefix(HUB)
    owner, _, name = repository.partition("/")
    if not owner or not name or "/" in name:
        raise MemworldError(f"{one_line(text)[:120]} is no place on the hub: give hub:owner/name")
    return HubPlace(repository)


def check_apart(one: Path, other: Path) -> None:
    """Do nothing unless two folders are the same, or one lies in the other.

    Raises:
        MemworldError: they are, so that writing one could destroy the other.
    """
    first, second = one.resolve(), other.resolve()
    if first.is_relative_to(second) or second.is_relative_to(first):
        raise MemworldError(f"{other} is, contains or lies in {one}: name another folder")
