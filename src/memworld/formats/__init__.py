"""Formats of recorded episodes on disk: one module for each, and `open_dataset` for all."""

from collections.abc import Callable
from pathlib import Path

from memworld.datasets import EpisodeDataset
from memworld.errors import MemworldError, lookup
from memworld.formats.format import EpisodeWriter, Format, ReadOptions
from memworld.formats.lerobot import LEROBOT
from memworld.formats.minari import MINARI, datasets_root, open_minari, write_minari
from memworld.formats.minerl import MINERL
from memworld.formats.notes import with_notes
from memworld.formats.npz import NPZ, NpzWriter, is_data_set, open_npz, write_npz
from memworld.formats.pieces import in_pieces
from memworld.formats.resize import resized
from memworld.formats.video import VIDEO, video_without_table

__all__ = [
    "FORMATS",
    "EpisodeWriter",
    "Format",
    "NpzWriter",
    "ReadOptions",
    "find_writer",
    "is_data_set",
    "open_dataset",
    "open_minari",
    "open_npz",
    "write_minari",
    "write_npz",
]

FORMATS = {format.name: format for format in (LEROBOT, MINERL, MINARI, VIDEO, NPZ)}
"""The formats by name, in the order in which a path is tried."""


def open_dataset(path: str | Path, options: ReadOptions | None = None) -> EpisodeDataset:
    """Open a data set of any format that memworld knows by what is at `path`.

    Args:
        path: what a `Format.found` of `FORMATS` recognises: a folder, a file, or the id of a local
            Minari set.
        options: how to read what a format leaves open.

    Raises:
        MemworldError: nothing fits, the data set has no episodes, or it cannot be opened.
    """
    path, options = Path(path), options or ReadOptions()
    format = _find_format(path)
    if options.camera is not None and not format.cameras:
        raise MemworldError(f"{path} has no cameras to choose from, it is in {format.title}: leave the camera out")
    dataset = format.open(path, options)
    if not len(dataset):
        raise MemworldError(f"no episodes in {path}: record some, or go on with --resume with what was interrupted")
    if options.frame_after_action and options.action_left_out not in dataset.left_out:
        raise MemworldError(f"{path} has a frame more than actions, so their order is known: leave that option out")
    # What a format has done by itself is left as it is.
    dataset = dataset if options.size is None else resized(dataset, options.size)
    dataset = dataset if options.most_steps is None else in_pieces(dataset, options.most_steps)
    return with_notes(dataset, options)


def _find_format(path: Path) -> Format:
    """The format of what is at `path`.

    Raises:
        MemworldError: it is in none, or in several.
    """
    if is_data_set(path):  # whatever else lies beside it
        return NPZ
    found = [format for format in FORMATS.values() if format.found(path)]
    if MINERL in found and NPZ in found:  # a recording's own arrays
        found.remove(NPZ)
    if len(found) > 1:
        raise MemworldError(
            f"{path} holds several data sets ({'; '.join(f.title for f in found)}): give each a folder of its own"
        )
    if not found:
        if lonely := video_without_table(path):
            raise MemworldError(
                f"{lonely} has no table of its actions beside it: put {lonely.stem}.csv or {lonely.stem}.parquet "
                "there, with a column 'action'"
            )
        here = "nothing is there" if not path.exists() else "what is there is none of them"
        raise MemworldError(
            f"no data set at {path} ({here}): memworld reads {'; '.join(f.title for f in FORMATS.values())}; and "
            f"local Minari sets by id, from {datasets_root()}"
        )
    return found[0]


def find_writer(name: str) -> Callable[..., EpisodeWriter]:
    """The writer of the format of this name.

    Raises:
        MemworldError: there is no such format, or memworld only reads it.
    """
    writers = {format.name: format.writer for format in FORMATS.values() if format.writer is not None}
    if name in FORMATS and name not in writers:
        raise MemworldError(f"memworld reads {FORMATS[name].title} but does not write it: use {', '.join(writers)}")
    return lookup(writers, name, "format to write")
