"""What an experiment works with in one world: episodes, encoder, memory, and the trained baselines."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from memworld.baselines import Baseline
from memworld.datasets import EpisodeDataset
from memworld.encoders import Encoder
from memworld.evaluate.experiments.config import StudyConfig
from memworld.memory import Memory


@dataclass(frozen=True, eq=False)
class Laboratory:
    """One world, prepared.

    Attributes:
        world: a name that `worlds.open_world` knows.
        training: the memory's episodes; encoder and baselines were trained on them.
        held_out: episodes that nothing has seen.
        further: more episodes of the same kind; neither encoder nor baselines have seen them.
        encoder: the memory's encoder.
        memory: what is searched.
        models: the trained baselines by name; one that could not be trained is in `left_out`.
        budgets: the same baselines trained for less: by name, (seconds of training, model), fewest first.
        seconds: what each stage of the preparation took: `record`, `encoder`, `remember`, and the
            training of each of `models` under its name.
        left_out: baselines that could not be trained, and why.
        config: the sizes.
        progress: whether to show progress bars.
    """

    world: str
    training: EpisodeDataset
    held_out: EpisodeDataset
    further: EpisodeDataset
    encoder: Encoder
    memory: Memory
    models: Mapping[str, Baseline]
    budgets: Mapping[str, tuple[tuple[float, Baseline], ...]] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    config: StudyConfig = field(default_factory=StudyConfig)
    progress: bool = False
