"""Learning by living: from random play to 50 lived episodes, and what memory was worth after 10 and after 50.

    python benchmarks/living.py [--output FOLDER] [--world NAME ...] [--lived 50] [--early 10] [--episodes 20]

For each world: record random play, train an encoder on it, remember it, live by planning in what is remembered, and
then play the same real starts by the memory as it was after the first lived episodes and after all of them. Every part
is resumed where it stopped. `living.md` holds all returns.
"""

import argparse
from pathlib import Path

import numpy as np
from remembering import remembered

from memworld import WorldModel, open_world
from memworld.control import PlayConfig, control, live, read_returns
from memworld.evaluate.results import interval
from memworld.plan import DYNAMICS, PlanConfig, planning_policy

WORLDS = {"supertuxkart/lighthouse": 500, "vizdoom/health_gathering": 600, "freeway": 500}
"""Worlds, and the most steps of an episode in each."""

RANDOM, VALIDATION = 20, 2
LATENTS = (64,)
STEPS = 2500
EVERY = 5
PLAN = PlanConfig(explore=0.2)


def begin(world: str, steps: int, folder: Path) -> None:
    """A memory of random play: held random actions, as far as the world's own policy goes."""
    remembered(world, folder, (0.0,), RANDOM, VALIDATION, max_steps=steps, latents=LATENTS, training_steps=STEPS)


def knowing(folder: Path, lived: int) -> WorldModel:
    """The memory after so many lived episodes."""
    model = WorldModel.open(folder / "life" / "memory", DYNAMICS)
    model.memory.remove(model.memory.ids[RANDOM + lived :])
    return model


def table(output: Path, worlds: list[str]) -> str:
    """All returns, in Markdown."""
    lines = ["| world | memory | return |", "|---|---|---|"]
    for world in worlds:
        path = output / world / "control" / "returns.json"
        if not path.exists():
            continue
        ways = read_returns(path).ways
        gained = {way: np.array([outcome.gained for outcome in played]) for way, played in ways.items()}
        early, late = (way for way in gained if way.startswith("lived"))
        for way, gains in (*gained.items(), ("the difference", gained[late] - gained[early])):
            mean, low, high = (float(x) for x in interval(gains, 0))
            lines.append(f"| {world} | {way} | {mean:.3g} [{low:.3g}, {high:.3g}] |")
    return "\n".join(lines)


def main() -> None:
    """Read the options, and do what is left to do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/living"))
    parser.add_argument("--world", nargs="*", default=list(WORLDS))
    parser.add_argument("--lived", type=int, default=50)
    parser.add_argument("--early", type=int, default=10)
    parser.add_argument("--episodes", type=int, default=20)
    options = parser.parse_args()
    for world in options.world:
        folder = options.output / world
        folder.parent.mkdir(parents=True, exist_ok=True)
        begin(world, WORLDS[world], folder)
        playing = PlayConfig(episodes=options.lived, max_steps=WORLDS[world], seed=1)  # other starts than those below
        live(open_world(world), folder / "memory", PLAN, playing, folder / "life", "resume", every=EVERY, progress=True)
        stages = {f"lived_{n}": knowing(folder, n) for n in (options.early, options.lived)}
        control(
            open_world(world),
            next(iter(stages.values())).memory,
            {name: planning_policy(model, PlanConfig()) for name, model in stages.items()},
            PlayConfig(episodes=options.episodes, max_steps=WORLDS[world]),
            folder / "control",
            "resume",
            command="python benchmarks/living.py",
            progress=True,
        )
    text = table(options.output, options.world)
    (options.output / "living.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
