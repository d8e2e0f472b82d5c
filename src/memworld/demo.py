"""The settings of `memworld demo`."""

import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from memworld.config import RecordingConfig, RunConfig
from memworld.encoders.training import TrainingConfig
from memworld.encoders.vae import VAEConfig
from memworld.errors import MemworldError
from memworld.evaluate.config import EvaluationConfig
from memworld.worlds import open_world


def demo_config(world: str = "pong", seed: int = 0, quick: bool = False) -> RunConfig:
    """The demo's settings: 15 episodes of 1,000 steps remembered, 8 held out.

    Args:
        world: one with a demonstrator.
        seed: of everything.
        quick: a few hundred steps of everything, to see that it works; its numbers mean nothing.

    Raises:
        MemworldError: unknown world, or one without a demonstrator.
    """
    opened = open_world(world)
    if "demonstrator" not in opened.policies:
        raise MemworldError(
            f"{world} has no demonstrator: use another of `memworld worlds`, or `memworld record` with your own policy"
        )
    config = RunConfig(
        RecordingConfig(world=opened.name),
        vae=VAEConfig(latent_shape=(4, 8, 8), channels=(24, 48, 96)),
        training=TrainingConfig(steps=1200, seed=seed),
        evaluation=EvaluationConfig(seed=seed),
        seed=seed,
    )
    if not quick:
        return config
    return replace(
        config,
        recording=replace(config.recording, episodes=5, max_steps=150),
        held_out=2,
        validation=1,
        training=replace(config.training, steps=150, batch_size=16, validate_every=75),
        evaluation=replace(config.evaluation, horizon=5, starts=2, shown=(1, 5), timing_batch=8),
    )


def next_lines(output: Path) -> list[str]:
    """The lines that a user types next."""
    memory, episodes = (shlex.quote(str(output / name)) for name in ("memory", "episodes"))
    memworld = _program("memworld")
    return [
        f"{memworld} play {memory}",
        f"{memworld} inspect {memory}",
        f"{memworld} imagine {memory} {episodes} --start 100 --output imagined.png",
    ]


def _program(name: str) -> str:
    """How to call a program of this environment: by its name where that finds it, else by its path."""
    here = Path(sys.executable).parent / name
    found = shutil.which(name)
    if found is not None and Path(found).parent == here.parent:
        return name
    return shlex.quote(str(here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here))
