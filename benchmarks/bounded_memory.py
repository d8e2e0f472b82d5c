"""Peak resident memory of converting, encoding and training on many frames.

    python benchmarks/bounded_memory.py [--frames 100000] [--output FOLDER]

Records Pong, converts the recording from format to format, also as one single long video, trains a
small encoder, and remembers all of it, each as a process of its own, whose largest resident set the
system tells. The limit that `convert` and `remember` are held to is 1.5 GB for 100,000 frames of 64 x 64.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from memworld.formats import open_dataset
from memworld.formats.video_frames import write_frames

EPISODE = 1000
LIMIT = 1.5e9


def peak(name: str, *arguments: object) -> int:
    """Run the program and print its largest resident set and its seconds; returns the bytes."""
    command = [sys.executable, "-m", "memworld.cli", *map(str, arguments), "--quiet"]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    size = usage.ru_maxrss * 1024
    print(f"| {name} | {size / 1e9:.2f} GB | {time.perf_counter() - began:.0f} s |", flush=True)
    return size


def join(episodes: Path, folder: Path) -> None:
    """Write all frames of a data set as one video with a table, as one long recording by hand."""
    dataset = open_dataset(episodes)
    folder.mkdir()
    write_frames(folder / "long.mp4", (frame for episode in dataset for frame in episode.observations[1:]), 15)
    with (folder / "long.csv").open("w") as table:
        table.write("action,reward\n")
        for episode in dataset:
            rows = zip(episode.actions.tolist(), episode.rewards.tolist(), strict=True)
            table.writelines(f"{action},{reward}\n" for action, reward in rows)


def main() -> None:
    """Record, convert, train, remember."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--output", type=Path, default=Path("runs/bounded-memory"))
    options = parser.parse_args()
    episodes = max(3, options.frames // EPISODE)
    shutil.rmtree(options.output, ignore_errors=True)
    options.output.mkdir(parents=True)
    names = ("npz", "minari", "minerl", "video", "back", "encoder", "memory", "one-video", "pieces")
    npz, minari, minerl, video, back, encoder, memory, one_video, pieces = (options.output / name for name in names)
    print(f"{episodes} episodes of {EPISODE} frames\n\n| job | peak resident memory | time |\n|---|---|---|")
    recorded = ("--policy", "demonstrator", "--skill", 1, "--skill", 0.6, "-n", episodes, "--max-steps", EPISODE - 1)
    peak("record pong", "record", "pong", "-o", npz, *recorded)
    held = [
        peak("convert npz to Minari", "convert", npz, "-o", minari, "--to", "minari"),
        peak("convert Minari to MineRL", "convert", minari, "-o", minerl, "--to", "minerl"),
        peak("convert MineRL to video", "convert", minerl, "-o", video, "--to", "video"),
        peak("convert video to npz", "convert", video, "-o", back, "--to", "npz"),
    ]
    join(npz, one_video)
    cut = ("--cut", EPISODE, "--frame-after-action")
    held.append(peak("convert one long video to npz, in pieces", "convert", one_video, "-o", pieces, *cut))
    peak("train, 300 steps", "train", back, "-o", encoder, "--latent-shape", "4x8x8", "--steps", 300)
    held.append(peak("remember", "remember", back, "--encoder", encoder, "-o", memory, "--held-out", 0))
    print(f"\nlimit {LIMIT / 1e9} GB: {'held' if max(held) < LIMIT else 'NOT held'}")


if __name__ == "__main__":
    main()
