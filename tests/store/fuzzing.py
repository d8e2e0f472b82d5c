"""Uses of memories whose files were changed, each by a child that may crash."""

import contextlib
import random
import resource
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from memworld.errors import MemworldError
from memworld.remember import MemoryStream
from memworld.store import (
    check_memory,
    compact_memory,
    forget_episodes,
    open_memory,
    read_index,
    read_version,
    save_memory,
    version_numbers,
)
from memworld.store.apart import reader
from memworld.world_model import WorldModel
from tests.store.forking import Ended, Forks, Job, Tell
from tests.store.lives import ENCODER, State, empty, expected, lived, state_of
from tests.store.mutating import Mutant, mutate

_CANARY = "canary"
"""The file that a pickle would make if anybody loaded it."""

_BATCH = 20
"""Mutants that one child sees."""

_BYTES = 64 << 20
"""That a child, or what it starts, may need more than one that sees a sound memory: several hundred times its size."""

_APART = 8
"""Of so many tables that somebody made to do harm, one is also checked as `memworld check` does, which takes long."""


STATE = tuple(map(expected, ("a", "c", "d", "e")))
"""What the memory holds that is changed."""


def template(folder: Path) -> Path:
    """A memory of a few versions, with removed episodes, and something learned."""
    path = folder / "template"
    memory = empty()
    memory.extend(map(lived, ("a", "b", "c")), ENCODER)
    save_memory(memory, path, encoder=ENCODER)
    forget_episodes(path, ["b"])
    with MemoryStream.open(path, episodes=1) as stream:
        stream.extend(map(lived, ("d", "e")))
    WorldModel.open(path).prepare()
    return path


def _readings(path: Path, mutant: Mutant, rng: random.Random) -> dict[str, Callable[[], object]]:
    """What is done with a mutant, by a name."""

    def rows() -> None:
        memory = open_memory(path)
        if len(memory):
            memory.frames([0, len(memory) - 1, *(rng.randrange(len(memory)) for _ in range(5))])
            np.asarray(memory.episodes[-1].frames)
            assert len(memory.rows.latents) == len(memory)

    def versions() -> None:
        read_index(path)
        for number in version_numbers(path):
            read_version(path, number)

    apart = mutant.in_table and rng.random() < 1 / _APART

    def state() -> None:
        found = state_of(path)
        assert mutant.sealed or found == STATE, "an accident has changed what memory holds, and nobody has noticed"

    used: dict[str, Callable[[], object]] = {
        "open": lambda: open_memory(path),
        "state": state,
        "rows": rows,
        "world": lambda: WorldModel.open(path),
        "versions": versions,
    }
    if apart or not mutant.in_table:
        used["check"] = lambda: check_memory(path, apart=apart)
    if mutant.file.startswith("learned"):
        used["prepare"] = lambda: WorldModel.open(path).prepare()
    return used


def _writings(path: Path) -> dict[str, Callable[[], object]]:
    """What is done last, as it changes the folder; what it holds then must be what it says that it did."""

    def append() -> None:
        with MemoryStream.open(path) as stream:
            stream.append(lived("f"))

    def then(do: Callable[[], object], state: State) -> Callable[[], object]:
        def done() -> object:
            found = do()
            with contextlib.suppress(MemworldError):  # damage that is told of
                assert state_of(path) == state
            return found

        return done

    return {
        "append": then(append, (*STATE, expected("f"))),
        "forget": then(lambda: forget_episodes(path, ["c"]), (STATE[0], *STATE[2:])),
        "compact": then(lambda: compact_memory(path), STATE),
        "repair": then(lambda: check_memory(path, repair=True), STATE),
    }


