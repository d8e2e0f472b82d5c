"""Policies that learned in imagination alone, in the real worlds: PPO in memories of demonstrations and of random play.

    python benchmarks/dreaming.py [--output FOLDER] [--world NAME ...] [--steps 300000] [--episodes 20]

For each world: record, train an encoder, remember, train PPO in imagined environments
(`examples/train_in_imagination.py`, with the same settings in all), and play real episodes. The memories of
`make acting` serve again where FOLDER is theirs. What is recorded, learned and remembered is resumed where it stopped;
PPO begins anew unless there are returns of as many steps and episodes. `dreaming.md` holds all returns.
"""

import argparse
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from acting import DEMONSTRATIONS, LATENTS, SKILLS, STEPS, VALIDATION
from remembering import remembered

from memworld.control import read_returns
from memworld.evaluate.experiments.measuring import number
from memworld.evaluate.returns import lead

EXAMPLE = Path(__file__).parents[1] / "examples" / "train_in_imagination.py"


@dataclass(frozen=True)
class Data:
    """What is recorded in a world.

    Attributes:
        max_steps: of an episode, recorded or played.
        policy: of the world.
        skills: of that policy, in turn; 0 holds random actions.
        episodes: to remember.
    """

    max_steps: int
    policy: str = "demonstrator"
    skills: tuple[float, ...] = SKILLS
    episodes: int = DEMONSTRATIONS


def chance(max_steps: int) -> Data:
    """Random play."""
    return Data(max_steps, "random", (0.0,), 80)


WORLDS = {
    "freeway": Data(500),
    "vizdoom/health_gathering": Data(600),
    "supertuxkart/lighthouse": Data(500),
    "pong": Data(1000),
    "space_invaders": chance(500),
    "atari/boxing": chance(500),
}


def played(output: Path, world: str, steps: int, episodes: int) -> Path:
    """The folder of what was learned in so many decisions and played so often: others are not taken for it."""
    return output / world / f"ppo-{steps}-{episodes}"


def table(folders: dict[str, Path]) -> str:
    """All returns, in Markdown."""
    lines = ["| world | way | return |", "|---|---|---|"]
    for world, folder in folders.items():
        returns = read_returns(folder / "returns.json")
        gained = {way: np.array([outcome.gained for outcome in played]) for way, played in returns.ways.items()}
        told = {"the memory's episodes": number(returns.demonstrations, 0)}
        told |= {way: number(gains, 0) for way, gains in gained.items()}
        for way in (way for way in gained if way.startswith("ppo")):
            told[f"{way} less random"] = number(gained[way] - gained["random"], 0)
            told[f"{way} less the memory's episodes"] = lead(gained[way], returns.demonstrations, 0)
        lines += [f"| {world} | {way} | {x.value:.3f} [{x.low:.3f}, {x.high:.3f}] |" for way, x in told.items()]
    return "\n".join(lines)


def main() -> None:
    """Read the options, and do what is left to do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/acting"))
    parser.add_argument("--world", nargs="*", default=list(WORLDS))
    parser.add_argument("--steps", type=int, default=300_000)
    parser.add_argument("--episodes", type=int, default=20)
    options = parser.parse_args()
    folders = {w: played(options.output, w, options.steps, options.episodes) for w in options.world}
    for world in options.world:
        data, folder = WORLDS[world], options.output / world
        folder.parent.mkdir(parents=True, exist_ok=True)
        remembered(
            world,
            folder,
            data.skills,
            data.episodes,
            VALIDATION,
            policy=data.policy,
            max_steps=data.max_steps,
            latents=LATENTS,
            training_steps=STEPS,
        )
        if not (folders[world] / "returns.json").exists():
            settings = {
                "--output": folders[world],
                "--steps": options.steps,
                "--episodes": options.episodes,
                "--max-steps": data.max_steps,
            }
            given = [str(text) for setting in settings.items() for text in setting]
            subprocess.run([sys.executable, EXAMPLE, folder / "memory", *given], check=True)
    text = table(folders)
    (options.output / "dreaming.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
