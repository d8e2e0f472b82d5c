"""Real episodes that stay: a data set for every way to act, which can be remembered in turn."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from memworld.datasets import DatasetInfo
from memworld.errors import MemworldError
from memworld.evaluate.playing import MakePolicy, Outcome, PlayConfig, Played, marks, play_all
from memworld.formats import EpisodeWriter, NpzWriter
from memworld.storage import one_line
from memworld.worlds import World


class EpisodeShelf:
    """A shelf for whole episodes, as a data set in the npz format; an outcome lies in its episode's source."""

    def __init__(self, writer: EpisodeWriter, folder: Path, config: PlayConfig) -> None:
        """Read the outcomes of the episodes that are there.

        Raises:
            MemworldError: one is damaged.
        """
        self._writer = writer
        self.outcomes: list[Outcome] = []
        for number, entry in enumerate(writer.entries):
            try:
                outcome = Outcome.from_json(entry.source["outcome"])
                if (outcome.number, len(outcome.cumulated)) != (number, len(marks(config.max_steps))):
                    raise ValueError("it is not that of this episode")
            except (KeyError, TypeError, ValueError) as error:
                raise MemworldError(
                    f"the outcome of episode {entry.id} in {folder} is damaged ({one_line(error)}): delete the folder, "
                    "and its episodes are played anew"
                ) from error
            self.outcomes.append(outcome)

    def add(self, played: Played) -> None:
        """Write the next episode."""
        episode = played.episode
        self._writer.append(replace(episode, source={**episode.source, "outcome": asdict(played.outcome)}))
        self.outcomes.append(played.outcome)


def play_and_keep(
    env: gymnasium.Env[np.ndarray, Any],
    world: World,
    info: DatasetInfo,
    ways: Mapping[str, MakePolicy],
    config: PlayConfig,
    folder: Path,
    progress: bool = False,
) -> dict[str, list[Outcome]]:
    """Play what has not been played, and keep each episode as soon as it ends.

    Args:
        env: an environment of the world.
        world: the world.
        info: what its episodes share.
        ways: what makes a policy, by the way's name.
        config: how many episodes, from where, how long.
        folder: holds a data set for every way, under its name.
        progress: whether to show a progress bar.

    Returns:
        By way, the outcomes of its episodes, by number.

    Raises:
        MemworldError: a data set is damaged or cannot be written, or a policy or the simulator failed.
    """
    with contextlib.ExitStack() as held:

        def shelf(way: str) -> EpisodeShelf:
            writer = held.enter_context(NpzWriter(folder / way, info, "resume"))
            return EpisodeShelf(writer, folder / way, config)

        return play_all(env, world, ways, config, shelf, progress)


def chosen(outcomes: list[Outcome]) -> Iterator[tuple[str, Outcome]]:
    """The episodes of the highest, middling and lowest return, as far as there are three; of equal ones, the ends."""
    ranked = sorted(outcomes, key=lambda outcome: (-outcome.gained, outcome.number))
    if ranked[0].gained == ranked[-1].gained:
        yield ("first" if len(ranked) > 1 else "only"), ranked[0]
        if len(ranked) > 1:
            yield "last", ranked[-1]
        return
    yield "best", ranked[0]
    if len(ranked) > 2:
        yield "middling", ranked[len(ranked) // 2]
    yield "worst", ranked[-1]
