"""What a page shows of each of the worlds side by side."""

from dataclasses import dataclass

import numpy as np

from memworld.play.dream import LiveDream
from memworld.play.real import RealWorld
from memworld.play.stage import Stage

OVER = 0.5
"""Of termination: from here on a dream's episode counts as over."""


@dataclass(frozen=True)
class Neighbour:
    """A recorded moment that is like another, or behind a prediction.

    Attributes:
        episode: its number.
        id: its name.
        step: in it.
        row: of memory; of a data set the number of the frame in it.
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
        strategy: of a dream.
        support: of a dream's step; None where it would say nothing.
        no_support: why it would.
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
    strategy: str | None = None
    support: float | None = None
    no_support: str = ""
    searched: bool = False
    place: tuple[float, float] | None = None
    neighbours: tuple[Neighbour, ...] = ()

    @property
    def label(self) -> str:
        """What is written above it."""
        name = self.title[0].upper() + self.title[1:]
        return name if self.strategy is None else f"{name}: {self.strategy.replace('_', ' ')}"

    @classmethod
    def of_dream(cls, stage: Stage, dream: LiveDream, number: int) -> "Panel":
        """A dream, numbered from 1."""
        now = dream.shown
        cited = []
        for moment in now.cited:
            episode = stage.numbers[moment.episode]
            row = stage.first_rows[episode] + moment.step
            cited.append(Neighbour(episode, moment.episode, moment.step, row, moment.distance, moment.weight))
        return cls(
            f"dream {number}",
            "dream",
            now.frame,
            now.reward,
            dream.total,
            now.termination,
            now.termination >= OVER,
            dream.settings.strategy,
            now.support,
            now.no_support,
            now.searched,
            (float(now.place[0]), float(now.place[1])),
            tuple(cited),
        )

    @classmethod
    def of_real(cls, real: RealWorld) -> "Panel":
        """The real world."""
        return cls("the real world", "real", real.frame, real.reward, real.total, float(real.over), real.over)
