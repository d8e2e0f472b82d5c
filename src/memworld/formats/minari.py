"""Minari's format, read and written through the `minari` library, an optional dependency.

What Minari has no place for is kept beside its own entries, so that a round trip loses nothing:

    metadata.json       "memworld": version, world, state_names, action_names
    an episode          attributes `memworld_id` and `memworld_source` (JSON)
    an episode's infos  "state", float32 (T+1, S)
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from tqdm import tqdm

from memworld.actions import supported_space
from memworld.datasets import DatasetInfo, EpisodeDataset, EpisodeEntry
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.storage import OnExisting, prepare_folder, read_json

METADATA = "metadata.json"
VERSION = 1


def datasets_root() -> Path:
    """The folder in which Minari keeps data sets by id, made or not."""
    root = os.environ.get("MINARI_DATASETS_PATH")
    return Path(root) if root else Path.home() / ".minari" / "datasets"


def find_minari(path_or_id: str | Path) -> Path | None:
    """The folder of the data of a Minari set given by its folder, its data folder or its id, if it is there."""
    folders = (Path(path_or_id) / "data", Path(path_or_id), datasets_root() / path_or_id / "data")
    return next((folder for folder in folders if (folder / METADATA).is_file()), None)


def open_minari(path_or_id: str | Path) -> EpisodeDataset:
    """Open a Minari set; episodes are loaded one at a time, when asked for.

    Its observations must be uint8 images (H, W, C), its actions `Discrete` or a one-dimensional
    `Box`. Episodes that memworld did not write are called `episode-00000` and so on. Nothing is
    downloaded.

    Args:
        path_or_id: the set's folder, or its id under `MINARI_DATASETS_PATH`.

    Raises:
        MemworldError: it is not there, is damaged, has other spaces, or minari is not installed;
            loading an episode raises it too if it is damaged.
    """
    folder = find_minari(path_or_id)
    if folder is None:
        raise MemworldError(
            f"no Minari set at {path_or_id} nor of that id in {datasets_root()}: name the folder that holds "
            f"data/{METADATA}, or get it with `minari download {path_or_id}`"
        )
    minari = _import_minari()
    extra = _read_extra(folder)
    with _one_error(f"Minari set {folder}"):
        stored = minari.MinariDataset(folder)
        world = stored.env_spec.id if stored.env_spec else ""
        info = DatasetInfo(
            _frame_shape(stored.observation_space),
            supported_space(stored.action_space),
            str(extra.get("world", world)),
            tuple(map(str, extra.get("state_names", ()))),
            tuple(map(str, extra.get("action_names", ()))),
        )
        indices = range(len(stored))
        # A set without episodes has an empty file, which HDF5 cannot open.
        attributes = stored.storage.get_episode_metadata(indices) if indices else ()
        entries = [_entry(stored.id, *numbered) for numbered in zip(indices, attributes, strict=True)]
    by_id = {entry.id: (index, entry) for index, entry in enumerate(entries)}
    return EpisodeDataset(info, entries, lambda episode_id: _load(stored, info, *by_id[episode_id]), folder)


def write_minari(
    dataset: EpisodeDataset,
    path: str | Path,
    on_existing: OnExisting = "error",
    dataset_id: str = "memworld/episodes-v0",
    progress: bool = False,
) -> EpisodeDataset:
    """Write a data set as a Minari set, without loss and one episode in memory at a time, and open it.

    The folder appears when it is complete; an interrupt leaves at `path` what was there before.

    Args:
        dataset: what to write.
        path: the set's folder. For `minari.load_dataset` it must be `dataset_id` under
            `MINARI_DATASETS_PATH`. It must not be, contain, or lie in the one that `dataset` is read from.
        on_existing: `error` or `overwrite`, which replaces the Minari set that is there.
        dataset_id: the set's Minari id, `(namespace/)name-v0`.
        progress: show a progress bar.

    Raises:
        MemworldError: the folder exists and must not, is no Minari set or cannot be written, the id is
            malformed, `on_existing` is `resume`, or minari is not installed.
    """
    if on_existing == "resume":
        raise MemworldError("a Minari set is written whole or not at all: use --overwrite, there is nothing to resume")
    minari = _import_minari()
    _check_id(dataset_id)
    dataset.check_output(path)
    path = Path(path).absolute()  # minari fails to sum up the sizes of files in a relative folder
    # The old set stays until the new one is complete.
    prepare_folder(path, "resume" if on_existing == "overwrite" else on_existing, f"data/{METADATA}")
    try:
        if not any(path.iterdir()):
            path.rmdir()
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".tmp-") as temporary:
            # The temporary folder itself is private; one made inside follows the user's umask.
            whole = Path(temporary) / "set"
            (whole / "data").mkdir(parents=True)
            _fill(minari, whole / "data", dataset, dataset_id, progress)
            _replace(path, whole, Path(temporary) / "old")
    except (OSError, RuntimeError) as error:
        raise MemworldError(f"cannot write the Minari set {path} ({error}): free space or choose another") from error
    return open_minari(path)


def _replace(path: Path, new: Path, aside: Path) -> None:
    """Put the folder `new` in the place of `path`, which goes `aside`; an interrupt puts it back."""
    try:
        if path.exists():
            path.rename(aside)
        new.rename(path)
    except BaseException:
        if aside.exists() and not path.exists():
            aside.rename(path)
        raise


def _import_minari() -> Any:
    try:
        import h5py  # noqa: F401, minari itself asks for it only when a file is opened
        import minari
    except ImportError as error:
        raise MemworldError('Minari sets need the minari library: pip install "memworld[minari]"') from error
    return minari


@contextmanager
def _one_error(what: str) -> Iterator[None]:
    """Say in one line whatever minari, h5py and gymnasium raise on damaged files; they promise no set of errors."""
    try:
        yield
    except MemworldError as error:
        raise MemworldError(f"{what}: {error}") from error
    except Exception as error:
        cause = " ".join(str(error).split())
        raise MemworldError(
            f"{what} cannot be read by minari ({type(error).__name__}: {cause}): it is damaged or of another version"
        ) from error


def _read_extra(folder: Path) -> Mapping[str, Any]:
    """What memworld added to a set's metadata; nothing for a set from elsewhere.

    Raises:
        MemworldError: the metadata are damaged or of another version, or have no spaces. Minari would
            then make the environment that they name, which can import and call anything, and data
            must not run code.
    """
    metadata = read_json(folder / METADATA, "Minari set")
    if not isinstance(metadata, dict) or not {"observation_space", "action_space"} <= metadata.keys():
        raise MemworldError(f"{folder / METADATA} has no observation_space and action_space: write the set again")
    extra = metadata.get("memworld", {})
    if not isinstance(extra, dict):
        raise MemworldError(f"{folder / METADATA} is damaged: its entry 'memworld' is no object")
    version = extra.get("version", VERSION)
    if version != VERSION:
        raise MemworldError(f"{folder} has version {version!r}, this memworld reads {VERSION}: update memworld")
    return extra


def _frame_shape(space: gymnasium.Space[Any]) -> tuple[int, int, int]:
    if isinstance(space, gymnasium.spaces.Box) and space.dtype == np.uint8 and len(space.shape) == 3:
        height, width, channels = space.shape
        return height, width, channels
    kind = f"{type(space).__name__} of shape {space.shape} and type {space.dtype}"
    raise MemworldError(
        f"its observations are a {kind}, memworld needs uint8 images (H, W, C): record or convert the frames alone"
    )


def _entry(dataset_id: str, index: int, attributes: Mapping[str, Any]) -> EpisodeEntry:
    steps = int(attributes["total_steps"])
    if "memworld_id" in attributes:
        return EpisodeEntry(str(attributes["memworld_id"]), steps, dict(json.loads(attributes["memworld_source"])))
    source = {"dataset_id": dataset_id, "episode": index}
    if attributes.get("seed") is not None:
        source["seed"] = int(attributes["seed"])
    return EpisodeEntry(f"episode-{index:05d}", steps, source)


def _load(stored: Any, info: DatasetInfo, index: int, entry: EpisodeEntry) -> Episode:
    with _one_error(f"episode {entry.id} of Minari set {stored.storage.data_path}"):
        # Taken from a list, not by `next`: minari closes the file when its iterator is exhausted.
        [data] = stored.iterate_episodes([index])
        return Episode(
            entry.id,
            data.observations,
            data.actions,
            data.rewards,
            data.terminations,
            data.truncations,
            data.infos["state"] if info.state_names else None,
            entry.source,
        )


def _check_id(dataset_id: str) -> None:
    from minari.dataset.minari_dataset import parse_dataset_id

    try:
        parse_dataset_id(dataset_id)
    except (ValueError, TypeError) as error:  # TypeError: it has no version
        raise MemworldError(f"{dataset_id!r} is no Minari id: use (namespace/)name-v0") from error


def _fill(minari: Any, folder: Path, dataset: EpisodeDataset, dataset_id: str, progress: bool) -> None:
    """Write all of a data set into the existing empty `folder`."""
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage

    info = dataset.info
    frames = gymnasium.spaces.Box(0, 255, info.observation_shape, np.uint8)
    storage = MinariStorage.new(folder, frames, info.action_space, data_format="hdf5", jpeg_encoding=False)
    names = {"state_names": info.state_names, "action_names": info.action_names}
    extra = {"version": VERSION, "world": info.world, **names}
    storage.update_metadata({"dataset_id": dataset_id, "minari_version": minari.__version__, "memworld": extra})
    for index, episode in enumerate(tqdm(dataset, unit="episode", disable=not progress)):
        buffer = EpisodeBuffer(
            observations=episode.observations,
            actions=episode.actions,
            rewards=episode.rewards,
            terminations=episode.terminations,
            truncations=episode.truncations,
            infos={"state": episode.states} if info.state_names else {},
        )
        storage.update_episodes([buffer])
        kept = {"memworld_id": episode.id, "memworld_source": json.dumps(dict(episode.source))}
        storage.update_episode_metadata([kept], [index])
    for file in folder.iterdir():
        with file.open("rb+") as written:
            os.fsync(written.fileno())