def use(tell: Tell, template: str, folder: str, seeds: list[int]) -> None:
    """Make a mutant of each seed, use it, and tell what came of it."""
    for seed in seeds:
        # Each in a folder of its own: tables that are open already are not read anew.
        rng, path = random.Random(seed), Path(folder) / "mutants" / str(seed)
        shutil.copytree(template, path)
        mutant = mutate(path, rng, Path(folder) / _CANARY)
        tell({"seed": seed, "mutant": asdict(mutant)})
        used = _readings(path, mutant, rng)
        if not mutant.sealed:
            name, writing = rng.choice(list(_writings(path).items()))
            used[name] = writing
        refused = {}
        for name, do in used.items():
            try:
                found = do()
                if name in ("check", "repair") and (problems := found.problems):  # type: ignore[attr-defined]
                    refused[name] = problems[0]
            except MemworldError as error:
                refused[name] = str(error)
        tell({"seed": seed, "used": list(used), "refused": refused})
        shutil.rmtree(path)
    tell({"peaks": _peaks()})


def use_sound(tell: Tell, template: str) -> None:
    """Do with a sound memory all that is done with mutants, and tell what it takes."""
    path, sound = Path(template), Mutant("learned", "not at all", True)
    for do in _readings(path, sound, random.Random(0)).values():
        do()
    check_memory(path, apart=True)
    tell({"peaks": _peaks()})


def _peaks() -> list[int]:
    """Bytes of the largest resident set of this process, and of the largest that it has started."""
    reader().close()
    return [resource.getrusage(who).ru_maxrss * 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]


@dataclass
class Fuzz:
    """Mutants, and what came of them.

    Attributes:
        forks: forks the children.
        folder: where the mutants lie.
        counts: mutants by part of the folder, whether they were sealed, and whether anything was refused.
        ended: how often the process that reads frames was ended by a mutant.
        problems: what must not be, a sentence each.
    """

    forks: Forks
    folder: Path
    counts: Counter[tuple[str, bool, bool]] = field(default_factory=Counter)
    ended: int = 0
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._template = template(self.folder)
        ended = self.forks.run(Job(f"{__name__}:use_sound", {"template": str(self._template)}))
        assert not ended.crashed, ended
        self._usual = ended.told[-1]["peaks"]

    def run(self, seeds: list[int]) -> None:
        """Try the mutants of these seeds."""
        for start in range(0, len(seeds), _BATCH):
            left = seeds[start : start + _BATCH]
            while left:
                left = self._try(left)
        if (self.folder / _CANARY).exists():
            self.problems.append("a pickle was loaded")

    def _run(self, seeds: list[int]) -> Ended:
        shutil.rmtree(self.folder / "mutants", ignore_errors=True)
        arguments = {"template": str(self._template), "folder": str(self.folder), "seeds": seeds}
        return self.forks.run(Job(f"{__name__}:use", arguments))

    def _try(self, seeds: list[int]) -> list[int]:
        """Try mutants in one child; those that are left, should it have ended at one."""
        ended = self._run(seeds)
        made = [told for told in ended.told if "mutant" in told]
        used = {told["seed"]: told for told in ended.told if "used" in told}
        for told in made:
            if told["seed"] in used:
                mutant, refused = Mutant(**told["mutant"]), used[told["seed"]]["refused"]
                self.counts[mutant.file.split("/")[0], mutant.sealed, bool(refused)] += 1
                self.ended += any("ended the process" in words for words in refused.values())
                for name, words in refused.items():
                    if "\n" in words or not words.encode(errors="replace").decode().isprintable():
                        self.problems.append(f"{told}: {name} refused in words that cannot be printed: {words!r}")
        if ended.crashed or ended.refused:
            self.problems.append(f"{made[-1] if made else seeds}: {ended.failed or replace(ended, told=[])}")
            return seeds[len(made) :] if made else []
        if any(now > usual + _BYTES for now, usual in zip(ended.told[-1]["peaks"], self._usual, strict=True)):
            if len(seeds) == 1:
                self.problems.append(f"{made}: took {ended.told[-1]['peaks']} bytes, usual are {self._usual}")
            for seed in seeds if len(seeds) > 1 else []:
                self._try([seed])
        return []
