"""Action spaces: what an action may be, how it is stored, and how it enters a search.

An action is stored as one integer (`Discrete`), or as a row of numbers, its columns: integers of a
`MultiDiscrete`, floats of a `Box`, and for a `Dict` the columns of its parts side by side, in the
space's order. `as_actions` brings actions into that form and `restore_actions` takes them out of it.
"""

from memworld.actions.features import (
    action_features,
    column_scales,
    describe_actions,
    discrete_features,
    sequence_features,
)
from memworld.actions.spaces import (
    MAX_ACTIONS,
    ActionSpace,
    Part,
    action_parts,
    choice_names,
    column_names,
    nameable,
    space_from_json,
    space_to_json,
    stored_dtype,
    stored_shape,
    supported_space,
)
from memworld.actions.values import as_actions, restore_actions

__all__ = [
    "MAX_ACTIONS",
    "ActionSpace",
    "Part",
    "action_features",
    "action_parts",
    "as_actions",
    "choice_names",
    "column_names",
    "column_scales",
    "describe_actions",
    "discrete_features",
    "nameable",
    "restore_actions",
    "sequence_features",
    "space_from_json",
    "space_to_json",
    "stored_dtype",
    "stored_shape",
    "supported_space",
]
