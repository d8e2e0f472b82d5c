"""Minari's spaces: read without harm, and which part of an observation is the frame."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete

from memworld.actions import ActionSpace
from memworld.errors import MemworldError
from memworld.formats.minari.columns import Column
from memworld.storage import one_line

_MOST_NUMBERS = 2**20
"""How many numbers a space may have without listing each: more would be a space made to fill the memory."""

_MOST_STATES = 1024
"""How many numbers an entry of an observation may have to be a state, rather than a map or a scan."""

_KNOWN = ("Box", "Dict", "Discrete", "MultiBinary", "MultiDiscrete", "Text", "Tuple")


def read_space(text: Any, what: str) -> gymnasium.Space[Any]:
    """The space that a set's metadata describe.

    Raises:
        MemworldError: it is of a kind that Minari does not have, or far larger than its description.
            A damaged description raises others too.
    """
    from minari.serialization import deserialize_space

    if not isinstance(text, str):
        raise MemworldError(f"its {what} space is {type(text).__name__}, expected text: write the set again")
    _check_described(json.loads(text), what)
    space: gymnasium.Space[Any] = deserialize_space(text)
    return space


def _check_described(space: Any, what: str) -> None:
    kind = space["type"]
    if kind not in _KNOWN:
        raise MemworldError(f"its {what} space has a part of kind {kind!r}: memworld reads {', '.join(_KNOWN)}")
    if kind in ("Dict", "Tuple"):
        parts = space["subspaces"]
        for part in parts.values() if kind == "Dict" else parts:
            _check_described(part, what)
    if kind == "Box" and np.dtype(space["dtype"]).kind not in "biuf":
        raise MemworldError(f"its {what} space has a Box of type {space['dtype']!r}: expected numbers")
    if kind == "MultiBinary" and math.prod(np.atleast_1d(space["n"]).tolist()) > _MOST_NUMBERS:
        raise MemworldError(f"its {what} space has a MultiBinary of {space['n']}: that is more than memworld takes")


@dataclass(frozen=True)
class Observed:
    """What of a set's observations memworld takes.

    Attributes:
        image: the column of the frames.
        frame_shape: (H, W, C) of a frame.
        states: columns of numbers beside it.
        left_out: names of entries that are neither.
    """

    image: Column
    frame_shape: tuple[int, int, int]
    states: tuple[Column, ...] = ()
    left_out: tuple[str, ...] = ()

    def frames(self, array: np.ndarray) -> np.ndarray:
        """The image column, uint8 (T+1, *shape), as frames (T+1, H, W, C)."""
        if len(self.image.shape) == 3 and self.image.shape != self.frame_shape:
            array = np.ascontiguousarray(np.moveaxis(array, 1, -1))
        return array.reshape(len(array), *self.frame_shape)

    @property
    def state_names(self) -> tuple[str, ...]:
        """A name for each number of a row of `states`."""
        names = []
        for column in self.states:
            name, width = "/".join(column.path[1:]), math.prod(column.shape)
            names += [name] if width == 1 else [f"{name}_{i}" for i in range(width)]
        return tuple(names)


def observed(space: gymnasium.Space[Any], camera: str | None) -> Observed:
    """Choose the frames and states of observations.

    Args:
        space: a uint8 image Box, (H, W, C), (C, H, W) or (H, W) with C of 1 or 3, or a Dict with such
            entries; numbers in it become states, up to `_MOST_STATES` an entry.
        camera: which image to take of several, by its name in the Dict ("wrist/image" in a nested one).

    Raises:
        MemworldError: there is no image, none of that name, or several and no name.
    """
    if not isinstance(space, Dict):
        if (shape := _frame_shape(space)) is None:
            raise MemworldError(
                f"its observations are a {_kind(space)}, memworld needs uint8 images, (H, W, C) with C of 1 or 3: "
                "record or convert the frames alone"
            )
        if camera is not None:
            raise MemworldError(
                f"its observations are one image, there is no camera {camera!r} to choose: leave it out"
            )
        return Observed(Column(("observations",), space.shape or (), True, True), shape)
    leaves = list(_leaves(space, ("observations",)))
    images = {"/".join(path[1:]): path for path, part in leaves if _frame_shape(part)}
    if not images:
        held = ", ".join(one_line(f"{'/'.join(path[1:])}: {_kind(part)}") for path, part in leaves)
        raise MemworldError(
            f"its observations are a Dict without an image ({held}), memworld needs uint8 images, (H, W, C) with C of "
            "1 or 3: record or convert with the frames"
        )
    if (camera is None and len(images) > 1) or (camera is not None and camera not in images):
        asked = "several images" if camera is None else f"no image {camera!r}"
        raise MemworldError(
            f"its observations have {asked}: choose one by --camera, of {', '.join(map(one_line, images))}"
        )
    chosen = images[camera or next(iter(images))]
    part = dict(leaves)[chosen]
    states = [Column(path, part.shape or (), True) for path, part in leaves if _is_state(part)]
    shape = _frame_shape(part)
    assert shape is not None
    others = ["/".join(path[1:]) for path, other in leaves if path != chosen and not _is_state(other)]
    return Observed(Column(chosen, part.shape or (), True, True), shape, tuple(states), tuple(others))


def action_columns(space: ActionSpace) -> tuple[Column, ...]:
    """The columns of the actions, one for each entry of a `Dict`."""
    if isinstance(space, Dict):
        return tuple(Column(("actions", name), part.shape or ()) for name, part in space.spaces.items())
    return (Column(("actions",), space.shape or ()),)


def _leaves(space: Dict, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], gymnasium.Space[Any]]]:
    """The parts of a Dict, and of those in it, with the names that lead to them."""
    for name, part in space.spaces.items():
        if isinstance(part, Dict):
            yield from _leaves(part, (*path, name))
        else:
            yield (*path, name), part


def _frame_shape(space: gymnasium.Space[Any]) -> tuple[int, int, int] | None:
    """(H, W, C) of the images that a space holds; None if it holds others or none."""
    if not isinstance(space, Box) or space.dtype != np.uint8 or len(space.shape) not in (2, 3) or 0 in space.shape:
        return None
    if len(space.shape) == 2:
        return space.shape[0], space.shape[1], 1
    first, middle, last = space.shape
    if last in (1, 3):
        return first, middle, last
    return (middle, last, first) if first in (1, 3) else None


def _is_state(space: gymnasium.Space[Any]) -> bool:
    if not isinstance(space, Box | Discrete | MultiBinary | MultiDiscrete) or _frame_shape(space):
        return False
    return 0 < math.prod(space.shape or ()) <= _MOST_STATES


def _kind(space: gymnasium.Space[Any]) -> str:
    return one_line(f"{type(space).__name__} of shape {space.shape} and type {space.dtype}")
