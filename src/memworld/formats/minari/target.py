"""The place of a Minari set, and the folder beside it in which the set grows until it takes its place.

.NAME.unfinished/
memworld.json     how it was begun
episodes/         HDF5: a file for each episode, as a kill would damage one file for all
set/data/         what becomes NAME/data; Arrow's episodes lie here from the start
old/              what NAME was, once the set has taken its place; empty if NAME was not there
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from memworld.errors import MemworldError
from memworld.formats.minari.places import DATA, METADATA
from memworld.storage import OnExisting, delete, one_line, prepare_folder, read_json

MARKER = "memworld.json"
KIND = "unfinished Minari set"
NEW = "set"

_OLD = "old"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in one line what the disk, or HDF5 on it, refuses."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise MemworldError(
            f"cannot write the Minari set {path} ({one_line(error)}): free space or choose another; what was there "
            "before is unharmed"
        ) from error


def check_target(path: Path, on_existing: OnExisting) -> None:
    """Do nothing if a set may be put at `path`, and leave what is there as it is.

    Raises:
        MemworldError: something is there and must not, or is no Minari set and nothing else; or the
            folder cannot be written.
    """
    marker = f"{DATA}/{METADATA}"
    # The old set stays until the new one is complete.
    prepare_folder(path, "resume" if on_existing == "overwrite" else on_existing, marker)
    if not any(path.iterdir()):
        path.rmdir()
        return
    more = sorted(child.name for child in path.iterdir() if child.name != DATA and not child.name.startswith("."))
    metadata = read_json(path / marker, "Minari set")
    if more or not isinstance(metadata, dict) or "total_episodes" not in metadata:
        what = f"{', '.join(map(one_line, more[:3]))} beside its data" if more else f"no total_episodes in {marker}"
        raise MemworldError(f"{path} has {what}, so it is not a Minari set alone to {on_existing}: name another folder")


def replace(path: Path, work: Path) -> None:
    """Put the new set into the place of `path`; an interrupt puts back what was there."""
    old, new = work / _OLD, work / NEW
    try:
        if path.exists():
            path.rename(old)
        else:
            old.mkdir()
        new.rename(path)
    except BaseException:
        if not path.exists():
            _put_back(path, old)
        raise


def recover(path: Path, work: Path) -> None:
    """Put right what a kill around `replace` left behind."""
    old = work / _OLD
    if not old.is_dir() or not (work / MARKER).is_file():
        return
    if path.exists():
        remove(work)
        work.mkdir(exist_ok=True)
    else:
        _put_back(path, old)


def remove(work: Path) -> None:
    """Remove the folder in which a set has grown."""
    for child in list(work.iterdir()):
        # By these two a removal that was killed goes on, and is not taken for a set that still grows.
        if child.name not in (_OLD, MARKER):
            delete(child)
    prepare_folder(work, "overwrite", MARKER, KIND)
    remove_if_empty(work)


def remove_if_empty(work: Path) -> None:
    """Remove a folder that has nothing in it."""
    with suppress(OSError):
        work.rmdir()


def _put_back(path: Path, old: Path) -> None:
    if not old.is_dir():
        return
    if any(old.iterdir()):
        old.rename(path)
    else:
        old.rmdir()
