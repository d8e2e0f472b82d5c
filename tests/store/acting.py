"""What users do to a memory on disk, and what may happen to it: the functions that children are asked to run.

A child says that a change is done by its `tell`, as a user would know it by the call's return.
"""

from collections.abc import Sequence
from pathlib import Path

from memworld.distill import distill
from memworld.encoders import open_encoder
from memworld.remember import MemoryStream
from memworld.store import (
    check_memory,
    compact_memory,
    forget_episodes,
    go_back,
    open_memory,
    read_index,
    save_memory,
    table_changes,
)
from memworld.store.versions import VERSIONS, name_of
from tests.store.forking import Tell
from tests.store.lives import ENCODER, empty, id_of, lived


def append(tell: Tell, path: str, names: Sequence[str], each: int = 1) -> None:
    """Append episodes, so many in a change."""
    with MemoryStream.open(path, episodes=each) as stream:
        for number, name in enumerate(names, 1):
            stream.append(lived(name, stream.memory.info))
            if number % each == 0 or number == len(names):
                stream.flush()
                tell(name)


def begin(tell: Tell, path: str, names: Sequence[str]) -> None:
    """Make the folder, and append the first episodes one at a time."""
    with MemoryStream(path, empty(), ENCODER, episodes=1) as stream:
        tell("begun")
        for name in names:
            stream.append(lived(name))
            tell(name)


def join(tell: Tell, path: str, names: Sequence[str]) -> None:
    """Append episodes one at a time where a few small files are many, so that they are written together."""
    table_changes._MANY_FILES = 2
    append(tell, path, names)


def save(tell: Tell, path: str, names: Sequence[str]) -> None:
    """Append episodes in memory, each in the place of one of its id if there is one, and save it."""
    memory, encoder = open_memory(path), open_encoder(Path(path) / "encoder")
    memory.remove([id_of(name) for name in names if id_of(name) in memory.ids])
    memory.extend([lived(name, memory.info) for name in names], encoder)
    save_memory(memory, path, "resume", encoder)
    tell("saved")


def overwrite(tell: Tell, path: str, names: Sequence[str]) -> None:
    """Save another memory in the place of the one that is there."""
    memory = empty()
    memory.extend(map(lived, names), ENCODER)
    save_memory(memory, path, "overwrite", ENCODER)
    tell("saved")


def forget(tell: Tell, path: str, ids: Sequence[str], erase: bool = False) -> None:
    """Remove episodes, one a change, and perhaps take them off the disk."""
    for one in ids:
        forget_episodes(path, [one])
        tell(one)
    if erase:
        compact_memory(path)
        tell("erased")


def tidy(tell: Tell, path: str) -> None:
    """Change nothing; what belongs to no version is deleted, as before every change."""
    forget_episodes(path, [])


def compact(tell: Tell, path: str) -> None:
    """Compact."""
    compact_memory(path)
    tell("compacted")


def restore(tell: Tell, path: str, number: int) -> None:
    """Go back to a version."""
    go_back(path, number)
    tell("restored")


def repair(tell: Tell, path: str) -> None:
    """Make damaged arrays anew."""
    found = check_memory(path, repair=True)
    assert not found.problems, found.problems
    tell("repaired")


def make_smaller(tell: Tell, path: str, source: str, rows: int) -> None:
    """Write the best of another memory."""
    distill(source, path, rows=rows, on_existing="overwrite")
    tell("distilled")


def spoil_version(path: Path, number: int | None = None) -> None:
    """Damage the description of a version; None is the present one."""
    file = path / VERSIONS / name_of(number or read_index(path)[1])
    file.write_bytes(file.read_bytes()[:-40])


def spoil_arrays(path: Path) -> None:
    """Damage an array."""
    [file] = path.glob("arrays/*/mu.bin")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.unlink()  # so that what is mapped stays as it was
    file.write_bytes(content)
