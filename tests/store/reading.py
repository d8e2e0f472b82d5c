"""Processes that read a memory while another writes to it, and know what each state of it must be."""

import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from memworld.dynamics import DynamicsConfig
from memworld.errors import MemworldError
from memworld.gaussian import Latents, draw, seeded
from memworld.memory import Memory, MemoryEpisode
from memworld.remember import MemoryStream
from memworld.search import Query
from memworld.search.exact import ExactIndex
from memworld.store import check_memory, compact_memory, forget_episodes, go_back, open_memory, read_index
from memworld.world_model import WorldModel
from tests.helpers import literal_distances, literal_nearest
from tests.store.forking import Forks, Job, Tell
from tests.store.lives import ENCODER, empty, expected, lived, told

_MOST = 20
"""Episodes from which more are removed than appended."""

_DYNAMICS = DynamicsConfig("replay_kl", k=3, conditioning="none")

_PATIENCE = 60.0
"""Seconds that a reader waits for the first episode, and the writer for the readers."""


# The writer


def write(tell: Tell, path: str, seconds: float, seed: int, appends_only: bool, readers: Sequence[int]) -> None:
    """Change a memory for some time, once the readers of those seeds are there, and tell the ids after each change."""
    rng = random.Random(seed)
    with MemoryStream(path, empty(), ENCODER, episodes=1) as stream:
        tell([])
        stream.append(lived("r0"))
    ids, number = ["r0"], 1
    tell(ids)
    patience = time.monotonic() + _PATIENCE
    while not all(_ready(path, reader).exists() for reader in readers) and time.monotonic() < patience:
        time.sleep(0.01)  # a busy machine may take long over a reader's start, and it is to see more than the end
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with MemoryStream.open(path, episodes=1) as stream:
            for _ in range(rng.randint(1, 4)):
                stream.append(lived(f"r{number}"))
                ids = [*ids, f"r{number}"]
                number += 1
                tell(ids)
        if appends_only:
            continue
        what = rng.random()
        if what < 0.4 or len(ids) > _MOST:
            for one in rng.sample(ids, rng.randint(1, len(ids) // 2 + 1)):
                forget_episodes(path, [one])
                ids = [i for i in ids if i != one]
                tell(ids)
        elif what < 0.6:
            compact_memory(path)
        elif what < 0.7:
            present = read_index(Path(path))[1]
            go_back(path, present)  # what is there, in files of other names
    compact_memory(path)


# The readers


def _ready(path: str, reader: int) -> Path:
    """The file by which the reader of a seed says that it has seen the first episode."""
    return Path(f"{path}-reader-{reader}")


@dataclass
class Counts:
    """What a reader did.

    Attributes:
        opened: memories.
        refreshed: to another state.
        states: that it saw, each once.
        episodes: that were compared with what they must be, frames included.
        searches: whose answer was compared.
        checks: of the whole memory.
        told_to_refresh: readings of what was no longer there.
        wrong: what was not as it must be, a sentence each.
    """

    opened: int = 0
    refreshed: int = 0
    states: int = 0
    episodes: int = 0
    searches: int = 0
    checks: int = 0
    told_to_refresh: int = 0
    wrong: list[str] = field(default_factory=list)


class Witness:
    """Reads a memory, and knows what it must be from the ids of its episodes."""

    def __init__(self, tell: Tell, path: Path, seed: int) -> None:
        self.tell, self.path, self.rng, self.counts = tell, path, random.Random(seed), Counts()
        self._seen: tuple[str, ...] | None = None

    def look(self, memory: Memory, *, present: bool) -> None:
        """Compare all that a memory holds; one that is `present` was opened or refreshed just now."""
        ids = memory.ids
        if present and ids != self._seen:
            self.tell(ids)
            self._seen = ids
            self.counts.states += 1
        if not ids:
            return
        self._see_rows(memory)
        for episode in self.rng.sample(memory.episodes, min(len(ids), 4)):
            try:
                line = told(episode)
            except MemworldError as error:
                self._refused(error)
                return
            self.counts.episodes += 1
            if line != expected(episode.entry.id):
                self.counts.wrong.append(f"episode {episode.entry.id} is another")

    def search(self, found: torch.Tensor, query: Latents, memory: Memory) -> None:
        """Compare an answer with that of a full search through what memory must hold."""
        oracle = _remembered(memory.ids)
        candidates = memory.rows.has_successor.numpy()
        asked = literal_distances("kl_stored_query", query, oracle.rows.latents)
        rows, _ = literal_nearest(asked, candidates[None], found.shape[1])
        self.counts.searches += len(rows)
        if not np.array_equal(found.numpy(), rows):
            self.counts.wrong.append(f"a search of {memory.ids} found {found.tolist()}, not {rows.tolist()}")

    def check(self) -> None:
        """Read everything; a state that is written beside it is no problem."""
        self.counts.checks += 1
        self.counts.wrong += check_memory(self.path).problems

    def _see_rows(self, memory: Memory) -> None:
        """The rows that are searched are those of the ids, all of one state."""
        mine, its = memory.rows, _remembered(memory.ids).rows
        pairs = [(getattr(mine.latents, name), getattr(its.latents, name)) for name in ("mu", "sigma", "z")]
        pairs += [(mine.actions, its.actions), (mine.rewards, its.rewards), (mine.terminations, its.terminations)]
        if not all(torch.equal(one, other) for one, other in pairs):
            self.counts.wrong.append(f"rows are not those of {memory.ids}")

    def _refused(self, error: MemworldError) -> None:
        """Nothing but that one must refresh may be said, and only of what is not there any more."""
        self.counts.told_to_refresh += 1
        if "refresh" not in str(error) or "\n" in str(error) or read_index(self.path)[1] == 0:
            self.counts.wrong.append(str(error))


def read(tell: Tell, path: str, seconds: float, seed: int) -> dict[str, object]:
    """Open, refresh, search and check a memory for some time, and tell the ids of every state that is seen."""
    patience = time.monotonic() + _PATIENCE
    while not (Path(path) / "encoder/encoder.json").exists() and time.monotonic() < patience:
        time.sleep(0.01)  # it is being begun
    witness = Witness(tell, Path(path), seed)
    rng, counts = witness.rng, witness.counts
    world, late = WorldModel.open(path, _DYNAMICS), open_memory(path)
    # A busy machine may take long over the first episode, and reading nothing shows nothing.
    while not world.memory.ids and time.monotonic() < patience:
        time.sleep(0.01)
        world.refresh()
    witness.look(world.memory, present=True)
    _ready(path, seed).touch()
    until = time.monotonic() + seconds
    # The writer waits for every reader: one that is there early has seen nothing change by then.
    while time.monotonic() < (until if counts.states > 1 else max(until, patience)) and len(counts.wrong) < 10:
        what = rng.random()
        if what < 0.6:
            counts.refreshed += world.refresh()
            witness.look(world.memory, present=True)
            if world.memory.ids:
                query = _query(rng)
                witness.search(world.lookup.index.nearest(Query(query), 3).rows, query, world.memory)
        elif what < 0.8:
            memory = open_memory(path)
            counts.opened += 1
            witness.look(memory, present=True)
            if memory.ids:
                query = _query(rng)
                index = ExactIndex.of(memory.rows, "kl_stored_query")
                witness.search(index.nearest(Query(query), 3).rows, query, memory)
        elif what < 0.9:
            witness.look(late, present=False)
            if rng.random() < 0.3:
                late = open_memory(path)
                witness.look(late, present=True)
        else:
            witness.check()
    return asdict(counts)


@cache
def _encoded(name: str) -> MemoryEpisode:
    return empty().encode(lived(name), ENCODER)


def _remembered(ids: Sequence[str]) -> Memory:
    """What a memory of these ids is, made without any file."""
    memory = empty()
    memory.add(*map(_encoded, ids))
    return memory


def _query(rng: random.Random) -> Latents:
    """Three places to search at."""
    generator = seeded(rng.randrange(1 << 30))
    mu, sigma = torch.randn(3, 4, generator=generator), 0.1 + torch.rand(3, 4, generator=generator)
    return draw(mu, sigma, generator)


# Both


@dataclass(frozen=True)
class Watched:
    """What came of readers beside a writer.

    Attributes:
        written: states that were written, one after another.
        counts: of each reader.
        problems: what must not be, a sentence each.
    """

    written: int
    counts: tuple[Counts, ...]
    problems: tuple[str, ...]


def out_of_order(written: Sequence[Sequence[str]], seen: Sequence[Sequence[str]]) -> list[str]:
    """The first state that was seen and not written, or after one that was written later."""
    at = 0
    for ids in seen:
        if ids not in written[at:]:
            return [f"a reader saw {ids}, which was not written, or was before what it had seen already"]
        at = written.index(ids, at)
    return []


def watch(forks: Forks, path: Path, seconds: float, seed: int, *, appends_only: bool, readers: int = 2) -> Watched:
    """Let processes read a memory while another writes to it, and see that each saw only what was written, in order."""
    where = {"path": str(path), "seconds": seconds}
    seeds = range(seed + 1, seed + 1 + readers)
    writing = {**where, "seed": seed, "appends_only": appends_only, "readers": list(seeds)}
    jobs = [Job(f"{__name__}:write", writing), *(Job(f"{__name__}:read", {**where, "seed": each}) for each in seeds)]
    writer, *others = forks.run_together(jobs)
    problems = [str(replace(ended, told=[])) for ended in (writer, *others) if ended.crashed or ended.refused]
    counts = [Counts(**ended.result) for ended in others if ended.result is not None]
    for ended, count in zip(others, counts, strict=False):
        problems += count.wrong
        if appends_only and count.told_to_refresh:
            problems.append(f"a reader was told to refresh {count.told_to_refresh} times, though nothing was removed")
        problems += out_of_order(writer.told, ended.told)
    return Watched(len(writer.told), tuple(counts), tuple(problems))
