"""Bring a folder up to date with a memory, and change what is stored without opening it."""

from collections.abc import Sequence
from pathlib import Path

from memworld.datasets import recorded_as
from memworld.encoders import Encoder
from memworld.errors import MemworldError
from memworld.memory import Memory, MemoryEpisode
from memworld.storage import OnExisting, locked, prepare_folder
from memworld.store.arrays import Listed, columns_of, digest
from memworld.store.first_format import is_first_format
from memworld.store.opening import settings_of
from memworld.store.versions import INDEX, Settings, Version
from memworld.store.writing import MemoryWriter, writing
from memworld.stored_frames import StoredFrames


def save_memory(
    memory: Memory, path: str | Path, on_existing: OnExisting = "error", encoder: Encoder | None = None
) -> None:
    """Bring the folder `path` up to date in one change: add what it lacks, remove what was removed from `memory`.

    What another process has added to the folder in the meantime stays.

    Args:
        memory: what to save.
        path: the folder.
        on_existing: `resume` brings a folder of this very memory up to date; `overwrite` starts anew.
        encoder: saved beside it, so that `WorldModel.open` finds it.

    Raises:
        MemworldError: the folder cannot be used, is being written to, holds another memory or
            another episode under an id of this one, or the disk is full; what was stored before is
            unharmed, unless it was to be overwritten.
    """
    path = Path(path)
    if encoder is not None:
        memory.check_encoder(encoder)
    if on_existing == "overwrite":
        _check_frames_elsewhere(memory, path)
    with locked(path):
        prepare(path, on_existing)
        writer = start(path, settings_of(memory))
        listed = {one.entry.id: one for one in writer.stored.arrays.listed}
        gone = sorted(memory.removed & listed.keys())
        kept = listed.keys() - set(gone)
        for episode in memory.episodes:
            if episode.entry.id in kept and not _same(episode, listed[episode.entry.id]):
                raise MemworldError(
                    f"{path} holds another episode {episode.entry.id}: remove it from this memory first, or rename it"
                )
        if encoder is not None:
            encoder.save(path / "encoder")
        writer.commit(remove=gone, append=[e for e in memory.episodes if e.entry.id not in kept])
    stored = tuple(one.entry.id for one in writer.stored.arrays.listed)
    memory.stored_in(writer.stored, all_of_it=stored == memory.ids)


def prepare(path: Path, on_existing: OnExisting) -> None:
    """Make a locked folder ready for a memory; see `storage.prepare_folder`.

    Raises:
        MemworldError: it cannot be written, or is not to be.
    """
    # The first memories did not say in their list what they are.
    said = on_existing != "resume" or not is_first_format(path)
    prepare_folder(path, on_existing, INDEX, "memory" if said else None)


def start(path: Path, settings: Settings) -> MemoryWriter:
    """The writer of a locked and prepared folder, of the memory that is there or of a new one.

    Raises:
        MemworldError: a memory of other settings is there.
    """
    if not (path / INDEX).exists():
        return MemoryWriter(path, settings)
    writer = MemoryWriter(path)
    writer.stored.settings.check_same(path, settings)
    return writer


def forget_episodes(path: str | Path, ids: Sequence[str]) -> int:
    """Remove episodes, and all pieces of them, from the memory in the folder `path`; they can be damaged.

    They cannot be found from then on. Their data are off the disk after `compact_memory`.

    Returns:
        How many transitions are left.

    Raises:
        MemworldError: no memory is there, it lacks one of the episodes (then none is removed), or
            it is being written to.
    """
    with writing(path) as writer:
        version = writer.commit(remove=recorded_as(writer.stored.entries, ids))
    return version.rows - version.episodes


def compact_memory(path: str | Path) -> Version:
    """Write small files together, and take all that was removed, and every earlier version, off the disk.

    Raises:
        MemworldError: no memory is there, it is damaged or being written to, or the disk is full; what is
            stored is unharmed.
    """
    with writing(path) as writer:
        return writer.compact()


def _same(episode: MemoryEpisode, listed: Listed) -> bool:
    """Whether all but the frames is equal; other frames would have other latents."""
    if episode.entry.to_json() != listed.entry.to_json():
        return False
    return listed.sha256 == (episode.sha256 or digest(columns_of(episode)))


def _check_frames_elsewhere(memory: Memory, path: Path) -> None:
    """Do nothing unless emptying the folder `path` would take the memory's own frames away."""
    for episode in memory.episodes:
        if isinstance(episode.frames, StoredFrames) and path.resolve() in episode.frames.path.resolve().parents:
            raise MemworldError(
                f"the memory's own frames are in {path}, so it cannot be overwritten: use --resume, or name another"
            )
