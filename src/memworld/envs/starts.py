"""Recorded moments to start from."""

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memworld.envs.config import StartKind
from memworld.errors import MemworldError
from memworld.memory import Memory


class Starts:
    """The recorded moments that episodes can start from, of a memory as it is when this is made."""

    def __init__(self, memory: Memory, kind: StartKind) -> None:
        """Find them.

        Args:
            memory: what is recorded.
            kind: those to draw from, as `ImaginedConfig.starts`.
        """
        self.rows, self.ids = memory.rows, memory.ids
        every = self.rows.candidates
        self._drawn_from = every if kind == "any" else every[self.rows.steps[every] == 0]

    def choose(self, count: int, options: Mapping[str, Any], generator: np.random.Generator) -> Tensor:
        """Rows (count,) int64: all the one that the options `episode` and `step` of a reset ask for, or else drawn.

        Raises:
            MemworldError: there is no such option, or no such moment, or nothing follows it.
        """
        if unknown := set(options) - {"episode", "step"}:
            raise MemworldError(f"unknown option {min(map(str, unknown))!r} of reset: use episode and step")
        if not options:
            return self._drawn_from[torch.from_numpy(generator.integers(len(self._drawn_from), size=count))]
        if "episode" not in options:
            raise MemworldError("reset was given a step without its episode: give both, or the episode alone")
        return torch.full((count,), self._row(options["episode"], options.get("step", 0)))

    def moment(self, row: int) -> tuple[str, int]:
        """The episode and step of a row."""
        return self.ids[int(self.rows.episodes[row])], int(self.rows.steps[row])

    def _row(self, episode: Any, step: Any) -> int:
        if episode not in self.ids:
            raise MemworldError(f"the memory has no episode {episode!r}: see memworld inspect for those it has")
        first, end = torch.searchsorted(self.rows.episodes, self.ids.index(episode) + torch.arange(2)).tolist()
        last = end - first - 2  # nothing follows an episode's last moment
        try:
            number = operator.index(step)
        except TypeError:
            raise MemworldError(f"step must be a whole number, got {step!r}") from None
        if not 0 <= number <= last:
            raise MemworldError(f"of episode {episode} steps 0 to {last} are followed by others, not {number}")
        return int(first) + number
