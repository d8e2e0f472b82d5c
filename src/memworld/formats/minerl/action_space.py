"""The action space of recordings, which say nothing of it: out of their actions, and what is known of MineRL's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete

from memworld.actions import MAX_ACTIONS, ActionSpace, choice_names, supported_space
from memworld.errors import MemworldError
from memworld.formats.minerl.columns import Columns

NONE = "none"

_BUTTONS = ("forward", "left", "back", "right", "jump", "sneak", "sprint", "attack")
_TOOLS = ("wooden_axe", "wooden_pickaxe", "stone_axe", "stone_pickaxe", "iron_axe", "iron_pickaxe")
# Those of Navigate, then those of ObtainIronPickaxe and ObtainDiamond, in MineRL's own order.
_KNOWN: dict[str, tuple[tuple[str, ...], ...]] = {
    "place": (
        (NONE, "dirt"),
        (NONE, "dirt", "stone", "cobblestone", "crafting_table", "furnace", "torch"),
    ),
    "equip": ((NONE, "air", *_TOOLS),),
    "craft": ((NONE, "torch", "stick", "planks", "crafting_table"),),
    "nearbyCraft": ((NONE, *_TOOLS, "furnace"),),
    "nearbySmelt": ((NONE, "iron_ingot", "coal"),),
}


@dataclass
class _Seen:
    """What all recordings have of one action."""

    columns: int | None = None
    whole: bool = True
    integers: bool = True
    lowest: float = 0
    highest: float = 0
    words: set[str] = field(default_factory=set)


class ActionSurvey:
    """Looks at the actions of one recording after another, and then tells the space that holds them all."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def add(self, columns: Columns) -> None:
        """Look at a recording, of the same kinds of columns as the others."""
        for name, array in columns.actions.items():
            seen = self._seen.setdefault(name, _Seen())
            if array.dtype.kind == "U":
                seen.words |= set(np.unique(array).tolist())
                continue
            seen.columns = array.shape[1] if array.ndim == 2 else None
            seen.whole &= bool((array == np.round(array)).all())
            seen.integers &= array.dtype.kind in "biu"
            seen.lowest = min(seen.lowest, float(array.min()))
            seen.highest = max(seen.highest, float(array.max()))

    def space(self) -> tuple[ActionSpace, tuple[str, ...]]:
        """A `Dict` of all actions by name, and `DatasetInfo.action_names` of those chosen from words.

        Buttons and other whole numbers from 0 are `Discrete`, `camera` is a `Box` of degrees, any
        other number an unbounded `Box`. Words are numbered as in MineRL if it has them all, else by
        the alphabet after "none".

        Raises:
            MemworldError: there are too many words.
        """
        spaces: dict[str, gymnasium.Space[Any]] = {}
        names = []
        for name, seen in self._seen.items():
            words = _words(name, seen)
            if words:
                spaces[name] = Discrete(len(words))
                names += [f"{name}={word}" for word in words]
            elif name == "camera" and seen.columns == 2:
                spaces[name] = Box(-180, 180, (2,), np.float32)
            elif seen.columns is None and _is_choice(name, seen):
                spaces[name] = Discrete(max(2, int(seen.highest) + 1))
            else:
                spaces[name] = Box(-np.inf, np.inf, () if seen.columns is None else (seen.columns,), np.float32)
        return supported_space(Dict(spaces)), tuple(names)


def encode_actions(columns: Columns, space: Dict, names: tuple[str, ...]) -> Mapping[str, np.ndarray]:
    """The actions of a recording with words as their numbers, an array for each entry of `space`.

    Raises:
        MemworldError: a word is not among those of `names`, as the file has changed.
    """
    choices = choice_names(space, names)
    encoded = {}
    for name, array in columns.actions.items():
        if array.dtype.kind == "U":
            numbers = {word: number for number, word in enumerate(choices.get(name, ()))}
            unknown = sorted(set(array.tolist()) - set(numbers))
            if unknown:
                raise MemworldError(f"action {name} has the unknown value {unknown[0]!r}: open the data set again")
            array = np.array([numbers[word] for word in array.tolist()], np.int64)
        elif isinstance(space.spaces[name], Discrete) and array.dtype.kind == "f":
            if (array != np.round(array)).any():
                raise MemworldError(f"action {name} is no whole number: open the data set again")
            array = array.astype(np.int64)
        encoded[name] = array
    return encoded


def _words(name: str, seen: _Seen) -> tuple[str, ...]:
    """The choices of an action that is one of words, or of the numbers of MineRL's words; else none."""
    known = _KNOWN.get(name, ())
    if seen.words:
        fitting = next((words for words in known if seen.words <= set(words)), None)
        if fitting is not None:
            return fitting
        if len(seen.words) > MAX_ACTIONS:
            raise MemworldError(f"action {name} has {len(seen.words)} values, memworld takes at most {MAX_ACTIONS}")
        return tuple(sorted(seen.words, key=lambda word: (word != NONE, word)))
    if seen.columns is None and _is_choice(name, seen):
        return next((words for words in known if seen.highest < len(words)), ())
    return ()


def _is_choice(name: str, seen: _Seen) -> bool:
    """Whether the numbers of an action are choices rather than amounts."""
    counted = seen.whole and seen.lowest >= 0 and seen.highest < MAX_ACTIONS
    return counted and (seen.integers or name in _KNOWN or (name in _BUTTONS and seen.highest <= 1))
