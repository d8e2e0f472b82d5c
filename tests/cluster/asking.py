"""Questions to an index on a cluster."""

import threading
from collections.abc import Callable

from memworld.cluster import ClusterIndex
from memworld.memory import Memory
from memworld.search import Matches
from tests.cluster.toys import assert_same, queries, whole


def assert_answers_as_one(index: ClusterIndex, memory: Memory) -> None:
    search = index.workers.search
    one = whole(memory, search)
    assert len(index) == memory.steps
    for query in queries(memory, search):
        for k in (1, 5, memory.steps):
            assert_same(index.nearest(query, k), one.nearest(query, k))
        assert_same(index.nearest_per_episode(query), one.nearest_per_episode(query))


def meanwhile(ask: Callable[[], Matches]) -> tuple[threading.Thread, list[Matches]]:
    """Ask in another thread; the answer will be in the list."""
    answers: list[Matches] = []
    asking = threading.Thread(target=lambda: answers.append(ask()))
    asking.start()
    return asking, answers
