"""How a data set was read, noted with its episodes, so that what was read in two ways is never mixed."""

from dataclasses import replace
from typing import Any

from memworld.datasets import EpisodeDataset
from memworld.episodes import Episode
from memworld.formats.format import ReadOptions


def with_notes(dataset: EpisodeDataset, options: ReadOptions) -> EpisodeDataset:
    """The same data set, with the options that change what its episodes say in their sources."""
    notes: dict[str, Any] = {}
    if options.camera is not None:
        notes["camera"] = options.camera
    if options.frame_after_action:
        notes["frame_after_action"] = True
    if not notes:
        return dataset
    entries = [replace(entry, source={**notes, **entry.source}) for entry in dataset.entries]
    sources = {entry.id: entry.source for entry in entries}

    def load(episode_id: str) -> Episode:
        return replace(dataset.load(episode_id), source=sources[episode_id])

    return EpisodeDataset(dataset.info, entries, load, dataset.root, dataset.left_out)
