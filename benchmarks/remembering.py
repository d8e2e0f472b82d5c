"""What benchmarks of acting begin with: recorded episodes, an encoder and a memory, each resumed where it stopped."""

from collections.abc import Sequence
from pathlib import Path

from memworld import TrainingConfig, VAEConfig, open_world, record, remember, train_vae
from memworld.datasets import EpisodeDataset
from memworld.encoders import Encoder


def remembered(
    world: str,
    folder: Path,
    skills: Sequence[float],
    episodes: int,
    validation: int,
    *,
    policy: str = "demonstrator",
    max_steps: int,
    latents: tuple[int, ...],
    training_steps: int,
) -> tuple[EpisodeDataset, EpisodeDataset, Encoder]:
    """Record, train and remember: `folder` then holds `episodes`, `encoder` and `memory`.

    Args:
        world: a name of `memworld worlds`.
        folder: where everything goes.
        skills: of the policy, in turn; 0 holds random actions.
        episodes: to remember.
        validation: further ones, for the encoder's validation.
        policy: of the world.
        max_steps: of an episode.
        latents: shape of a latent.
        training_steps: of the encoder.

    Returns:
        What was remembered, what was held out, and the encoder.
    """
    recorded = record(
        open_world(world),
        policy,
        folder / "episodes",
        episodes=episodes + validation,
        max_steps=max_steps,
        skills=skills,
        on_existing="resume",
        progress=True,
    )
    training, held_out = recorded.split(validation, 0)
    config = TrainingConfig(steps=training_steps, seed=0)
    trained = train_vae(
        training, held_out, folder / "encoder", VAEConfig(latents), config, on_existing="resume", progress=True
    )
    remember(training, trained.encoder, folder / "memory", on_existing="resume", progress=True)
    return training, held_out, trained.encoder
