"""What one page drives: one or two dreams, and the real world beside them, under the same keys."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from memworld.actions import action_features, as_actions, stored_shape
from memworld.errors import MemworldError
from memworld.play.dream import LiveDream
from memworld.play.settings import DreamSettings
from memworld.play.stage import Stage
from memworld.storage import one_line

OVER = 0.5
"""Of termination: from here on a dream's episode counts as over."""


@dataclass(frozen=True, eq=False)
class Neighbour:
    """A recorded moment behind what is shown.

    Attributes:
        episode: its number.
        id: its name.
        step: in it.
        row: of memory.
        distance: to what was searched for.
        weight: its share.
    """

    episode: int
    id: str
    step: int
    row: int
    distance: float
    weight: float


@dataclass(frozen=True, eq=False)
class Panel:
    """What one of the worlds side by side shows now.

    Attributes:
        title: of it.
        kind: `dream` or `real`.
        frame: uint8 (H, W, C).
        reward: of the last step.
        total: of all since the start.
        termination: how likely the last step ended the episode.
        over: whether it counts as ended.
        support: of a dream's step.
        searched: whether memory was searched for it.
        place: of a dream on the map.
        neighbours: behind a dream's step, the largest share first.
    """

    title: str
    kind: str
    frame: np.ndarray
    reward: float
    total: float
    termination: float
    over: bool
    support: float | None = None
    searched: bool = False
    place: tuple[float, float] | None = None
    neighbours: tuple[Neighbour, ...] = ()


class PlaySession:
    """Worlds side by side that begin at the same recorded moment and take the same actions."""

    def __init__(self, stage: Stage, settings: Sequence[Any], start: Mapping[str, Any] | None = None) -> None:
        """Begin.

        Args:
            stage: whose memory.
            settings: of one dream or two, in plain JSON values; see `settings.Choices`.
            start: `episode` (its number) and `step` of the recorded moment; None draws one.

        Raises:
            MemworldError: other settings or another moment than there are.
        """
        if not isinstance(settings, Sequence) or isinstance(settings, str) or not 1 <= len(settings) <= 2:
            raise MemworldError("dreams is to be a list of the settings of one dream or of two")
        self.stage = stage
        self._chance = np.random.default_rng(secrets.randbits(64))
        self._begin(self._row(start), [stage.choices.settings(plain) for plain in settings])

    @property
    def settings(self) -> list[DreamSettings]:
        """Of every dream."""
        return [dream.settings for dream in self.dreams]

    @property
    def start(self) -> tuple[int, int]:
        """The number of the episode and the step that all began at."""
        return self.stage.moment(self.dreams[0].start)

    def reset(self, start: Mapping[str, Any] | None) -> None:
        """Begin anew at a recorded moment; None draws one.

        Raises:
            MemworldError: there is no such moment, or nothing follows it; then all stays as it is.
        """
        self._begin(self._row(start), self.settings)

    def step(self, action: Any) -> None:
        """Take one action everywhere.

        Args:
            action: an integer for `Discrete` spaces, else a list of numbers, one for each column.

        Raises:
            MemworldError: it is none of the space, or a dream cannot go on.
        """
        space = self.stage.memory.info.action_space
        try:
            stored = as_actions(np.asarray(action), space)
        except (ValueError, OverflowError, TypeError) as error:
            if isinstance(error, MemworldError):
                raise
            raise MemworldError(f"action {one_line(action)[:60]} is none of {one_line(space)[:120]}") from error
        if stored.shape != stored_shape(space):
            raise MemworldError(f"one action has shape {stored_shape(space)}, this one has {stored.shape}")
        features = torch.from_numpy(action_features(stored[None], space))
        for number, dream in enumerate(self.dreams):
            self._totals[number] += dream.step(features).reward
        self.steps += 1

    def change(self, number: int, settings: Any) -> None:
        """Let a dream go on under other settings.

        Raises:
            MemworldError: there is no such dream, or no such settings; then it goes on as before.
        """
        if number not in range(len(self.dreams)):
            raise MemworldError(f"there is no dream {number}: there are {len(self.dreams)}, numbered from 0")
        self.dreams[number].change(self.stage.choices.settings(settings))

    def dream(self, count: int) -> None:
        """Let one dream go on, or two; a second one branches off the first.

        Raises:
            MemworldError: another number.
        """
        if count not in (1, 2):
            raise MemworldError(f"count is to be 1 or 2 dreams, not {count}")
        if count == 2 and len(self.dreams) == 1:
            self.dreams.append(self.dreams[0].branch(self.dreams[0].settings))
            self._totals.append(self._totals[0])
        del self.dreams[count:], self._totals[count:]

    def panels(self) -> list[Panel]:
        """What there is to see now."""
        shown = []
        for number, (dream, total) in enumerate(zip(self.dreams, self._totals, strict=True), 1):
            now = dream.shown
            cited = []
            for moment in now.cited:
                episode = self.stage.numbers[moment.episode]
                row = self.stage.first_rows[episode] + moment.step
                cited.append(
                    Neighbour(episode, moment.episode, moment.step, row, moment.distance, moment.weight),
                )
            shown.append(
                Panel(
                    f"dream {number}",
                    "dream",
                    now.frame,
                    now.reward,
                    total,
                    now.termination,
                    now.termination >= OVER,
                    now.support,
                    now.searched,
                    (float(now.place[0]), float(now.place[1])),
                    tuple(cited),
                )
            )
        return shown

    def close(self) -> None:
        """Leave nothing open."""

    def _begin(self, row: int, settings: Sequence[DreamSettings]) -> None:
        self.dreams = [LiveDream(self.stage, each, row) for each in settings]
        self._totals = [0.0 for _ in settings]
        self.steps = 0

    def _row(self, start: Any) -> int:
        """The row of a moment, in plain JSON values, or a drawn one."""
        if start is None:
            return int(self.stage.starts.choose(1, {}, self._chance)[0])
        if not isinstance(start, Mapping) or set(start) - {"episode", "step"} or "episode" not in start:
            raise MemworldError("start is to be null, or an episode's number and a step in it")
        numbers = [start["episode"], start.get("step", 0)]
        if any(type(number) is not int for number in numbers):
            raise MemworldError("start is to name an episode by its number, and a step by its own")
        return self.stage.start(*numbers)
