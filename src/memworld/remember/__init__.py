"""Remember episodes: from a data set, one after another, or while an agent lives them."""

from memworld.remember.dataset import remember
from memworld.remember.stream import MemoryStream
from memworld.remember.wrapper import RememberWrapper

__all__ = ["MemoryStream", "RememberWrapper", "remember"]
