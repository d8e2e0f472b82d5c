"""What memory a folder holds, and its versions: small JSON files, each whole or not there.

`memory.json` says what memory it is and which version counts; it is replaced in one rename, last of
all that a change writes. `versions/<number>.json` describes a version: how much of the other files
belongs to it, and a seal of each file of the table.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from memworld.datasets import DatasetInfo
from memworld.errors import MemworldError
from memworld.storage import KIND_KEY, make_folder, one_line, read_json, write_json

FORMAT = 2
"""Version of the memory's files."""

INDEX = "memory.json"
VERSIONS = "versions"

KEPT = 50
"""Versions that one can go back to; older ones are dropped when another is written."""

_MOST = 1 << 31
"""Numbers in a latent, or bytes in a frame."""

_UNSOUND = (KeyError, TypeError, ValueError, OverflowError, AttributeError, RecursionError)


@dataclass(frozen=True)
class Settings:
    """All of a memory but its episodes; it never changes.

    Attributes:
        info: what its episodes share.
        encoder: fingerprint of its encoder.
        latent_shape: (d,) or (c, h, w).
        seed: of the one sample of each posterior.
        frames: whether it keeps frames.
    """

    info: DatasetInfo
    encoder: str
    latent_shape: tuple[int, ...]
    seed: int
    frames: bool

    def to_json(self) -> dict[str, Any]:
        """The same in plain JSON values."""
        return {
            "info": self.info.to_json(),
            "encoder": self.encoder,
            "latent_shape": list(self.latent_shape),
            "seed": self.seed,
            "frames": self.frames,
        }

    @classmethod
    def from_json(cls, value: Any) -> "Settings":
        """Undo `to_json`.

        Raises:
            MemworldError, KeyError, TypeError, ValueError, OverflowError: `value` is damaged.
        """
        shape, seed, frames = tuple(value["latent_shape"]), value["seed"], value["frames"]
        whole = len(shape) in (1, 3) and all(type(n) is int and n > 0 for n in shape)
        if not whole or math.prod(shape) > _MOST:
            raise ValueError(f"latent_shape {list(shape)}")
        if type(seed) is not int or type(frames) is not bool:
            raise TypeError(f"seed {seed!r}, frames {frames!r}")
        encoder = value["encoder"]
        if not isinstance(encoder, str) or not encoder.isprintable():  # it is named in messages
            raise ValueError(f"encoder {encoder!r}")
        info = DatasetInfo.from_json(value["info"])
        if math.prod(info.observation_shape) > _MOST:
            raise ValueError(f"observation_shape {list(info.observation_shape)}")
        return cls(info, encoder, shape, seed, frames)

    def check_same(self, path: Path, other: "Settings") -> None:
        """Do nothing if what is stored in `path` with these settings can become a memory of others.

        Raises:
            MemworldError: one differs; both values are named.
        """
        mine, others = ({**s.to_json(), **s.info.to_json()} for s in (self, other))
        for name in ("encoder", "seed", "frames", *self.info.to_json()):
            if mine[name] != others[name]:
                raise MemworldError(
                    f"{path} holds a memory with {name} {mine[name]}, this one has {others[name]}: "
                    "name another folder, or use --overwrite"
                )


