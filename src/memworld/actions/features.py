"""How actions enter a search, and what is said of many."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete

from memworld.actions.spaces import ActionSpace, Part, action_parts, stored_shape
from memworld.actions.values import as_actions
from memworld.errors import MemworldError


def action_features(actions: np.ndarray, space: ActionSpace) -> np.ndarray:
    """Vectors whose squared Euclidean distance is the difference between actions.

    For a discrete column a one-hot vector over sqrt(2), so that equal choices are 0 apart and
    different ones 1; for a continuous one the action over half its range (over 1 where unbounded).

    Args:
        actions: stored actions, (N,) or (N, A).
        space: their space.

    Returns:
        float64 (N, F).
    """
    columns = actions.reshape(len(actions), -1)
    return np.concatenate(
        [
            _one_hot(columns[:, part.columns], part) if part.discrete else _scaled(columns[:, part.columns], part)
            for part in action_parts(space)
        ],
        axis=1,
    )


def sequence_features(actions: Any, space: ActionSpace) -> np.ndarray:
    """The features of sequences of actions.

    Args:
        actions: (T,) or (B, T) actions, in any form of `as_actions`; a single sequence may leave B out.
        space: their space.

    Returns:
        float64 (B, T, F), `action_features`.

    Raises:
        MemworldError: a horizon of 0, sequences that differ in length, or actions outside the space.
    """
    if not isinstance(actions, Mapping):
        try:
            actions = np.asarray(actions)
        except ValueError as error:
            raise MemworldError("action sequences differ in length: imagine them one by one") from error
        if actions.size == 0:
            raise MemworldError("horizon is 0: give at least one action")
    stored = as_actions(actions, space)
    if stored.size == 0:
        raise MemworldError("horizon is 0: give at least one action")
    own = len(stored_shape(space))
    if stored.ndim == 1 + own:
        stored = stored[None]
    if stored.ndim != 2 + own:
        raise MemworldError(f"actions have shape {stored.shape}: give (T,) or (B, T){', A' if own else ''}")
    flat = action_features(stored.reshape(-1, *stored.shape[2:]), space)
    return flat.reshape(*stored.shape[:2], -1)


def discrete_features(space: ActionSpace) -> np.ndarray:
    """Which of the numbers of `action_features` belong to discrete choices, bool (F,)."""
    return np.concatenate(
        [
            np.full(int(part.choices.sum()) if part.discrete else part.columns.stop - part.columns.start, part.discrete)
            for part in action_parts(space)
        ]
    )


def _one_hot(columns: np.ndarray, part: Part) -> np.ndarray:
    features = np.zeros((len(columns), int(part.choices.sum())))
    first = np.concatenate([[0], np.cumsum(part.choices)[:-1]]) - part.start
    features[np.arange(len(columns))[:, None], columns.astype(np.int64) + first] = 1 / np.sqrt(2.0)
    return features


def column_scales(space: ActionSpace) -> np.ndarray:
    """By what `action_features` divides each continuous column of stored actions, float64 (A,); 1 for others."""
    return np.concatenate(
        [
            np.ones(part.columns.stop - part.columns.start) if part.discrete else _half(part)
            for part in action_parts(space)
        ]
    )


def _scaled(columns: np.ndarray, part: Part) -> np.ndarray:
    return np.asarray(columns / _half(part))


def _half(part: Part) -> np.ndarray:
    """Half the range of a continuous part's columns, 1 where it is unbounded or none."""
    assert isinstance(part.space, Box)
    half = np.atleast_1d((part.space.high.astype(np.float64) - part.space.low) / 2)
    return np.where(np.isfinite(half) & (half > 0), half, 1.0)


def describe_actions(actions: np.ndarray, space: ActionSpace) -> Mapping[str, Any]:
    """Summarise stored actions: counts of each choice, mean and spread of what is continuous, by entry of a `Dict`."""
    columns = actions.reshape(len(actions), -1)
    summaries = {part.name: _describe_part(columns[:, part.columns], part) for part in action_parts(space)}
    return summaries if isinstance(space, Dict) else summaries[""]


def _describe_part(columns: np.ndarray, part: Part) -> dict[str, Any]:
    if not part.discrete:
        return {"mean": columns.mean(0).tolist(), "std": columns.std(0).tolist()}
    counts = list(_counts(columns, part))
    return counts[0] if isinstance(part.space, Discrete) else {str(i): count for i, count in enumerate(counts)}


def _counts(columns: np.ndarray, part: Part) -> Iterator[dict[str, int]]:
    for column, start, choices in zip(columns.T.astype(np.int64), part.start, part.choices, strict=True):
        counted = np.bincount(column - start, minlength=int(choices))
        yield {str(int(start) + i): int(count) for i, count in enumerate(counted)}
