"""What holds of search on a real cluster of two machines; `test_on_cluster.py` runs this in namespaces."""

import os
import signal
import threading

import torch

from memworld.cluster import Cluster, ClusterIndex, Search, connect
from memworld.dynamics import DynamicsConfig
from memworld.gaussian import Latents
from memworld.memory import Memory
from memworld.search import Matches, Query
from memworld.store import forget_episodes
from memworld.world_model import WorldModel
from tests.cluster.asking import assert_answers_as_one, meanwhile
from tests.cluster.machines import ADDRESS, HEAD, SECOND, Machines, until
from tests.cluster.toys import DIM, assert_same, lived, queries, remember, searches, whole
from tests.helpers import one_clear_error


def test_the_shards_lie_on_both_machines(machines: Machines, index: ClusterIndex, memory: Memory) -> None:
    held = index.hold()
    assert {h.process for h in held} == set(machines.processes("ray::Shards"))
    assert [len(machines.processes("ray::Shards", machine)) for machine in (HEAD, SECOND)] == [1, 1]
    assert sum(h.rows for h in held) == memory.steps
    assert min(h.rows for h in held) > memory.steps // 3


def test_answers_are_those_of_one_index(
    machines: Machines, cluster: Cluster, index: ClusterIndex, memory: Memory
) -> None:
    assert_answers_as_one(index, memory)
    others = [s for s in searches() if (s.metric, len(s.context)) in (("l2", 2), ("kl_query_stored", 1))]
    assert len(others) == 2
    for search in others:
        assert_answers_as_one(ClusterIndex.of(cluster, memory, search), memory)
    # The workers of an index end with it.
    own = {held.process for held in index.hold()}
    until(lambda: set(machines.processes("ray::Shards")) == own)


def test_what_cannot_be_asked_is_refused_as_by_one_index(index: ClusterIndex, memory: Memory) -> None:
    query = next(queries(memory, Search("l2")))
    for k in (0, memory.steps + 1):
        with one_clear_error(f"k={k} is outside 1 to {memory.steps}"):
            index.nearest(query, k)
    with one_clear_error(f"query has d=2, memory has d={DIM}"):
        index.nearest(Query(Latents(*(x[:, :2] for x in vars(query.latents).values()))), 1)
    with one_clear_error("hard conditioning needs the actions asked for"):
        index.nearest_per_episode(Query(query.latents, conditioning="hard"))
    with one_clear_error("query: mu holds NaN"):
        index.nearest(Query(Latents(query.latents.mu * torch.nan, query.latents.sigma, query.latents.z)), 1)


# Deaths


def test_a_worker_killed_in_mid_query_is_replaced_and_the_answer_is_whole(index: ClusterIndex, memory: Memory) -> None:
    query = next(queries(memory, index.workers.search))
    right = whole(memory, index.workers.search).nearest(query, 9)
    victim = index.hold()[0].process
    os.kill(victim, signal.SIGSTOP)  # so that it cannot have answered before it dies
    asking, answers = meanwhile(lambda: index.nearest(query, 9))
    asking.join(0.5)
    assert asking.is_alive()
    os.kill(victim, signal.SIGKILL)
    asking.join()
    assert_same(answers[0], right)
    assert victim not in {held.process for held in index.hold()}


def test_answers_are_whole_and_right_whenever_workers_are_killed(index: ClusterIndex, memory: Memory) -> None:
    query = next(queries(memory, index.workers.search, count=2000))
    right = whole(memory, index.workers.search).nearest_per_episode(query)
    ended, answers = threading.Event(), list[Matches]()

    def ask() -> None:
        while not ended.is_set():
            answers.append(index.nearest_per_episode(query))

    asking = threading.Thread(target=ask)
    victims = [held.process for held in index.hold()]
    asking.start()
    for victim in victims:
        before = len(answers)
        until(lambda before=before: len(answers) > before)  # type: ignore[misc]
        os.kill(victim, signal.SIGKILL)
    before = len(answers)
    until(lambda: len(answers) > before + 2)
    ended.set()
    asking.join()
    for answer in answers:
        assert_same(answer, right)
    assert not {held.process for held in index.hold()} & set(victims)


