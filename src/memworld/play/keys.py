"""Which keys mean which action, until the user maps them otherwise.

Keys are `KeyboardEvent.code`s: places on the keyboard, whatever its language prints on them. Those that are held
together are a chord, and the largest chord that is held wholly is what counts, so that no two actions may share one.
"""

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete

from memworld.actions import Part, action_parts, choice_names, column_names
from memworld.datasets import DatasetInfo

Chord = tuple[str, ...]

_ARROWS = {"up": "ArrowUp", "down": "ArrowDown", "left": "ArrowLeft", "right": "ArrowRight"}
_LETTERS = {"up": "KeyW", "down": "KeyS", "left": "KeyA", "right": "KeyD"}

_MEANINGS = {
    **{name: name for name in _ARROWS},
    **{"forward": "up", "forwards": "up", "accelerate": "up"},
    **{"back": "down", "backward": "down", "backwards": "down", "brake": "down"},
    **dict.fromkeys(("fire", "attack", "shoot", "do", "use", "jump"), "Space"),
    **dict.fromkeys(("sneak", "crouch", "sprint", "run"), "ShiftLeft"),
    **dict.fromkeys(("noop", "none", "nothing", "idle", "straight", "coast", "move", "turn", "go", "steer"), ""),
}
"""What words in the names of actions ask for: a direction, a key, or nothing."""

_POOL = (
    *(f"Digit{digit}" for digit in "1234567890"),
    *(f"Key{letter}" for letter in "QERTFGZXCVBYHNUMJKLIOPWASD"),
)
"""Keys for what has no name that tells, in the order in which they are given."""

_PAIRS = (
    ("ArrowLeft", "ArrowRight"),
    ("ArrowDown", "ArrowUp"),
    ("KeyA", "KeyD"),
    ("KeyS", "KeyW"),
    ("KeyJ", "KeyL"),
    ("KeyK", "KeyI"),
    ("KeyF", "KeyH"),
    ("KeyG", "KeyT"),
)
"""Keys for a number that goes down and up, in the order in which they are given."""

_PRESSED = 0.95
"""Share of the recorded numbers above or below rest that are smaller than what a key asks for."""


def default_keys(info: DatasetInfo, taken: np.ndarray | None = None) -> dict[str, Any]:
    """The keys of a world's actions.

    Args:
        info: its action space, and names.
        taken: (N,) or (N, A) recorded actions in the stored form, by which the numbers that keys ask for are those
            that were in use; None takes the bounds of the space.

    Returns:
        In plain JSON values: of a `Discrete` space the `actions`, of any other an entry for every column in `axes`; and
        what is done at `rest`, when no key is held.
    """
    if isinstance(info.action_space, Discrete):
        return _of_choices(info.action_space, info.action_names)
    return _of_columns(info, taken)


def _of_choices(space: Discrete, names: Sequence[str]) -> dict[str, Any]:
    values = [int(space.start) + number for number in range(int(space.n))]
    labels = list(names) or [f"action {value}" for value in values]
    meant = _distinct([_meant(label) for label in labels])
    rest = next((place for place, chords in enumerate(meant) if chords == [()]), None)
    free = _free(sum(chords is None for chords in meant), _used(meant))
    actions = [
        {"label": label, "value": value, "keys": _listed([next(free)] if chords is None else chords)}
        for label, value, chords in zip(labels, values, meant, strict=True)
    ]
    return {"actions": actions, "axes": [], "rest": values[rest or 0]}


def _of_columns(info: DatasetInfo, taken: np.ndarray | None) -> dict[str, Any]:
    columns = [
        _Column(part, place - part.columns.start, label, None if taken is None else taken[:, place])
        for part in action_parts(info.action_space)
        for place, label in list(enumerate(column_names(info.action_space, info.action_names)))[part.columns]
    ]
    named = choice_names(info.action_space, info.action_names) if isinstance(info.action_space, Dict) else {}
    wishes = [column.wishes(named.get(column.part.name, ())) for column in columns]
    # First those whose names tell, then numbers in pairs, then what is left.
    meant = _distinct([_meant(word) if word else None for column in wishes for _, _, word in column])
    meant = [None if chords == [()] else chords for chords in meant]
    at, axes, pairs = 0, [], iter(_PAIRS)
    spans = []
    for column, wished in zip(columns, wishes, strict=True):
        span = range(at, at + len(wished))
        spans.append(span)
        at += len(wished)
        if column.continuous and all(meant[place] is None for place in span):
            pair = next((pair for pair in pairs if not set(pair) & _used(meant)), None)
            if pair is not None:
                for place, (_, value, _) in zip(span, wished, strict=True):
                    meant[place] = [(pair[value > column.rest],)]
    free = _free(sum(chords is None for chords in meant), _used(meant))
    for number, (column, wished, span) in enumerate(zip(columns, wishes, spans, strict=True)):
        choices = []
        for place, (label, value, _) in zip(span, wished, strict=True):
            chords = meant[place]
            choices.append(
                {"label": label, "value": value, "keys": _listed([next(free)] if chords is None else chords)}
            )
        low, high = column.bounds
        about = {"label": column.label, "column": number, "continuous": column.continuous}
        axes.append({**about, "low": low, "high": high, "rest": column.rest, "choices": choices})
    return {"actions": [], "axes": axes, "rest": [column.rest for column in columns]}


