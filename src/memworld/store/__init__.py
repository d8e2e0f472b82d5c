"""The memory on disk, in an open format that grows.

    memory.json                     what memory it is, and which of its versions counts
    versions/<number>.json          how much of the following belongs to a version, with checksums
    rows.lance/                     every row, frames included: the table, in the format Lance (`table`)
    arrays/<number>/                all but the frames, to be mapped (`arrays`); made anew from the table
    encoder/                        the encoder that made it
    learned/                        what dynamics have learned from it; learned anew

A change counts once `memory.json` names its version (`writing`): a kill at any moment leaves the
memory as it was before or after, never between. One process writes at a time, and others read
beside it. Nothing in the folder may be a link to what is outside.
"""

from memworld.store.checking import Checked, check_memory
from memworld.store.opening import LEARNED, Stored, open_memory, settings_of
from memworld.store.recovering import go_back
from memworld.store.saving import compact_memory, forget_episodes, prepare, save_memory, start
from memworld.store.versions import INDEX, Version, read_index, read_version, version_numbers
from memworld.store.writing import MemoryWriter, writing

__all__ = [
    "INDEX",
    "LEARNED",
    "Checked",
    "MemoryWriter",
    "Stored",
    "Version",
    "check_memory",
    "compact_memory",
    "forget_episodes",
    "go_back",
    "open_memory",
    "prepare",
    "read_index",
    "read_version",
    "save_memory",
    "settings_of",
    "start",
    "version_numbers",
    "writing",
]
