"""Where things lie in a MineRL folder."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memworld.errors import MemworldError
from memworld.storage import KIND_KEY, check_name, one_line, read_json

VIDEO, ARRAYS, METADATA = "recording.mp4", "rendered.npz", "metadata.json"
VERSION_FILE = "VERSION"
MARKER = "memworld.json"
KIND = "MineRL data set"

NEWEST = 4
"""The newest version of MineRL's data; older ones are told apart by the names of their arrays."""

_PREFIX = re.compile(r"v(\d{1,9})_(?=.)")


@dataclass(frozen=True)
class Located:
    """What was found at a path.

    Attributes:
        root: the folder that holds it all, to which nothing may be written while it is read.
        environment: the name of MineRL's environment, "" if unknown.
        folders: one for each recording, by name.
    """

    root: Path
    environment: str
    folders: tuple[Path, ...]


@contextmanager
def printable_errors() -> Iterator[None]:
    """Keep what a terminal obeys out of errors, which name folders and files as others called them."""
    try:
        yield
    except MemworldError as error:
        if str(error).isprintable():
            raise
        raise MemworldError(one_line(error)) from error


def is_minerl(path: Path) -> bool:
    """Whether `path` is one recording, the folder of an environment, or that of all, or was made by `MineRLWriter`."""
    try:
        return is_own(path) or _is_recording(path) or any(_recordings(path)) or any(_environments(path))
    except OSError:
        return False


def is_own(root: Path) -> bool:
    """Whether `MineRLWriter` made the folder."""
    try:
        return bool(read_json(root / MARKER, KIND)[KIND_KEY] == KIND)
    except (MemworldError, LookupError, TypeError):
        return False


def locate(path: Path) -> Located:
    """Find the recordings at `path`: ROOT, ROOT/<environment> or one recording.

    Raises:
        MemworldError: there are none, those of several environments, or of a version that memworld
            does not read.
    """
    try:
        if _is_recording(path):
            parent = path.resolve().parent.name
            return Located(path, parent if parent.startswith("MineRL") else "", (path,))
        if folders := tuple(_recordings(path)):
            return Located(path, path.resolve().name, folders)
        environments = list(_environments(path)) if path.is_dir() else []
        if len(environments) > 1:
            names = ", ".join(folder.name for folder in environments)
            raise MemworldError(
                f"{path} holds recordings of several environments ({names}): name one, as {environments[0]}"
            )
        if environments:
            _check_version(path)
            (environment,) = environments
            if environment.is_symlink():
                raise MemworldError(f"{environment} is a link, which could lead anywhere: name the folder itself")
            return Located(path, environment.name, tuple(_recordings(environment)))
    except OSError as error:
        raise MemworldError(f"cannot read {path} ({error.strerror or error}): check its permissions") from error
    if is_own(path):
        return Located(path, "", ())
    raise MemworldError(
        f"no MineRL recordings at {path}: name a folder that holds <environment>/<stream>/{ARRAYS}, that of an "
        "environment or that of one stream"
    )


def episode_id(folder: Path) -> str:
    """The name of a recording without the version before it.

    Raises:
        MemworldError: it cannot serve as an id.
    """
    try:
        return check_name(_PREFIX.sub("", folder.name, count=1), "episode id")
    except MemworldError as error:
        raise MemworldError(f"{folder} must be renamed, as its name becomes the episode's id: {error}") from error


def read_metadata(folder: Path) -> Mapping[str, Any]:
    """The metadata of a recording.

    Raises:
        MemworldError: they are missing or damaged, the recording or one of its files is a link, or
            its version is one that memworld does not read.
    """
    for file in (folder / VIDEO, folder / ARRAYS, folder / METADATA):
        if file.is_symlink():
            raise MemworldError(f"{file} is a link, which could lead outside: put what it points to in its place")
    if (version := _PREFIX.match(folder.name)) and int(version[1]) > NEWEST:
        raise _unknown_version(str(folder), version[1])
    metadata = read_json(folder / METADATA, "MineRL recording")
    if not isinstance(metadata, dict):
        raise MemworldError(f"{folder / METADATA} is damaged (no JSON object): restore it")
    return metadata


def check_no_link(folder: Path) -> None:
    """Raise if a recording among others is a link."""
    if folder.is_symlink():
        raise MemworldError(f"recording {folder} is a link, which could lead outside: put the folder in its place")


def _is_recording(folder: Path) -> bool:
    return (folder / ARRAYS).is_file() or ((folder / VIDEO).is_file() and (folder / METADATA).is_file())


def _recordings(folder: Path) -> Iterator[Path]:
    """The recordings in the folder of an environment, even broken ones if any is whole."""
    folders = _folders(folder)
    if any(map(_is_recording, folders)):
        yield from (child for child in folders if _PREFIX.match(child.name) or _is_recording(child))


def _environments(root: Path) -> Iterator[Path]:
    return (folder for folder in _folders(root) if any(_recordings(folder)))


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder by name, without hidden ones, which interrupted writes leave."""
    if not folder.is_dir():
        return []
    return sorted(child for child in folder.iterdir() if not child.name.startswith(".") and child.is_dir())


def _check_version(root: Path) -> None:
    """Raise if `root` says that it is of a version that memworld does not read."""
    file = root / VERSION_FILE
    if not file.is_file():
        return
    with file.open("rb") as stream:
        text = stream.read(64).decode("ascii", "replace").strip()
    if not text.isdecimal() or int(text) > NEWEST:
        raise _unknown_version(str(file), text)


def _unknown_version(where: str, version: str) -> MemworldError:
    return MemworldError(f"{where} has version {version!r} of MineRL's data, memworld reads 3, 4 and those before them")
