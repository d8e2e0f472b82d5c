"""The cluster that the tests of the files `inside_*.py` share; the other tests need none."""

from collections.abc import Iterator

import pytest

from memworld.cluster import Cluster, ClusterIndex, Search, connect
from memworld.memory import Memory
from tests.cluster.machines import ADDRESS, Machines, until
from tests.cluster.toys import remember

LENGTHS = [150, 1, 170, 40, 30, 190, 9]


@pytest.fixture(scope="session")
def machines() -> Machines:
    return Machines()


@pytest.fixture(scope="session")
def cluster(machines: Machines) -> Iterator[Cluster]:
    with connect(ADDRESS, workers=2, timeout=90) as connected:
        until(lambda: len(connected.machines()) == 2)
        yield connected


@pytest.fixture(scope="session")
def memory(machines: Machines) -> Memory:
    return remember(machines.folder / "memory", LENGTHS)


@pytest.fixture(scope="session")
def index(cluster: Cluster, memory: Memory) -> ClusterIndex:
    return ClusterIndex.of(cluster, memory, Search("kl_stored_query"))
