"""Imagination beside a recording: from a recorded moment, under the recorded actions."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memworld.actions import ActionSpace, action_parts
from memworld.datasets import EpisodeDataset
from memworld.errors import MemworldError
from memworld.imagine import Mode
from memworld.memory import Memory
from memworld.rollout import Past, Rollout
from memworld.strips import write_strips
from memworld.world_model import WorldModel

_PAST = 3
"""Moments before the start that a dynamics is shown."""


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
    mode: Mode | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Comparison:
    """Imagine what follows step `start` of a recorded episode under its own actions.

    Args:
        world: the world model.
        dataset: the recorded episodes.
        episode_id: which; None takes the first that memory does not hold.
        start: step to start from.
        horizon: steps to imagine.
        mode: `requery` or `follow`; None takes the dynamics' own.
        seed: of all sampling.
        progress: whether to show a progress bar where the dynamics is fitted first.

    Raises:
        MemworldError: episodes of another world, no such episode, or it ends before `start + horizon`.
    """
    check_same_world(world.memory, dataset)
    if episode_id is None:
        unseen = [i for i in dataset.ids if i not in world.memory.origins]
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
    world.prepare(progress)
    past = Past.of(episode, np.array([start]), _PAST)
    actions = episode.actions[None, start : start + horizon]
    rollout = world.imagine(episode.observations[start], actions, past=past, mode=mode, seed=seed)
    return Comparison(episode_id, start, episode.observations[start + 1 : start + horizon + 1], rollout)


def check_same_world(memory: Memory, dataset: EpisodeDataset) -> None:
    """Do nothing if episodes of `dataset` could be in `memory`, and those that both name are the same.

    Raises:
        MemworldError: their worlds, frames or actions differ, or an id names two episodes.
    """
    kept, given = memory.info, dataset.info
    differs = {
        # Of data made by hand the world may not be known, and the actions only as far as they go.
        "world": bool(kept.world and given.world) and kept.world != given.world,
        "observation_shape": kept.observation_shape != given.observation_shape,
        "action_space": _kind(kept.action_space) != _kind(given.action_space),
    }
    for name, differ in differs.items():
        if differ:
            raise MemworldError(
                f"the memory has {name} {getattr(kept, name)!s}, the episodes have {getattr(given, name)!s}: "
                "give episodes of the memory's own world"
            )
    remembered = {episode.entry.id: episode.entry for episode in memory.episodes}
    for entry in dataset.entries:
        if entry.id in remembered and entry.to_json() != remembered[entry.id].to_json():
            raise MemworldError(
                f"episode {entry.id} of the data set is not the one that the memory holds under this id (length or "
                "source differ): give the data that was remembered, or rename the episode"
            )


def _kind(space: ActionSpace) -> list[tuple[str, type, int]]:
    """What two action spaces must share; of data made by hand, not all choices may have been seen."""
    return [(part.name, type(part.space), part.columns.stop) for part in action_parts(space)]


def check_picture(path: Path) -> None:
    """Do nothing if a picture may be written to `path`.

    Raises:
        MemworldError: it is no name of a PNG, its folder does not exist, or a file of another kind is there.
    """
    if path.suffix.lower() != ".png":
        raise MemworldError(f"{path} is no name of a picture: end it in .png")
    if not path.parent.is_dir():
        raise MemworldError(f"there is no folder {path.parent}: make it, or name another file")
    if path.exists() and not (path.is_file() and path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"):
        raise MemworldError(f"{path} exists and is no PNG: name another file")


def write_comparison(path: Path, comparison: Comparison) -> None:
    """Write a PNG of the truth above the imagination, step by step.

    Raises:
        MemworldError: as `check_picture`, or the file cannot be written.
    """
    check_picture(path)
    assert comparison.rollout.frames is not None  # `imagine_recorded` decodes
    strips = {"truth": comparison.truth, "imagined": comparison.rollout.frames[0]}
    write_strips(path, strips, [f"t = {step}" for step in range(1, len(comparison.truth) + 1)])
