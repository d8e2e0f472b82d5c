"""From one format into another."""

from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from memworld.datasets import EpisodeDataset
from memworld.errors import MemworldError
from memworld.formats import FORMATS, ReadOptions, find_writer
from memworld.storage import OnExisting


@dataclass(frozen=True, eq=False)
class Conversion:
    """What a conversion gave.

    Attributes:
        dataset: what was written, opened.
        left_out: what the old format holds and the new one does not, as it has no place in an `Episode`.
        skipped: the episodes that could not be read, by id, and why.
    """

    dataset: EpisodeDataset
    left_out: tuple[str, ...]
    skipped: dict[str, str]


def convert(
    dataset: EpisodeDataset,
    output: str | Path,
    to: str = "npz",
    *,
    skip_broken: bool = False,
    on_existing: OnExisting = "error",
    progress: bool = False,
) -> Conversion:
    """Write a data set in a format, one episode in memory at a time.

    Args:
        dataset: what to write.
        output: where; it must not be, contain, or lie in what `dataset` is read from.
        to: name of a format in `FORMATS` that can be written.
        skip_broken: leave out the episodes that cannot be read, rather than stop at the first.
        on_existing: what to do if `output` holds something; `resume` goes on where an interrupted
            conversion stopped.
        progress: show a progress bar.

    Raises:
        MemworldError: an unknown format, an episode that cannot be read (unless it is skipped) or
            written, or none that can be read, or an output folder that cannot be used or holds other
            episodes.
    """
    make = find_writer(to)
    output = Path(output)
    dataset.check_output(output)
    known = {entry.id: entry.to_json() for entry in dataset.entries}
    skipped: dict[str, str] = {}
    if on_existing == "overwrite":
        # The old set stays until there is something to put in its place.
        _first_sound(dataset, skip_broken)
    with make(output, dataset.info, on_existing) as writer:
        for entry in writer.entries:
            if known.get(entry.id) != entry.to_json():
                raise MemworldError(
                    f"{output} holds another episode {entry.id} than the one to write: write to another folder, or "
                    "overwrite it"
                )
        written = {entry.id for entry in writer.entries}
        for episode_id in tqdm(dataset.ids, desc="convert", unit="episode", disable=not progress):
            if episode_id in written:
                continue
            try:
                episode = dataset.load(episode_id)
            except MemworldError as error:
                if not skip_broken:
                    raise MemworldError(f"{error}; or leave such episodes out with --skip-broken") from error
                skipped[episode_id] = str(error)
                continue
            writer.append(episode)
        if len(skipped) == len(dataset):
            raise MemworldError(
                f"none of the {len(dataset)} episodes can be read; the first: {skipped[dataset.ids[0]]}"
            )
    return Conversion(FORMATS[to].open(output, ReadOptions()), dataset.left_out, skipped)


def _first_sound(dataset: EpisodeDataset, skip_broken: bool) -> None:
    """Raise unless an episode can be read, the first one if none may be skipped."""
    for episode_id in dataset.ids:
        try:
            dataset.load(episode_id)
        except MemworldError:
            if not skip_broken or episode_id == dataset.ids[-1]:
                raise
        else:
            return
