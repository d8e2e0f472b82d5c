"""Approximate search with FAISS: the extra `approximate`. Start at `index`."""

from memworld.search.approximate.index import ApproximateIndex

__all__ = ["ApproximateIndex"]