@dataclass(frozen=True)
class Seal:
    """What a file must be: its size in bytes and its SHA-256."""

    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "Seal":
        """The seal of a file as it is now."""
        with path.open("rb") as file:
            return cls(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


@dataclass(frozen=True)
class Version:
    """One state of a memory.

    Attributes:
        number: from 1; 0 is the memory before anything was stored.
        time: when it was written, UTC, ISO 8601.
        change: what was done to the version before, in words.
        episodes: how many it holds.
        rows: how many, an episode's last observation included.
        table: the version of the table, 0 if there is none yet.
        files: by its path in the table's folder, the seal of each file that this version needs.
        arrays: number of the folder of arrays, 0 if there is none yet.
        listing: the seal of the part of the list of episodes that belongs to this version.
    """

    number: int = 0
    time: str = ""
    change: str = "started"
    episodes: int = 0
    rows: int = 0
    table: int = 0
    files: Mapping[str, Seal] = field(default_factory=dict)
    arrays: int = 0
    listing: Seal = Seal(0, hashlib.sha256().hexdigest())

    def following(self, change: str, **now: Any) -> "Version":
        """The version after this one."""
        time = datetime.now(UTC).isoformat(timespec="seconds")
        return replace(self, number=self.number + 1, time=time, change=change, **now)


def name_of(number: int) -> str:
    """The file name of a version."""
    return f"{number:08}.json"


def read_index(path: Path) -> tuple[Settings, int]:
    """What memory the folder `path` holds, and the number of the version that counts.

    Raises:
        MemworldError: it is missing, damaged or of another format.
    """
    try:
        value = read_json(path / INDEX, "memory")
    except MemworldError as error:
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            raise MemworldError(f"{path} is no memory: {_missing(path)}") from error.__cause__
        raise
    try:
        if value["format"] == 1:
            raise MemworldError("format 1 has no versions; its first change writes the memory anew, with them")
        if value["format"] != FORMAT:
            raise MemworldError(
                f"format {value['format']!r} is not {FORMAT}, which this version reads: update memworld"
            )
        if value.pop("sha256") != _digest(value):
            raise ValueError("its SHA-256 is another's")
        settings, number = Settings.from_json(value), value["version"]
        if type(number) is not int or number < 0:
            raise ValueError(f"version {number!r}")
    except MemworldError as error:
        raise MemworldError(f"{path / INDEX} cannot be used: {error}") from error
    except _UNSOUND as error:
        raise _damaged(path / INDEX, error, "restore it or remember the episodes again") from error
    return settings, number


def _missing(path: Path) -> str:
    """What is wrong with a path that holds no memory, and what to give instead."""
    if not path.exists():
        return "nothing is there: check the path, or make a memory with memworld remember"
    if not path.is_dir():
        return "it is a file: give the folder that memworld remember wrote"
    if (path / "memory" / INDEX).exists():  # the folder of a whole run
        return f"it has no {INDEX}: give its folder {path / 'memory'}, which is one"
    return (
        f"it has no {INDEX}: give the folder that memworld remember wrote, or look through recorded episodes with "
        "memworld browse"
    )


def write_index(path: Path, settings: Settings, number: int) -> None:
    """Let a version count, which has been written."""
    value = {KIND_KEY: "memory", "format": FORMAT, **settings.to_json(), "version": number}
    write_json(path / INDEX, {**value, "sha256": _digest(value)})


def read_version(path: Path, number: int) -> Version:
    """A version of the memory in the folder `path`.

    Raises:
        MemworldError: it is missing or damaged.
    """
    if number == 0:
        return Version()
    file = path / VERSIONS / name_of(number)
    way_back = f"restore it, or go back: memworld versions {path}"
    try:
        value = read_json(file, "version of a memory")
    except MemworldError as error:
        raise MemworldError(f"{error}; {way_back}") from error
    try:
        digest = value.pop("sha256")
        if digest != _digest(value):
            raise ValueError("its SHA-256 is another's")
        files = {str(name): Seal(**seal) for name, seal in value.pop("files").items()}
        listing = Seal(**value.pop("listing"))
        version = Version(**value, files=files, listing=listing)
        _check(version, number)
    except _UNSOUND as error:
        raise _damaged(file, error, way_back) from error
    return version


def write_version(path: Path, version: Version) -> None:
    """Describe a version; it does not count yet."""
    make_folder(path / VERSIONS)
    value = json.loads(json.dumps(asdict(version)))
    write_json(path / VERSIONS / name_of(version.number), {**value, "sha256": _digest(value)})


def version_numbers(path: Path) -> list[int]:
    """The versions that are described in the folder `path`, ascending; whether they count is not asked."""
    folder = path / VERSIONS
    names = [f.stem for f in folder.glob("*.json")] if folder.is_dir() else []
    return sorted(int(name) for name in names if name.isdecimal() and name_of(int(name)) == f"{name}.json")


def _check(version: Version, number: int) -> None:
    """Do nothing if every entry is of its type and in its range."""
    counts = (version.episodes, version.rows, version.table, version.arrays, version.listing.bytes)
    if version.number != number or not all(type(n) is int and 0 <= n < 1 << 63 for n in counts):
        raise ValueError(f"number {version.number!r}, counts {counts}")
    if (version.rows > 0) != (version.episodes > 0) or version.rows < 2 * version.episodes:
        raise ValueError(f"{version.rows} rows of {version.episodes} episodes")
    for name, seal in version.files.items():
        parts = name.split("/")
        # The names become paths, which must stay in the table's folder, and stand in messages.
        if any(part in ("", ".", "..") or "\\" in part or not part.isprintable() for part in parts):
            raise ValueError(f"file {name!r}")
        if type(seal.bytes) is not int or type(seal.sha256) is not str:
            raise TypeError(f"seal {seal}")


def _digest(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _damaged(file: Path, error: Exception, fix: str) -> MemworldError:
    return MemworldError(f"{file} is damaged ({type(error).__name__}: {one_line(error)}): {fix}")
