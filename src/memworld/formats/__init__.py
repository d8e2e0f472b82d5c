"""Formats of recorded episodes on disk: one module for each, and `open_dataset` for all."""

from pathlib import Path

from memworld.datasets import EpisodeDataset
from memworld.errors import MemworldError
from memworld.formats.minari import datasets_root, find_minari, open_minari, write_minari
from memworld.formats.npz import INDEX, NpzWriter, npz_files, open_npz, write_npz

__all__ = ["NpzWriter", "open_dataset", "open_minari", "open_npz", "write_minari", "write_npz"]


def open_dataset(path: str | Path) -> EpisodeDataset:
    """Open a data set of any format that memworld knows by what is at `path`.

    Args:
        path: a folder written by memworld, an `.npz` file or a folder of them, the folder of a Minari
            set, or the id of a local one.

    Raises:
        MemworldError: nothing fits, the data set has no episodes, or it cannot be opened.
    """
    folder = Path(path)
    if (folder.suffix == ".npz" and folder.is_file()) or (folder / INDEX).is_file() or npz_files(folder):
        dataset = open_npz(folder)
    elif find_minari(path):
        dataset = open_minari(path)
    else:
        raise MemworldError(
            f"no data set at {path}: looked for a memworld folder ({INDEX}), .npz files, a Minari folder "
            f"(data/metadata.json) and a Minari set of that id in {datasets_root()}"
        )
    if not len(dataset):
        raise MemworldError(f"no episodes in {path}: record some first")
    return dataset
