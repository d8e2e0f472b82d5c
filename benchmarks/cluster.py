"""Search on a cluster beside search in one process, and what a killed worker costs.

    python benchmarks/cluster.py [--rows 1000000] [--d 32 --d 64] [--workers 1 --workers 2] [--threads 1]

Writes a memory of made-up trajectories (`memworld.bench.data`), without frames, to a folder, and asks it for the
10 nearest rows by KL: in this process, and on workers of one thread each, so that one worker is a machine of one
core and two are two. The same rows must come back. Then a worker is killed in mid-query. By default Ray is started
here; with --address, the folder (--output) must be seen by every machine. Needs the extra `cluster`.
"""

import argparse
import os
import shutil
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from memworld.bench.data import make_queries, store_memory
from memworld.bench.resident import resident
from memworld.cluster import Cluster, ClusterIndex, Search, connect
from memworld.memory import Memory
from memworld.search import Candidates, Index, Matches, Query
from memworld.store import open_memory

BATCH, K, MANY = 64, 10, 1024


def seconds(run: Callable[[], object], times: int) -> float:
    """The median of several runs."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def speed(index: Index, query: Query) -> tuple[float, float]:
    """Queries a second in batches of `BATCH`, and seconds of a single one."""
    index.nearest(query[:BATCH], K)
    batch = seconds(lambda: index.nearest(query[:BATCH], K), 9)
    return BATCH / batch, seconds(lambda: index.nearest(query[:1], K), 25)


def same(a: Matches, b: Matches) -> bool:
    """To the last bit."""
    return all(torch.equal(left, right) for left, right in zip(a.columns, b.columns, strict=True))


def with_one_killed(index: ClusterIndex, query: Query, usual: float, right: Matches) -> float:
    """Seconds of a query in the middle of which a worker is killed."""
    answers: list[Matches] = []
    victim = index.hold()[0].process
    asking = threading.Thread(target=lambda: answers.append(index.nearest(query, K)))
    began = time.perf_counter()
    asking.start()
    asking.join(usual / 3)
    assert asking.is_alive(), "the query was answered too soon: take more rows"
    os.kill(victim, signal.SIGKILL)
    asking.join()
    taken = time.perf_counter() - began
    assert same(answers[0], right), "the answer is another"
    assert victim not in {held.process for held in index.hold()}
    return taken


def measure(cluster: Cluster, memory: Memory, alone: Index, query: Query, local: tuple[float, float]) -> str:
    """A line of the table for the workers of a cluster."""
    search = Search("kl_stored_query")
    empty = cluster.start(search)
    idle = empty.ask("hold", dict.fromkeys(range(len(empty)), ((),)))
    before = [sum(sizes) for sizes in zip(*(resident(held.process) for held in idle), strict=True)]
    del empty
    began = time.perf_counter()
    index = ClusterIndex.of(cluster, memory, search)
    ready = time.perf_counter() - began
    held = index.hold()
    after = [sum(sizes) for sizes in zip(*(resident(h.process) for h in held), strict=True)]
    own, mapped = ((now - then) / len(memory) for now, then in zip(after, before, strict=True))
    right = alone.nearest(query, K)
    assert same(index.nearest(query, K), right), "other rows than in one process"
    batch, single = speed(index, query)
    usual = seconds(lambda: index.nearest(query, K), 3)
    killed = with_one_killed(index, query, usual, right)
    return (
        f"| {len(index.workers)} | {ready:.1f} | {batch:.0f} ({batch / local[0]:.2f}) | "
        f"{1e3 * single:.1f} ({single / local[1]:.2f}) | {usual:.2f} | {killed:.2f} | {own:.0f} + {mapped:.0f} |"
    )


def table(path: Path, rows: int, d: int, clusters: Iterator[Cluster]) -> None:
    """Print what is measured on a memory of so many rows."""
    began = time.perf_counter()
    store_memory(path, rows, d)
    memory = open_memory(path)
    print(f"\n{len(memory):,} rows of d={d} written in {time.perf_counter() - began:.0f} s")
    began = time.perf_counter()
    alone = Search("kl_stored_query").index(Candidates.of(memory.rows))
    ready = time.perf_counter() - began
    query = Query(make_queries(MANY, d))
    batch, single = speed(alone, query)
    usual = seconds(lambda: alone.nearest(query, K), 3)
    print(f"\n{MANY} queries answered alike by every line, {K} rows each; (times this process)\n")
    print(f"| workers | ready, s | queries/s in batches of {BATCH} | 1 query, ms | {MANY} queries, s ", end="")
    print("| with a kill, s | bytes a row: own + mapped |\n|---|---|---|---|---|---|---|")
    print(f"| this process | {ready:.1f} | {batch:.0f} | {1e3 * single:.1f} | {usual:.2f} | - | - |", flush=True)
    for cluster in clusters:
        print(measure(cluster, memory, alone, query, (batch, single)), flush=True)


def main() -> None:
    """Write, ask, kill, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--d", type=int, action="append")
    parser.add_argument("--workers", type=int, action="append")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--address")
    parser.add_argument("--output", type=Path, default=Path("runs/bench-cluster"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    def clusters() -> Iterator[Cluster]:
        for workers in options.workers or (1, 2):
            with connect(options.address, workers=workers, threads=options.threads) as cluster:
                yield cluster

    for d in options.d or (32, 64):
        path = options.output / f"d{d}"
        shutil.rmtree(path, ignore_errors=True)
        table(path, options.rows, d, clusters())
        shutil.rmtree(path)


if __name__ == "__main__":
    main()
