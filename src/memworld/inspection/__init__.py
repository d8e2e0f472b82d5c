"""What is in a memory or in a data set, in plain JSON values."""

from pathlib import Path
from typing import Any

from memworld.formats import ReadOptions, open_dataset
from memworld.inspection.dataset import inspect_dataset, write_sample
from memworld.inspection.memory import inspect_memory
from memworld.store import INDEX, open_memory

__all__ = ["inspect_dataset", "inspect_memory", "inspect_path", "is_memory", "write_sample"]


def inspect_path(path: Path, options: ReadOptions | None = None, progress: bool = False) -> dict[str, Any]:
    """Describe the memory or the data set at `path`.

    Raises:
        MemworldError: it is neither.
    """
    if is_memory(path):
        return inspect_memory(open_memory(path))
    return inspect_dataset(open_dataset(path, options), progress)


def is_memory(path: Path) -> bool:
    """Whether the folder `path` is that of a memory."""
    return (path / INDEX).exists()
