"""The Doom scenarios that are worlds, and what may be done in them."""

from collections.abc import Mapping
from dataclasses import dataclass

_ACTIONS: dict[str, tuple[str, ...]] = {
    "noop": (),
    "turn_left": ("TURN_LEFT",),
    "turn_right": ("TURN_RIGHT",),
    "forward": ("MOVE_FORWARD",),
    "forward_left": ("MOVE_FORWARD", "TURN_LEFT"),
    "forward_right": ("MOVE_FORWARD", "TURN_RIGHT"),
}

_POSE = ("x", "y", "heading_cos", "heading_sin")


@dataclass(frozen=True)
class Scenario:
    """One of the scenarios that come with the engine.

    Attributes:
        file: its configuration's name, without ".cfg".
        actions: the buttons that each action presses, by the action's name, in the order of the action space.
        state_names: the variables of the state: those of the pose, then perhaps "health".
    """

    file: str
    actions: Mapping[str, tuple[str, ...]]
    state_names: tuple[str, ...]

    @property
    def buttons(self) -> tuple[str, ...]:
        """The engine's buttons that are in use, each once."""
        return tuple(dict.fromkeys(button for pressed in self.actions.values() for button in pressed))


SCENARIOS: dict[str, Scenario] = {
    "vizdoom/my_way_home": Scenario(
        "my_way_home",
        {**_ACTIONS, "strafe_left": ("MOVE_LEFT",), "strafe_right": ("MOVE_RIGHT",)},
        _POSE,
    ),
    "vizdoom/health_gathering": Scenario("health_gathering", _ACTIONS, (*_POSE, "health")),
}
"""The scenarios by the names of their worlds."""
