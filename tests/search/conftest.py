import numpy as np
import pytest

from memworld.search import Candidates
from tests.search.trajectories import candidates_of, trajectories


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Candidates:
    """A small memory that is not small enough to be searched exactly: 1,200 rows of 12 episodes."""
    monkeypatch.setattr("memworld.search.approximate.index._EXACT_UP_TO", 100)
    monkeypatch.setattr("memworld.search.approximate.index._EXACT_FROM", 1)
    return candidates_of(trajectories(np.random.default_rng(3), 12, 101, 20), 101)
