"""How fast the player's server dreams: from an action that is sent to the frame that has come back.

    python benchmarks/player.py [MEMORY] [--steps 400]

Starts `memworld play` on a memory (runs/demo/memory) as a program of its own, asks it over a socket as the page does,
one action after the answer to the last, and prints milliseconds and frames a second: with one dream and with two, with
the recorded moments alone or with their thumbnails, as every answer shows them or, as the page has them, every fourth.
"""

import argparse
import json
import re
import struct
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from websockets.sync.client import ClientConnection, connect

CASES: tuple[tuple[str, list[dict[str, Any]], int], ...] = (
    ("one dream", [{}], 0),
    ("one dream, thumbnails at every 4th step", [{}], 4),
    ("one dream, thumbnails at every step", [{}], 1),
    ("one dream of recorded pictures", [{"decoding": "frame"}], 0),
    ("two dreams", [{}, {}], 0),
    ("two dreams, thumbnails at every 4th step", [{}, {}], 4),
    ("two dreams, analogues and Replay-L2", [{}, {"strategy": "replay_l2"}], 0),
)
"""What is measured: a name, the settings of the dreams, and at every how many steps there are thumbnails."""


def ask(line: ClientConnection, **message: Any) -> dict[str, Any]:
    """Send a message, and read the answer without its pictures."""
    line.send(json.dumps({"n": 0, **message}))
    content = line.recv()
    assert isinstance(content, bytes)
    (length,) = struct.unpack("<I", content[:4])
    told: dict[str, Any] = json.loads(content[4 : 4 + length])
    if not told["ok"]:
        raise SystemExit(told["error"])
    return told


def measure(
    line: ClientConnection, source: dict[str, Any], dreams: list[dict[str, Any]], thumbs: int, steps: int
) -> str:
    """Take steps, with thumbnails at every so many (0 for none), and say how long they took."""
    ask(line, do="open", source=source["name"], dreams=dreams, start={"episode": 0, "step": 100})
    keys = source["keys"]
    actions = [action["value"] for action in keys["actions"]] or [keys["rest"]]
    times = []
    for step in range(steps):
        began = time.perf_counter()
        wanted = thumbs > 0 and step % thumbs == 0
        ask(line, do="step", action=actions[step // 8 % len(actions)], thumbs=wanted)
        times.append(time.perf_counter() - began)
    median, p99 = 1e3 * np.quantile(times, (0.5, 0.99))
    return f"{median:>8.1f} {p99:>8.1f} {len(times) / sum(times):>10.0f}"


def main() -> None:
    """Serve, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("memory", nargs="?", type=Path, default=Path("runs/demo/memory"))
    parser.add_argument("--steps", type=int, default=400)
    options = parser.parse_args()
    command = [sys.executable, "-m", "memworld.cli", "play", str(options.memory), "--port", "0", "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        found = re.search(r"http://(\S+?)/", server.stdout.readline())
        if found is None:
            raise SystemExit("the server has not begun")
        try:
            with connect(f"ws://{found[1]}/ws", max_size=None, compression=None) as line:
                with urllib.request.urlopen(f"http://{found[1]}/api/about") as answer:
                    [source] = json.load(answer)["sources"]
                began = time.perf_counter()
                ask(line, do="open", source=source["name"], dreams=[{}])
                seconds = time.perf_counter() - began
                print(f"{source['steps']} transitions, frames {source['frame']}: open in {seconds:.1f} s")
                print(f"{'':<44}{'median':>8} {'p99 ms':>8} {'frames/s':>10}")
                for name, dreams, thumbs in CASES:
                    print(f"{name:<44}{measure(line, source, dreams, thumbs, options.steps)}")
        finally:
            server.kill()


if __name__ == "__main__":
    main()
