"""Reading Minari sets."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from memworld.actions import as_actions, supported_space
from memworld.datasets import DatasetInfo, EpisodeDataset, EpisodeEntry
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.formats.format import ReadOptions
from memworld.formats.minari.arrow import ArrowStorage
from memworld.formats.minari.columns import Column, Storage
from memworld.formats.minari.hdf5 import MAIN, Hdf5Storage
from memworld.formats.minari.places import METADATA, VERSION, find_minari, import_minari, not_found, one_error
from memworld.formats.minari.spaces import Observed, action_columns, observed, read_space
from memworld.storage import check_name, check_no_links, one_line, read_json

_log = logging.getLogger(__name__)

STATE = Column(("infos", "state"), more=True)
"""Where memworld keeps `Episode.states`; its rows are as long as there are state names."""


def open_minari(path_or_id: str | Path, options: ReadOptions | None = None) -> EpisodeDataset:
    """Open a Minari set of HDF5 or Arrow; episodes are loaded one at a time, when asked for.

    Its observations must be uint8 images, (H, W, C), (C, H, W) or (H, W) with C of 1 or 3, raw or
    JPEG, or a Dict with such an image, whose other entries of up to 1,024 numbers become the states.
    Its actions must lie in a `supported_space`. Episodes that memworld did not write are called
    `episode-00000` and so on; one of which nothing can be read is listed with 0 steps. Nothing is
    downloaded, and no environment is made.

    Args:
        path_or_id: the set's folder, or its id under `MINARI_DATASETS_PATH`.
        options: its `camera` chooses an image of several; its `size` is for `open_dataset` to apply.

    Raises:
        MemworldError: it is not there, is damaged, has other spaces, or minari is not installed;
            loading an episode raises it too if it is damaged.
    """
    folder = find_minari(path_or_id)
    if folder is None:
        raise not_found(path_or_id)
    metadata = read_metadata(folder, Path(path_or_id))
    extra = memworld_entry(folder, metadata) or {}
    import_minari()
    with one_error(f"Minari set {folder}"):
        _check_version(metadata)
        space = supported_space(read_space(metadata["action_space"], "action"))
        seen = observed(
            read_space(metadata["observation_space"], "observation"), options.camera if options is not None else None
        )
        info = DatasetInfo(
            seen.frame_shape,
            space,
            str(extra.get("world", _environment(metadata))),
            tuple(map(str, extra["state_names"])) if "state_names" in extra else seen.state_names,
            tuple(map(str, extra.get("action_names", ()))),
        )
        storage = open_storage(folder, str(metadata.get("data_format")))
        entries = _entries(folder, metadata, storage)
    states = (Column(STATE.path, (len(info.state_names),), True),) if extra.get("state_names") else seen.states
    by_id = {entry.id: (index, entry) for index, entry in enumerate(entries)}

    def load(episode_id: str) -> Episode:
        index, entry = by_id[episode_id]
        with one_error(f"episode {entry.id} of Minari set {folder}"):
            return _load(storage, info, seen, states, index, entry)

    left_out = [f"observation {one_line(name)}" for name in seen.left_out]
    if not extra:
        left_out.append("infos, if there are any")
    return EpisodeDataset(info, entries, load, folder, left_out)


def read_metadata(folder: Path, given: Path) -> dict[str, Any]:
    """The metadata of the set whose data lie in `folder`.

    Args:
        folder: as `find_minari` returns it.
        given: what it was found by; it may be a link itself.

    Raises:
        MemworldError: they are damaged, or have no spaces: minari would then make the environment
            that they name, which can import and call anything, and data must not run code. Or a link
            lies in the set, which could lead anywhere.
    """
    if folder == given:
        for child in (METADATA, MAIN):
            check_no_links(folder, child)
    else:
        check_no_links(folder.parent, folder.name)
    metadata = read_json(folder / METADATA, "Minari set")
    if not isinstance(metadata, dict) or not {"observation_space", "action_space"} <= metadata.keys():
        raise MemworldError(f"{folder / METADATA} has no observation_space and action_space: write the set again")
    return metadata


def memworld_entry(folder: Path, metadata: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What memworld added to a set's metadata; None for a set from elsewhere.

    Raises:
        MemworldError: it is damaged or of another version.
    """
    if "memworld" not in metadata:
        return None
    extra = metadata["memworld"]
    if not isinstance(extra, dict):
        raise MemworldError(f"{folder / METADATA} is damaged: its entry 'memworld' is no object")
    version = extra.get("version", VERSION)
    if version != VERSION:
        raise MemworldError(f"{folder} has version {version!r}, this memworld reads {VERSION}: update memworld")
    return extra


