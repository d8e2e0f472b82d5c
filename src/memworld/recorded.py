"""Imagination beside a recording: from a recorded moment, under the recorded actions."""

from dataclasses import dataclass

import numpy as np

from memworld.episodes import EpisodeDataset
from memworld.errors import MemworldError
from memworld.imagine import Mode, Rollout
from memworld.world_model import WorldModel


@dataclass(frozen=True, eq=False)
class Comparison:
    """What was recorded and what was imagined.

    Attributes:
        episode: id of the recorded episode.
        start: step of the frame that imagination started from.
        truth: uint8 (T, H, W, C) the frames that followed it.
        rollout: one imagined future of T steps.
    """

    episode: str
    start: int
    truth: np.ndarray
    rollout: Rollout


def imagine_recorded(
    world: WorldModel,
    dataset: EpisodeDataset,
    episode_id: str | None = None,
    *,
    start: int = 0,
    horizon: int = 20,
    mode: Mode = "requery",
    seed: int = 0,
) -> Comparison:
    """Imagine what follows step `start` of a recorded episode under its own actions.

    Args:
        world: the world model.
        dataset: the recorded episodes.
        episode_id: which; None takes the first that memory does not hold.
        start: step to start from.
        horizon: steps to imagine.
        mode: `requery` or `follow`.
        seed: of all sampling.

    Raises:
        MemworldError: no such episode, or it ends before `start + horizon`.
    """
    if episode_id is None:
        unseen = [i for i in dataset.ids if i not in world.memory.ids]
        if not unseen:
            raise MemworldError("the memory holds every episode of the data set: name the one to start from")
        episode_id = unseen[0]
    episode = dataset.load(episode_id)
    if horizon < 1:
        raise MemworldError(f"horizon is {horizon}: give at least 1")
    if start < 0 or start + horizon > len(episode):
        raise MemworldError(
            f"episode {episode_id} has {len(episode)} steps, too few for {horizon} from step {start}: "
            "start earlier or imagine fewer"
        )
    rollout = world.imagine(
        episode.observations[start], episode.actions[None, start : start + horizon], mode=mode, seed=seed
    )
    return Comparison(episode_id, start, episode.observations[start + 1 : start + horizon + 1], rollout)
