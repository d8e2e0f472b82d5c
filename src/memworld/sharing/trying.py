"""Whether a memory that was pulled can be used, tried in a process of its own: `python -m memworld.sharing.trying`.

Its files can have been made to do harm: a reader of them may be ended, and should be one that nobody misses.
"""

import json
import subprocess
import sys
from pathlib import Path

from memworld.errors import MemworldError
from memworld.storage import one_line
from memworld.store import check_memory
from memworld.stored_frames import StoredFrames
from memworld.world_model import WorldModel

_FRAMES = 256
"""Frames that are read at once."""

_LIMIT = 24 * 3600
"""Seconds that it may take."""


def problems_apart(path: Path) -> list[str]:
    """What is wrong with the memory in a folder, one sentence each, found by another process."""
    command = [sys.executable, "-m", "memworld.sharing.trying", str(path)]
    try:
        ended = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=_LIMIT)
    except subprocess.TimeoutExpired:
        return [f"reading it took more than {_LIMIT // 3600} hours"]
    if ended.returncode:
        return [f"reading it ended the process ({ended.returncode})"]
    return [str(problem) for problem in json.loads(ended.stdout)]


def problems(path: Path) -> list[str]:
    """The same, found by this one: all is compared with its checksums, opened, and every frame is read."""
    try:
        if found := check_memory(path).problems:
            return list(found)
        memory = WorldModel.open(path, device="cpu").memory
        for episode in memory.episodes:
            if isinstance(episode.frames, StoredFrames):
                for start in range(0, len(episode.frames), _FRAMES):
                    episode.frames.take(range(start, min(start + _FRAMES, len(episode.frames))))
    except MemworldError as error:
        return [str(error)]
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, MemoryError, RuntimeError) as error:
        return [f"{path} is damaged ({type(error).__name__}: {one_line(error)[:200]})"]
    return []


if __name__ == "__main__":
    sys.stdout.write(json.dumps(problems(Path(sys.argv[1]))))
