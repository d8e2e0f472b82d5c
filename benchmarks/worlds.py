"""Every world from nothing to a table: record, train, remember, evaluate, as a user types it.

    python benchmarks/worlds.py [--output FOLDER] [--world NAME ...]

For each world that can run here it records episodes of the demonstrator at several skills and of
chance, trains an encoder, remembers all but the held-out episodes, and evaluates. Then it writes
`worlds.md` and `worlds.json`: steps per second of play, returns, active units, and the error on moving pixels
at 1, 5, 10 and 20 steps. What an earlier run finished is not done again.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from memworld.evaluate.results import Table, read_metrics
from memworld.formats import open_dataset
from memworld.worlds import availability, open_world

SHOWN = (
    "pong",
    "freeway",
    "seaquest",
    "space_invaders",
    "supertuxkart/lighthouse",
    "supertuxkart/fortmagma",
    "supertuxkart/snowmountain",
    "supertuxkart/volcano_island",
    "vizdoom/my_way_home",
    "vizdoom/health_gathering",
    "crafter",
    "minetest/navigate",
    "minetest/treechop",
)
HORIZONS = (1, 5, 10, 20)
REAL_TIME_STEPS = 200
"""Most steps of an episode where ten of them take a second."""
METRIC = "moving_pixel_l1"
OTHERS = ("l1", "ssim", "kl", "state_error")
AT = 10
BRIEFLY = ("encoder_bound", "persistence", "data_mean", "replay_kl, requery", "default, requery")


def memworld(*arguments: object) -> float:
    """Run the program; the seconds that it took."""
    command = [sys.executable, "-m", "memworld.cli", *map(str, arguments)]
    print("$ memworld", *map(str, arguments), flush=True)
    began = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - began


def once(folder: Path, *arguments: object) -> float:
    """Run the program with `--output folder` unless it has finished there; the seconds that it took then."""
    note = folder.with_suffix(".seconds")
    if not note.exists():
        seconds = memworld(*arguments, "--output", folder, *(["--resume"] if folder.exists() else []))
        note.write_text(f"{seconds:.2f}\n")
    return float(note.read_text())


def returns(data: Path) -> dict[float, list[float]]:
    """Returns of the episodes by skill."""
    found: dict[float, list[float]] = {}
    for episode in open_dataset(data):
        found.setdefault(float(episode.source["skill"]), []).append(float(episode.rewards.sum()))
    return found


def speed(name: str, steps: int = 300) -> float:
    """Steps per second of the demonstrator's play, the reset left out; measured anew at every call."""
    world = open_world(name)
    env = world.make()
    try:
        observation, info = env.reset(seed=0)
        policy = world.policies["demonstrator"](env.action_space, np.random.default_rng(0), 1.0)  # type: ignore[arg-type]
        began = time.perf_counter()
        played, ended = 0, False
        while played < steps and not ended:
            observation, _, terminated, truncated, info = env.step(policy(observation, info))
            played, ended = played + 1, terminated or truncated
        return played / (time.perf_counter() - began)
    finally:
        env.close()


