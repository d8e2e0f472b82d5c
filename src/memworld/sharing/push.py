"""Push: hand a memory on, to the hub or to a folder, with a card that says what it is."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from memworld.errors import MemworldError
from memworld.sharing.copying import copy_memory
from memworld.sharing.hub import Repository
from memworld.sharing.places import HubPlace, check_apart, place_of
from memworld.sharing.replacing import replacing
from memworld.storage import one_line

_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}")


@dataclass(frozen=True)
class Pushed:
    """A memory that was pushed.

    Attributes:
        place: where to: a folder, or `hub:owner/name`.
        url: of its page on the hub; None of a folder.
        episodes: how many it holds.
        rows: how many, each episode's last observation included.
        files: how many, card and figures included.
        bytes: of all of them.
    """

    place: str
    url: str | None
    episodes: int
    rows: int
    files: int
    bytes: int


def push_memory(
    path: str | Path,
    destination: str | Path,
    *,
    license: str | None = None,
    message: str | None = None,
    private: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Pushed:
    """Hand a memory on, with its encoder and a card that describes it.

    What counts when the push begins is written anew and handed on, whole and alone: no earlier version, no
    removed episode, nothing that dynamics have learned. The memory itself is only read.

    Args:
        path: the memory's folder.
        destination: `hub:owner/name`, a data set on the Hugging Face hub (extra `hub`), or the path of a
            folder. The hub keeps former content in its history.
        license: under which others may use it, an identifier of the hub such as `cc-by-4.0`; None says none.
        message: of the commit on the hub.
        private: whether only its owner shall see it on the hub.
        overwrite: whether a memory may be there already, which is then replaced in one step.
        progress: show progress bars of uploads.

    Raises:
        MemworldError: the memory is missing, damaged, empty or without encoder, was changed meanwhile, or the
            destination cannot be written; what was there before is unharmed.
    """
    path, place = Path(path), place_of(destination)
    if license is not None and not _LICENCE.fullmatch(license):
        raise MemworldError(
            f"license {one_line(license)[:80]!r} is no identifier: use one of "
            "https://huggingface.co/docs/hub/repositories-licenses, as cc-by-4.0, or other"
        )
    if isinstance(place, HubPlace):
        repository = Repository(place, progress)
        repository.check_target(private, overwrite)
        with tempfile.TemporaryDirectory(prefix="memworld-push-") as temporary:
            pushed = _write(path, Path(temporary) / "memory", place, license, repository.url)
            repository.push(Path(temporary) / "memory", message or f"Push {pushed.episodes} episodes", private)
        return pushed
    for given, option in ((message, "--message"), (private, "--private")):
        if given:
            raise MemworldError(
                f"{option} is of the hub, and {place} is a folder: leave it out, or give hub:owner/name"
            )
    check_apart(path, place)
    with replacing(place, overwrite) as folder:
        return _write(path, folder, place, license, None)


def _write(path: Path, folder: Path, place: HubPlace | Path, license: str | None, url: str | None) -> Pushed:
    """Write what is to be handed on into a new folder."""
    from memworld.sharing.card import write_card  # which takes its time, as it draws

    memory, encoder = copy_memory(path, folder)
    write_card(folder, memory, encoder, place, license)
    sizes = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
    return Pushed(str(place), url, len(memory.entries), len(memory), len(sizes), sum(sizes))
