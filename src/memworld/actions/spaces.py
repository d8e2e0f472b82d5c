"""Action spaces: what an action may be, what its parts and columns are called, and how a space is written down."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete

from memworld.errors import MemworldError
from memworld.storage import one_line

PartSpace: TypeAlias = Discrete | MultiDiscrete | Box
ActionSpace: TypeAlias = PartSpace | Dict

MAX_ACTIONS = 4096
"""How many discrete choices a space may offer: in a search each becomes a number of a vector."""

_LARGEST_START = 2**23
"""Of discrete entries of a `Dict`, which are stored as float32: whole numbers are exact in it up to twice that."""


@dataclass(frozen=True)
class Part:
    """One part of an action: a named entry of a `Dict`, or all of any other space.

    Attributes:
        name: the entry's name, "" if the space is no `Dict`.
        space: what it may be.
        columns: where it lies in a stored action.
    """

    name: str
    space: PartSpace
    columns: slice

    @property
    def discrete(self) -> bool:
        """Whether it is chosen from a list rather than measured."""
        return not isinstance(self.space, Box)

    @property
    def choices(self) -> np.ndarray:
        """int64 (columns,): how many each column of a discrete part may take."""
        return np.atleast_1d(self.space.n if isinstance(self.space, Discrete) else self.space.nvec)  # type: ignore[union-attr]

    @property
    def start(self) -> np.ndarray:
        """int64 (columns,): the lowest that each column of a discrete part may take."""
        return np.atleast_1d(np.asarray(self.space.start, np.int64))  # type: ignore[union-attr]


def supported_space(space: gymnasium.Space[Any]) -> ActionSpace:
    """Return `space` if memworld can store its actions; a `MultiBinary` as the `MultiDiscrete` that it is.

    Raises:
        MemworldError: it is no `Discrete`, one-dimensional `MultiDiscrete`, `MultiBinary` or `Box`,
            nor a `Dict` of those (in which a `Box` may be a single number), or offers more than
            `MAX_ACTIONS` choices.
    """
    if isinstance(space, Dict):
        if not space.spaces:
            raise MemworldError("action space Dict() has no entries: an action needs at least one")
        return Dict({_check_key(name): _supported_part(part, name) for name, part in space.spaces.items()})
    return _supported_part(space, "")


def _supported_part(space: gymnasium.Space[Any], name: str) -> PartSpace:
    where = f"entry {name!r} of the action space, {one_line(space)}," if name else f"action space {one_line(space)}"
    if isinstance(space, MultiBinary) and len(space.shape) == 1:
        space = MultiDiscrete(np.full(space.shape, 2))
    if isinstance(space, Discrete) or (isinstance(space, MultiDiscrete) and len(space.shape) == 1):
        choices = int(Part(name, space, slice(0)).choices.sum())
        if choices > MAX_ACTIONS:
            raise MemworldError(
                f"{where} has {choices} actions, memworld takes at most {MAX_ACTIONS}: number those that are in use "
                "without gaps, or describe them by a Box"
            )
        if name and np.abs(Part(name, space, slice(0)).start).max() > _LARGEST_START:
            raise MemworldError(f"{where} starts at more than {_LARGEST_START}: number its choices from 0")
        return space
    if isinstance(space, Box) and (len(space.shape) == 1 or (name and space.shape == ())):
        return space
    raise MemworldError(
        f"{where} is not supported: use Discrete, a one-dimensional MultiDiscrete or Box, or a Dict of these "
        "(gymnasium's FlattenObservation-style wrappers turn others into one of these)"
    )


def _check_key(name: Any) -> str:
    """Raise unless a `Dict`'s key can stand in messages, tables and column names."""
    if isinstance(name, str) and name and name.isprintable() and "=" not in name:
        return name
    raise MemworldError(f"action space has an entry called {name!r}: use printable names without '='")


def action_parts(space: ActionSpace) -> tuple[Part, ...]:
    """The parts of an action in the order of their columns; one part if `space` is no `Dict`."""
    named = space.spaces.items() if isinstance(space, Dict) else (("", space),)
    parts, at = [], 0
    for name, part in named:
        # A single number, of a Discrete or a Box of shape (), takes a column too.
        width = int(np.prod(part.shape or ()))
        parts.append(Part(name, part, slice(at, at + width)))  # type: ignore[arg-type]
        at += width
    return tuple(parts)


def stored_shape(space: ActionSpace) -> tuple[int, ...]:
    """The shape of one stored action: () for `Discrete`, (columns,) for all others."""
    return () if isinstance(space, Discrete) else (action_parts(space)[-1].columns.stop,)


