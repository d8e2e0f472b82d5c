"""Where Minari sets lie, what they are called, and what every one of them has."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from memworld.errors import MemworldError
from memworld.extras import import_extra
from memworld.storage import one_line

DATA = "data"
METADATA = "metadata.json"
VERSION = 1
"""Of what memworld adds to a set."""

DEFAULT_ID = "memworld/episodes-v0"

# No dots: an id must not lead out of the folder of the sets.
_ID = re.compile(r"[-\w]+(/[-\w]+)*")


def datasets_root() -> Path:
    """The folder in which Minari keeps data sets by id, made or not."""
    root = os.environ.get("MINARI_DATASETS_PATH")
    return Path(root) if root else Path.home() / ".minari" / "datasets"


def is_id(text: str) -> bool:
    """Whether `text` can be the id of a set, as `atari/pong/expert-v0`."""
    return _ID.fullmatch(text) is not None


def find_minari(path_or_id: str | Path) -> Path | None:
    """The folder of the data of a Minari set given by its folder, its data folder or its id, if it is there."""
    path = Path(path_or_id)
    # Other formats have a metadata.json too; this one has it in a folder that is called data, or beside the HDF5 file.
    if (path / METADATA).is_file() and (path.name == DATA or (path / "main_data.hdf5").is_file()):
        return path
    folders = [path / DATA, *([datasets_root() / path / DATA] if is_id(str(path_or_id)) else [])]
    return next((folder for folder in folders if (folder / METADATA).is_file()), None)


def not_found(path_or_id: str | Path) -> MemworldError:
    """What to say where `find_minari` finds nothing."""
    if not is_id(str(path_or_id)):
        return MemworldError(f"no Minari set at {path_or_id}: name the folder that holds data/{METADATA}, or an id")
    root = datasets_root()
    return MemworldError(
        f"no Minari set at {path_or_id} nor of that id in {root}: memworld downloads nothing by itself; `minari "
        f'download {path_or_id}` gets it (after pip install "minari[hf]"), and where the network or the set\'s host '
        f"cannot be reached, copy the set's folder from elsewhere to {root / path_or_id}, or name a folder that holds "
        f"data/{METADATA}"
    )


def import_minari() -> Any:
    """The `minari` library, with the one that its HDF5 storage asks for.

    Raises:
        MemworldError: they are not installed.
    """
    import_extra("h5py", "minari", "Minari sets")
    return import_extra("minari", "minari", "Minari sets")


def check_id(dataset_id: str) -> str:
    """Return `dataset_id` if it is one of a Minari set.

    Raises:
        MemworldError: it is not, or minari is not installed.
    """
    import_minari()
    from minari.dataset.minari_dataset import parse_dataset_id

    try:
        parse_dataset_id(dataset_id)
    except (ValueError, TypeError) as error:  # TypeError: it has no version
        raise MemworldError(f"{dataset_id!r} is no Minari id: use (namespace/)name-v0") from error
    return dataset_id


def default_id(path: Path) -> str:
    """The id by which minari finds a set at `path`, a resolved one; `DEFAULT_ID` where it does not."""
    root = datasets_root().resolve()
    inside = path.relative_to(root).as_posix() if path.is_relative_to(root) else ""
    try:
        return check_id(inside) if is_id(inside) else DEFAULT_ID
    except MemworldError:
        return DEFAULT_ID


@contextmanager
def one_error(what: str) -> Iterator[None]:
    """Say in one line whatever minari, h5py, pyarrow and gymnasium raise on damaged files; they promise no errors."""
    try:
        yield
    except MemworldError as error:
        raise MemworldError(f"{what}: {one_line(error)}") from error
    except Exception as error:
        raise MemworldError(
            f"{what} cannot be read ({type(error).__name__}: {one_line(error)}): it is damaged or of another version"
        ) from error
