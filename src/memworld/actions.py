"""Action spaces: what an action may be, how it is stored, and how it enters a search."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import gymnasium
import numpy as np

from memworld.errors import MemworldError
from memworld.storage import one_line

ActionSpace: TypeAlias = gymnasium.spaces.Discrete | gymnasium.spaces.Box

MAX_ACTIONS = 4096
"""How many actions a `Discrete` may have: in a search each becomes a vector of that many numbers."""


def supported_space(space: gymnasium.Space[Any]) -> ActionSpace:
    """Return `space` if memworld can store its actions.

    Raises:
        MemworldError: it is neither `Discrete`, of at most `MAX_ACTIONS`, nor a one-dimensional `Box`.
    """
    if isinstance(space, gymnasium.spaces.Discrete):
        if space.n > MAX_ACTIONS:
            raise MemworldError(
                f"action space {space} has {space.n} actions, memworld takes at most {MAX_ACTIONS}: number those "
                "that are in use without gaps, or describe them by a Box"
            )
        return space
    if isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 1:
        return space
    raise MemworldError(
        f"action space {one_line(space)} is not supported: use Discrete or a one-dimensional Box "
        "(gymnasium's FlattenObservation-style wrappers turn others into one of these)"
    )


def space_to_json(space: ActionSpace) -> dict[str, Any]:
    """Describe `space` in plain JSON."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
    # JSON has no infinity; an unbounded side is written as null.
    bounds = [[v if np.isfinite(v) else None for v in side.tolist()] for side in (space.low, space.high)]
    return {"type": "Box", "low": bounds[0], "high": bounds[1], "dtype": str(space.dtype)}


def space_from_json(value: Any) -> ActionSpace:
    """Undo `space_to_json`.

    Raises:
        MemworldError: `value` does not describe a supported space.
    """
    try:
        if value["type"] == "Discrete":
            return supported_space(gymnasium.spaces.Discrete(int(value["n"]), start=int(value["start"])))
        if value["type"] == "Box":
            dtype = np.dtype(value["dtype"])
            low = np.array([-np.inf if v is None else v for v in value["low"]], dtype)
            high = np.array([np.inf if v is None else v for v in value["high"]], dtype)
            return supported_space(gymnasium.spaces.Box(low, high, dtype=dtype.type))
    except MemworldError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError, AssertionError) as error:
        raise MemworldError(f"damaged action space {value!r}: {one_line(error)}") from error
    raise MemworldError(f"unknown action space {value!r}: expected Discrete or Box")


def as_actions(actions: Any, space: ActionSpace) -> np.ndarray:
    """Check actions and bring them into the stored form.

    Args:
        actions: (..., ) integers for `Discrete`, (..., A) numbers for `Box`.
        space: the space that they must lie in.

    Returns:
        int64 (...,) for `Discrete`, float32 (..., A) for `Box`.

    Raises:
        MemworldError: wrong shape or type, NaN, or an action outside the space (the first is named).
    """
    try:
        array = np.asarray(actions)
    except ValueError as error:
        raise MemworldError(f"actions are no array of numbers ({one_line(error)}): give them one shape") from error
    if isinstance(space, gymnasium.spaces.Discrete):
        if not np.issubdtype(array.dtype, np.integer):
            raise MemworldError(f"{space} takes integers, the actions are {array.dtype}: convert them first")
        low, high = int(space.start), int(space.start + space.n) - 1
        outside = (array < low) | (array > high)
        if outside.any():
            raise MemworldError(f"action {int(array[outside][0])} is outside {space}: use {low} to {high}")
        return array.astype(np.int64)
    if array.ndim == 0 or array.shape[-1] != space.shape[0]:
        raise MemworldError(f"actions have shape {array.shape}, {one_line(space)} asks for (..., {space.shape[0]})")
    if array.dtype.kind not in "biuf":
        raise MemworldError(f"{one_line(space)} takes numbers, the actions are {array.dtype}: convert them first")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, as an action or as a bound
        array = array.astype(np.float32)
        inside = (array >= space.low.astype(np.float32)) & (array <= space.high.astype(np.float32))
    if not np.isfinite(array).all():
        raise MemworldError("actions hold NaN or infinity: repair or drop the episode")
    if not inside.all():
        first = array[~inside.all(-1)][0].tolist()
        raise MemworldError(f"action {first} is outside {one_line(space)}: clip or rescale it")
    return array


def action_features(actions: np.ndarray, space: ActionSpace) -> np.ndarray:
    """Vectors whose squared Euclidean distance is the difference between actions.

    For `Discrete` a one-hot vector over sqrt(2), so that equal actions are 0 apart and different
    ones 1; for `Box` the action over half its range, per dimension (over 1 where unbounded).

    Args:
        actions: stored actions, (N,) int64 or (N, A) float32.
        space: their space.

    Returns:
        float64 (N, F).
    """
    if isinstance(space, gymnasium.spaces.Discrete):
        features = np.zeros((len(actions), int(space.n)))
        features[np.arange(len(actions)), actions - int(space.start)] = 1 / np.sqrt(2.0)
        return features
    half = (space.high.astype(np.float64) - space.low) / 2
    scale = np.where(np.isfinite(half) & (half > 0), half, 1.0)
    return np.asarray(actions / scale)


def describe_actions(actions: np.ndarray, space: ActionSpace) -> Mapping[str, Any]:
    """Summarise stored actions: counts per action (`Discrete`) or mean and spread (`Box`)."""
    if isinstance(space, gymnasium.spaces.Discrete):
        counts = np.bincount(actions - int(space.start), minlength=int(space.n))
        return {str(int(space.start) + i): int(count) for i, count in enumerate(counts)}
    return {"mean": actions.mean(0).tolist(), "std": actions.std(0).tolist()}
