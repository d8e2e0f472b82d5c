"""Remember episodes: encode them into a memory on disk, one at a time."""

from pathlib import Path

from tqdm import tqdm

from memworld.datasets import EpisodeDataset
from memworld.encoders import Encoder
from memworld.errors import MemworldError
from memworld.memory import Memory
from memworld.memory_files import INDEX, begin_memory, check_same_memory, open_memory, sync_memory
from memworld.storage import OnExisting, locked, prepare_folder


def remember(
    dataset: EpisodeDataset,
    encoder: Encoder,
    output: str | Path,
    *,
    seed: int = 0,
    keep_frames: bool = True,
    on_existing: OnExisting = "error",
    progress: bool = False,
) -> Memory:
    """Encode episodes into the memory in the folder `output`, with its encoder beside it.

    Each episode is stored as soon as it is encoded, so an interrupt keeps the finished ones, and
    `on_existing="resume"` adds those that are missing. The same call adds new episodes later.

    Args:
        dataset: the episodes.
        encoder: encodes them.
        output: the memory's folder.
        seed: of the one sample z of each posterior.
        keep_frames: whether to keep the frames, so that retrieved moments can be shown.
        on_existing: what to do if the folder holds something, see `storage.prepare_folder`.
        progress: show a progress bar.

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
        Memory(dataset.info, encoder, seed, keep_frames).append(dataset.load(dataset.ids[0]), encoder)
    with locked(output):
        prepare_folder(output, on_existing, INDEX, "memory")
        if (output / INDEX).exists():
            stored = open_memory(output)
            check_same_memory(output, stored, memory)
            _check_same_episodes(output, stored, dataset)
            memory = stored
        else:
            begin_memory(memory, output)
        encoder.save(output / "encoder")
        ids = set(memory.ids)
        for episode_id in tqdm(dataset.ids, desc="remember", unit="episode", disable=not progress):
            if episode_id not in ids:
                memory.append(dataset.load(episode_id), encoder)
                ids = sync_memory(memory, output, ids)
    return memory


def _check_same_episodes(output: Path, stored: Memory, dataset: EpisodeDataset) -> None:
    """Do nothing unless an episode of the data set differs from the one remembered under its id."""
    given = {entry.id: entry for entry in dataset.entries}
    for episode in stored.episodes:
        new = given.get(episode.entry.id)
        if new is not None and new.to_json() != episode.entry.to_json():
            raise MemworldError(
                f"{output} holds another episode {new.id} (length or source differ): remove it from the memory "
                "first, or rename the new one"
            )
