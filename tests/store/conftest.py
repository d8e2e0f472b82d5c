from pathlib import Path

import pytest

from memworld.store import save_memory, writing
from tests.toy_memories import ENCODER, episode, memory_of


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A folder with episodes e0, e1 and e2 of 1, 2 and 3 steps."""
    save_memory(memory_of(episode(0), episode(1), episode(2)), tmp_path / "memory", encoder=ENCODER)
    return tmp_path / "memory"


@pytest.fixture
def aged(stored: Path) -> Path:
    """A memory of e0, e2 and e3, with a past: three versions, of which the last removed e1."""
    with writing(stored) as writer:
        writer.commit(append=memory_of(episode(3)).episodes)
        writer.commit(remove=["e1"])
    return stored
