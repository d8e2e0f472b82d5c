"""The experiments of the paper, one a file; each turns a prepared world into tables, charts and evidence."""

from collections.abc import Callable
from dataclasses import dataclass

from memworld.evaluate.experiments import horizon
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.result import ExperimentResult


@dataclass(frozen=True)
class Experiment:
    """One experiment.

    Attributes:
        title: its heading.
        question: what it asks.
        run: does it in one world.
    """

    title: str
    question: str
    run: Callable[[Laboratory], ExperimentResult]


EXPERIMENTS: dict[str, Experiment] = {
    "horizon": Experiment(
        "One step, and long horizons",
        "How far from the truth is every strategy, mode and baseline, one step ahead and many?",
        horizon.run,
    ),
}
"""The experiments by name, in the order of the report."""
