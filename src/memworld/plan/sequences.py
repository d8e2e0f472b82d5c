"""Sequences of actions drawn by chance, and a distribution over them that can be fitted to the best."""

from dataclasses import dataclass

import numpy as np
from gymnasium.spaces import Box

from memworld.actions import ActionSpace, action_parts, stored_dtype, stored_shape

_HELD = (1, 8)
"""Steps for which an action is held, drawn anew for each: actions that change at every step cancel out."""


def held_actions(space: ActionSpace, count: int, horizon: int, rng: np.random.Generator) -> np.ndarray:
    """Sequences of actions drawn from all the space (`Spread.even`), each held for some steps.

    Returns:
        (count, horizon) or (count, horizon, A) in the stored form.
    """
    fresh = rng.random((count, horizon)) < 1 / rng.integers(*_HELD, size=(count, 1), endpoint=True)
    fresh[:, 0] = True
    drawn = Spread.even(space, horizon).draw(count, rng).reshape(count, horizon, -1)
    began = np.maximum.accumulate(np.where(fresh, np.arange(horizon), 0), 1)
    held = np.take_along_axis(drawn, began[..., None], 1)
    return held.reshape(count, horizon, *stored_shape(space))


@dataclass(frozen=True, eq=False)
class Spread:
    """Independent distributions of every column at every step: categorical of choices, else normal within bounds.

    Attributes:
        space: of the actions.
        chances: for each discrete column its (T, n) probabilities; None for continuous ones.
        mean: (T, A) of continuous columns; 0 for discrete ones.
        deviation: (T, A) likewise.
    """

    space: ActionSpace
    chances: tuple[np.ndarray | None, ...]
    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def even(cls, space: ActionSpace, horizon: int) -> "Spread":
        """All choices alike; numbers about the middle of their bounds, with a deviation of half their range.

        Numbers without two bounds are about 0, as far as their bounds allow, with a deviation of 1.
        """
        chances: list[np.ndarray | None] = []
        middle, half = [], []
        for part in action_parts(space):
            width = part.columns.stop - part.columns.start
            if part.discrete:
                chances += [np.full((horizon, int(n)), 1 / n) for n in part.choices]
                middle += [0.0] * width
                half += [0.0] * width
                continue
            chances += [None] * width
            assert isinstance(part.space, Box)
            low, high = (np.atleast_1d(side).astype(np.float64) for side in (part.space.low, part.space.high))
            bounded = np.isfinite(low) & np.isfinite(high)
            least, most = (np.where(bounded, side, 0) for side in (low, high))
            middle += np.where(bounded, (least + most) / 2, np.clip(0.0, low, high)).tolist()
            half += np.where(bounded, (most - least) / 2, 1.0).tolist()
        return cls(space, tuple(chances), np.tile(middle, (horizon, 1)), np.tile(half, (horizon, 1)))

    @classmethod
    def fitted(cls, actions: np.ndarray, space: ActionSpace, weights: np.ndarray | None = None) -> "Spread":
        """The distributions of sequences (N, T) or (N, T, A), each counted by its weight (N,), which sum to 1."""
        columns = actions.reshape(*actions.shape[:2], -1)
        weights = np.full(len(actions), 1 / len(actions)) if weights is None else weights
        chances: list[np.ndarray | None] = []
        mean = np.zeros(columns.shape[1:])
        deviation = np.zeros(columns.shape[1:])
        for part in action_parts(space):
            for at in range(part.columns.start, part.columns.stop):
                column = columns[..., at]
                if part.discrete:
                    start, n = (int(x[at - part.columns.start]) for x in (part.start, part.choices))
                    chances.append(np.einsum("n,ntc->tc", weights, column[..., None] == start + np.arange(n)))
                else:
                    chances.append(None)
                    mean[:, at] = weights @ column
                    deviation[:, at] = np.sqrt(weights @ (column - mean[:, at]) ** 2)
        return cls(space, tuple(chances), mean, deviation)

    def mixed(self, other: "Spread", share: float) -> "Spread":
        """This one with a share of another: probabilities and deviations as the mixture has, means as they are."""
        chances = tuple(
            None if mine is None or theirs is None else (1 - share) * mine + share * theirs
            for mine, theirs in zip(self.chances, other.chances, strict=True)
        )
        deviation = np.sqrt((1 - share) * self.deviation**2 + share * other.deviation**2)
        return Spread(self.space, chances, self.mean, deviation)

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """(count, T) or (count, T, A) sequences in the stored form."""
        horizon, width = self.mean.shape
        columns = self.mean + self.deviation * rng.standard_normal((count, horizon, width))
        starts = _starts(self.space)
        for at, chances in enumerate(self.chances):
            if chances is not None:
                below = chances.cumsum(1)[None] / chances.sum(1)[None, :, None]
                choice = (rng.random((count, horizon, 1)) > below).sum(2).clip(max=chances.shape[1] - 1)
                columns[..., at] = starts[at] + choice
        return stored(columns, self.space)

    def likeliest(self) -> np.ndarray:
        """(T,) or (T, A): the likeliest choices and the means."""
        columns, starts = self.mean.copy(), _starts(self.space)
        for at, chances in enumerate(self.chances):
            if chances is not None:
                columns[:, at] = starts[at] + chances.argmax(1)
        return stored(columns, self.space)


def stored(columns: np.ndarray, space: ActionSpace) -> np.ndarray:
    """Columns (..., A) of numbers in the stored form, continuous ones within their bounds."""
    columns = columns.copy()
    for part in action_parts(space):
        if not part.discrete:
            assert isinstance(part.space, Box)
            inside = np.clip(columns[..., part.columns], part.space.low.reshape(-1), part.space.high.reshape(-1))
            whole = not np.issubdtype(part.space.dtype, np.floating)
            columns[..., part.columns] = np.round(inside) if whole else inside
    return columns.reshape(*columns.shape[:-1], *stored_shape(space)).astype(stored_dtype(space))


def _starts(space: ActionSpace) -> list[int]:
    """The first choice of every column; 0 for continuous ones."""
    starts: list[int] = []
    for part in action_parts(space):
        width = part.columns.stop - part.columns.start
        starts += [int(x) for x in part.start] if part.discrete else [0] * width
    return starts