class _Column:
    """One column of stored actions."""

    def __init__(self, part: Part, inside: int, label: str, taken: np.ndarray | None) -> None:
        self.part, self.label = part, label
        self.continuous = not part.discrete
        self.rest: float | int
        self.bounds: tuple[float | int, float | int]
        if part.discrete:
            first, choices = int(part.start[inside]), int(part.choices[inside])
            self.rest, self.bounds = first, (first, first + choices - 1)
            return
        space = part.space
        assert isinstance(space, Box)
        low, high = (float(np.atleast_1d(side)[inside]) for side in (space.low, space.high))
        whole = not np.issubdtype(space.dtype, np.floating)
        rest = min(max(0.0, low), high)
        self.rest = float(np.ceil(rest)) if whole else rest
        used = np.empty(0) if taken is None else taken
        down = _usual(self.rest - used[used < self.rest], self.rest - low, whole)
        up = _usual(used[used > self.rest] - self.rest, high - self.rest, whole)
        self.bounds = (max(low, self.rest - down), min(high, self.rest + up))

    def wishes(self, names: Sequence[str]) -> list[tuple[str, float | int, str]]:
        """What its keys ask for other than rest: a label, the value, and the word that may tell the key."""
        low, high = self.bounds
        if self.continuous:
            ways = [("−", low), ("+", high)]
            return [(f"{self.label} {sign}", value, "") for sign, value in ways if value != self.rest]
        assert isinstance(low, int)
        wished: list[tuple[str, float | int, str]] = []
        for place, value in enumerate(range(low, int(high) + 1)):
            if value == self.rest:
                continue
            choice = names[place] if names else str(value)
            only = self.label if high - low == 1 and not names else f"{self.label} {choice}"
            wished.append((only, value, only))
        return wished


def _usual(sizes: np.ndarray, most: float, whole: bool) -> float:
    """How far from rest a key goes: as far as most recorded numbers, or the bound, or 1 where there is none."""
    size = float(np.quantile(sizes, _PRESSED)) if len(sizes) else (most if np.isfinite(most) else 1.0)
    size = float(np.round(size)) or 1.0 if whole else size
    return min(size, most)


def _meant(label: str) -> list[Chord] | None:
    """The chords that a name asks for, the arrows and the letters for them; None if it does not tell."""
    words = re.findall(r"noop|up|down|left|right|fire|[a-z]+|\d+", label.lower()) if label.isupper() else []
    words = words or re.findall(r"[a-z]+|\d+", label.lower())
    if not words or any(word not in _MEANINGS for word in words):
        # A strafe is a step to the side, for which letters are usual; to turn, arrows.
        if words[:1] == ["strafe"] and words[1:] and words[1] in ("left", "right") and len(words) == 2:
            return [(_LETTERS[words[1]],)]
        return None
    meanings = [meaning for word in words if (meaning := _MEANINGS[word])]
    ways = [tuple(dict.fromkeys(keys.get(m, m) for m in meanings)) for keys in (_ARROWS, _LETTERS)]
    return list(dict.fromkeys(ways))


def _distinct(meant: list[list[Chord] | None]) -> list[list[Chord] | None]:
    """The same without chords that an earlier one has."""
    seen: set[frozenset[str]] = set()
    left: list[list[Chord] | None] = []
    for chords in meant:
        kept = [chord for chord in chords or [] if frozenset(chord) not in seen]
        seen |= {frozenset(chord) for chord in kept}
        left.append(kept or None)
    return left


def _used(meant: Sequence[list[Chord] | None]) -> set[str]:
    return {key for chords in meant for chord in chords or [] for key in chord}


def _free(count: int, used: set[str]) -> Iterator[Chord]:
    """So many chords of keys that are not in use, all of one size, so that none lies in another; then empty ones."""
    keys = [key for key in _POOL if key not in used]
    for size in range(1, len(keys) // 2 + 1):
        if math.comb(len(keys), size) >= count:
            return itertools.islice(itertools.combinations(keys, size), count)
    return itertools.repeat(())


def _listed(chords: Sequence[Chord]) -> list[list[str]]:
    """In plain JSON values; rest has no keys."""
    return [list(chord) for chord in chords if chord]
