"""Approximate search with FAISS: the extra `approximate`. Start at `index`."""

from memworld.search.approximate.index import ApproximateIndex
from memworld.search.approximate.shelf import IndexShelf

__all__ = ["ApproximateIndex", "IndexShelf"]
