"""Remember a data set on a cluster: its machines encode the episodes, and this process alone stores them, in order."""

import functools
import json
import platform
import time
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from memworld.cluster.connecting import Cluster
from memworld.cluster.workers import answer_of, ray_module
from memworld.datasets import EpisodeDataset, EpisodeEntry
from memworld.encoders import Encoder, open_encoder
from memworld.errors import MemworldError
from memworld.formats import ReadOptions, open_dataset
from memworld.gaussian import Latents
from memworld.memory import Memory, MemoryEpisode
from memworld.remember import remember
from memworld.storage import OnExisting

_COLUMNS = ("actions", "rewards", "terminations", "truncations", "frames")

_AHEAD = 2
"""Episodes that are given out for each that can be encoded at once, so that no machine waits for this process."""


@dataclass(frozen=True)
class Job:
    """What every task of one call shares.

    Attributes:
        data: path or id of the data set.
        options: how it is read.
        info: what its episodes share, as JSON.
        encoder: folder of the encoder.
        fingerprint: the encoder's.
        seed: of the memory.
        keep_frames: whether the memory keeps them.
        threads: with which an episode is encoded; other numbers may round otherwise.
        call: tells one call from another, between which the data may change.
    """

    data: str
    options: ReadOptions
    info: str
    encoder: str
    fingerprint: str
    seed: int
    keep_frames: bool
    threads: int
    call: str


def remember_on_cluster(
    cluster: Cluster,
    data: str | Path,
    encoder: str | Path,
    output: str | Path,
    *,
    ids: Sequence[str] | None = None,
    options: ReadOptions | None = None,
    seed: int = 0,
    keep_frames: bool = True,
    on_existing: OnExisting = "error",
    progress: bool = False,
) -> Memory:
    """Encode episodes on a cluster into the memory in the folder `output`: the same rows as `remember` stores.

    An episode whose worker died is encoded again. Interrupts, and `on_existing="resume"`, are as in `remember`.

    Args:
        cluster: where.
        data: path or id of a data set, which every machine sees under it.
        encoder: folder of an encoder, which every machine sees.
        output: the memory's folder; this process alone writes there.
        ids: of the episodes to remember; None takes all.
        options: how the data set is read.
        seed: see `remember`.
        keep_frames: see `remember`.
        on_existing: see `remember`.
        progress: show a progress bar.

    Raises:
        MemworldError: as `remember`; or a machine sees other data or another encoder, or none; or an episode takes
            longer than the cluster's timeout.
    """
    options = options or ReadOptions()
    dataset, own = open_dataset(data, options), open_encoder(encoder)
    job = Job(
        _everywhere(data),
        options,
        json.dumps(dataset.info.to_json()),
        _everywhere(encoder),
        own.fingerprint,
        seed,
        keep_frames,
        torch.get_num_threads(),
        uuid.uuid4().hex,
    )
    return remember(
        dataset if ids is None else dataset.subset(ids),
        own,
        output,
        seed=seed,
        keep_frames=keep_frames,
        on_existing=on_existing,
        progress=progress,
        encode=functools.partial(_encode, cluster, job, dataset),
    )


def _encode(cluster: Cluster, job: Job, dataset: EpisodeDataset, ids: Sequence[str]) -> Iterator[MemoryEpisode]:
    """Episodes of these ids, encoded in order."""
    ray = ray_module()
    cpus = [count for _, count in cluster.machines()]
    each = min(job.threads, min(cpus))
    task = ray.remote(num_cpus=each, max_retries=-1, scheduling_strategy="SPREAD")(encode_one)
    most = _AHEAD * sum(count // each for count in cpus)
    given, waiting = iter(ids), deque[tuple[str, Any]]()
    entries = {entry.id: entry for entry in dataset.entries}
    try:
        while True:
            for episode_id in given:
                waiting.append((episode_id, task.remote(job, episode_id)))
                if len(waiting) >= most:
                    break
            if not waiting:
                return
            episode_id, call = waiting.popleft()
            yield _unpacked(_finished(ray, call, episode_id, cluster.timeout), entries[episode_id])
    finally:
        for _, call in waiting if ray.is_initialized() else ():
            ray.cancel(call)


def encode_one(job: Job, episode_id: str) -> dict[str, Any]:
    """Encode one episode, in a worker.

    Raises:
        MemworldError: it cannot be; the message begins with the machine's name.
    """
    torch.set_num_threads(job.threads)
    try:
        dataset, memory, encoder = _opened(job)
        episode = memory.encode(dataset.load(episode_id), encoder)
    except MemworldError as error:
        raise MemworldError(f"worker on {platform.node()}: {error}") from error
    latents = {name: getattr(episode.latents, name).numpy() for name in ("mu", "sigma", "z")}
    return latents | {"entry": episode.entry.to_json()} | {name: getattr(episode, name) for name in _COLUMNS}


@functools.lru_cache(maxsize=1)
def _opened(job: Job) -> tuple[EpisodeDataset, Memory, Encoder]:
    """Open what a job is about, once in each worker.

    Raises:
        MemworldError: it is not to be seen here, or is another.
    """
    for path in (job.data, job.encoder):
        if Path(path).is_absolute() and not Path(path).exists():
            raise MemworldError(
                f"{path} is not to be seen there: put data and encoder where every machine sees them under the same "
                "path, as on a network file system"
            )
    dataset, encoder = open_dataset(job.data, job.options), open_encoder(job.encoder)
    if json.dumps(dataset.info.to_json()) != job.info:
        raise MemworldError(f"{job.data} holds there another data set: put the same on every machine")
    if encoder.fingerprint != job.fingerprint:
        raise MemworldError(
            f"{job.encoder} holds there encoder {encoder.fingerprint[:12]}, and {job.fingerprint[:12]} is used: put "
            "the same on every machine"
        )
    return dataset, Memory(dataset.info, encoder, job.seed, job.keep_frames), encoder


def _finished(ray: Any, call: Any, episode_id: str, timeout: float) -> dict[str, Any]:
    began = time.monotonic()
    done, _ = ray.wait([call], timeout=timeout)
    if not done:
        raise MemworldError(
            f"episode {episode_id} was not encoded within {time.monotonic() - began:.0f} s: see with `ray status` "
            "whether the machines run, or wait longer: connect(timeout=...); those before it are stored, and resume "
            "goes on"
        )
    found: dict[str, Any] = answer_of(ray, call, f"episode {episode_id}")
    return found


def _unpacked(found: dict[str, Any], expected: EpisodeEntry) -> MemoryEpisode:
    """What a worker made.

    Raises:
        MemworldError: of another episode than the one in the data set here.
    """
    entry = EpisodeEntry.from_json(found["entry"])
    if entry.to_json() != expected.to_json():
        raise MemworldError(
            f"a worker sees another episode {expected.id} (length or source differ): put the same data set on every "
            "machine"
        )
    # A copy, as what has travelled cannot be written, of which PyTorch warns.
    latents = Latents(*(torch.from_numpy(np.array(found[name])) for name in ("mu", "sigma", "z")))
    return MemoryEpisode(entry, latents, **{name: found[name] for name in _COLUMNS})


def _everywhere(path: str | Path) -> str:
    """A path as it means the same in any working directory; an id of a data set as it is."""
    return str(Path(path).resolve()) if Path(path).exists() else str(path)
