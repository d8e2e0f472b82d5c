"""Writers that are killed, and disks that are full; `make torture` does more of the same."""

import errno
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

from memworld.store import check_memory, open_memory, read_index, read_version, save_memory, version_numbers
from memworld.store.table import TABLE
from memworld.store.table_changes import change_table
from tests.helpers import make_episode, one_clear_error, small_disk
from tests.store.acting import append, begin, compact, forget, restore, spoil_arrays, spoil_version, tidy
from tests.store.forking import Forks, Job, nobody
from tests.store.lives import ENCODER, SHAPE, State, empty, expected, lived, state_of
from tests.store.operating import OPERATIONS
from tests.store.starving import PAGE, filled, starve
from tests.store.torturing import Torture, job_of, strays

KILLS = 16
"""At random moments, at least one of each operation."""

DISK = 16_000
"""Kilobytes of a small disk."""


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as started:
        yield started


def tortured(forks: Forks, folder: Path, seed: int) -> Torture:
    return Torture(forks, folder.resolve(), random.Random(seed))


def test_a_killed_writer_leaves_what_was_committed_and_nothing_else(forks: Forks, tmp_path: Path) -> None:
    torture = tortured(forks, tmp_path, 0)
    while torture.kills < KILLS and not torture.problems:
        torture.kill()
    assert not torture.problems
    assert all(tally.kills for tally in torture.tallies.values())


def test_a_writer_that_is_killed_before_a_change_of_a_file(forks: Forks, tmp_path: Path) -> None:
    torture = tortured(forks, tmp_path, 1)
    torture.kill_at_each_change("compact", every=3)
    assert not torture.problems
    tally = torture.tallies["compact"]
    # It counts from one rename on; before that much was written, and after it much deleted.
    assert tally.before > 2
    assert tally.after > 2


def test_a_kill_that_loses_something_is_seen(forks: Forks, tmp_path: Path) -> None:
    torture = tortured(forks, tmp_path, 2)
    life, plan = torture.prepared("append")
    assert isinstance(life.state, tuple)
    lost: list[State] = [life.state[1:], (*life.state, life.state[0].replace("k", "x")), ()]
    for state in lost:
        with pytest.raises(AssertionError):
            torture.survive("append", life, plan, [state])
    tidy(nobody, str(life.path))
    (life.path / "stray").touch()
    assert strays(life.path) == {"stray"}


def test_what_a_killed_append_left_is_not_taken_up_where_an_earlier_version_cannot_be_read(tmp_path: Path) -> None:
    folder = begun(tmp_path, "a", "b", "c")
    settings, number = read_index(folder)
    left = empty().encode(lived("left"), ENCODER)
    change_table(folder / TABLE, settings, read_version(folder, number), (), [left])  # and no version names it
    spoil_version(folder, number - 2)  # whose files are not known, so that none can be deleted
    append(nobody, str(folder), ["d"])
    forget(nobody, str(folder), ["b"])
    compact(nobody, str(folder))
    assert not check_memory(folder).problems
    assert state_of(folder) == tuple(map(expected, ("a", "c", "d")))


def test_to_go_back_from_a_damaged_version_loses_none_between(tmp_path: Path) -> None:
    folder = begun(tmp_path, "a", "b", "c", "d")
    present = read_index(folder)[1]
    spoil_version(folder, present)
    with one_clear_error("is damaged"):
        open_memory(folder)
    restore(nobody, str(folder), present - 3)
    assert state_of(folder) == (expected("a"),)
    assert version_numbers(folder) == [*range(1, present), present + 1]
    append(nobody, str(folder), ["e"])
    assert state_of(folder) == (expected("a"), expected("e"))
    restore(nobody, str(folder), present - 1)
    assert state_of(folder) == tuple(map(expected, ("a", "b", "c")))
    assert not check_memory(folder).problems


