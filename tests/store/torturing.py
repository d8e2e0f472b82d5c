"""Kills in the midst of operations, and whether memory is what it must be after each."""

import contextlib
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from memworld.errors import MemworldError
from memworld.store import INDEX, LEARNED, check_memory, open_memory, read_index, read_version, version_numbers
from memworld.store.arrays import LISTING, Arrays
from memworld.store.first_format import is_first_format
from tests.helpers import one_clear_error
from tests.store.acting import tidy
from tests.store.forking import Ended, Forks, Job, nobody
from tests.store.lives import State, state_of
from tests.store.operating import OPERATIONS, Life, Plan, born

_REMEASURED = 5
"""Kills of an operation after which it is measured again how long it takes."""

_LONG = 10
"""Episodes from which a memory is made no larger: another life begins."""


@dataclass(frozen=True)
class Found:
    """What is found in a memory's folder.

    Attributes:
        state: what it holds; None if there is no memory.
        number: of its version; -1 in format 1, and where there is none.
        problems: what `check` says.
    """

    state: State | None
    number: int
    problems: tuple[str, ...] = ()


def look(path: Path) -> Found:
    """What a memory's folder holds.

    Raises:
        MemworldError: it is damaged.
    """
    if not (path / INDEX).exists():
        with one_clear_error("is no memory: (nothing is there|it has no memory.json)"):
            open_memory(path)
        return Found(None, -1)
    number = -1 if is_first_format(path) else read_index(path)[1]
    return Found(state_of(path), number, check_memory(path).problems)


def strays(path: Path) -> set[str]:
    """Files in a memory's folder that belong to no version, or miss."""
    settings, number = read_index(path)
    belongs = {INDEX, "encoder/encoder.json", "encoder/encoder.safetensors"}
    for other in version_numbers(path):
        version = read_version(path, other)
        belongs |= {f"versions/{other:08}.json", *(f"rows.lance/{name}" for name in version.files)}
    if (version := read_version(path, number)).arrays:
        arrays = Arrays.open(path, settings, version)
        names = {f"{name}.bin": column.nbytes for name, column in arrays.columns.items()}
        sizes = {**names, LISTING: version.listing.bytes}
        belongs |= {f"arrays/{version.arrays}/{name}" for name in sizes}
        longer = {name for name, size in sizes.items() if (arrays.folder / name).stat().st_size != size}
        assert not longer, f"{longer} go on after what belongs to them"
    there = {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}
    return {name for name in there ^ belongs if not name.startswith(f"{LEARNED}/")}


@dataclass
class Tally:
    """What became of the kills of one operation.

    Attributes:
        before: in which memory held what was said last to be done.
        after: in which it held what was to be said next: the change counted already.
        ended: which came when the operation had ended.
        again: in which the memory, damaged before or to be overwritten, had to be dealt with again.
    """

    before: int = 0
    after: int = 0
    ended: int = 0
    again: int = 0

    @property
    def kills(self) -> int:
        """Kills that struck."""
        return self.before + self.after + self.again