def stored_dtype(space: ActionSpace) -> type[np.generic]:
    """The type of stored actions: int64 for `Discrete` and `MultiDiscrete`, float32 for `Box` and `Dict`."""
    return np.int64 if isinstance(space, Discrete | MultiDiscrete) else np.float32


def column_names(space: ActionSpace, names: tuple[str, ...] = ()) -> tuple[str, ...]:
    """A name for each column of a stored action.

    Args:
        space: their space.
        names: `DatasetInfo.action_names`, which name the columns of `MultiDiscrete` and `Box`.
    """
    if names and isinstance(space, MultiDiscrete | Box):
        return names
    columns = []
    for part in action_parts(space):
        width, name = part.columns.stop - part.columns.start, part.name or "action"
        columns += [name] if part.space.shape == () else [f"{name}_{i}" for i in range(width)]
    return tuple(columns)


def nameable(space: PartSpace) -> int:
    """How many names there are to give: of the actions of a `Discrete`, else of the columns."""
    return int(space.n) if isinstance(space, Discrete) else stored_shape(space)[0]


def choice_names(space: Dict, names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The names of the choices of each part of a `Dict` that has any, out of `DatasetInfo.action_names`.

    Raises:
        MemworldError: a name is not "part=choice", its part is no `Discrete` of the space, or not all
            choices of the part are named, each once.
    """
    found: dict[str, list[str]] = {}
    for name in names:
        part, equals, choice = name.partition("=")
        if not equals or not isinstance(space.spaces.get(part), Discrete):
            raise MemworldError(f"action name {name!r} is not of the form part=choice with a Discrete part of {space}")
        found.setdefault(part, []).append(choice)
    for part, choices in found.items():
        asked = int(space.spaces[part].n)  # type: ignore[attr-defined]
        if len(choices) != asked or len(set(choices)) != asked:
            raise MemworldError(f"{len(choices)} names for the {asked} choices of {part}: name all or none, each once")
    return {part: tuple(choices) for part, choices in found.items()}


def space_to_json(space: ActionSpace) -> dict[str, Any]:
    """Describe `space` in plain JSON."""
    if isinstance(space, Dict):
        return {"type": "Dict", "spaces": {part.name: space_to_json(part.space) for part in action_parts(space)}}
    if isinstance(space, Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, MultiDiscrete):
        return {"type": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": space.start.tolist()}
    # JSON has no infinity; an unbounded side is written as null.
    low, high = (_without_infinity(side.tolist()) for side in (space.low, space.high))
    return {"type": "Box", "low": low, "high": high, "dtype": str(space.dtype)}


def space_from_json(value: Any) -> ActionSpace:
    """Undo `space_to_json`.

    Raises:
        MemworldError: `value` does not describe a supported space.
    """
    try:
        return supported_space(_space_from_json(value))
    except MemworldError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, AssertionError, RecursionError) as error:
        raise MemworldError(f"damaged action space {one_line(value)[:200]}: {one_line(error)}") from error


def _space_from_json(value: Any) -> gymnasium.Space[Any]:
    kind = value["type"]
    if kind == "Discrete":
        return Discrete(int(value["n"]), start=int(value["start"]))
    if kind == "MultiDiscrete":
        return MultiDiscrete(np.array(value["nvec"], np.int64), start=np.array(value["start"], np.int64))
    if kind == "Box":
        dtype = np.dtype(value["dtype"])
        low = np.array(_finite(value["low"], -np.inf), dtype)
        high = np.array(_finite(value["high"], np.inf), dtype)
        return Box(low, high, dtype=dtype.type)
    if kind == "Dict":
        parts = {name: _space_from_json(part) for name, part in value["spaces"].items()}
        if any(isinstance(part, Dict) for part in parts.values()):
            raise MemworldError("action space holds a Dict in a Dict: give its entries names of one level")
        return Dict(parts)
    raise MemworldError(f"unknown action space {one_line(value)[:200]}: expected Discrete, MultiDiscrete, Box or Dict")


def _without_infinity(side: Any) -> Any:
    """One side of a `Box`'s bounds with null where it has none."""
    if isinstance(side, list):
        return [_without_infinity(bound) for bound in side]
    return side if np.isfinite(side) else None


def _finite(side: Any, infinity: float) -> Any:
    """One side of a `Box`'s bounds with `infinity` where JSON has null."""
    if isinstance(side, list):
        return [_finite(bound, infinity) for bound in side]
    return infinity if side is None else side
