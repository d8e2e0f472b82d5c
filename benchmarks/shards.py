"""What a row costs a cluster: bytes on disk and in memory, and processor time, for the plan in docs/scale.md.

    python benchmarks/shards.py [--rows 1000000] [--d 32 --d 64 --d 128] [--output FOLDER]

A memory of made-up trajectories (`memworld.bench.data`) without frames; each shard, of all of its rows, is loaded in a
process of its own with one thread. Times are processor times, so that other work on the machine hardly counts.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from memworld.bench.data import make_queries, store_memory
from memworld.bench.resident import resident
from memworld.cluster.pieces import pieces_of
from memworld.cluster.shard import Search, Shard
from memworld.search import Query
from memworld.store import Stored, open_memory

K, BATCH = 10, 64


def cpu(shard: Shard, query: Query, times: int) -> float:
    """Median processor seconds of a query."""
    taken = []
    for _ in range(times):
        began = time.process_time()
        shard.nearest(query, K)
        taken.append(time.process_time() - began)
    return statistics.median(taken[1:])


def load(path: Path, metric: str, d: int) -> None:
    """Load one shard of everything, and print what it costs a row as JSON."""
    torch.set_num_threads(1)
    stored = open_memory(path).stored
    assert isinstance(stored, Stored)
    (piece,) = pieces_of(stored, 0, 1)
    before, began = resident(), time.process_time()
    shard = Shard(piece, Search(metric))
    taken, after = time.process_time() - began, resident()
    rows, queries = stored.version.rows, make_queries(BATCH, d)
    print(
        json.dumps(
            {
                "own": (after[0] - before[0]) / rows,
                "mapped": (after[1] - before[1]) / rows,
                "load": 1e6 * taken / rows,
                "single": 1e3 * cpu(shard, Query(queries[:1]), 20),
                "batch": 1e3 * cpu(shard, Query(queries), 6) / BATCH,
            }
        )
    )


def ask(path: Path) -> None:
    """Lay out the rows of the world that asks, and print what it costs a row as JSON."""
    memory = open_memory(path)
    before = resident()
    rows = memory.rows
    after = resident()
    print(json.dumps({"own": (after[0] - before[0]) / len(rows), "mapped": (after[1] - before[1]) / len(rows)}))


def child(*arguments: object) -> dict[str, float]:
    """What another process of this program prints."""
    command = [sys.executable, __file__, *map(str, arguments)]
    found: dict[str, float] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--d", type=int, action="append")
    parser.add_argument("--output", type=Path, default=Path("runs/bench-shards"))
    parser.add_argument("--load", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        load(Path(options.load[0]), options.load[1], int(options.load[2]))
        return
    if options.ask:
        ask(Path(options.ask))
        return
    print("| d | what | bytes a row: own + mapped | us to load | ms a query alone | ms in a batch of 64 |")
    print("|---|---|---|---|---|---|")
    for d in options.d or (32, 64, 128):
        path = options.output / f"d{d}"
        shutil.rmtree(path, ignore_errors=True)
        store_memory(path, options.rows, d)
        for part in ("rows.lance", "arrays"):
            size = sum(file.stat().st_size for file in (path / part).rglob("*") if file.is_file()) / options.rows
            print(f"| {d} | {part} on disk | {size:.0f} | | | |", flush=True)
        for metric in ("kl_stored_query", "l2"):
            one = child("--load", path, metric, d)
            cost = f"{one['load']:.1f} | {one['single']:.1f} | {one['batch']:.2f}"
            print(f"| {d} | shard, {metric} | {one['own']:.0f} + {one['mapped']:.0f} | {cost} |", flush=True)
        one = child("--ask", path)
        print(f"| {d} | the world that asks | {one['own']:.0f} + {one['mapped']:.0f} | | | |", flush=True)
        shutil.rmtree(path)


if __name__ == "__main__":
    main()
