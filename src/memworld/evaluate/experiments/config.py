"""The sizes of the experiments."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from memworld.errors import MemworldError

VAST = ("vizdoom/my_way_home", "minetest/navigate", "minetest/treechop", "crafter")
"""Worlds whose states a few episodes cannot cover."""


@dataclass(frozen=True)
class StudyConfig:
    """How large the experiments are; the defaults are the paper's sizes.

    Attributes:
        training: episodes in memory; the encoder and the baselines are trained on the same.
        validation: further episodes that tell encoder and baselines when to stop; in no memory.
        held_out: episodes that nothing sees before it is measured on them.
        further: episodes beside the training ones that the experiment about coverage may choose from.
        max_steps: most steps of an episode.
        skills: of the demonstrator, taken in turn by the episodes.
        random_start: most random steps before an episode.
        latent_shape: of the encoder.
        encoder_steps: most gradient steps of the encoder.
        baseline_steps: most gradient steps of each baseline, by its name.
        budgets: shares of `baseline_steps` with which each is trained anew, for quality against time.
        horizon: steps to predict.
        shown: steps ahead that tables and film strips show.
        starts: random starts per held-out episode.
        timing_batch: imagined worlds in the batch that is timed.
        sizes: numbers of episodes in memory, for coverage against volume.
        draws: random choices of each size, whose results are averaged.
        play_episodes: real episodes per way to act.
        play_steps: most steps of each.
        seed: of everything.
    """

    training: int = 10
    validation: int = 2
    held_out: int = 8
    further: int = 38
    max_steps: int = 1500
    skills: tuple[float, ...] = (1.0, 0.9, 0.8, 0.6)
    random_start: int = 30
    latent_shape: tuple[int, ...] = (128,)
    encoder_steps: int = 3000
    baseline_steps: Mapping[str, int] = field(
        default_factory=lambda: {"latent_gru": 3000, "rssm_latents": 2500, "rssm_pixels": 1500}
    )
    budgets: tuple[float, ...] = (1 / 16, 1 / 4)
    horizon: int = 50
    shown: tuple[int, ...] = (1, 5, 10, 20, 50)
    starts: int = 20
    timing_batch: int = 64
    sizes: tuple[int, ...] = (1, 2, 5, 10, 20, 30)
    draws: int = 3
    play_episodes: int = 20
    play_steps: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        least = dict.fromkeys(("validation", "held_out", "max_steps", "horizon", "starts", "timing_batch"), 1)
        least |= {"training": 2, "further": 0, "draws": 1, "play_episodes": 1, "play_steps": 1}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise MemworldError(f"{name} must be at least {low}, got {getattr(self, name)}")
        if not all(0 < share < 1 for share in self.budgets):
            raise MemworldError(f"budgets must be shares between 0 and 1, got {self.budgets}")
