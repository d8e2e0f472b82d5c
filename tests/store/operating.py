"""What is done to memories on disk, an entry each in `OPERATIONS`: what is asked of a child, and what must come of it.

A plan says what memory holds before anything is done and after each time that the child tells of a change, so
whoever kills a child knows what must be there: what it held at the last, or at the one that was to come.
"""

import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memworld.distill import distill
from memworld.store import open_memory, version_numbers
from tests.store.acting import (
    append,
    begin,
    compact,
    forget,
    join,
    make_smaller,
    overwrite,
    repair,
    restore,
    save,
    spoil_arrays,
    spoil_version,
)
from tests.store.forking import nobody
from tests.store.lives import State, expected, id_of, state_of
from tests.toy_memories import GOLDEN


@dataclass
class Life:
    """A memory that goes through many operations.

    Attributes:
        path: its folder.
        state: what it holds; None before it is begun.
        golden: whether it began as the golden memory of format 1.
        history: what it held in the versions that were seen.
        number: of its present version; -1 in format 1, and before it is begun.
        lived: how many names were used.
    """

    path: Path
    state: State | None = None
    golden: bool = False
    history: dict[int, State] = field(default_factory=dict)
    number: int = -1
    lived: int = 0

    def fresh(self, count: int) -> list[str]:
        """New names."""
        self.lived += count
        return [f"k{number}" for number in range(self.lived - count, self.lived)]

    def with_each(self, names: Sequence[str], *, state: State | None = None) -> list[State]:
        """What it holds once the first of these are appended, each in the place of one of its id, and once more, ..."""
        now = self.state or () if state is None else state
        states = []
        for name in names:
            now = (*(line for line in now if id_of(line) != id_of(name)), expected(name, self.golden))
            states.append(now)
        return states


@dataclass(frozen=True)
class Plan:
    """What a child is asked to do.

    Attributes:
        arguments: of its function, beside the path.
        states: what memory holds before, and after each `tell`; None where there is no memory.
        damage: what is done to the folder first.
        again: whether a child that was killed may leave a memory that is empty, or does not open before the same
            is done again, as it was damaged, to be overwritten, or made in one change.
        beside: what other memories hold, by their folders, which are only read.
    """

    arguments: dict[str, Any]
    states: Sequence[State | None]
    damage: Callable[[Path], None] | None = None
    again: bool = False
    beside: Mapping[Path, State] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """An entry of the table.

    Attributes:
        act: what a child does, given a `Tell`, the path and the plan's arguments.
        plan: what is to be done to a memory; None if nothing can be.
        starts: whether it is done to no memory, or to a golden one, and so begins a life.
    """

    act: Callable[..., None]
    plan: Callable[[Life, random.Random], Plan | None]
    starts: bool = False


def _plan_begin(life: Life, rng: random.Random) -> Plan | None:
    if life.state is not None:
        return None
    names = life.fresh(rng.randint(0, 3))
    return Plan({"names": names}, [None, (), *life.with_each(names)])


def _plan_append(life: Life, rng: random.Random) -> Plan | None:
    return _appending(life, life.fresh(rng.randint(1, 3)), 1)


def _plan_append_many(life: Life, rng: random.Random) -> Plan | None:
    return _appending(life, life.fresh(rng.randint(3, 7)), 3)


def _appending(life: Life, names: list[str], each: int) -> Plan | None:
    if life.state is None or life.number < 0:
        return None
    states = life.with_each(names)
    last = [] if len(names) % each == 0 else [states[-1]]
    return Plan({"names": names, "each": each}, [life.state, *states[each - 1 :: each], *last])


def _plan_join(life: Life, rng: random.Random) -> Plan | None:
    names = life.fresh(rng.randint(1, 3))
    plan = _appending(life, names, 1)
    return plan and Plan({"names": names}, plan.states)


def _plan_save(life: Life, rng: random.Random) -> Plan | None:
    if not life.state or life.number < 0:
        return None
    other = f"{id_of(rng.choice(life.state))}~{life.fresh(1)[0]}"
    names = [*life.fresh(rng.randint(0, 2)), *([other] if rng.random() < 0.7 else [])] or [other]
    return Plan({"names": names}, [life.state, life.with_each(names)[-1]])


