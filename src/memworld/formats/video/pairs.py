"""Which video and which table belong together."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from memworld.errors import MemworldError
from memworld.formats.tables import inside
from memworld.storage import check_name

VIDEOS = (".mp4", ".mkv", ".avi", ".mov", ".webm")
TABLES = (".parquet", ".csv")


@dataclass(frozen=True)
class Pair:
    """The files of one name, not all of which need be there.

    Attributes:
        id: the episode's id, their name.
        folder: where they lie.
        videos: the videos of the name.
        tables: the tables of the name.
    """

    id: str
    folder: Path
    videos: tuple[Path, ...]
    tables: tuple[Path, ...]

    @property
    def video(self) -> Path:
        """The one video.

        Raises:
            MemworldError: there is none or several, or it is a link that leads out of the folder.
        """
        return self._one(self.videos, "video", VIDEOS)

    @property
    def table(self) -> Path:
        """The one table.

        Raises:
            MemworldError: there is none or several, or it is a link that leads out of the folder.
        """
        return self._one(self.tables, "table", TABLES)

    def _one(self, files: tuple[Path, ...], what: str, suffixes: tuple[str, ...]) -> Path:
        if len(files) != 1:
            held = ", ".join(file.name for file in files) or f"no {what}"
            raise MemworldError(
                f"{self.folder} holds {held} for the episode {self.id}: keep one file called {self.id} that ends with "
                f"{', '.join(suffixes)}"
            )
        return inside(self.folder, files[0])


def find_pairs(path: Path) -> list[Pair]:
    """The videos and tables in a folder, or the one video at `path` and the tables beside it, by name.

    Raises:
        MemworldError: a name is no id of an episode.
    """
    if path.is_file():
        beside = sorted(file for file in path.parent.iterdir() if file.stem == path.stem)
        return _group(path.parent, [path, *(file for file in beside if file.suffix.lower() in TABLES)])
    return _group(path, sorted(path.iterdir()))


def has_pair(folder: Path) -> bool:
    """Whether there is a video in a folder with a table beside it."""
    names: dict[str, set[bool]] = {}
    for file in _relevant(folder.iterdir()):
        names.setdefault(file.stem, set()).add(file.suffix.lower() in VIDEOS)
    return any(len(kinds) == 2 for kinds in names.values())


def video_without_table(folder: Path) -> Path | None:
    """A video in a folder, for where none has a table; None if there is none."""
    files = sorted(folder.iterdir()) if folder.is_dir() else ()
    return next((file for file in _relevant(files) if file.suffix.lower() in VIDEOS), None)


def _relevant(files: Iterable[Path]) -> Iterable[Path]:
    """The videos and tables of `files`, without the hidden ones of an interrupted write."""
    return (file for file in files if not file.name.startswith(".") and file.suffix.lower() in VIDEOS + TABLES)


def _group(folder: Path, files: Iterable[Path]) -> list[Pair]:
    groups: dict[str, list[Path]] = {}
    for file in _relevant(files):
        groups.setdefault(file.stem, []).append(file)
    return [
        Pair(
            _check_id(folder, name),
            folder,
            tuple(file for file in group if file.suffix.lower() in VIDEOS),
            tuple(file for file in group if file.suffix.lower() in TABLES),
        )
        for name, group in groups.items()
    ]


def _check_id(folder: Path, name: str) -> str:
    try:
        return check_name(name, "episode id")
    except MemworldError as error:
        raise MemworldError(f"files called {name!r} in {folder} must be renamed, as that is the id: {error}") from error
