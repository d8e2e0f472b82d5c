"""Reads MineRL's folders, and those that memworld wrote in their form."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Dict

from memworld.actions import as_actions
from memworld.datasets import DatasetInfo, EpisodeDataset, EpisodeEntry
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.formats.format import ReadOptions
from memworld.formats.minerl.action_space import ActionSurvey, encode_actions
from memworld.formats.minerl.columns import Columns, Kind, Kinds, read_columns, state_names, words_observed
from memworld.formats.minerl.layout import (
    ARRAYS,
    MARKER,
    METADATA,
    VIDEO,
    Located,
    check_no_link,
    episode_id,
    is_own,
    locate,
    printable_errors,
    read_metadata,
)
from memworld.formats.minerl.own import OWN_KEY, Digest, OwnRecord, from_arrays
from memworld.formats.video_frames import count_frames, gather_frames, read_frames
from memworld.storage import read_json


@dataclass(frozen=True)
class _Found:
    """A recording before its video is opened.

    Attributes:
        folder: where it lies.
        entry: what the data set lists of it.
        record: what memworld wrote of it; None if it is MineRL's or cannot be read.
        kinds: what its arrays are, see `Columns`; empty if it is memworld's or cannot be read.
        problem: why it cannot be loaded, "" if nothing is known.
    """

    folder: Path
    entry: EpisodeEntry
    record: OwnRecord | None = None
    kinds: Kinds = field(default_factory=dict)
    problem: str = ""


@printable_errors()
def open_minerl(path: str | Path, options: ReadOptions | None = None) -> EpisodeDataset:
    """Open recordings of MineRL's human players; each is loaded, and its video decoded, when asked for.

    An episode is called as its folder, without `v4_`. Its frames are the last N+1 of those that the
    metadata count (`true_video_frame_count`), each as it is in the video: MineRL's own loader replaces
    the very last one by the one before. The action space is a `Dict`, found out from the actions of
    all recordings, which are read for it; see `ActionSurvey.space`. Observations that are numbers
    become states, "compass.angle" in all versions; those that are words are left out. MineRL does not
    tell why a recording ends: a success is a termination, anything else a truncation.

    What memworld wrote comes back as it was.

    Args:
        path: ROOT, ROOT/<environment>, or the folder of one recording.
        options: how to read; frames of another size are resized one by one.

    Raises:
        MemworldError: no recordings are there, or not one is whole; those of several environments, or
            of a version that memworld does not read. Loading an episode raises it if the recording is
            damaged or unlike the others: that one alone, as the data set opens without it.
    """
    options = options or ReadOptions()
    located = locate(Path(path))
    metadata = {folder: _metadata(folder, located) for folder in located.folders}
    if not located.folders or any(isinstance(found, dict) and OWN_KEY in found for found in metadata.values()):
        return _open_own(located, metadata, options)
    return _open_recorded(located, metadata, options)


def _metadata(folder: Path, located: Located) -> Mapping[str, Any] | MemworldError:
    """The metadata of a recording, or the error of reading them, which is to be raised when it is loaded."""
    try:
        if folder != located.root:  # what the user names may be a link, what is found in it may not
            check_no_link(folder)
        return read_metadata(folder)
    except MemworldError as error:
        return error


def _open_own(located: Located, metadata: Mapping[Path, Any], options: ReadOptions) -> EpisodeDataset:
    """Open what memworld wrote, in the order in which it did."""
    found = [_find_own(folder, value) for folder, value in metadata.items()]
    records = [recording.record for recording in found if recording.record is not None]
    if records:
        info = records[0].info
    elif is_own(located.root):
        info = _marked_info(located.root)
    else:
        raise MemworldError(found[0].problem)
    found = [
        replace(recording, problem=f"{recording.folder} is not of this data set: its metadata have another `info`")
        if recording.record is not None and recording.record.info != info
        else recording
        for recording in found
    ]
    found.sort(key=lambda recording: recording.record.number if recording.record else len(metadata))

    def load(recording: _Found) -> Episode:
        assert recording.record is not None
        return _load_own(recording.folder, recording.record, options)

    return _dataset(located, _with_size(info, options), found, load)


def _find_own(folder: Path, metadata: Any) -> _Found:
    """What the metadata of one recording, or the error of reading them, say of it."""
    try:
        if isinstance(metadata, MemworldError):
            raise metadata
        if OWN_KEY not in metadata:
            raise MemworldError(f"{folder} is not of this data set: memworld did not write it")
        record = OwnRecord.from_json(metadata[OWN_KEY], folder / METADATA)
    except MemworldError as error:
        return _Found(folder, EpisodeEntry(episode_id(folder), 0), problem=str(error))
    return _Found(folder, record.entry, record)


def _marked_info(root: Path) -> DatasetInfo:
    """What the episodes of a folder of memworld's share, if it holds none yet."""
    try:
        return DatasetInfo.from_json(read_json(root / MARKER, "MineRL data set")["info"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise MemworldError(f"{root / MARKER} is damaged ({error}): restore it or write the data set again") from error


def _load_own(folder: Path, record: OwnRecord, options: ReadOptions) -> Episode:
    steps = record.entry.steps
    arrays: dict[str, Any] = from_arrays(folder / ARRAYS, record)
    digest = Digest()
    channels = record.info.observation_shape[2]
    frames = read_frames(folder / VIDEO, count=steps + 1)
    observations = gather_frames(digest.watch(frame[..., :channels] for frame in frames), options.size)
    if str(digest) != record.frames_sha256:
        raise MemworldError(f"{folder / VIDEO} is damaged: its frames are not those that were written")
    last = np.arange(steps) == steps - 1
    ends = {"terminations": last & record.terminated, "truncations": last & record.truncated}
    return Episode(record.entry.id, observations, **arrays, **ends, source=record.entry.source)


def _open_recorded(located: Located, metadata: Mapping[Path, Any], options: ReadOptions) -> EpisodeDataset:
    """Open recordings of MineRL itself: read all their actions, one recording at a time, and one frame."""
    surveys: dict[tuple[tuple[str, Kind], ...], ActionSurvey] = {}
    found = []
    for folder, value in metadata.items():
        recording, columns = _find_recorded(folder, value, located.environment)
        found.append(recording)
        if columns is not None:
            surveys.setdefault(tuple(columns.kinds.items()), ActionSurvey()).add(columns)
    if not surveys:
        raise MemworldError(found[0].problem)
    # What most recordings have in common; those that differ are as good as broken.
    (usual, _), *_ = Counter(tuple(recording.kinds.items()) for recording in found if recording.kinds).most_common(1)
    found = [replace(recording, problem=recording.problem or _unlike(recording, dict(usual))) for recording in found]
    space, action_names = surveys[usual].space()
    size = options.size or _frame_size([recording.folder for recording in found if not recording.problem])
    info = DatasetInfo((*size, 3), space, located.environment, state_names(dict(usual)), action_names)
    sound = next(recording.folder for recording in found if not recording.problem)
    left_out = [f"observation {name}, which is in words" for name in words_observed(sound / ARRAYS)]
    return _dataset(located, info, found, lambda recording: _load_recorded(recording, info, options), left_out)


def _find_recorded(folder: Path, metadata: Any, environment: str) -> tuple[_Found, Columns | None]:
    """What one recording is without its video, and its arrays if they can be read."""
    name = episode_id(folder)
    try:
        if isinstance(metadata, MemworldError):
            raise metadata
        success = _success(metadata, folder)
        columns = read_columns(folder / ARRAYS)
    except MemworldError as error:
        steps = metadata.get("duration_steps") if isinstance(metadata, dict) else None
        known = steps if type(steps) is int and 0 < steps < 2**31 else 0
        return _Found(folder, EpisodeEntry(name, known), problem=str(error)), None
    source = {"format": "minerl", "environment": environment, "stream": folder.name, "success": success}
    return _Found(folder, EpisodeEntry(name, len(columns.rewards), source), kinds=columns.kinds), columns


def _unlike(recording: _Found, usual: Kinds) -> str:
    """What a recording's arrays have that others have not, or the other way round; "" if nothing."""
    for name in sorted(recording.kinds.keys() | usual.keys()) if recording.kinds else ():
        one, others = recording.kinds.get(name, "missing"), usual.get(name, "missing")
        if one != others:
            return (
                f"{recording.folder / ARRAYS} has {name}: {one} (most other recordings: {others}): restore the file or "
                "keep such recordings apart"
            )
    return ""


def _frame_size(folders: Sequence[Path]) -> tuple[int, int]:
    """(H, W) of the first video that can be read; raises what is wrong with the first one if none can."""
    errors = []
    for folder in folders:
        try:
            height, width, _ = next(read_frames(folder / VIDEO, count=1)).shape
            return height, width
        except MemworldError as error:
            errors.append(error)
    raise errors[0]


def _load_recorded(recording: _Found, info: DatasetInfo, options: ReadOptions) -> Episode:
    folder, steps = recording.folder, recording.entry.steps
    metadata = read_metadata(folder)
    columns = read_columns(folder / ARRAYS)
    if columns.kinds != recording.kinds or len(columns.rewards) != steps:
        raise MemworldError(f"{folder / ARRAYS} has changed: open the data set again")
    frames = metadata.get("true_video_frame_count", None)
    if frames is None:
        frames = count_frames(folder / VIDEO)
    if type(frames) is not int or frames < steps + 1:
        raise MemworldError(
            f"{folder / METADATA} counts {frames} frames of the video, {steps} steps need {steps + 1}: restore the "
            "recording"
        )
    video = read_frames(folder / VIDEO, first=frames - steps - 1, count=steps + 1)
    observations = gather_frames(video, options.size)
    if observations.shape[1:] != info.observation_shape:
        raise MemworldError(
            f"{folder / VIDEO} has frames of {observations.shape[1:]}, other recordings {info.observation_shape}: "
            "give a size to which all are resized"
        )
    assert isinstance(info.action_space, Dict)
    actions = as_actions(encode_actions(columns, info.action_space, info.action_names), info.action_space)
    last = np.arange(steps) == steps - 1
    success = _success(metadata, folder)
    states = np.concatenate(list(columns.states.values()), 1) if columns.states else None
    ends = (last & success, last & (not success))
    return Episode(recording.entry.id, observations, actions, columns.rewards, *ends, states, recording.entry.source)


def _success(metadata: Mapping[str, Any], folder: Path) -> bool:
    """Whether the player reached the goal; v3 says it in words, and some sets do not say it."""
    value = metadata.get("success", False)
    known = {True: True, False: False, "true": True, "false": False}
    value = value.strip().lower() if isinstance(value, str) else value
    if not isinstance(value, str | int) or value not in known:
        raise MemworldError(f"{folder / METADATA} has success {str(value)[:80]!r}: expected true or false")
    return known[value]


def _with_size(info: DatasetInfo, options: ReadOptions) -> DatasetInfo:
    shape = (*(options.size or info.observation_shape[:2]), info.observation_shape[2])
    return replace(info, observation_shape=shape)


def _dataset(
    located: Located,
    info: DatasetInfo,
    found: Iterable[_Found],
    load: Callable[[_Found], Episode],
    left_out: Sequence[str] = (),
) -> EpisodeDataset:
    """The data set of these recordings, in which every error of loading names the recording."""
    by_id = {recording.entry.id: recording for recording in found}

    @printable_errors()
    def load_named(episode: str) -> Episode:
        recording = by_id[episode]
        try:
            if recording.problem:
                raise MemworldError(recording.problem)
            return load(recording)
        except MemworldError as error:
            where = "" if str(recording.folder) in str(error) else f" in {recording.folder}"
            raise MemworldError(f"episode {episode}{where} cannot be loaded: {error}") from error

    return EpisodeDataset(info, [recording.entry for recording in found], load_named, located.root, left_out)
