"""What is in a data set: counts, actions, rewards, and what is wrong with it or will trouble whoever uses it."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from memworld.actions import column_names, describe_actions
from memworld.datasets import EpisodeDataset
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.inspection.statistics import rewards_of, spread
from memworld.storage import one_line, write_picture


def inspect_dataset(dataset: EpisodeDataset, progress: bool = False) -> dict[str, Any]:
    """Describe a data set in plain JSON values, one episode in memory at a time.

    Episodes that cannot be read are among the `problems`, and left out of the numbers.

    Args:
        dataset: the episodes.
        progress: show a progress bar if it takes longer than a second.

    Raises:
        MemworldError: it has no episodes, or none that can be read.
    """
    if len(dataset) == 0:
        raise MemworldError("the data set is empty: record at least one episode first")
    sound: list[_Summary] = []
    broken: list[str] = []
    for entry in tqdm(dataset.entries, desc="inspect", unit="episode", disable=not progress, delay=1):
        try:
            sound.append(_Summary(dataset.load(entry.id)))
        except MemworldError as error:
            broken.append(str(error))
    if not sound:
        raise MemworldError(f"none of the {len(dataset)} episodes can be read; the first: {broken[0]}")
    space, names = dataset.info.action_space, dataset.info.action_names
    actions = np.concatenate([summary.actions for summary in sound])
    return {
        "world": dataset.info.world,
        "episodes": len(dataset),
        "transitions": dataset.steps,
        "steps_per_episode": spread(np.array([len(summary.actions) for summary in sound])),
        "observation_shape": list(dataset.info.observation_shape),
        "action_space": one_line(space),
        "action_columns": list(column_names(space, names)),
        "actions": describe_actions(actions, space),
        "action_names": list(names),
        "rewards": rewards_of(np.concatenate([summary.rewards for summary in sound])),
        "returns": spread(np.array([summary.rewards.sum(dtype=np.float64) for summary in sound])),
        "terminated_episodes": sum(summary.terminated for summary in sound),
        "truncated_episodes": sum(summary.truncated for summary in sound),
        "state_names": list(dataset.info.state_names),
        "not_read": list(dataset.left_out),
        "problems": [*broken, *_problems(sound, actions, dataset)],
        "episode_ids": list(dataset.ids),
    }


class _Summary:
    """What is kept of an episode once its frames are gone."""

    def __init__(self, episode: Episode) -> None:
        self.id = episode.id
        self.actions = episode.actions
        self.rewards = episode.rewards
        self.terminated = bool(episode.terminations[-1])
        self.truncated = bool(episode.truncations[-1])
        frames = episode.observations
        self.frames = hashlib.sha256(np.ascontiguousarray(frames).data).digest()
        # Of long episodes a share of the frames tells as much.
        looked_at = frames[:: max(1, len(frames) // 64)]
        self.still = bool((looked_at == looked_at[0]).all()) and bool((frames[0] == frames[-1]).all())
        self.blank = self.still and int(frames[0].max()) == int(frames[0].min())


def _problems(sound: list[_Summary], actions: np.ndarray, dataset: EpisodeDataset) -> Iterator[str]:
    """What is wrong with episodes that can be read, or with all of them together."""
    first: dict[bytes, str] = {}
    for summary in sound:
        if summary.blank:
            yield f"episode {summary.id} shows one colour in all frames"
        elif summary.still:
            yield f"episode {summary.id} shows the same picture in all frames"
        elif summary.frames in first:
            yield f"episodes {first[summary.frames]} and {summary.id} have the same frames"
        first.setdefault(summary.frames, summary.id)
        if not (summary.terminated or summary.truncated):
            yield f"episode {summary.id} neither terminates nor is truncated: whether it ended there is not known"
    if not any(summary.rewards.any() for summary in sound):
        yield "no step has a reward other than 0: nothing tells good actions from bad ones"
    if (actions == actions[0]).all():
        yield "all steps have the same action: what actions do cannot be told"
    if len(sound) < 3:
        yield f"{len(sound)} episode{'s' * (len(sound) > 1)}: training, remembering and holding out need at least 3"
    height, width, _ = dataset.info.observation_shape
    if height % 8 or width % 8 or max(height, width) > 128:
        yield (
            f"frames of {height}x{width} are no small multiples of 8, which the encoder needs: "
            "convert with --size 64x64"
        )


def write_sample(dataset: EpisodeDataset, path: Path, episodes: int = 6, frames: int = 10) -> None:
    """Write a PNG of frames at even distances, a strip for each of a few episodes; broken ones are left out.

    Raises:
        MemworldError: no episode can be read, or the file cannot be written.
    """
    ids = [dataset.ids[i] for i in np.unique(np.linspace(0, len(dataset) - 1, episodes).round().astype(int))]
    strips, error = [], None
    for episode_id in ids:
        try:
            observations = dataset.load(episode_id).observations
        except MemworldError as caught:
            error = caught
            continue
        strips.append(observations[np.linspace(0, len(observations) - 1, frames).round().astype(int)])
    if not strips:
        raise MemworldError(f"none of the episodes {', '.join(ids)} can be read: {error}") from error
    write_picture(path, strips)
