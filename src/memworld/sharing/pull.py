"""Pull: take a memory from the hub or from a folder, trusting nothing in it."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from memworld.errors import MemworldError
from memworld.sharing.folder import Folder
from memworld.sharing.hub import Repository
from memworld.sharing.parts import FIRST, Origin, check_sizes, other_parts, version_part
from memworld.sharing.places import check_apart, place_of
from memworld.sharing.replacing import replacing
from memworld.sharing.trying import problems_apart
from memworld.storage import sync_folder
from memworld.store import Version, read_index, read_version
from memworld.store.first_format import is_first_format


@dataclass(frozen=True)
class Pulled:
    """A memory that was pulled.

    Attributes:
        path: the folder where it lies now.
        episodes: how many it holds.
        rows: how many, each episode's last observation included.
        files: how many were taken.
        bytes: of all of them.
    """

    path: Path
    episodes: int
    rows: int
    files: int
    bytes: int


def pull_memory(
    source: str | Path,
    output: str | Path,
    *,
    revision: str | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Pulled:
    """Take a memory from somewhere else.

    Only what the version that counts needs is taken, with the card; sizes are compared before anything is
    copied. All of it is then checked, to the last bit and by another process, before it takes its place.

    Args:
        source: `hub:owner/name`, a data set on the Hugging Face hub (extra `hub`), or the path of a folder.
        output: the folder to write; `WorldModel.open` opens it.
        revision: a commit, branch or tag on the hub; None takes the newest.
        overwrite: whether a memory may be there already, which is then replaced.
        progress: show progress bars of downloads.

    Raises:
        MemworldError: the source is missing, cannot be reached, is no whole memory, is damaged or made to do
            harm, or the output cannot be used; what was there before is unharmed.
    """
    place, output = place_of(source), Path(output)
    if isinstance(place, Path):
        if revision is not None:
            raise MemworldError(f"{place} is a folder, which has no revisions: leave --revision out")
        check_apart(place, output)
    origin: Origin = Folder(place) if isinstance(place, Path) else Repository(place, progress).at(revision)
    with replacing(output, overwrite) as folder:
        version = _take(origin, folder)
        if found := problems_apart(folder):
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            raise MemworldError(f"{origin.name} was not taken: {found[0].replace(str(folder), origin.name)}{more}")
        files = [file for file in folder.rglob("*") if file.is_file()]
        total = sum(file.stat().st_size for file in files)
    return Pulled(output, version.episodes, version.rows, len(files), total)


def _take(origin: Origin, folder: Path) -> Version:
    """Bring a memory into a new folder, and sync it."""
    folder.mkdir()
    free = shutil.disk_usage(folder).free
    try:
        origin.fetch(check_sizes(origin, [FIRST], free), folder)
        if is_first_format(folder):
            raise MemworldError(
                f"{folder} is of the first format: push it with memworld push, which writes it anew, and pull that"
            )
        settings, number = read_index(folder)
        if not number:
            raise MemworldError(f"{folder} is empty: there is nothing to take")
        origin.fetch(check_sizes(origin, [version_part(number)], free), folder)
        version = read_version(folder, number)
        origin.fetch(check_sizes(origin, list(other_parts(settings, version)), free), folder)
    except MemworldError as error:  # where it lies for the moment tells nobody anything
        raise MemworldError(str(error).replace(str(folder), origin.name)) from error
    for file in folder.rglob("*"):
        if file.is_dir():
            sync_folder(file)
        else:
            with file.open("rb+") as written:
                os.fsync(written.fileno())
    sync_folder(folder)
    return version