def open_storage(folder: Path, data_format: str) -> Storage:
    """The episodes in the data folder of a set.

    Raises:
        MemworldError: they are stored in a way that memworld does not read.
    """
    if data_format == "hdf5":
        return Hdf5Storage(folder / MAIN)
    if data_format == "arrow":
        return ArrowStorage(folder)
    raise MemworldError(
        f"it is stored as {data_format!r}, memworld reads hdf5 and arrow: write it again as one of them"
    )


def entry_of(attributes: Mapping[str, Any]) -> EpisodeEntry | None:
    """The entry of an episode that memworld wrote; None for one from elsewhere."""
    if "memworld_id" not in attributes:
        return None
    source = dict(json.loads(attributes["memworld_source"]))
    episode_id = check_name(str(attributes["memworld_id"]), "episode id")
    return EpisodeEntry(episode_id, int(attributes["total_steps"]), source)


def _check_version(metadata: Mapping[str, Any]) -> None:
    from minari import supported_dataset_versions

    version = metadata.get("minari_version")
    if version not in supported_dataset_versions:
        known = ", ".join(sorted(supported_dataset_versions))
        raise MemworldError(
            f"it was written by Minari {one_line(version)}, the installed one reads {known}: update minari"
        )


def _environment(metadata: Mapping[str, Any]) -> str:
    """The name of the environment that a set was recorded in, "" if it does not say."""
    try:
        name = json.loads(metadata["env_spec"])["id"]
    except (LookupError, TypeError, ValueError, RecursionError):
        return ""
    return name if isinstance(name, str) else ""


def _entries(folder: Path, metadata: Mapping[str, Any], storage: Storage) -> list[EpisodeEntry]:
    """An entry for each episode that the metadata count, also for those that cannot be read."""
    count = metadata.get("total_episodes")
    if not isinstance(count, int) or count < 0:
        raise MemworldError(f"its total_episodes are {count!r}, expected a number: write the set again")
    if count == 0:  # minari leaves an empty file then, which is no HDF5
        return []
    held = len(storage.held())
    if count > 2 * held:
        raise MemworldError(f"it lists {count} episodes and holds {held}: restore what is missing")
    entries: dict[int, EpisodeEntry] = {}
    for index, attributes in enumerate(storage.attributes(range(count))):
        try:
            if attributes is None:
                raise MemworldError("it is missing or damaged")
            entries[index] = entry_of(attributes) or _foreign_entry(metadata, index, attributes)
        except (MemworldError, LookupError, TypeError, ValueError, OverflowError, RecursionError) as error:
            _log.warning("episode %d of %s cannot be read: %s", index, folder, one_line(error))
    taken = {entry.id for entry in entries.values()}
    return [entries.get(index) or EpisodeEntry(_free_name(index, taken), 0) for index in range(count)]


def _free_name(index: int, taken: set[str]) -> str:
    """What to call an episode that does not say it."""
    name = f"episode-{index:05d}"
    return name if name not in taken else f"unread-{name}"


def _foreign_entry(metadata: Mapping[str, Any], index: int, attributes: Mapping[str, Any]) -> EpisodeEntry:
    source: dict[str, Any] = {"dataset_id": str(metadata.get("dataset_id", "")), "episode": index}
    if attributes.get("seed") is not None:
        source["seed"] = int(attributes["seed"])
    return EpisodeEntry(f"episode-{index:05d}", int(attributes["total_steps"]), source)


def _load(
    storage: Storage,
    info: DatasetInfo,
    seen: Observed,
    states: tuple[Column, ...],
    index: int,
    entry: EpisodeEntry,
) -> Episode:
    actions = action_columns(info.action_space)
    steps = {name: Column((name,)) for name in ("rewards", "terminations", "truncations")}
    arrays = storage.read(index, entry.steps, [seen.image, *actions, *steps.values(), *states])
    taken = {column.path: arrays[column.path] for column in actions}
    named = {path[1]: array for path, array in taken.items() if len(path) > 1}
    return Episode(
        entry.id,
        seen.frames(arrays[seen.image.path]),
        as_actions(named or taken[("actions",)], info.action_space),
        **{name: arrays[column.path] for name, column in steps.items()},
        states=np.concatenate([arrays[c.path].reshape(entry.steps + 1, -1) for c in states], 1) if states else None,
        source=entry.source,
    )
