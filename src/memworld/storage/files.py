"""Files that are either whole or not there: atomic writes and reads that fail with clear words."""

import errno
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from PIL import Image

from memworld.errors import MemworldError

_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")

TEMPORARY = ".tmp-"
"""How the names of unfinished files begin."""


def one_line(thing: object) -> str:
    """The words of `thing` in one line that can be printed.

    Errors and spaces of others may take several lines, and text out of files may hold what a terminal obeys.
    """
    line = " ".join(str(thing).split())
    return line if line.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


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


def write_atomic(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, sync it, and rename it into place.

    A reader sees the old file or the new one, never a part; a failed or killed write leaves the
    old one and, at worst, a `.tmp-` file that nothing reads.

    Raises:
        MemworldError: the folder is missing or cannot be written, or the disk is full.
    """
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=TEMPORARY, suffix=path.suffix)
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
        sync_folder(path.parent)
    except OSError as error:
        raise MemworldError(
            f"cannot write {path} ({error.strerror or error}): free space or change its permissions; "
            "what was there before is unharmed"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def delete(path: Path) -> None:
    """Remove a file, a link (never what it points to) or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


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


def check_file(path: Path) -> None:
    """Do nothing unless `path` is there but neither file nor folder: reading a pipe would wait forever.

    Raises:
        OSError: it is something else, or cannot be looked at.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "Not a regular file", str(path))


def read_json(path: Path, what: str) -> Any:
    """Read a JSON file.

    Raises:
        MemworldError: it is missing, cannot be read or is not JSON; the message calls it `what`.
    """
    try:
        check_file(path)
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
        check_file(path)
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