@dataclass
class Torture:
    """Lives of memories whose writers are killed.

    Attributes:
        forks: forks the writers.
        folder: where the memories lie, one at a time.
        rng: says what is done, and when it is killed.
        tallies: by operation.
        problems: what was not as it must be, a sentence each.
    """

    forks: Forks
    folder: Path
    rng: random.Random
    tallies: dict[str, Tally] = field(default_factory=lambda: {name: Tally() for name in OPERATIONS})
    problems: list[str] = field(default_factory=list)
    _life: Life | None = None
    _seconds: dict[str, tuple[int, float]] = field(default_factory=dict)

    @property
    def kills(self) -> int:
        """Kills that struck an operation."""
        return sum(tally.kills for tally in self.tallies.values())

    def kill(self) -> None:
        """Kill the operation that was killed least, at some moment, in the present life if it can be done there."""
        least = min(tally.kills for tally in self.tallies.values())
        name = self.rng.choice([name for name, tally in self.tallies.items() if tally.kills == least])
        life = self._life
        plan = OPERATIONS[name].plan(life, self.rng) if life and len(life.state or ()) < _LONG else None
        if life is None or plan is None:
            life, plan = self.prepared(name)
        if plan.damage is not None:
            plan.damage(life.path)
        seconds = self._measured(name, life, plan)
        self._strike(name, life, plan, job_of(name, life, plan, kill_after=self.rng.uniform(0, seconds)))

    def kill_at_each_change(self, name: str, every: int = 1) -> None:
        """Kill an operation before each change (or every so manieth) that Python makes to a file of the same folder."""
        life, plan = self.prepared(name)
        if plan.damage is not None:
            plan.damage(life.path)
        with self.copied(life):
            changes = self.forks.run(job_of(name, life, plan, watch=str(life.path))).changes
        for number in range(1, changes + 1, every):
            with self.copied(life):
                self._strike(name, replace(life), plan, job_of(name, life, plan, watch=str(life.path), kill_at=number))
        self._life = None

    def prepared(self, name: str) -> tuple[Life, Plan]:
        """Another life, in which an operation can be done."""
        while True:
            self._life = life = self._born(name) if OPERATIONS[name].starts else self._grown()
            if (plan := OPERATIONS[name].plan(life, self.rng)) is not None:
                return life, plan

    def _born(self, name: str) -> Life:
        path = self.folder / "memory"
        shutil.rmtree(path, ignore_errors=True)
        life = born(path, name)
        if life.golden:
            self.see(life, look(path))
        return life

    def _grown(self) -> Life:
        """A life of a few versions, of episodes that were removed, and of something learned."""
        life = self._born("begin")
        for name in ("begin", "append several", "forget", "append"):
            plan = OPERATIONS[name].plan(life, self.rng)
            assert plan is not None
            self.finish(name, life, plan)
        (life.path / LEARNED).mkdir()
        (life.path / LEARNED / "analogues-00000000.json").write_text("{}")
        return life

    def _measured(self, name: str, life: Life, plan: Plan) -> float:
        """Seconds that an operation takes, measured now and then on a copy of what it is to be done to."""
        kills, seconds = self._seconds.get(name, (-_REMEASURED, 0.0))
        if self.tallies[name].kills >= kills + _REMEASURED:
            with self.copied(life):
                seconds = self.forks.run(job_of(name, life, plan)).seconds
            self._seconds[name] = (self.tallies[name].kills, seconds)
        return seconds

    @contextlib.contextmanager
    def copied(self, life: Life) -> Iterator[None]:
        """Whatever is done to the folder, it is afterwards as it was."""
        copy = self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        if life.path.exists():
            shutil.copytree(life.path, copy)
        yield
        shutil.rmtree(life.path, ignore_errors=True)
        if copy.exists():
            copy.rename(life.path)

    def _strike(self, name: str, life: Life, plan: Plan, job: Job) -> None:
        """Kill an operation, and see that all is as it must be; whatever is not ends the life."""
        number, ended = life.number, self.forks.run(job)
        try:
            self._judge(name, life, plan, ended, number)
        except (AssertionError, MemworldError) as error:
            self.problems.append(f"{name}, {job}: {error}")
            self._life = None

    def _judge(self, name: str, life: Life, plan: Plan, ended: Ended, number: int) -> None:
        assert not ended.crashed, ended
        assert not ended.refused, ended.refused
        tally, done = self.tallies[name], len(ended.told)
        found = self.survive(name, life, plan, plan.states[done : done + 2])
        if found is None:
            tally.again += 1
        elif not ended.killed:
            tally.ended += 1
        elif found.state in plan.states[done + 1 : done + 2] and found.number > number + done:
            tally.after += 1
        else:
            tally.before += 1

    def survive(self, name: str, life: Life, plan: Plan, allowed: Sequence[State | None]) -> Found | None:
        """See that memory is sound and holds what is allowed, that the next write works, and that no file is left over.

        Returns:
            What there was; None if it was damaged before or to be overwritten, and the same had to be done again.
        """
        found = None
        with contextlib.suppress(MemworldError) if plan.again else contextlib.nullcontext():
            found = look(life.path)
        if plan.again and (found is None or found.problems):
            OPERATIONS[name].act(nobody, str(life.path), **plan.arguments)
            self.finish("compact", life, Plan({}, plan.states[-1:]))  # which also drops what was damaged before
            return None
        for folder, state in plan.beside.items():
            assert state_of(folder) == state
        assert found is not None
        assert found.state in allowed or (plan.again and not found.state), (found, allowed)
        self.see(life, found)
        # What was not begun has no encoder yet.
        following, names = "begin" if life.number < 1 and not life.golden else "append", life.fresh(1)
        self.finish(following, life, Plan({"names": names}, life.with_each(names)))
        tidy(nobody, str(life.path))  # of what Lance notes of the last change
        assert not strays(life.path), strays(life.path)
        return found

    def finish(self, name: str, life: Life, plan: Plan) -> None:
        """Do what must succeed."""
        OPERATIONS[name].act(nobody, str(life.path), **plan.arguments)
        self.see(life, look(life.path))
        assert life.state == plan.states[-1], (life.state, plan.states[-1])

    def see(self, life: Life, found: Found) -> None:
        """Take in what was found."""
        assert not found.problems, found.problems
        life.state, life.number = found.state, found.number
        if life.state is not None:
            life.history = {**life.history, life.number: life.state}


def job_of(name: str, life: Life, plan: Plan, **options: Any) -> Job:
    act = OPERATIONS[name].act
    return Job(f"{act.__module__}:{act.__name__}", {"path": str(life.path), **plan.arguments}, **options)
