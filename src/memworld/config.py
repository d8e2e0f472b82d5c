"""The settings of a whole run, gathered from the dataclasses that stand above the classes they configure."""

from dataclasses import dataclass, field

from memworld.encoders.training import TrainingConfig
from memworld.encoders.vae import VAEConfig
from memworld.errors import MemworldError
from memworld.evaluate.config import EvaluationConfig


@dataclass(frozen=True)
class RecordingConfig:
    """What to record.

    Attributes:
        world: a name that `worlds.open_world` knows.
        policy: a policy of the world, or "module:function".
        episodes: how many.
        max_steps: most steps of each.
        skills: taken in turn by the episodes.
        random_start: most random steps before each.
    """

    world: str = "pong"
    policy: str = "demonstrator"
    episodes: int = 23
    max_steps: int = 1000
    skills: tuple[float, ...] = (1.0, 0.9, 0.8, 0.6)
    random_start: int = 200


@dataclass(frozen=True)
class RunConfig:
    """A whole run, from nothing to a report: what `config.json` holds.

    Attributes:
        recording: the episodes.
        held_out: how many of them nothing may see before the evaluation.
        validation: how many of the others tell the encoder when to stop; memory holds them too.
        vae: the encoder.
        training: how it is trained.
        keep_frames: whether memory keeps frames.
        evaluation: the evaluation.
        seed: of everything; the parts' own seeds are set to it.
    """

    recording: RecordingConfig = field(default_factory=RecordingConfig)
    held_out: int = 8
    validation: int = 2
    vae: VAEConfig = field(default_factory=VAEConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    keep_frames: bool = True
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.held_out, self.validation) < 1 or self.held_out + self.validation >= self.recording.episodes:
            raise MemworldError(
                f"cannot hold out {self.held_out} and validate on {self.validation} of {self.recording.episodes} "
                "episodes: leave at least one in each part"
            )
        if (self.training.seed, self.evaluation.seed) != (self.seed, self.seed):
            raise MemworldError(f"the parts of a run take its seed, {self.seed}: set them to it")
