"""How methods look, wherever they are drawn: one colour a name, and dashes for its variants."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from memworld.evaluate.results import Table, label_of

COLOURS = {
    "text": ("#1c2126", "#e4e7ea"),
    "grey": ("#7c838c", "#959da7"),
    "blue": ("#2f7bc9", "#62a8ee"),
    "orange": ("#d3561c", "#f08a57"),
    "green": ("#178a66", "#3fc498"),
    "purple": ("#a44bb5", "#cf8fda"),
    "amber": ("#a87600", "#e0b13a"),
    "red": ("#cc3a5f", "#ef7c98"),
    "cyan": ("#008799", "#2fc0d2"),
    "violet": ("#6a5bd6", "#a297f2"),
}
"""Every colour of a line on white and on near-black: 3 to 1 or more against either, as WCAG 2.2 (1.4.11) asks."""

_OF_NAMES = tuple(COLOURS)[2:]


@dataclass(frozen=True)
class Look:
    """How a method is drawn, in charts and in the keys beside its name.

    Attributes:
        colour: one of `COLOURS`.
        dashes: lengths of dash and gap in line widths; empty for a solid line.
    """

    colour: str
    dashes: tuple[float, ...] = ()

    @property
    def css(self) -> str:
        """The colour as the page says it, which knows whether it is dark."""
        return f"var(--{self.colour})"

    @property
    def on_white(self) -> str:
        """The colour as pictures say it, which are white."""
        return COLOURS[self.colour][0]


_BASELINES = {
    "persistence": Look("text"),
    "encoder_bound": Look("grey", (6, 1.5, 1, 1.5)),
    "data_mean": Look("grey", (1, 1.5)),
    "oracle": Look("grey", (3, 1.5, 1, 1.5, 1, 1.5)),
}


_VARIANTS: dict[str, tuple[float, ...]] = {
    "requery": (),
    "follow": (3.0, 1.5),
    "none": (),
    "soft": (4.0, 1.2, 1.0, 1.2),
    "hard": (1.4, 1.0),
}
"""Dashes of the words that may follow a method's name in its label: its mode, and how it heeds actions."""

_ROUNDS: tuple[tuple[float, ...], ...] = ((), (6.0, 2.0), (2.0, 2.0), (8.0, 1.5, 2.0, 1.5))
"""Dashes of the names for which the colours are gone through a second time, a third, and so on."""


def looks(table: Table) -> dict[str, Look]:
    """The look of every method, by its label and by its name alone."""
    return looks_of([*(name for name, _ in table.methods), *(label_of(name, mode) for name, mode in table.methods)])


def looks_of(labels: Iterable[str]) -> dict[str, Look]:
    """The look of every label, which depends on nothing but the order in which they first appear.

    Baselines are grey or the text's colour. Every other name has one colour: solid for `requery` and
    where no mode follows the name, dashed for the other words of `_VARIANTS`. A label such as
    "latent_gru, 27 s" beside the plain "latent_gru" has that one's colour, and dashes.
    """
    labels = list(dict.fromkeys(labels))
    plain = {_name_and_dashes(label)[0] for label in labels}
    split = {label: _name_and_dashes(label, plain) for label in labels}
    coloured = dict.fromkeys(name for name, _ in split.values() if name not in _BASELINES)
    place = {name: divmod(i, len(_OF_NAMES)) for i, name in enumerate(coloured)}
    further: dict[str, int] = {}
    found = {}
    for label, (name, dashes) in split.items():
        if name in _BASELINES:
            found[label] = _BASELINES[name]
            continue
        turn, colour = place[name]
        if dashes is None:
            further[name] = further.get(name, 0) + 1
            dashes = _ROUNDS[1:][(further[name] - 1) % (len(_ROUNDS) - 1)]
        found[label] = Look(_OF_NAMES[colour], dashes or _ROUNDS[turn % len(_ROUNDS)])
    return found


def _name_and_dashes(label: str, plain: Collection[str] = ()) -> tuple[str, tuple[float, ...] | None]:
    """A method's name without the words of `_VARIANTS`, and their dashes; any other label is a name of its own.

    What follows a comma is no part of a name that is among `plain`; its dashes are None, still to be chosen.
    """
    before, comma, _ = label.partition(", ")
    if comma and (name := _name_and_dashes(before)[0]) in plain:
        return name, None
    name, *words = label.split(" ")
    if not words or any(word not in _VARIANTS for word in words):
        return label, ()
    return name, next((_VARIANTS[word] for word in words if _VARIANTS[word]), ())
