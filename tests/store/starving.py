"""Operations on a memory whose disk is full, or whose files may grow no further."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tests.store.acting import append, begin, join
from tests.store.operating import OPERATIONS
from tests.store.torturing import Torture, job_of, look

PAGE = 4096
"""Bytes by which files on a small disk grow."""

FULL = ("No space left on device", "File too large")
"""What the system says of a disk that is full, and of a file that may grow no further."""


@contextmanager
def filled(folder: Path, free: int) -> Iterator[None]:
    """Leave so many bytes free on the disk of a folder."""
    filler, disk = folder / "filler", os.statvfs(folder)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_frsize - free)
    try:
        yield
    finally:
        filler.unlink()


def starve(torture: Torture, name: str, free: int | None = None, file_bytes: int | None = None) -> bool:
    """Do an operation with so little space, and see that it loses nothing.

    Args:
        torture: its folder is on a small disk, if that is to be full.
        name: the operation's.
        free: bytes left on the disk; None leaves all.
        file_bytes: the largest file that may be written; None sets no limit.

    Returns:
        Whether there was too little.
    """
    life, plan = torture.prepared(name)
    if plan.damage is not None:
        plan.damage(life.path)
    with filled(torture.folder, free) if free is not None else nullcontext():
        ended = torture.forks.run(job_of(name, life, plan, file_bytes=file_bytes))
        assert not ended.crashed, ended
        if not ended.refused:
            return False
        assert any(words in ended.refused for words in FULL), ended.refused
        # A stream tries again to store what waits when it is closed, and by then some space may be free.
        more = OPERATIONS[name].act in (append, begin, join)
        allowed = list(plan.states[len(ended.told) :][: 1 + more])
        if not plan.again:
            found = look(life.path)
            assert found.state in allowed, (found, allowed)
            assert not found.problems, found.problems
    torture.survive(name, life, plan, allowed)
    return True
