"""Formats of recorded episodes on disk: one module for each, and `open_dataset` for all."""

from collections.abc import Callable
from pathlib import Path

from memworld.datasets import EpisodeDataset
from memworld.errors import MemworldError, lookup
from memworld.formats.format import EpisodeWriter, Format, ReadOptions
from memworld.formats.lerobot import LEROBOT
from memworld.formats.minari import MINARI, datasets_root, open_minari, write_minari
from memworld.formats.minerl import MINERL
from memworld.formats.npz import NPZ, NpzWriter, open_npz, write_npz
from memworld.formats.pieces import in_pieces
from memworld.formats.resize import resized
from memworld.formats.video import VIDEO

__all__ = [
    "FORMATS",
    "EpisodeWriter",
    "Format",
    "NpzWriter",
    "ReadOptions",
    "find_writer",
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
    format = next((format for format in FORMATS.values() if format.found(path)), None)
    if format is None:
        here = "nothing is there" if not path.exists() else "what is there is none of them"
        raise MemworldError(
            f"no data set at {path} ({here}): memworld reads {'; '.join(f.title for f in FORMATS.values())}; and "
            f"local Minari sets by id, from {datasets_root()}"
        )
    dataset = format.open(path, options)
    if not len(dataset):
        raise MemworldError(f"no episodes in {path}: record some first")
    # What a format has done by itself is left as it is.
    dataset = dataset if options.size is None else resized(dataset, options.size)
    return dataset if options.most_steps is None else in_pieces(dataset, options.most_steps)


def find_writer(name: str) -> Callable[..., EpisodeWriter]:
    """The writer of the format of this name.

    Raises:
        MemworldError: there is no such format, or memworld only reads it.
    """
    format = lookup(FORMATS, name, "format")
    if format.writer is None:
        writable = ", ".join(f.name for f in FORMATS.values() if f.writer)
        raise MemworldError(f"memworld reads {format.title} but does not write it: write one of {writable}")
    return format.writer
