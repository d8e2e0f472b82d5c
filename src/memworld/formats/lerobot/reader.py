"""A LeRobot data set, opened."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete

from memworld.actions import MAX_ACTIONS, ActionSpace, supported_space
from memworld.datasets import DatasetInfo, EpisodeDataset, EpisodeEntry
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.formats.format import ReadOptions
from memworld.formats.lerobot.episode import ACTION, BOOKKEEPING, DONE, REWARD, STATE, SUCCESS, load_episode
from memworld.formats.lerobot.listing import Listed, first_rows, list_episodes
from memworld.formats.lerobot.metadata import Feature, Metadata, choose_camera, image_shape, read_metadata
from memworld.formats.tables import column_range
from memworld.formats.video_frames import import_av

_log = logging.getLogger(__name__)


def open_lerobot(path: str | Path, options: ReadOptions | None = None) -> EpisodeDataset:
    """Open a LeRobot data set of version 3; episodes are loaded one at a time, when asked for.

    Actions are a `Box` without bounds, or a `Discrete` up to the highest one if they are single
    integers. The lists of episodes are read at once; an episode whose files are damaged or missing is
    listed and cannot be loaded.

    Args:
        path: the data set's folder.
        options: `camera` is the name of the feature to see, or its last part; `size`;
            `frame_after_action`.

    Raises:
        MemworldError: it is of another version, its metadata are damaged, it has several cameras and
            `camera` names none, no actions, or PyAV is needed and not installed.
    """
    root, options = Path(path), options or ReadOptions()
    metadata = read_metadata(root)
    camera = choose_camera(metadata, options.camera)
    shape = image_shape(metadata, camera)
    video = metadata.features[camera].dtype == "video"
    if video:
        import_av()
    listed = {one.id: one for one in list_episodes(metadata, camera if video else None)}
    if metadata.episodes not in (-1, len(listed)):
        _log.warning("%s should have %d episodes, and lists %d", root, metadata.episodes, len(listed))
    firsts = first_rows(list(listed.values()))
    space, names = _action_space(metadata, set(firsts))
    info = DatasetInfo((*(options.size or shape[:2]), shape[2]), space, "", _state_names(metadata), names)
    entries = [EpisodeEntry(one.id, one.steps, _source(metadata, camera, one)) for one in listed.values()]
    sources = {entry.id: dict(entry.source) for entry in entries}

    def load(episode_id: str) -> Episode:
        one = listed[episode_id]
        try:
            first_row = firsts.get(one.data, 0)
            return load_episode(metadata, camera, shape, one, first_row, sources[episode_id], options)
        except MemworldError as error:
            raise MemworldError(f"episode {episode_id} of {root}: {error}") from error

    return EpisodeDataset(info, entries, load, root, _left_out(metadata, camera, options))


def _left_out(metadata: Metadata, camera: str, options: ReadOptions) -> list[str]:
    """What of the data set no `Episode` holds."""
    read = {camera, ACTION, STATE, REWARD, DONE, SUCCESS, *BOOKKEEPING}
    others = [f"feature {name}" for name in metadata.features if name not in read]
    return [*others, options.action_left_out]


def _source(metadata: Metadata, camera: str, listed: Listed) -> dict[str, Any]:
    source: dict[str, Any] = {
        "dataset": _name(metadata.root),
        "episode_index": listed.index,
        "camera": camera,
        "fps": metadata.fps,
    }
    if metadata.robot_type:
        source["robot_type"] = metadata.robot_type
    if listed.tasks:
        source["tasks"] = listed.tasks
    if REWARD not in metadata.features:
        source["rewards"] = "none recorded"
    return source


def _name(root: Path) -> str:
    """The data set's name: its folder's, or USER/NAME in the cache of the Hugging Face hub."""
    root = root.absolute()
    if root.parent.name == "snapshots":
        return root.parents[1].name.removeprefix("datasets--").replace("--", "/", 1)
    return root.name


def _action_space(metadata: Metadata, files: set[tuple[int, int]]) -> tuple[ActionSpace, tuple[str, ...]]:
    """The space of actions, and the names of its columns.

    Raises:
        MemworldError: there are no actions, or of a kind that memworld does not take.
    """
    feature = metadata.features.get(ACTION)
    if feature is None:
        raise MemworldError(f"{metadata.root} has no feature {ACTION!r}: a world model needs actions")
    _check_flat(metadata, ACTION, feature)
    if not (feature.whole and feature.width == 1):
        names = feature.names if len(feature.names) == feature.width else ()
        return supported_space(Box(-np.inf, np.inf, (feature.width,), np.float32)), names
    low, high = 0, 0
    for file in sorted(files):
        try:
            path = metadata.file(metadata.data_path, *file)
            found = column_range(path, ACTION)
        except MemworldError:  # which loading an episode of the file raises
            continue
        low, high = min(low, found[0]), max(high, found[1])
    if low < 0 or high >= MAX_ACTIONS:
        raise MemworldError(
            f"{metadata.root} has actions of {low} to {high}: number them from 0 without gaps, to at most "
            f"{MAX_ACTIONS - 1}"
        )
    return Discrete(high + 1), ()


def _state_names(metadata: Metadata) -> tuple[str, ...]:
    feature = metadata.features.get(STATE)
    if feature is None:
        return ()
    _check_flat(metadata, STATE, feature)
    return feature.names if len(feature.names) == feature.width else tuple(f"state_{i}" for i in range(feature.width))


def _check_flat(metadata: Metadata, name: str, feature: Feature) -> None:
    numeric = feature.whole or feature.dtype.startswith("float")
    if not numeric or len(feature.shape) > 1 or not 1 <= feature.width <= MAX_ACTIONS:
        raise MemworldError(
            f"{name!r} of {metadata.root} is {feature.dtype} of shape {feature.shape}: memworld takes rows of 1 to "
            f"{MAX_ACTIONS} numbers"
        )
