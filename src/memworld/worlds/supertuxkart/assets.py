"""The game's assets: where Debian puts them, and a folder in which PySuperTuxKart2 accepts them."""

import contextlib
import ctypes.util
import importlib.util
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from memworld.errors import MemworldError
from memworld.storage import one_line
from memworld.storage.files import TEMPORARY

PAPER_TRACKS = ("lighthouse", "fortmagma", "snowmountain", "volcano_island")

# Where distributions install the game's data, Debian's first.
_DATA_FOLDERS = (Path("/usr/share/games/supertuxkart/data"), Path("/usr/share/supertuxkart/data"))

# These have a line to drive along too, but overworld and tutorial are no races, and mines ends the engine.
_NO_RACES = {"mines", "overworld", "tutorial"}

_LIBRARIES = {"EGL": "libegl1", "GL": "libgl1", "glib-2.0": "libglib2.0-0"}

# The assets that the engine wants, and would download.
_VERSION = "1.5"

# Mesa's software renderer needs 100 ms and more a frame with these, instead of 3 to 8.
_SLOW_EXTENSIONS = "-GL_EXT_texture_filter_anisotropic -GL_ARB_texture_filter_anisotropic"


def missing() -> Sequence[str]:
    """What is not installed, each as "WHAT: COMMAND THAT INSTALLS IT"."""
    lacking = []
    if importlib.util.find_spec("pystk2") is None:
        lacking.append('the Python package PySuperTuxKart2: pip install "memworld[supertuxkart]"')
    packages = [] if _data_folder() else ["supertuxkart-data"]
    packages += [package for library, package in _LIBRARIES.items() if not ctypes.util.find_library(library)]
    return lacking + [f"the Debian package {package}: apt-get install {package}" for package in packages]


def tracks() -> list[str]:
    """Race tracks: the paper's, which are listed also where they are not installed, then the others."""
    folder = _data_folder()
    found = {path.parent.name for path in folder.glob("tracks/*/quads.xml")} if folder else set()
    return [*PAPER_TRACKS, *sorted(found - _NO_RACES - set(PAPER_TRACKS))]


def engine_environment(scratch: Path) -> dict[str, str]:
    """Prepare the assets for the engine, in the user's cache, and return its environment variables.

    The assets' folder is made of links. It is brought up to date each time, by steps that can be
    taken twice and by several processes at once, so what a killed process left half-done does no harm.

    Args:
        scratch: an empty folder, where the engine may write what it likes.

    Raises:
        MemworldError: the assets are not installed, or the cache cannot be written.
    """
    assets = _data_folder()
    if assets is None:
        raise MemworldError("SuperTuxKart's assets are not installed: apt-get install supertuxkart-data")
    try:
        cache = _cache_folder()
        _link_assets(assets, cache / "PySuperTuxKart2" / _VERSION)
    except (OSError, RuntimeError) as error:  # RuntimeError: the user has no home
        raise MemworldError(
            f"cannot prepare SuperTuxKart's assets in the cache ({one_line(error)}): "
            "set XDG_CACHE_HOME to a folder that you can write to"
        ) from error
    # The engine would take the first two as the places of its assets and settings.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SUPERTUXKART_")}
    own = {f"XDG_{name}": str(scratch) for name in ("CONFIG_HOME", "DATA_HOME", "RUNTIME_DIR")}
    return inherited | own | {"XDG_CACHE_HOME": str(cache), "MESA_EXTENSION_OVERRIDE": _SLOW_EXTENSIONS}


def _data_folder() -> Path | None:
    """The folder of the installed assets; None if there is none."""
    return next((folder for folder in _DATA_FOLDERS if (folder / "tracks").is_dir()), None)


def _cache_folder() -> Path:
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (named if named.is_absolute() else Path.home() / ".cache") / "memworld" / "supertuxkart"


def _link_assets(assets: Path, folder: Path) -> None:
    """Make `folder` hold the installed assets in the form that the engine looks for."""
    data = folder / "data"
    (data / "skins").mkdir(parents=True, exist_ok=True)
    targets = {path.name: path for path in assets.iterdir() if path.name != "skins"}
    targets |= {"skins/classic": assets / "skins" / "peach"}
    targets |= {f"skins/{path.name}": path for path in (assets / "skins").iterdir()}
    for name, target in targets.items():
        link = data / name
        with contextlib.suppress(OSError):  # it is no link, or gone by now
            if link.readlink() == target:
                continue
        # Another process, which may do the same now, must never find it gone.
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder) as aside:
            new = Path(aside) / "link"
            new.symlink_to(target)
            new.replace(link)
    # They say of which version the assets are, and that they have been downloaded.
    for sign in (data / f"supertuxkart.{_VERSION}", folder / "__downloaded__.txt"):
        if not sign.exists():
            sign.touch()
