"""How fast a memory on disk takes rows, and how soon and in how much room it opens.

    python benchmarks/store.py [--episodes runs/demo/episodes] [--rows 100000 --rows 1000000 --rows 10000000]
        [--output FOLDER] [--plot opening.png]

Appending: the frames of recorded episodes with latents of d = 32, in changes of 1, 10 and 50 episodes of the
recorded length, each change synced, versioned and checksummed as ever. Encoding is not in it. Of each the median
over several changes is told.

Opening: made-up trajectories (`memworld.bench.data`) of d = 32 without frames, opened in a process of its own, with
how much larger that process is afterwards. 10 million rows take 8 GB on disk.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from matplotlib.figure import Figure

import memworld
from memworld.bench.data import store_memory
from memworld.bench.resident import resident
from memworld.datasets import EpisodeDataset, EpisodeEntry
from memworld.gaussian import Latents
from memworld.memory import MemoryEpisode
from memworld.storage import locked
from memworld.store import open_memory, start
from memworld.store.versions import Settings

D = 32
CHANGES = 5


def with_frames(dataset: EpisodeDataset) -> Iterator[MemoryEpisode]:
    """Recorded episodes over and over, each under a new id, with random latents."""
    number = 0
    while True:
        for episode in dataset:
            generator = torch.Generator().manual_seed(number)
            mu = torch.randn(len(episode) + 1, D, generator=generator)
            sigma = 0.1 + torch.rand(len(episode) + 1, D, generator=generator)
            yield MemoryEpisode(
                EpisodeEntry(f"e{number:06}", len(episode), episode.source),
                Latents(mu, sigma, mu + sigma),
                episode.actions,
                episode.rewards,
                episode.terminations,
                episode.truncations,
                episode.observations,
            )
            number += 1


def append(dataset: EpisodeDataset, folder: Path) -> None:
    """Print rows appended in a second."""
    print("| episodes in a change | rows in a change | rows/s | bytes of a row on disk |\n|---|---|---|---|")
    for count in (1, 10, 50):
        path = folder / f"append-{count}"
        episodes, taken = with_frames(dataset), []
        with locked(path):
            writer = start(path, Settings(dataset.info, "made up", (D,), 0, frames=True))
            for _ in range(CHANGES):
                new = [next(episodes) for _ in range(count)]
                began = time.perf_counter()
                writer.commit(append=new)
                rows = sum(one.entry.steps + 1 for one in new)
                taken.append(rows / (time.perf_counter() - began))
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        print(
            f"| {count} | {rows} | {statistics.median(taken):,.0f} | {size / len(open_memory(path)):,.0f} |", flush=True
        )
        shutil.rmtree(path)


def open_here(path: Path) -> None:
    """Open a memory, and print seconds and bytes as JSON."""
    torch.set_num_threads(1)
    before = sum(resident())
    began = time.perf_counter()
    memory = open_memory(path)
    opened = time.perf_counter() - began
    print(json.dumps({"rows": len(memory), "seconds": opened, "bytes": sum(resident()) - before}))


def opening(sizes: Sequence[int], folder: Path, plot: Path | None) -> None:
    """Print and draw what opening takes."""
    found = []
    print("| rows | on disk | seconds to open | memory that it takes |\n|---|---|---|---|")
    for rows in sizes:
        path = folder / f"open-{rows}"
        if not path.exists():
            store_memory(path, rows, D, progress=True)
        command = [sys.executable, __file__, "--open", str(path)]
        runs = [json.loads(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(5)]
        one = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        print(
            f"| {one['rows']:,.0f} | {size / 1e9:.2f} GB | {one['seconds']:.3f} | {one['bytes'] / 1e6:.1f} MB |",
            flush=True,
        )
        found.append(one)
    if plot is not None:
        draw(found, plot)


def draw(found: Sequence[dict[str, float]], plot: Path) -> None:
    """Seconds and memory against rows."""
    figure = Figure(figsize=(7, 3), layout="constrained", dpi=110)
    rows = [one["rows"] for one in found]
    sides = (("seconds to open", "seconds", 1.0), ("resident memory that it takes, MB", "bytes", 1e-6))
    for axes, (title, name, unit) in zip(figure.subplots(1, 2), sides, strict=True):
        axes.plot(rows, [one[name] * unit for one in found], marker="o", color="#1f6f8b")
        axes.set(xscale="log", xlabel="rows in memory, d = 32", title=title)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.2)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(plot, metadata={"Software": None})


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=Path, default=Path("runs/demo/episodes"))
    parser.add_argument("--rows", type=int, action="append")
    parser.add_argument("--output", type=Path, default=Path("runs/store"))
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true", help="keep the memories that are opened")
    asked = parser.parse_args()
    if asked.open is not None:
        open_here(asked.open)
        return
    asked.output.mkdir(parents=True, exist_ok=True)
    append(memworld.open_dataset(asked.episodes), asked.output)
    opening(asked.rows or [10**5, 10**6, 10**7], asked.output, asked.plot)
    if not asked.keep:
        shutil.rmtree(asked.output)


if __name__ == "__main__":
    main()
