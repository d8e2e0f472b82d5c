"""Whether all that a memory holds is as it was written, to the last bit."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memworld.encoders import open_encoder
from memworld.errors import MemworldError
from memworld.memory import Memory
from memworld.storage import check_no_links
from memworld.store.comparing import table_problems
from memworld.store.first_format import is_first_format, open_first_format
from memworld.store.opening import PARTS, Stored
from memworld.store.recovering import make_arrays_anew
from memworld.store.table import TABLE, check_seal
from memworld.store.versions import Version, read_index, read_version, version_numbers

_LIMIT = 24 * 3600
"""Seconds that reading a table apart may take."""


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Attributes:
        episodes: in the memory.
        rows: in the memory.
        versions: the present one and those that one can go back to.
        problems: what is wrong, one sentence each; empty if all is sound.
    """

    episodes: int
    rows: int
    versions: tuple[Version, ...]
    problems: tuple[str, ...]


def check_memory(path: str | Path, repair: bool = False, apart: bool = False) -> Checked:
    """Read everything that a memory holds, and compare it with what was written.

    Every file of the table is compared with its seal, every episode's arrays with their SHA-256, and the
    table's rows, frames excepted, with the arrays; the encoder beside it, if there is one, with its fingerprint.

    Args:
        path: the memory's folder.
        repair: whether to make the arrays anew from the table, if they are damaged and it is not.
        apart: whether to read the table in a process of its own, which a file that somebody has made
            to do harm could end.

    Raises:
        MemworldError: there is no memory.
    """
    path = Path(path)
    check_no_links(path, *PARTS)
    if is_first_format(path):
        memory = open_first_format(path)
        found = (*_frames_problems(memory), *_encoder_problems(path, memory.encoder_fingerprint))
        return Checked(len(memory.entries), len(memory), (), found)
    problems, versions = _problems(path, apart)
    if repair and problems:
        make_arrays_anew(path)
        problems, versions = _problems(path, apart)
    settings, number = read_index(path)
    if number:  # before that, a killed start may not have come to write it
        problems += _encoder_problems(path, settings.encoder)
    return Checked(versions[-1].episodes, versions[-1].rows, versions, tuple(problems))


def _problems(path: Path, apart: bool) -> tuple[list[str], tuple[Version, ...]]:
    """What is wrong; what a writer beside it deletes is not."""
    number, versions, unread = _versions(path)
    found = []
    try:
        stored = Stored.open(path)
        found += stored.arrays.problems(stored.settings)
        mapped = True
    except MemworldError as error:
        found, mapped = [str(error)] if number not in unread else [], False
    broken = _broken_seals(path, versions)
    # The description of a version goes first of all that only it needs.
    there = {number, *version_numbers(path)} if read_index(path)[1] == number else set(version_numbers(path))
    needed = {name for version in versions if version.number in there for name in version.files}
    found += [problem for other, problem in unread.items() if other in there]
    found += (in_files := [problem for name, problem in broken.items() if name in needed])
    if mapped and not in_files:
        found += _apart(path) if apart else table_problems(path)
    return found, (*versions, *([Version(number)] if number in unread else []))


def _versions(path: Path) -> tuple[int, list[Version], dict[int, str]]:
    """The number of the present version, the present and earlier ones, and what is wrong with those unread."""
    number = read_index(path)[1]
    versions, unread = [], {}
    for other in [*(n for n in version_numbers(path) if n < number), number]:
        try:
            versions.append(read_version(path, other))
        except MemworldError as error:
            unread[other] = str(error)
    return number, versions, unread


def _broken_seals(path: Path, versions: list[Version]) -> dict[str, str]:
    """Files of the table that are not as they were written, for whatever version, and how."""
    found = {}
    for name, seal in sorted({item for version in versions for item in version.files.items()}, key=str):
        try:
            check_seal(path / TABLE / name, seal)
        except MemworldError as error:
            found[name] = str(error)
    return found


def _apart(path: Path) -> list[str]:
    """`table_problems`, asked of another process."""
    command = [sys.executable, "-m", "memworld.store.comparing", str(path)]
    try:
        ended = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=_LIMIT)
        if ended.returncode == 0:
            return [str(problem) for problem in json.loads(ended.stdout)]
        how = f"ended the process ({ended.returncode})"
    except subprocess.TimeoutExpired:
        how = f"took more than {_LIMIT // 3600} hours"
    return [f"{path / TABLE} is damaged: reading it {how}"]


def _encoder_problems(path: Path, fingerprint: str) -> Iterator[str]:
    """What is wrong with the encoder beside the memory in the folder `path`."""
    folder = path / "encoder"
    if not folder.exists():
        return
    try:
        if open_encoder(folder).fingerprint != fingerprint:
            yield f"{folder} holds another encoder than the one that made the memory: restore it"
    except MemworldError as error:
        yield str(error)


def _frames_problems(memory: Memory) -> Iterator[str]:
    """Frames of a memory of format 1 that cannot be read."""
    for episode in memory.episodes:
        try:
            if episode.frames is not None:
                np.asarray(episode.frames)
        except MemworldError as error:
            yield str(error)
