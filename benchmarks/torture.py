"""Whether the memory on disk loses nothing: writers killed, disks full, files changed, readers beside a writer.

    python -m benchmarks.torture kills [--kills 300] [--seed 0]
    python -m benchmarks.torture disk [--seed 0]
    python -m benchmarks.torture fuzz [--mutants 10000] [--seed 0]
    python -m benchmarks.torture readers [--seconds 120] [--seed 0]

The tests do a little of each (tests/store), this does much. Every problem is printed, and ends it with exit code 1.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.helpers import small_disk
from tests.store.forking import Forks
from tests.store.fuzzing import Fuzz
from tests.store.operating import OPERATIONS
from tests.store.reading import watch
from tests.store.starving import PAGE, starve
from tests.store.torturing import Torture

DISK = 64_000
"""Kilobytes of the small disk."""

PORTION = 1000
"""Mutants after which it is told how far it has come."""

LIMITS = 24
"""Sizes that files may not grow over, from 100 bytes to 100 kB."""

Job = Callable[[Forks, Path, argparse.Namespace], list[str]]


def kills(forks: Forks, folder: Path, options: argparse.Namespace) -> list[str]:
    """Kill writers at random moments, then before every change that Python makes to a file."""
    torture = Torture(forks, folder, random.Random(options.seed))
    while torture.kills < options.kills:
        torture.kill()
    _print_tallies(f"{torture.kills} kills at random moments", torture)
    problems = torture.problems
    torture = Torture(forks, folder, random.Random(options.seed + 1))
    for name in OPERATIONS:
        torture.kill_at_each_change(name)
    _print_tallies(f"{torture.kills} kills, one before each change of a file by Python", torture)
    return problems + torture.problems


def _print_tallies(title: str, torture: Torture) -> None:
    print(f"\n{title}:\n")
    print("| operation | kills | before it counted | after | again | had ended |\n|---|---|---|---|---|---|")
    for name, tally in torture.tallies.items():
        print(f"| {name} | {tally.kills} | {tally.before} | {tally.after} | {tally.again} | {tally.ended} |")
    total = [sum(getattr(tally, part) for tally in torture.tallies.values()) for part in ("before", "after", "again")]
    print(
        f"\n{total[0]} before the change counted, {total[1]} after, {total[2]} of damaged or overwritten memories that"
    )
    print(f"were dealt with again; problems: {len(torture.problems)}", flush=True)


def disk(forks: Forks, folder: Path, options: argparse.Namespace) -> list[str]:
    """Do every operation with no page free, with one, with two, ..., and with files that may grow no further."""
    problems: list[str] = []

    def starved(name: str, place: Path, **options_of: int) -> bool:
        try:
            return starve(Torture(forks, place, random.Random(options.seed)), name, **options_of)
        except AssertionError as error:
            problems.append(f"{name}, {options_of}: {error}")
            return True

    print("\n| operation | refused by a full disk | done from | refused by a limit on files |\n|---|---|---|---|")
    for name in OPERATIONS:
        pages = 0
        try:
            with small_disk(folder / "disk", DISK):
                while starved(name, folder / "disk", free=pages * PAGE):
                    pages += 1
            full = f"{pages} times | {pages * PAGE >> 10} kB"
        except pytest.skip.Exception as error:
            full = f"not tried: {error} | "
        (folder / "disk").rmdir()
        limited = sum(starved(name, folder, file_bytes=int(100 * 1000 ** (i / LIMITS))) for i in range(LIMITS))
        print(f"| {name} | {full} | {limited} of {LIMITS} |", flush=True)
    print(f"\nproblems: {len(problems)}")
    return problems


def fuzz(forks: Forks, folder: Path, options: argparse.Namespace) -> list[str]:
    """Use memories of which a file was changed."""
    found = Fuzz(forks, folder)
    first = options.seed * options.mutants
    for start in range(0, options.mutants, PORTION):
        done = min(start + PORTION, options.mutants)
        found.run(list(range(first + start, first + done)))
        print(f"{done} of {options.mutants} mutants, {len(found.problems)} problems", flush=True)
    print("\n| part | checksums | mutants | refused | taken |\n|---|---|---|---|---|")
    for part in sorted({part for part, _, _ in found.counts}):
        for sealed in (False, True):
            refused, used = found.counts[part, sealed, True], found.counts[part, sealed, False]
            print(f"| {part} | {'made to fit' if sealed else 'left'} | {refused + used} | {refused} | {used} |")
    print(
        f"\n{sum(found.counts.values())} mutants; the process that reads frames was ended {found.ended} times; ", end=""
    )
    print(f"problems: {len(found.problems)}")
    return found.problems


def readers(forks: Forks, folder: Path, options: argparse.Namespace) -> list[str]:
    """Let two processes read while one appends, and then while one does everything."""
    problems: list[str] = []
    for appends_only in (True, False):
        path = folder / f"memory-{appends_only}"
        found = watch(forks, path, options.seconds, options.seed, appends_only=appends_only)
        what = "appends only" if appends_only else "appends, removes, compacts and goes back"
        print(f"\n{options.seconds:.0f} seconds beside a writer that {what}: {found.written} states were written")
        for number, counts in enumerate(found.counts, 1):
            print(f"reader {number}: { ({**asdict(counts), 'wrong': len(counts.wrong)}) }")
        print(f"problems: {len(found.problems)}", flush=True)
        problems += found.problems
    return problems


JOBS: dict[str, Job] = {"kills": kills, "disk": disk, "fuzz": fuzz, "readers": readers}


def main() -> None:
    """Do one job."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--mutants", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, Forks() as forks:
        problems = JOBS[options.job](forks, Path(folder).resolve(), options)
    print(f"{time.monotonic() - began:.0f} s")
    for problem in problems:
        print(f"\nPROBLEM: {problem}")
    raise SystemExit(bool(problems))


if __name__ == "__main__":
    main()
