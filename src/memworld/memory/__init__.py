"""The memory: encoded episodes, appended, removed and laid out as rows that a search can return."""

from memworld.memory.episode import MemoryEpisode, encode_episode
from memworld.memory.memory import Memory
from memworld.memory.rows import Rows, assemble, lay_out
from memworld.memory.source import Source

__all__ = ["Memory", "MemoryEpisode", "Rows", "Source", "assemble", "encode_episode", "lay_out"]
