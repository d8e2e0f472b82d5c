"""Whether all that a memory holds is as it was written, to the last bit."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memworld.errors import MemworldError
from memworld.memory import Memory
from memworld.storage import check_no_links
from memworld.store.arrays import Arrays
from memworld.store.comparing import table_problems
from memworld.store.first_format import is_first_format, open_first_format
from memworld.store.opening import PARTS
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
    table's rows, frames excepted, with the arrays.

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
        return Checked(len(memory.entries), len(memory), (), tuple(_frames_problems(memory)))
    problems, versions = _problems(path, apart)
    if repair and problems:
        make_arrays_anew(path)
        problems, versions = _problems(path, apart)
    return Checked(versions[-1].episodes, versions[-1].rows, versions, tuple(problems))


def _problems(path: Path, apart: bool) -> tuple[list[str], tuple[Version, ...]]:
    settings, number = read_index(path)
    found: list[str] = []
    versions = []
    for other in [*(n for n in version_numbers(path) if n < number), number]:
        try:
            versions.append(read_version(path, other))
        except MemworldError as error:
            found.append(str(error))
    if not versions or versions[-1].number != number:
        return found, (*versions, Version(number))
    present = versions[-1]
    try:
        in_arrays = Arrays.open(path, settings, present).problems(settings)
        mapped = True
    except MemworldError as error:
        in_arrays, mapped = [str(error)], False
    in_files = _broken_seals(path, versions)
    found += in_arrays + in_files
    if mapped and not in_files:
        found += _apart(path) if apart else table_problems(path)
    return found, tuple(versions)


def _broken_seals(path: Path, versions: list[Version]) -> list[str]:
    """Files of the table that are not as they were written, for whatever version."""
    found = []
    for name, seal in sorted({item for version in versions for item in version.files.items()}, key=str):
        try:
            check_seal(path / TABLE / name, seal)
        except MemworldError as error:
            found.append(str(error))
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


def _frames_problems(memory: Memory) -> Iterator[str]:
    """Frames of a memory of format 1 that cannot be read."""
    for episode in memory.episodes:
        try:
            if episode.frames is not None:
                np.asarray(episode.frames)
        except MemworldError as error:
            yield str(error)
