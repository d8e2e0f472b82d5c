"""Files that are either whole or not there: atomic writes and reads that fail with clear words."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors
import safetensors.numpy
from PIL import Image

from memworld.errors import MemworldError

_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")

_TEMPORARY = ".tmp-"
"""How the names of unfinished files begin."""

KIND_KEY = "memworld"
"""The entry of a marker file that says what kind of folder memworld made it for."""

OnExisting = Literal["error", "resume", "overwrite"]


def one_line(thing: object) -> str:
    """The words of `thing` in one line: errors and spaces of others may take several."""
    return " ".join(str(thing).split())


def check_name(name: str, what: str) -> str:
    """Return `name` if it can serve as a file name in any folder, else raise.

    Names come from data sets and archives, so one that holds a path must never reach the disk.

    Raises:
        MemworldError: `name` is empty, too long, or has other characters than letters, digits,
            `.`, `_` and `-`.
    """
    if not isinstance(name, str) or not _SAFE_NAME.fullmatch(name):
        raise MemworldError(
            f"{what} {name!r} cannot be a file name: use 1 to 128 letters, digits, '.', '_' or '-', "
            "not starting with '.' or '-'"
        )
    return name


def prepare_folder(path: Path, on_existing: OnExisting, marker: str, kind: str | None = None) -> None:
    """Make the folder `path` ready for output that belongs to memworld.

    Args:
        path: the folder.
        on_existing: what to do when it holds something: `error`, `resume` (keep what is there) or
            `overwrite` (remove it, but only if it holds `marker`, so that a mistyped path never
            deletes a folder that is not ours).
        marker: name of the file by which memworld knows its own folder.
        kind: what the JSON file `marker` must say under `KIND_KEY`; None asks for the file alone.

    Raises:
        MemworldError: the folder exists and must not, is a file, or cannot be written.
    """
    if on_existing not in ("error", "resume", "overwrite"):
        raise MemworldError(f"unknown on_existing {on_existing!r}: use error, resume or overwrite")
    try:
        if path.exists() and not path.is_dir():
            raise MemworldError(f"output {path} is a file: name a folder")
        # What a killed first write left behind is nothing that anyone could lose.
        if path.is_dir() and any(not child.name.startswith(_TEMPORARY) for child in path.iterdir()):
            if on_existing == "error":
                raise MemworldError(
                    f"output folder {path} exists and is not empty: name another, or use --resume or --overwrite"
                )
            if not (path / marker).is_file() or (kind is not None and _kind_of(path / marker) != kind):
                raise MemworldError(
                    f"output folder {path} exists and holds no {marker}{f' of a memworld {kind}' if kind else ''}, so "
                    f"it is not memworld's to {on_existing}: name another folder"
                )
            if on_existing == "overwrite":
                _empty(path, marker)
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error


def _kind_of(marker: Path) -> object:
    """What a marker file says that its folder is; None if it says nothing."""
    try:
        value = json.loads(marker.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return None
    return value.get(KIND_KEY) if isinstance(value, dict) else None


def make_folder(path: Path) -> None:
    """Make the folder `path`, and those above it, unless it is there.

    Raises:
        MemworldError: it is a file or cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> MemworldError:
    return MemworldError(
        f"output folder {path} cannot be written ({error.strerror or error}): name another or change its permissions"
    )


def _empty(path: Path, marker: str) -> None:
    """Remove everything in the folder, `marker` last: by it a removal that was killed can go on."""
    for child in sorted(path.iterdir(), key=lambda child: child.name == marker):
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()


def write_atomic(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, sync it, and rename it into place.

    A reader sees the old file or the new one, never a part; a failed or killed write leaves the
    old one and, at worst, a `.tmp-` file that nothing reads.

    Raises:
        MemworldError: the folder is missing or cannot be written, or the disk is full.
    """
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=_TEMPORARY, suffix=path.suffix)
        temporary = Path(name)
        os.close(handle)
        write(temporary)
        # mkstemp's files are private; the user's umask should decide, as for any other file.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise MemworldError(
            f"cannot write {path} ({error.strerror or error}): free space or change its permissions; "
            "what was there before is unharmed"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    write_atomic(path, lambda temporary: void(temporary.write_bytes(content)))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, keys in the given order, atomically."""
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def write_picture(path: Path, strips: Sequence[np.ndarray]) -> None:
    """Write strips of frames, uint8 (N, H, W, C) each, one below the other as one PNG."""
    picture = np.concatenate([np.concatenate(list(strip), axis=1) for strip in strips], axis=0)
    image = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    write_atomic(path, lambda temporary: image.save(temporary, format="PNG"))


def to_json(settings: Any) -> dict[str, Any]:
    """A dataclass of settings in plain JSON values, as a file gives them back."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(settings)))
    return plain


def void(_: object) -> None:
    """Drop a return value, for callbacks that must return nothing."""


def read_json(path: Path, what: str) -> Any:
    """Read a JSON file.

    Raises:
        MemworldError: it is missing, cannot be read or is not JSON; the message calls it `what`.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MemworldError(f"{path.parent} is no {what}: it has no {path.name}") from error
    except OSError as error:
        raise MemworldError(
            f"cannot read {path} ({error.strerror or error}): check the path and its permissions"
        ) from error
    except (ValueError, RecursionError) as error:
        raise MemworldError(f"{path} is damaged or not a {what}: not valid JSON ({error})") from error


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write named arrays as safetensors, atomically and with the same bytes for the same content."""
    # safetensors copies a non-contiguous array's raw buffer as it lies, which would reorder it.
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    write_bytes(path, safetensors.numpy.save(contiguous, dict(metadata) if metadata else None))


def read_arrays(path: Path, what: str) -> dict[str, np.ndarray]:
    """Read a safetensors file into named arrays.

    Raises:
        MemworldError: it is missing, truncated or damaged.
    """
    try:
        return dict(safetensors.numpy.load_file(path))
    except FileNotFoundError as error:
        raise MemworldError(f"{what} {path} is missing: restore it or make it again") from error
    except OSError as error:
        raise MemworldError(
            f"cannot read {path} ({error.strerror or error}): check the path and its permissions"
        ) from error
    # The last two: number formats that NumPy does not have.
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MemworldError(
            f"{what} {path} is truncated or damaged ({one_line(error)}): restore it or make it again"
        ) from error
