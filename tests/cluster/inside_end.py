"""What holds when a real cluster falls apart; `test_on_cluster.py` runs this last, in namespaces."""

import os
import signal
from pathlib import Path

from memworld.cluster import Cluster, ClusterIndex, connect
from memworld.dynamics import DynamicsConfig
from memworld.memory import Memory
from memworld.world_model import WorldModel
from tests.cluster.asking import assert_answers_as_one, meanwhile
from tests.cluster.machines import HEAD, SECOND, Machines, until
from tests.cluster.toys import assert_same, queries, whole
from tests.helpers import one_clear_error


def test_a_machine_killed_in_mid_query_is_done_without(
    machines: Machines, cluster: Cluster, index: ClusterIndex, memory: Memory
) -> None:
    query = next(queries(memory, index.workers.search))
    right = whole(memory, index.workers.search).nearest(query, 9)
    there = machines.processes("ray::Shards", SECOND)
    assert there
    for pid in there:
        os.kill(pid, signal.SIGSTOP)
    asking, answers = meanwhile(lambda: index.nearest(query, 9))
    asking.join(0.5)
    assert asking.is_alive()
    machines.kill_second()
    asking.join()
    assert_same(answers[0], right)
    until(lambda: len(cluster.machines()) == 1)
    assert_answers_as_one(index, memory)
    assert {held.process for held in index.hold()} <= set(machines.processes("ray::Shards", HEAD))


def test_after_the_connection_is_closed(cluster: Cluster, index: ClusterIndex, memory: Memory) -> None:
    cluster.close()
    with one_clear_error("the connection to the cluster is closed: connect again, and open the world anew"):
        index.nearest(next(queries(memory, index.workers.search)), 1)
    with one_clear_error("the connection to the cluster is closed: connect again"):
        cluster.machines()


def test_a_ray_of_our_own_ends_with_the_connection(machines: Machines, index: ClusterIndex, memory: Memory) -> None:
    with connect(workers=2) as own:
        with one_clear_error("the connection to the cluster is closed"):  # it was another
            index.nearest(next(queries(memory, index.workers.search)), 1)
        assert own.address.startswith("127.")
        assert own.folder is not None
        world = WorldModel.open(machines.folder / "memory", DynamicsConfig("replay_l2", k=4), index="cluster")
        made = world.lookup.index
        assert isinstance(made, ClusterIndex)
        assert_answers_as_one(made, memory)
        raylets = [p for p in machines.processes("") if str(own.folder) in Path(f"/proc/{p}/cmdline").read_text()]
        assert raylets
    assert not own.folder.exists()
    until(lambda: not [p for p in raylets if Path(f"/proc/{p}/exe").exists()])
