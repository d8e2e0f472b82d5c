"""What a card says of a memory, measured."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from gymnasium.spaces import Dict, Discrete

from memworld.actions import choice_names, column_names
from memworld.datasets import EpisodeEntry
from memworld.gaussian import at_mean
from memworld.inspection import inspect_memory
from memworld.memory import Memory
from memworld.search.exact import ExactIndex
from memworld.support import calibrate

SAMPLES = 512
"""Moments that coverage is measured on."""

_SHOWN = 6
"""Different values of a source that are told one by one."""

_KEYS = 24
"""Entries of sources that are told."""


@dataclass(frozen=True, eq=False)
class Coverage:
    """How near moments of one episode are to those of others.

    Attributes:
        distances: (S,) float64, ascending: Euclidean, between latent means, from sampled moments to the
            nearest moment of another episode.
        moved: how far latent means typically move in five steps.
        covered: share of the sampled moments whose distance is at most that.
    """

    distances: np.ndarray
    moved: float
    covered: float

    @property
    def median(self) -> float:
        """Of the distances."""
        return float(np.median(self.distances))

    @property
    def most(self) -> float:
        """What nine tenths of the distances do not exceed."""
        return float(np.quantile(self.distances, 0.9))


@dataclass(frozen=True, eq=False)
class Facts:
    """What is measured of a memory.

    Attributes:
        found: `inspect_memory`.
        mean_return: over episodes.
        coverage: None for a memory of one episode, or of episodes that are all shorter than five steps.
    """

    found: dict[str, Any]
    mean_return: float
    coverage: Coverage | None


def measure(memory: Memory) -> Facts:
    """Measure a memory that is not empty."""
    found = inspect_memory(memory, samples=SAMPLES)
    returns = [episode.rewards.sum(dtype=np.float64) for episode in memory.episodes]
    coverage = found["coverage"]
    if coverage is not None:
        coverage = Coverage(_distances(memory), coverage["moved_in_5_steps"], coverage["covered"])
    return Facts(found, float(np.mean(returns)), coverage)


def _distances(memory: Memory) -> np.ndarray:
    """Of the same sampled moments, and as `inspect_memory` measures them."""
    rows = memory.rows
    at_means = replace(rows, latents=at_mean(rows.latents.mu, rows.latents.sigma))
    support = calibrate(ExactIndex.of(at_means, "l2"), at_means, samples=SAMPLES)
    return np.asarray(support.distances.sqrt())


@dataclass(frozen=True)
class ActionColumn:
    """What was chosen in one column of a memory's actions.

    Attributes:
        name: of the column.
        choices: each choice, and how often it was made; empty for numbers, which have none.
        mean: of numbers; NaN for choices.
        std: their standard deviation; NaN for choices.
    """

    name: str
    choices: tuple[tuple[str, int], ...]
    mean: float = math.nan
    std: float = math.nan


def actions_of(memory: Memory, found: Mapping[str, Any]) -> list[ActionColumn]:
    """What was chosen, for each column of the memory's actions.

    Args:
        memory: which.
        found: `inspect_memory` of it.
    """
    space, names = memory.info.action_space, memory.info.action_names
    columns = column_names(space, names)
    called: Mapping[str, Sequence[str]] = choice_names(space, names) if isinstance(space, Dict) else {}
    if names and isinstance(space, Discrete):
        called = {columns[0]: names}
    told = []
    for column, summary in zip(columns, _by_column(found["actions"]), strict=True):
        if isinstance(summary, Mapping):
            choices = zip(called.get(column, tuple(summary)), summary.values(), strict=True)
            told.append(ActionColumn(column, tuple(choices)))
        else:
            told.append(ActionColumn(column, (), *summary))
    return told


def _by_column(summary: Mapping[str, Any]) -> Iterator[Mapping[str, int] | tuple[float, float]]:
    """What `describe_actions` says, column by column: counts of choices, or mean and standard deviation."""
    if isinstance(summary.get("mean"), list):
        yield from zip(summary["mean"], summary["std"], strict=True)
    elif all(isinstance(count, int) for count in summary.values()):
        yield summary
    else:
        for part in summary.values():
            yield from _by_column(part)


@dataclass(frozen=True)
class SourceEntry:
    """What episodes say of one thing about how they were recorded.

    Attributes:
        name: of the thing.
        values: values, with the number of episodes that have each; not all of them, if they are many.
        rest: what else there is to say, in words; may be empty.
    """

    name: str
    values: tuple[tuple[str, int], ...]
    rest: str


def sources_of(entries: Sequence[EpisodeEntry]) -> list[SourceEntry]:
    """How the episodes were recorded, what most of them tell first."""
    values: dict[str, list[Any]] = {}
    for entry in entries:
        for name, value in entry.source.items():
            values.setdefault(str(name), []).append(value)
    told = []
    for name, found in sorted(values.items(), key=lambda item: -len(item[1]))[:_KEYS]:
        rest = [] if len(found) == len(entries) else [f"told of {len(found):,} of {len(entries):,} episodes"]
        counted = Counter(v if isinstance(v, str) else json.dumps(v, sort_keys=True) for v in found)
        numbers = [v for v in found if type(v) in (int, float)]
        shown = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
        if len(counted) > _SHOWN and len(numbers) == len(found):
            rest = [f"{len(counted):,} different numbers, from {min(numbers):.6g} to {max(numbers):.6g}", *rest]
            shown = []
        elif len(counted) > _SHOWN:
            rest = [f"and {len(counted) - _SHOWN:,} other values", *rest]
        told.append(SourceEntry(name, tuple(shown[:_SHOWN]), ", ".join(rest)))
    return told