def _plan_forget(life: Life, rng: random.Random, erase: bool = False) -> Plan | None:
    if not life.state or life.number < 0:
        return None
    ids = rng.sample([id_of(line) for line in life.state], min(len(life.state), rng.randint(1, 3)))
    states = [life.state]
    for one in ids:
        states.append(tuple(line for line in states[-1] if id_of(line) != one))
    return Plan({"ids": ids, "erase": True}, [*states, states[-1]]) if erase else Plan({"ids": ids}, states)


def _plan_erase(life: Life, rng: random.Random) -> Plan | None:
    return _plan_forget(life, rng, erase=True)


def _plan_compact(life: Life, rng: random.Random) -> Plan | None:
    return Plan({}, [life.state, life.state]) if life.state and life.number > 0 else None


def _plan_restore(life: Life, rng: random.Random) -> Plan | None:
    numbers = _known(life)
    if not numbers:
        return None
    number = rng.choice(numbers)
    return Plan({"number": number}, [life.state, life.history[number]])


def _plan_restore_damaged(life: Life, rng: random.Random) -> Plan | None:
    plan = _plan_restore(life, rng)
    return plan and Plan(plan.arguments, plan.states, spoil_version, again=True)


def _plan_repair(life: Life, rng: random.Random) -> Plan | None:
    return Plan({}, [life.state, life.state], spoil_arrays, again=True) if life.state and life.number > 0 else None


def _plan_overwrite(life: Life, rng: random.Random) -> Plan | None:
    if life.state is None or life.golden:
        return None
    names = life.fresh(rng.randint(1, 3))
    return Plan({"names": names}, [life.state, life.with_each(names, state=())[-1]], again=True)


def _plan_rewrite(life: Life, rng: random.Random) -> Plan | None:
    if life.number >= 0 or not life.golden:
        return None
    names = life.fresh(rng.randint(1, 2))
    return Plan({"names": names}, [life.state, *life.with_each(names)])


def _plan_distill(life: Life, rng: random.Random) -> Plan | None:
    if life.state is not None:
        return None
    source, smaller = life.path.with_name("source"), life.path.with_name("smaller")
    for folder in (source, smaller):
        shutil.rmtree(folder, ignore_errors=True)
    names = life.fresh(rng.randint(3, 6))
    begin(nobody, str(source), names)
    rows = rng.randint((most := len(open_memory(source)) - 1) // 2, most)
    distill(source, smaller, rows=rows)
    arguments = {"source": str(source), "rows": rows}
    return Plan(arguments, [None, state_of(smaller)], again=True, beside={source: state_of(source)})


def _known(life: Life) -> list[int]:
    """The versions that one can go back to and that were seen."""
    return [n for n in version_numbers(life.path) if n < life.number and n in life.history] if life.state else []


OPERATIONS = {
    "begin": Operation(begin, _plan_begin, starts=True),
    "append": Operation(append, _plan_append),
    "append several": Operation(append, _plan_append_many),
    "join small files": Operation(join, _plan_join),
    "save": Operation(save, _plan_save),
    "forget": Operation(forget, _plan_forget),
    "erase": Operation(forget, _plan_erase),
    "compact": Operation(compact, _plan_compact),
    "go back": Operation(restore, _plan_restore),
    "go back from damage": Operation(restore, _plan_restore_damaged),
    "repair": Operation(repair, _plan_repair),
    "overwrite": Operation(overwrite, _plan_overwrite),
    "distill": Operation(make_smaller, _plan_distill, starts=True),
    "rewrite format 1": Operation(append, _plan_rewrite, starts=True),
}
"""Every operation by its name."""


def born(path: Path, name: str) -> Life:
    """A life for an operation that starts one."""
    if name != "rewrite format 1":
        return Life(path)
    shutil.copytree(GOLDEN / "memory-v1", path)
    return Life(path, golden=True)
