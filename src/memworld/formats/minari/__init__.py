"""Minari's format, in its HDF5 and its Arrow storage.

What Minari has no place for is kept beside its own entries, so that a round trip loses nothing:

    metadata.json       "memworld": version, world, state_names, action_names
    an episode          attributes `memworld_id` and `memworld_source` (JSON)
    an episode's infos  "state", float32 (T+1, S)

The `minari` library, an optional dependency, knows its ids, its versions and its spaces; the arrays
are read and written here, so that only those that are needed are read, nothing is read that a small
file could blow up, and an episode is written whole or not at all.
"""

from memworld.formats.format import Format
from memworld.formats.minari.places import datasets_root, find_minari
from memworld.formats.minari.reading import open_minari
from memworld.formats.minari.writing import MinariWriter, write_minari

__all__ = ["MINARI", "MinariWriter", "datasets_root", "find_minari", "open_minari", "write_minari"]

MINARI = Format(
    "minari",
    "Minari (HDF5 or Arrow)",
    lambda path: find_minari(path) is not None,
    open_minari,
    MinariWriter,
    cameras=True,
)
