"""The experiments of the paper, one a file; each turns a prepared world into tables, charts and evidence."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from memworld.evaluate.experiments import (
    budget,
    conditioning,
    coverage,
    decomposition,
    failures,
    horizon,
    planning,
    similarity,
)
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


EXPERIMENTS: dict[str, Experiment] = {
    "horizon": Experiment(
        "One step, and long horizons",
        "How far from the truth is every strategy, mode and baseline, one step ahead and many?",
        lambda laboratory, folder: horizon.run(laboratory),
    ),
    "coverage": Experiment(
        "Coverage against volume",
        "Does it count how many episodes are remembered, or how much of the world they cover?",
        lambda laboratory, folder: coverage.run(laboratory),
    ),
    "conditioning": Experiment(
        "Conditioning on actions",
        "What does it cost, and what does it gain, to retrieve only what was done alike?",
        lambda laboratory, folder: conditioning.run(laboratory),
    ),
    "decomposition": Experiment(
        "Where errors come from",
        "How much of an error is drift in the latents, how much is lost in decoding, and how do they add up?",
        lambda laboratory, folder: decomposition.run(laboratory),
    ),
    "failures": Experiment(
        "Signatures of failure",
        "How often do retrieved moments disagree, miss, or drift away?",
        lambda laboratory, folder: failures.run(laboratory),
    ),
    "budget": Experiment(
        "Quality against time",
        "What quality is reached how many seconds after the episodes arrived, and what does a step cost?",
        lambda laboratory, folder: budget.run(laboratory),
    ),
    "similarity": Experiment(
        "How alike the episodes are",
        "How near do recorded episodes come to each other, and does that tell how well they predict?",
        lambda laboratory, folder: similarity.run(laboratory),
    ),
    "planning": Experiment(
        "Acting by recorded futures",
        "What return does a vote over what was done next in the retrieved moments reach in the real world?",
        planning.run,
    ),
}
"""The experiments by name, in the order of the report."""
