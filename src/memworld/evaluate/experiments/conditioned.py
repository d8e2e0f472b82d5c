"""What is gathered about strategies under every conditioning, and what is read off it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from memworld.evaluate.experiments.measuring import kind_of, numbers
from memworld.evaluate.experiments.result import Cell, Number, Row
from memworld.evaluate.metrics import mean_of_numbers
from memworld.evaluate.results import Strip, label_of
from memworld.imagine import Mode
from memworld.retrieve import STRATEGIES
from memworld.rollout import Rollout
from memworld.search import Conditioning

MODE: Mode = "requery"
"""Only there does every action of a sequence count."""


@dataclass
class Gathered:
    """What was measured, by the method's name; one array per held-out episode.

    Attributes:
        ways: of conditioning.
        steps: the H steps ahead that errors are measured at, ascending, from 1.
        seed: of the bootstrap.
        errors: by metric, (S, H) each.
        rollouts: of the searches.
        refused: searches that memory cannot answer, and why.
        strips: film strips.
    """

    ways: tuple[Conditioning, ...]
    steps: tuple[int, ...]
    seed: int
    errors: dict[str, dict[str, list[np.ndarray]]] = field(default_factory=dict)
    rollouts: dict[str, list[Rollout]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    strips: tuple[Strip, ...] = ()

    def per_episode(self, name: str, metric: str) -> np.ndarray | None:
        """(E, H) means over windows; None if it was not measured."""
        found = self.errors.get(name, {}).get(metric)
        return None if found is None else np.stack([mean_of_numbers(values) for values in found])

    def row(self, name: str, cells: tuple[Cell, ...], label: str = "{}") -> Row:
        """A table's row about a method."""
        return Row(label.format(label_of(name, MODE if name in self.rollouts else "")), cells, kind_of(name))

    def numbers(self, per_episode: np.ndarray) -> tuple[Number, ...]:
        """(E, C) to C numbers with their intervals."""
        return numbers(per_episode, self.seed)

    def differences(self, metric: str) -> Iterator[tuple[str, Conditioning, np.ndarray]]:
        """Strategy, conditioning, and (E, H) its error less that without conditioning."""
        for strategy in STRATEGIES:
            without = self.per_episode(f"{strategy} none", metric)
            for way in self.ways:
                values = self.per_episode(f"{strategy} {way}", metric)
                if way != "none" and values is not None and without is not None:
                    yield strategy, way, values - without
