"""Remember a data set."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tqdm import tqdm

from memworld.datasets import EpisodeDataset
from memworld.encoders import Encoder
from memworld.errors import MemworldError
from memworld.memory import Memory, MemoryEpisode
from memworld.remember.stream import MemoryStream
from memworld.storage import OnExisting


def remember(
    dataset: EpisodeDataset,
    encoder: Encoder,
    output: str | Path,
    *,
    seed: int = 0,
    keep_frames: bool = True,
    on_existing: OnExisting = "error",
    progress: bool = False,
    encode: Callable[[Sequence[str]], Iterable[MemoryEpisode]] | None = None,
) -> Memory:
    """Encode episodes into the memory in the folder `output`, with its encoder beside it.

    Episodes are stored every few seconds, an interrupt keeps those that are encoded, and
    `on_existing="resume"` adds those that are missing. The same call adds new episodes later.

    Args:
        dataset: the episodes.
        encoder: encodes them.
        output: the memory's folder.
        seed: of the one sample z of each posterior.
        keep_frames: whether to keep the frames, so that retrieved moments can be shown.
        on_existing: what to do if the folder holds something, see `storage.prepare_folder`.
        progress: show a progress bar.
        encode: gives the episodes of these ids, in this order, as `Memory.encode` does; None encodes them here.

    Raises:
        MemworldError: no episodes, an encoder that collapsed or takes other frames, a folder that
            cannot be used or is being written to, or one that holds a memory of other settings or
            other episodes of the same ids.
    """
    if len(dataset) == 0:
        raise MemworldError("no episodes to remember: give at least one")
    memory = Memory(dataset.info, encoder, seed, keep_frames)
    output = Path(output)
    if on_existing == "overwrite":  # nothing is emptied for episodes that cannot be remembered
        memory.encode(dataset.load(dataset.ids[0]), encoder)
    with MemoryStream(output, memory, encoder, on_existing=on_existing) as stream:
        _check_same_episodes(output, stream.memory, dataset)
        ids = [episode_id for episode_id in dataset.ids if episode_id not in stream.ids]
        encoded = encode(ids) if encode else (memory.encode(dataset.load(i), encoder) for i in ids)
        done = len(dataset) - len(ids)
        for episode in tqdm(encoded, "remember", len(dataset), unit="episode", initial=done, disable=not progress):
            stream.add(episode)
        stream.flush()
        return stream.memory


def _check_same_episodes(output: Path, stored: Memory, dataset: EpisodeDataset) -> None:
    """Do nothing unless an episode of the data set differs from the one remembered under its id."""
    given = {entry.id: entry for entry in dataset.entries}
    for entry in stored.entries:
        new = given.get(entry.id)
        if new is not None and new.to_json() != entry.to_json():
            raise MemworldError(
                f"{output} holds another episode {new.id} (length or source differ): remove it from the memory "
                "first, or rename the new one"
            )
