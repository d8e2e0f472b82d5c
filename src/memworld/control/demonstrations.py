"""What memory's own episodes gained, as far as it is comparable with episodes that are played now."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from memworld.memory import Memory


@dataclass(frozen=True, eq=False)
class Demonstrations:
    """The returns of memory's own episodes.

    Attributes:
        returns: (E,) float64, each of an episode's first `max_steps` steps.
        skills: (E,) float64, skill of the recorded policy; NaN where it is not known.
        short: how many episodes were cut before `max_steps` and might have gained more.
    """

    returns: np.ndarray
    skills: np.ndarray
    short: int

    @property
    def groups(self) -> Mapping[str, np.ndarray]:
        """Returns by name: of all episodes; if there are several skills, of the best one; of the best episode."""
        found = {"demonstrations": self.returns}
        known = np.unique(self.skills[np.isfinite(self.skills)]).tolist()
        levels = {level: self.returns[self.skills == level] for level in known}
        if len(levels) > 1:
            best = max(levels, key=lambda level: float(levels[level].mean()))
            found[f"demonstrations of skill {best:g}"] = levels[best]
        return {**found, "best demonstration": self.returns.max(keepdims=True)}


def demonstrations(memory: Memory, max_steps: int) -> Demonstrations | None:
    """What the episodes of a memory gained in up to `max_steps` steps; None if it holds pieces of episodes."""
    episodes = memory.episodes
    if not episodes or any(episode.entry.origin != (episode.entry.id, 0) for episode in episodes):
        return None
    skills = [episode.entry.source.get("skill") for episode in episodes]
    return Demonstrations(
        np.array([episode.rewards[:max_steps].sum(dtype=np.float64) for episode in episodes]),
        np.array([skill if isinstance(skill, int | float) else np.nan for skill in skills], np.float64),
        sum(len(episode.rewards) < max_steps and not episode.terminations[-1] for episode in episodes),
    )
