"""Memories handed on: pushed to the Hugging Face hub or a plain folder, and pulled from there.

What is pushed is written anew, of the version that counts: nothing that was removed is in it. What is
pulled is a stranger's: only what a memory needs is taken, and it takes its place once it is checked.
"""

from memworld.sharing.pull import Pulled, pull_memory
from memworld.sharing.push import Pushed, push_memory

__all__ = ["Pulled", "Pushed", "pull_memory", "push_memory"]
