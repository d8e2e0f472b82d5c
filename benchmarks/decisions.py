"""Seconds for a decision: every planner, on the moments of a memory's own episodes.

    python benchmarks/decisions.py runs/demo/memory [--decisions 20]

Planners that imagine do so for 256 sequences of 20 steps, drawn evenly, from the behaviour, or from memory, which
proposes fewer. Nothing is decoded.
"""

import argparse
import time

import numpy as np

import memworld
from memworld.plan import DYNAMICS, PLANNERS, PlanConfig, planning_policy
from memworld.plan.config import HEEDED, PROPOSALS


def seconds(policy: object, frames: np.ndarray, decisions: int) -> list[float]:
    """What each of the first decisions took, the very first left out."""
    took: list[float] = policy.decision_seconds  # type: ignore[attr-defined]
    for frame in frames:
        policy(frame, {})  # type: ignore[operator]
        if len(took) > decisions:
            break
    return took[1:]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("memory", help="a memory's folder; it keeps frames and has rewards")
    parser.add_argument("--decisions", type=int, default=20)
    options = parser.parse_args()
    world = memworld.WorldModel.open(options.memory, DYNAMICS)
    world.prepare()
    print(world.memory)
    longest = max(world.memory.episodes, key=lambda episode: episode.entry.steps)
    frames = np.asarray(longest.frames)
    for planner in PLANNERS:
        for proposals in PROPOSALS if "proposals" in HEEDED[planner] else (None,):
            config = PlanConfig(planner) if proposals is None else PlanConfig(planner, proposals=proposals)
            began = time.perf_counter()
            make = planning_policy(world, config)
            learned = time.perf_counter() - began
            took = 1e3 * np.array(seconds(make(np.random.default_rng(0)), frames, options.decisions))
            name = planner if proposals is None else f"{planner}, {proposals}"
            print(f"{name}: median {np.median(took):.0f} ms, most {took.max():.0f} ms; learned in {learned:.1f} s")


if __name__ == "__main__":
    main()
