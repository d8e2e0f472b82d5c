"""Actions in the stored form, and out of it again."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete

from memworld.actions.spaces import ActionSpace, Part, PartSpace, action_parts, stored_shape
from memworld.errors import MemworldError
from memworld.storage import one_line

_LARGEST_WHOLE = 2**24
"""Up to here float32, in which the actions of a `Box` are stored, holds every whole number."""


def as_actions(actions: Any, space: ActionSpace) -> np.ndarray:
    """Check actions and bring them into the stored form.

    Args:
        actions: integers (...) for `Discrete`, numbers (..., A) for `MultiDiscrete` and `Box`; for a
            `Dict` either a mapping with an array for every entry, (...) or (..., A), or the stored form.
        space: the space that they must lie in.

    Returns:
        int64 (...) for `Discrete`, int64 (..., A) for `MultiDiscrete`, float32 (..., A) for `Box` and
        `Dict`, where A is the number of columns.

    Raises:
        MemworldError: wrong shape or type, NaN, or an action outside the space (the first is named).
    """
    if isinstance(space, Dict) and isinstance(actions, Mapping):
        return _from_mapping(actions, space)
    try:
        array = np.asarray(actions)
    except ValueError as error:
        raise MemworldError(f"actions are no array of numbers ({one_line(error)}): give them one shape") from error
    if isinstance(space, Discrete):
        return _check_part(array[..., None], Part("", space, slice(0, 1)))[..., 0]
    width = stored_shape(space)[0]
    if array.ndim == 0 or array.shape[-1] != width:
        raise MemworldError(f"actions have shape {array.shape}, {one_line(space)} asks for (..., {width})")
    if not isinstance(space, Dict):
        return _check_part(array, Part("", space, slice(0, width)))
    if array.dtype.kind not in "biuf":
        raise MemworldError(f"{one_line(space)} takes numbers, the actions are {array.dtype}: convert them first")
    checked = [_check_part(_whole(array[..., p.columns], p), p) for p in action_parts(space)]
    return np.concatenate([part.astype(np.float32) for part in checked], -1)


def _from_mapping(actions: Mapping[str, Any], space: Dict) -> np.ndarray:
    """The stored form of a mapping with an array for every entry of `space`."""
    if set(actions) != set(space.spaces):
        missing, more = sorted(set(space.spaces) - set(actions)), sorted(map(str, set(actions) - set(space.spaces)))
        raise MemworldError(
            f"actions have the entries {', '.join(sorted(map(str, actions)))}: "
            + "; ".join([*(f"{name} is missing" for name in missing), *(f"{name} is unknown" for name in more)])
        )
    columns = []
    for part in action_parts(space):
        try:
            array = np.asarray(actions[part.name])
        except ValueError as error:
            raise MemworldError(f"action {part.name!r} is no array of numbers ({one_line(error)})") from error
        array = array[..., None] if part.space.shape == () else array
        if array.ndim == 0 or array.shape[-1] != part.columns.stop - part.columns.start:
            asked = ", ".join(["...", *map(str, part.space.shape or ())])
            raise MemworldError(f"action {part.name!r} has shape {array.shape}, {part.space} asks for ({asked})")
        columns.append(_check_part(array, part).astype(np.float32))
    if len({array.shape[:-1] for array in columns}) > 1:
        raise MemworldError("actions have entries of several lengths: give each as many as there are steps")
    return np.concatenate(columns, -1)


def _whole(array: np.ndarray, part: Part) -> np.ndarray:
    """A discrete part's columns, which a `Dict` stores as floats, as integers."""
    if not part.discrete or array.dtype.kind in "biu":
        return array
    if not np.isfinite(array).all() or (array != np.round(array)).any():
        raise MemworldError(f"action {part.name!r} is no whole number, {part.space} takes only those")
    whole: np.ndarray = np.clip(array, -(2.0**62), 2.0**62).astype(np.int64)
    return whole


def _check_part(array: np.ndarray, part: Part) -> np.ndarray:
    """One part's columns (..., A) in the stored type.

    Raises:
        MemworldError: they are of another type, NaN, or outside the part's space.
    """
    space, of = part.space, f" of {part.name!r}" if part.name else ""
    if part.discrete:
        if array.dtype.kind not in "iu" and not (part.name and array.dtype.kind == "b"):
            raise MemworldError(f"{space} takes integers, the actions{of} are {array.dtype}: convert them first")
        low, high = part.start, part.start + part.choices - 1
        outside = (array < low) | (array > high)
        if outside.any():
            *_, column = np.argwhere(outside)[0]
            raise MemworldError(
                f"action {int(array[outside][0])}{of} is outside {space}: use {low[column]} to {high[column]}"
            )
        return array.astype(np.int64)
    assert isinstance(space, Box)
    if array.dtype.kind not in "biuf":
        raise MemworldError(f"{one_line(space)} takes numbers, the actions{of} are {array.dtype}: convert them first")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, as an action or as a bound
        array = array.astype(np.float32)
        inside = (array >= space.low.astype(np.float32)) & (array <= space.high.astype(np.float32))
    if not np.isfinite(array).all():
        raise MemworldError(f"actions{of} hold NaN or infinity: repair or drop the episode")
    if not np.issubdtype(space.dtype, np.floating):
        if (array != np.round(array)).any():
            raise MemworldError(f"actions{of} are no whole numbers, {one_line(space)} takes only those: round them")
        if (abs(array) > _LARGEST_WHOLE).any():
            raise MemworldError(
                f"actions{of} are larger than {_LARGEST_WHOLE}, up to which float32 holds whole numbers: rescale them"
            )
    if not inside.all():
        first = array[~inside.all(-1)][0].tolist()
        raise MemworldError(f"action {first}{of} is outside {one_line(space)}: clip or rescale it")
    return array


def restore_actions(actions: np.ndarray, space: ActionSpace) -> Any:
    """Undo `as_actions`: a mapping with an array for every entry of a `Dict`, anything else as it is.

    Args:
        actions: stored actions, (..., A), or (...) for `Discrete`.
        space: their space.

    Returns:
        For a `Dict`, by name, int64 (...) of a `Discrete` entry, int64 (..., n) of a `MultiDiscrete`
        and an array of the entry's own type, (..., n) or (...), of a `Box`. One action so restored is
        one that the space contains and an environment takes.
    """
    if not isinstance(space, Dict):
        # With [()] one choice becomes a number, which every environment takes.
        return _restore_part(actions, space)[()]
    restored = {}
    for part in action_parts(space):
        array = _restore_part(actions[..., part.columns], part.space)
        array = array[..., 0] if part.space.shape == () else array
        # One choice becomes a number, which every environment takes; a Box takes arrays alone.
        restored[part.name] = np.asarray(array) if isinstance(part.space, Box) else array[()]
    return restored


def _restore_part(columns: np.ndarray, space: PartSpace) -> np.ndarray:
    if isinstance(space, Box) and np.issubdtype(space.dtype, np.floating):
        # Rounding to float32 may have led out of the bounds of a float64 space.
        columns = np.clip(columns.astype(np.float64), space.low, space.high)
    return columns.astype(space.dtype)