def test_what_is_appended_counts_though_small_files_cannot_be_written_together(forks: Forks, tmp_path: Path) -> None:
    torture = tortured(forks, tmp_path, 7)
    life, plan = torture.prepared("join small files")
    # Enough for an episode, and not for all of them.
    largest = max(file.stat().st_size for file in life.path.rglob("*.lance"))
    ended = torture.forks.run(job_of("join small files", life, plan, file_bytes=largest + 35_000))
    assert not ended.refused
    assert len(ended.told) == len(plan.states) - 1
    torture.survive("join small files", life, plan, plan.states[-1:])
    assert "wrote small files together" not in {read_version(life.path, n).change for n in version_numbers(life.path)}


def test_a_memory_whose_encoder_was_not_written_to_the_end_is_sound_and_can_be_begun_again(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    (folder / "encoder/encoder.json").unlink()
    assert not check_memory(folder).problems
    begin(nobody, str(folder), ["a"])
    assert not check_memory(folder).problems
    (folder / "encoder/encoder.json").unlink()  # which cannot have been a kill
    assert len(check_memory(folder).problems) == 1


def test_a_list_of_removed_rows_that_is_cut_short_by_a_full_disk_is_noticed(forks: Forks, tmp_path: Path) -> None:
    memory, rng = empty(), np.random.default_rng(0)
    for name, steps in (("many", 2000), ("few", 2)):
        memory.append(make_episode(rng, steps, SHAPE, id=name), ENCODER)
    save_memory(memory, tmp_path / "memory", encoder=ENCODER)
    before = state_of(tmp_path / "memory")
    job = Job("tests.store.acting:forget", {"path": str(tmp_path / "memory"), "ids": ["many"]}, file_bytes=3000)
    assert "cannot write" in forks.run(job).refused
    assert state_of(tmp_path / "memory") == before
    forget(nobody, str(tmp_path / "memory"), ["many"])
    assert state_of(tmp_path / "memory") == before[1:]


def begun(folder: Path, *names: str) -> Path:
    begin(nobody, str(folder / "memory"), names)
    return folder / "memory"


@pytest.mark.parametrize("name", OPERATIONS)
def test_files_that_may_grow_no_further(forks: Forks, tmp_path: Path, name: str) -> None:
    # A part of the last write to a file is made, and no more: Lance by itself would not notice.
    limits = (3000,) if OPERATIONS[name].starts else (300, 3000)
    refused = [starve(tortured(forks, tmp_path, 3), name, file_bytes=limit) for limit in limits]
    assert refused[0]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", DISK):
        yield tmp_path / "disk"


def test_a_disk_that_is_full_at_any_moment(forks: Forks, disk: Path) -> None:
    least, most = 0, 256 * PAGE
    assert starve(tortured(forks, disk, 4), "append", least)
    assert not starve(tortured(forks, disk, 4), "append", most)
    # The last is refused by the lack of one page, when all but the list that makes it count may be there.
    while most - least > PAGE:
        middle = (least + most) // 2 // PAGE * PAGE
        least, most = (middle, most) if starve(tortured(forks, disk, 4), "append", middle) else (least, middle)


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in ("append", "overwrite")])
def test_a_full_disk(forks: Forks, disk: Path, name: str) -> None:
    # To overwrite makes room first.
    assert starve(tortured(forks, disk, 5), name, 2 * PAGE)


@pytest.mark.parametrize("command", ["forget", "compact", "restore", "check"])
def test_the_program_on_a_full_disk(forks: Forks, disk: Path, call: Callable[..., Result], command: str) -> None:
    torture = tortured(forks, disk, 6)
    life, _ = torture.prepared("compact")
    assert life.state is not None
    arguments: dict[str, list[object]] = {
        "forget": [life.path, life.state[0].split()[0]],
        "compact": [life.path],
        "restore": [life.path, sorted(life.history)[-2]],
        "check": [life.path, "--repair"],
    }
    if command == "check":
        spoil_arrays(life.path)
    with filled(disk, 0):
        result = call(command, *arguments[command])
        assert result.exit_code == 2
        assert os.strerror(errno.ENOSPC) in result.stderr
        assert result.stderr.count("\n") == 1
    if command == "check":
        assert call(command, *arguments[command]).exit_code == 0
    assert state_of(life.path) == life.state
    assert call(command, *arguments[command]).exit_code == 0