def measure(world: str, output: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All stages of one world."""
    folder = output / world.replace("/", "-")
    folder.mkdir(parents=True, exist_ok=True)
    episodes, chance = folder / "episodes", folder / "random"
    most = min(options.max_steps, REAL_TIME_STEPS) if world.startswith("minetest/") else options.max_steps
    steps = ("--max-steps", most, "--seed", 0)
    skills = [part for skill in (1.0, 0.8, 0.6) for part in ("--skill", skill)]
    seconds = once(
        episodes, "record", world, "--policy", "demonstrator", "--episodes", options.episodes, *skills, *steps
    )
    once(chance, "record", world, "--policy", "random", "--episodes", options.chance, *steps)
    held_out = ("--held-out", options.held_out, "--seed", 0)
    encoder, memory, evaluation = (folder / name for name in ("encoder", "memory", "evaluation"))
    trained = once(encoder, "train", episodes, *held_out, "--latent-shape", "4x8x8", "--steps", options.train_steps)
    remembered = once(memory, "remember", episodes, "--encoder", encoder, *held_out)
    evaluated = once(evaluation, "evaluate", memory, episodes, "--starts", options.starts)
    data = open_dataset(episodes)
    rows = read_metrics(evaluation / "metrics.parquet")
    table = Table(rows)
    errors: dict[str, dict[str, list[float]]] = {}
    others: dict[str, dict[str, float]] = {}
    for method, mode in table.methods:
        name = f"{method}, {mode}" if mode else method
        cells = {str(h): table.get(method, mode, METRIC, h) for h in HORIZONS}
        errors[name] = {h: [cell.value, cell.low, cell.high] for h, cell in cells.items() if cell is not None}
        more = {metric: table.get(method, mode, metric, AT) for metric in OTHERS}
        others[name] = {metric: cell.value for metric, cell in more.items() if cell is not None}
    by_skill = returns(episodes)
    return {
        "world": world,
        "steps_per_second": speed(world),
        "episodes": len(data),
        "steps": data.steps,
        "returns": {str(skill): float(np.mean(values)) for skill, values in sorted(by_skill.items(), reverse=True)},
        "random_return": float(np.mean([value for values in returns(chance).values() for value in values])),
        "active_units": json.loads((encoder / "encoder.json").read_text())["active_units"],
        "seconds": {"record": seconds, "train": trained, "remember": remembered, "evaluate": evaluated},
        "held_out": options.held_out,
        "errors": errors,
        "others": others,
    }


def markdown(found: list[dict[str, Any]]) -> str:
    """Tables of all worlds."""
    lines = [
        "| world | steps/s | episodes | steps | return at skill 1 / .8 / .6 | random | active units |",
        "|---|---|---|---|---|---|---|",
    ]
    for f in found:
        skills = " / ".join(f"{value:.4g}" for value in f["returns"].values())
        lines.append(
            f"| {f['world']} | {f['steps_per_second']:.0f} | {f['episodes']} | {f['steps']:,} | {skills} | "
            f"{f['random_return']:.4g} | {f['active_units']} |"
        )
    for f in found:
        lines += ["", f"{f['world']}, error on moving pixels, {f['held_out']} held-out episodes:", ""]
        lines += ["| method | " + " | ".join(f"t={h}" for h in HORIZONS) + " |", "|---" * (1 + len(HORIZONS)) + "|"]
        for name, cells in f["errors"].items():
            shown = (cells.get(str(h)) for h in HORIZONS)
            numbers = (f"{c[0]:.3f} [{c[1]:.3f}, {c[2]:.3f}]" if c else "" for c in shown)
            lines.append(f"| {name} | {' | '.join(numbers)} |")
        lines += ["", f"{f['world']}, other metrics at t={AT}:", "", f"| method | {' | '.join(OTHERS)} |"]
        lines += ["|---" * (1 + len(OTHERS)) + "|"]
        for name in BRIEFLY:
            cells = f["others"].get(name, {})
            lines.append(f"| {name} | {' | '.join(f'{cells[m]:.4g}' if m in cells else '' for m in OTHERS)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/worlds"))
    parser.add_argument("--world", action="append", help="One of the worlds; all that can run here if left out.")
    parser.add_argument("--episodes", type=int, default=12)
    parser.add_argument("--chance", type=int, default=6, help="Episodes of random play.")
    parser.add_argument("--held-out", type=int, default=4)
    parser.add_argument("--max-steps", type=int, default=500)
    parser.add_argument("--train-steps", type=int, default=800)
    parser.add_argument("--starts", type=int, default=10)
    options = parser.parse_args()
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    known = {world.name: world for world in availability()}
    found = []
    for name in options.world or SHOWN:
        if not known[name].runs:
            print(f"{name} cannot run here: {'; '.join(known[name].missing)}")
            continue
        found.append(measure(name, options.output, options))
        (options.output / "worlds.json").write_text(json.dumps(found, indent=2) + "\n")
        (options.output / "worlds.md").write_text(markdown(found))
    print(markdown(found))


if __name__ == "__main__":
    main()
