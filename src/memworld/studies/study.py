"""What a study is: claims, and the experiments in several worlds that decide them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from memworld.evaluate.experiments.claims import Claim
from memworld.evaluate.experiments.config import StudyConfig
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.result import ExperimentResult


@dataclass(frozen=True)
class Experiment:
    """One experiment.

    Attributes:
        title: its heading.
        question: what it asks.
        run: does it in one world; the folder is its own, for what it may want to keep until it has finished.
    """

    title: str
    question: str
    run: Callable[[Laboratory, Path], ExperimentResult]


@dataclass(frozen=True)
class Study:
    """Claims, and what decides them.

    Attributes:
        name: of its command, and of what its folders hold.
        title: the report's heading.
        experiments: by name, in the order of the report.
        claims: in the order of the report.
        worlds: those that it is about, unless told otherwise.
        sizes: how large, by name.
        figures: for documentation: name -> (experiment, what its chart's title or y-label says).
    """

    name: str
    title: str
    experiments: dict[str, Experiment]
    claims: tuple[Claim, ...]
    worlds: tuple[str, ...]
    sizes: Mapping[str, StudyConfig]
    figures: Mapping[str, tuple[str, str]]