def test_a_worker_that_does_not_answer_is_named_and_there_is_no_answer_in_part(
    index: ClusterIndex, memory: Memory
) -> None:
    query = next(queries(memory, index.workers.search))
    right = index.nearest(query, 3)
    hung, end = index.hold()[1].process, len(memory) - 1
    begin = index.levels[0].pieces[1].rows[0]
    os.kill(hung, signal.SIGSTOP)
    index.workers.timeout = 1.0
    try:
        with one_clear_error(rf"1 of 2 workers did not answer within 1 s, .*: worker 2 \(rows {begin} to {end}\); see"):
            index.nearest(query, 3)
    finally:
        index.workers.timeout = 90.0
        os.kill(hung, signal.SIGCONT)
    assert_same(index.nearest(query, 3), right)


# Worlds


def actions_of(batch: int) -> dict[str, object]:
    """What is done in each of three steps."""
    return {"choice": [[0, 1, 2]] * batch, "force": [[[0.1], [0.2], [0.3]]] * batch}


def test_a_world_on_a_cluster_answers_as_one_in_this_process_also_when_its_memory_changes(
    machines: Machines, cluster: Cluster
) -> None:
    path = machines.folder / "world"
    remember(path, [60, 70, 50, 5])
    dynamics = DynamicsConfig("replay_kl", k=3, rule="mean", conditioning="mixed", context=(1.0, 0.5))
    spread = WorldModel.open(path, dynamics, index=cluster)
    here = WorldModel.open(path, dynamics)
    state = spread.memory.rows.latents[:6]

    def assert_predicts_the_same() -> ClusterIndex:
        one, other = (world.imagine(state, actions_of(6), decode=False) for world in (spread, here))
        for name in ("episodes", "steps", "distances", "support", "rewards"):
            torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=0)
        assert torch.equal(one.latents.z, other.latents.z)
        index = spread.lookup.index
        assert isinstance(index, ClusterIndex)
        return index

    first = assert_predicts_the_same()
    workers = {held.process for held in first.hold()}
    remember(path, [8, 1], first=4)
    assert spread.refresh()
    assert here.refresh()
    grown = assert_predicts_the_same()
    assert grown.levels[0] == first.levels[0]
    assert [len(level.pieces) for level in grown.levels] == [2, 1]
    assert {held.process for held in grown.hold()} == workers
    remember(path, [90, 90], first=6)
    spread.refresh()
    here.refresh()
    joined = assert_predicts_the_same()
    assert [len(level.pieces) for level in joined.levels] == [2]
    assert {held.process for held in joined.hold()} == workers
    forget_episodes(path, ["e0001"])
    os.kill(max(workers), signal.SIGKILL)  # so that its shard is loaded anew
    with one_clear_error("worker on .* no longer holds the episodes that are searched: .*: refresh the memory"):
        spread.imagine(state, actions_of(6), decode=False)
    spread.refresh()
    here.refresh()
    assert_predicts_the_same()


def test_what_a_cluster_cannot_serve(machines: Machines, cluster: Cluster, memory: Memory) -> None:
    path = machines.folder / "memory"
    with one_clear_error("a cluster serves the paper's strategies: name one of rollout, replay_l2, replay_kl"):
        WorldModel.open(path, index=cluster)
    with one_clear_error("unknown index 'clustr': use exact, approximate, cluster"):
        WorldModel.open(path, DynamicsConfig(), index="clustr")  # type: ignore[arg-type]
    with one_clear_error(f"no machine of the cluster at {ADDRESS} offers a GPU: use device cpu or auto"):
        WorldModel.open(path, DynamicsConfig(), index="cluster", device="cuda").prepare()
    world = WorldModel.open(path, DynamicsConfig(), index=cluster)
    world.memory.add(lived(99, 4))
    with one_clear_error("this one is stored in none, or was changed since: save it, or open it from there"):
        world.prepare()
    with one_clear_error(f"this process is connected to the cluster at {ADDRESS} already|is connected to"):
        connect("127.0.0.9:6379")


def test_a_folder_that_a_machine_does_not_see(machines: Machines, cluster: Cluster) -> None:
    hidden = remember(machines.hidden / "memory", [30, 30])
    before = set(machines.processes("ray::Shards"))
    with one_clear_error("worker on .*hidden/memory is not to be seen there: put the memory where every machine sees"):
        ClusterIndex.of(cluster, hidden, Search("l2"))
    until(lambda: set(machines.processes("ray::Shards")) <= before)  # none is left of those that were started for it
