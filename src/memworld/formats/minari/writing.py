"""Writing Minari sets, an episode at a time."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import gymnasium
import numpy as np
from tqdm import tqdm

from memworld.actions import ActionSpace, action_parts, restore_actions
from memworld.datasets import DatasetInfo, EpisodeDataset, EpisodeEntry
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.formats.minari.parts import Parts, make_parts
from memworld.formats.minari.places import DATA, METADATA, VERSION, check_id, default_id, import_minari
from memworld.formats.minari.reading import STATE, memworld_entry, open_minari, read_metadata
from memworld.formats.minari.spaces import action_columns
from memworld.formats.minari.target import (
    KIND,
    MARKER,
    NEW,
    check_target,
    recover,
    remove,
    remove_if_empty,
    replace,
    writing,
)
from memworld.storage import KIND_KEY, OnExisting, locked, one_line, prepare_folder, read_json, write_json
from memworld.storage.files import TEMPORARY


class MinariWriter:
    """Writes a Minari set, an episode at a time and without loss; an `EpisodeWriter`.

    The set grows in a hidden folder beside its place, `.NAME.unfinished`, and takes its place when
    the `with` block is left without an exception; until then, and after a kill, what was there
    before stays. `resume` goes on from every episode that was appended before. The same episodes give
    the same bytes.
    """

    def __init__(
        self,
        path: str | Path,
        info: DatasetInfo,
        on_existing: OnExisting = "error",
        dataset_id: str | None = None,
        storage: str | None = None,
    ) -> None:
        """Begin a set, or go on with one.

        Args:
            path: the set's folder. For `minari.load_dataset` it must be `dataset_id` under
                `MINARI_DATASETS_PATH`.
            info: what all its episodes share.
            on_existing: `error`, and begin anew if only an unfinished set is there; `overwrite`, which
                replaces the Minari set that is there; or `resume`, which goes on with the unfinished
                set, or else adds to the one that is there, which memworld must have written.
            dataset_id: the set's Minari id, `(namespace/)name-v0`; None takes that of the set that is
                resumed, or of the place under `MINARI_DATASETS_PATH`, or "memworld/episodes-v0".
            storage: "hdf5" or "arrow"; None takes that of the set that is resumed, or "hdf5".

        Raises:
            MemworldError: the folder exists and must not, is no Minari set, is being written to,
                cannot be written, or was begun with other settings; the id is malformed, the storage
                unknown or unable to hold the actions' names; or minari is not installed.
        """
        import_minari()
        if dataset_id is not None:
            check_id(dataset_id)
        # Links are followed first: the set takes the place of the folder, not of the link to it.
        self.path = Path(path).resolve()
        self.info = info
        self._on_existing = on_existing
        self._work = self.path.parent / f".{self.path.name}.unfinished"
        self._entries: dict[str, EpisodeEntry] = {}
        self._first = 0
        self._held: ExitStack | None = None
        with writing(self.path), ExitStack() as held:
            held.enter_context(locked(self._work))
            held.callback(remove_if_empty, self._work)
            self._begin(on_existing, dataset_id, storage)
            self._held = held.pop_all()

    def _begin(self, on_existing: OnExisting, dataset_id: str | None, storage: str | None) -> None:
        recover(self.path, self._work)
        check_target(self.path, on_existing)
        prepare_folder(self._work, "resume" if on_existing == "resume" else "overwrite", MARKER, KIND)
        begun = self._begun() if on_existing == "resume" else None
        if begun is not None:
            stored, self._settings = begun
            self._check_same("id", self._settings["dataset_id"], dataset_id or self._settings["dataset_id"])
            self._check_same("storage", self._settings["storage"], storage or self._settings["storage"])
            for name, value in self.info.to_json().items():
                self._check_same(name, stored.to_json()[name], value)
        else:
            self._settings = {
                "dataset_id": dataset_id or default_id(self.path),
                "storage": storage or "hdf5",
                "first": 0,
            }
        self._parts: Parts = make_parts(self._settings["storage"], self._work, action_columns(self.info.action_space))
        marker = {KIND_KEY: KIND, "version": VERSION, **self.info.to_json(), **self._settings}
        write_json(self._work / MARKER, marker)
        self._first = self._settings["first"]
        before = open_minari(self.path / DATA).entries if self._first else ()
        self._check_same("number of episodes", self._first, len(before))
        self._entries = {entry.id: entry for entry in (*before, *self._parts.entries(self._first))}

    def _begun(self) -> tuple[DatasetInfo, dict[str, Any]] | None:
        """What the unfinished set was begun with, or else how to go on from the one that is there; None if none is.

        Raises:
            MemworldError: it is damaged, or memworld did not write it.
        """
        # A marker alone is of a set that had no episodes yet, or whose removal was killed at its end.
        if any(child.name != MARKER and not child.name.startswith(TEMPORARY) for child in self._work.iterdir()):
            marker = read_json(self._work / MARKER, KIND)
            try:
                settings = {
                    "dataset_id": str(marker["dataset_id"]),
                    "storage": str(marker["storage"]),
                    "first": int(marker["first"]),
                }
                return DatasetInfo.from_json(marker), settings
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise MemworldError(
                    f"{self._work / MARKER} is damaged ({one_line(error)}): write the set again with --overwrite"
                ) from error
        if not (self.path / DATA / METADATA).is_file():
            return None
        metadata = read_metadata(self.path / DATA, self.path)
        if memworld_entry(self.path / DATA, metadata) is None:
            raise MemworldError(f"{self.path} was not written by memworld, which cannot add to it: name another folder")
        there = open_minari(self.path)
        settings = {"dataset_id": metadata["dataset_id"], "storage": metadata["data_format"], "first": len(there)}
        return there.info, settings

    def _check_same(self, name: str, old: object, new: object) -> None:
        if old != new:
            raise MemworldError(
                f"{self.path} was begun with {name} {old!r}, now it is {new!r}: resume with the same settings, or "
                "write to another folder"
            )

    @property
    def entries(self) -> tuple[EpisodeEntry, ...]:
        """What is known of the episodes that are written, in order."""
        return tuple(self._entries.values())

    def append(self, episode: Episode) -> None:
        """Write one episode.

        Raises:
            MemworldError: it does not fit `info`, its id is taken, the writer is closed, or the disk
                refuses it.
        """
        if self._held is None:
            raise MemworldError(f"the writer of {self.path} is closed: open another")
        episode = self.info.check(episode)
        if episode.id in self._entries:
            raise MemworldError(f"{self.path} already has an episode {episode.id}: give this one another id")
        arrays = {("observations",): episode.observations, **_stored_actions(episode.actions, self.info.action_space)}
        for name in ("rewards", "terminations", "truncations"):
            arrays[(name,)] = getattr(episode, name)
        if episode.states is not None:
            arrays[STATE.path] = episode.states
        index = len(self._entries)
        attributes = {
            "id": index,
            "total_steps": len(episode),
            "memworld_id": episode.id,
            "memworld_source": json.dumps(dict(episode.source)),
        }
        with writing(self.path):
            self._parts.write(index, attributes, arrays, self._base)
        self._entries[episode.id] = EpisodeEntry(episode.id, len(episode), episode.source)

    @property
    def _base(self) -> Path | None:
        """The data folder of the set that this one goes on from."""
        return self.path / DATA if self._first else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._held is None:
            return
        held, self._held = self._held, None
        with held, writing(self.path):
            added = len(self._entries) > self._first
            if kind is None and (added or not self._first):
                self._complete()
            if kind is None or not added:
                remove(self._work)

    def _complete(self) -> None:
        """Put the set in its place."""
        self._parts.complete(self._first, len(self._entries), self._base)
        new = self._work / NEW
        files = [file for file in (new / DATA).rglob("*") if file.is_file() and file != new / DATA / METADATA]
        metadata = self._metadata() | {"dataset_size": round(sum(file.stat().st_size for file in files) / 1e6, 1)}
        write_json(new / DATA / METADATA, metadata)
        # Another program may have put something there in the meantime.
        check_target(self.path, self._on_existing)
        replace(self.path, self._work)

    def _metadata(self) -> dict[str, Any]:
        from minari.serialization import serialize_space

        names = {"state_names": list(self.info.state_names), "action_names": list(self.info.action_names)}
        base = read_metadata(self._base, self.path) if self._base is not None else {}
        return base | {
            "total_episodes": len(self._entries),
            "total_steps": sum(entry.steps for entry in self.entries),
            "data_format": self._settings["storage"],
            "jpeg_encoding": False,
            "observation_space": serialize_space(gymnasium.spaces.Box(0, 255, self.info.observation_shape, np.uint8)),
            "action_space": serialize_space(self.info.action_space),
            "dataset_id": self._settings["dataset_id"],
            "minari_version": import_minari().__version__,
            "memworld": {"version": VERSION, "world": self.info.world, **names},
        }


def write_minari(
    dataset: EpisodeDataset,
    path: str | Path,
    on_existing: OnExisting = "error",
    dataset_id: str | None = None,
    progress: bool = False,
    storage: str | None = None,
) -> EpisodeDataset:
    """Write a data set as a Minari set, one episode in memory at a time, and open it.

    Args:
        dataset: what to write.
        path: the set's folder; it must not be, contain, or lie in the one that `dataset` is read from.
        on_existing: as for `MinariWriter`; `resume` skips the episodes that are there.
        dataset_id: as for `MinariWriter`.
        progress: show a progress bar.
        storage: "hdf5" or "arrow", as for `MinariWriter`.

    Raises:
        MemworldError: an episode cannot be loaded, or the folder or an episode is refused.
    """
    dataset.check_output(path)
    with MinariWriter(path, dataset.info, on_existing, dataset_id, storage) as writer:
        written = {entry.id for entry in writer.entries}
        for episode_id in tqdm(dataset.ids, unit="episode", disable=not progress):
            if episode_id not in written:
                writer.append(dataset.load(episode_id))
    return open_minari(path)


def _stored_actions(actions: np.ndarray, space: ActionSpace) -> dict[tuple[str, ...], np.ndarray]:
    """Actions as Minari keeps them: as the space has them, and an array for each entry of a `Dict`."""
    restored = restore_actions(actions, space)
    columns = actions.reshape(len(actions), -1)
    arrays: dict[tuple[str, ...], np.ndarray] = {}
    for part in action_parts(space):
        raw = columns[:, part.columns]
        array = np.asarray(restored[part.name] if isinstance(restored, Mapping) else restored)
        if not np.array_equal(array.reshape(raw.shape).astype(raw.dtype), raw):
            # A space of fewer bits than float32 does not hold what memworld stores.
            array = raw.reshape(len(raw), *(part.space.shape or ()))
        arrays[("actions", part.name) if part.name else ("actions",)] = array
    return arrays
