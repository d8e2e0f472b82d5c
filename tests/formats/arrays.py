"""Arrays of an episode, as files hold them."""

from typing import Any

import numpy as np

from tests.helpers import make_episode


def arrays_of(rng: np.random.Generator, **changes: Any) -> dict[str, Any]:
    """The arrays of an episode as a user would save them; a change to None leaves one out."""
    episode = make_episode(rng)
    names = ("observations", "actions", "rewards", "terminations", "truncations")
    arrays = {name: getattr(episode, name) for name in names} | changes
    return {name: array for name, array in arrays.items() if array is not None}
