"""Acting in four worlds from demonstrations of mixed skill: planning beside yardsticks, in the real worlds.

    python benchmarks/acting.py [--output FOLDER] [--world NAME ...] [--episodes 20] [--stage data|play]

For each world: record demonstrations of mixed skill, train an encoder, remember, train PlaNet's RSSM on the same
episodes, and play real episodes by every way to act from the same starts. Every part is resumed where it stopped.
The reports lie in FOLDER/<world>/control/report.html, and `acting.md` holds all returns.
"""

import argparse
from pathlib import Path

import numpy as np
from remembering import remembered

from memworld import WorldModel, open_world
from memworld.baselines.model import TrainedBaseline
from memworld.baselines.training import train_baseline
from memworld.control import PlayConfig, control, read_returns
from memworld.control.planet import planet_policy
from memworld.evaluate.results import interval
from memworld.plan import DYNAMICS, PlanConfig, planning_policy

WORLDS = {"supertuxkart/lighthouse": 500, "vizdoom/health_gathering": 600, "freeway": 500, "pong": 1000}
"""Worlds, and the most steps of an episode in each."""

SKILLS = (1.0, 0.6, 0.3, 0.1)
DEMONSTRATIONS, VALIDATION = 120, 4
LATENTS = (64,)
STEPS = 2500
PLANNER, OTHERS, SLOW = "mppi", ("vote", "vinn", "behaviour"), ("cem", "random_shooting")
"""What is compared with what; the slow ones are played last, so that what is done early tells most."""

PLANET = "rssm_latents"


def prepare(world: str, steps: int, folder: Path) -> None:
    """Everything that the ways to act need."""
    training, validation, encoder = remembered(
        world, folder, SKILLS, DEMONSTRATIONS, VALIDATION, max_steps=steps, latents=LATENTS, training_steps=STEPS
    )
    train_baseline(PLANET, training, validation, encoder, folder / PLANET, on_existing="resume", progress=True)


def play(world: str, steps: int, folder: Path, episodes: int) -> None:
    """Real episodes by every way to act."""
    model = WorldModel.open(folder / "memory", DYNAMICS)
    planet = TrainedBaseline.open(folder / PLANET, model.encoder)
    ways = {name: planning_policy(model, PlanConfig(name)) for name in (PLANNER, *OTHERS)}
    ways["planet_cem"] = planet_policy(planet, PlanConfig("cem", proposals="even"))
    ways |= {name: planning_policy(model, PlanConfig(name)) for name in SLOW}
    control(
        open_world(world),
        model.memory,
        ways,
        PlayConfig(episodes=episodes, max_steps=steps),
        folder / "control",
        on_existing="resume",
        command="python benchmarks/acting.py",
        progress=True,
    )


def table(output: Path, worlds: list[str]) -> str:
    """All returns, in Markdown."""
    lines = []
    for world in worlds:
        path = output / world / "control" / "returns.json"
        if not path.exists():
            continue
        returns = read_returns(path)
        lines += [f"\n## {world}\n", "| way | return | ms per decision |", "|---|---|---|"]
        gained = {way: np.array([outcome.gained for outcome in played]) for way, played in returns.ways.items()}
        others = [way for way in gained if way != PLANNER]
        for name, gains in (
            ("the demonstrations", returns.demonstrations),
            *gained.items(),
            *((f"{PLANNER} less {way}", gained[PLANNER] - gained[way]) for way in others),
        ):
            mean, low, high = (float(x) for x in interval(gains, 0))
            took = [o.seconds_median for o in returns.ways.get(name, ()) if o.seconds_median]
            spent = f"{1e3 * float(np.median(took)):.1f}" if took else ""
            lines.append(f"| {name} | {mean:.3f} [{low:.3f}, {high:.3f}] | {spent} |")
    return "\n".join(lines)


def main() -> None:
    """Read the options, and do what is left to do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/acting"))
    parser.add_argument("--world", nargs="*", default=list(WORLDS))
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--stage", choices=("data", "play", "all"), default="all")
    options = parser.parse_args()
    for world in options.world:
        folder = options.output / world
        folder.parent.mkdir(parents=True, exist_ok=True)
        if options.stage != "play":
            prepare(world, WORLDS[world], folder)
        if options.stage != "data":
            play(world, WORLDS[world], folder, options.episodes)
    text = table(options.output, options.world)
    (options.output / "acting.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
