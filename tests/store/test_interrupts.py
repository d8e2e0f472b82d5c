"""Interrupts, kills and full disks at every sync of a change: it counts whole or not at all, and can be made again."""

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memworld.errors import MemworldError
from memworld.memory import Memory
from memworld.store import (
    MemoryWriter,
    check_memory,
    compact_memory,
    forget_episodes,
    go_back,
    open_memory,
    read_index,
    save_memory,
    writing,
)
from tests.helpers import assert_same_memory, make_dataset, one_clear_error, small_disk, untrained_vae
from tests.store.contents import assert_same_stored, lasting_bytes
from tests.toy_memories import ENCODER, GOLDEN, episode, memory_of


class Stop(BaseException):
    """A kill; unlike an error, nothing handles it."""


FULL = OSError(errno.ENOSPC, "No space left on device")


def fail_at(patch: pytest.MonkeyPatch, call: int, error: BaseException) -> list[int]:
    """Let the n-th sync fail; return the number of syncs so far."""
    count, real = [0], os.fsync

    def limited(handle: int) -> None:
        count[0] += 1
        if count[0] == call:
            raise error
        real(handle)

    patch.setattr(os, "fsync", limited)
    return count


def fail_all_over(
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    change: Callable[[Path], object],
    begin: Path,
    work: Path,
    stride: int,
) -> None:
    """Fail at every so-many-th sync of a change, and see that what is left is as before or as after, and sound."""
    before = open_memory(begin)
    shutil.copytree(begin, work / "whole")
    with monkeypatch.context() as patch:
        count = fail_at(patch, 0, error)
        change(work / "whole")
    after = open_memory(work / "whole")
    calls = range(count[0], 0, -stride)
    assert len(calls) > 3
    for call in calls:
        folder = work / f"{call}"
        shutil.copytree(begin, folder)
        with monkeypatch.context() as patch:
            fail_at(patch, call, error)
            with pytest.raises((Stop, MemworldError)) as raised:
                change(folder)
        assert isinstance(raised.value, Stop) or "No space left on device" in str(raised.value)
        left = open_memory(folder)
        assert_same_memory(left, before if left.ids == before.ids else after)
        if left.ids == before.ids:
            change(folder)
            assert_same_memory(open_memory(folder), after)
        assert check_memory(folder).problems == ()
        shutil.rmtree(folder)


@pytest.mark.parametrize("error", [Stop(), FULL], ids=["kill", "full"])
def test_a_save_that_fails_anywhere_leaves_the_memory_as_it_was(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def change(folder: Path) -> None:
        memory = memory_of(episode(1), episode(4), episode(3))
        memory.remove(["e1"])
        save_memory(memory, folder, "resume")

    fail_all_over(monkeypatch, error, change, stored, tmp_path, stride=2 if error is FULL else 5)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: forget_episodes(folder, ["e1"]),
        lambda folder: compact_memory(folder),
        lambda folder: go_back(folder, 1),
    ],
    ids=["forget", "compact", "go back"],
)
def test_other_changes_that_are_killed_anywhere(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object]
) -> None:
    memory = open_memory(stored)
    memory.remove(["e0"])
    memory.append(episode(3), ENCODER)
    save_memory(memory, stored, "resume")
    fail_all_over(monkeypatch, Stop(), change, stored, tmp_path, stride=3)


def test_a_memory_of_the_first_format_that_is_killed_while_it_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(folder: Path) -> None:
        forget_episodes(folder, ["e1"])

    fail_all_over(monkeypatch, Stop(), change, GOLDEN / "memory-v1", tmp_path, stride=7)


def test_a_replacement_that_was_killed_never_mixes_two_episodes(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = replace(episode(1), observations=255 - episode(1).observations, rewards=-episode(1).rewards)

    def change(folder: Path) -> None:
        memory = open_memory(folder)
        memory.remove(["e1"])
        memory.append(changed, ENCODER)
        save_memory(memory, folder, "resume")

    fail_all_over(monkeypatch, Stop(), change, stored, tmp_path, stride=5)


def first_save(folder: Path) -> Memory:
    memory = memory_of(episode(0), episode(1), episode(2))
    save_memory(memory, folder, "resume", encoder=ENCODER)
    return memory


def test_a_first_save_that_was_killed_anywhere_can_be_finished(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for call in range(1, 100, 3):
        with monkeypatch.context() as patch:
            count = fail_at(patch, call, Stop())
            try:
                first_save(tmp_path / f"{call}")
            except Stop:
                assert count == [call]
            else:
                break
        first_save(tmp_path / f"{call}")
        assert_same_stored(tmp_path / f"{call}", stored)
    assert call > 10


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("again", [False, True], ids=["once", "again while it tidies"])
def test_a_writer_that_goes_on_after_an_interrupt_writes_nothing_twice(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    new = memory_of(episode(3)).episodes
    for call in range(1 + again, 100, 2):
        folder = tmp_path / f"{call}"
        shutil.copytree(stored, folder)
        with writing(folder) as writer:
            with monkeypatch.context() as patch:
                fail_at(patch, call, KeyboardInterrupt())
                if again:
                    patch.setattr(MemoryWriter, "_give_up", interrupt)
                try:
                    writer.commit(append=new)
                except KeyboardInterrupt:
                    pass
                else:
                    break
            if "e3" not in writer.ids:
                writer.commit(append=new)
            writer.commit(append=memory_of(episode(4)).episodes)
        assert check_memory(folder).problems == ()
        assert_same_memory(open_memory(folder), memory_of(*map(episode, range(5))))
    assert call > 10


@pytest.mark.parametrize("name", ["newer", "_drop_old"])
def test_an_interrupt_after_a_change_counts_and_before_the_writer_knows(
    stored: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with writing(stored) as writer:
        with monkeypatch.context() as patch:
            owner = type(writer.stored) if name == "newer" else type(writer)
            real = getattr(owner, name)

            def late(self: object) -> object:
                if read_index(stored)[1] > 1:
                    raise KeyboardInterrupt
                return real(self)

            patch.setattr(owner, name, late)
            with pytest.raises(KeyboardInterrupt):
                writer.commit(append=memory_of(episode(3)).episodes)
        assert writer.ids == {"e0", "e1", "e2", "e3"}
        writer.commit(append=memory_of(episode(4)).episodes)
    assert check_memory(stored).problems == ()
    assert_same_memory(open_memory(stored), memory_of(*map(episode, range(5))))


def test_what_belongs_to_no_version_is_ignored_and_cleaned_away(stored: Path) -> None:
    before, memory = lasting_bytes(stored), open_memory(stored)
    left = ["versions/00000002.json", "versions/.tmp-x.json", ".tmp-x.json", "encoder/.tmp-x.json", "arrays/2/mu.bin"]
    left += ["rows.lance/data/half.lance", "rows.lance/_versions/18446744073709551600.manifest"]
    (stored / "arrays/2").mkdir()
    for name in left:
        (stored / name).write_bytes(b"half")
    with (stored / "arrays/1/mu.bin").open("ab") as file:
        file.write(b"the rows of a change that was killed")
    (stored / "notes.txt").write_bytes(b"mine")
    assert_same_memory(open_memory(stored), memory)
    assert check_memory(stored).problems == ()
    memory.append(episode(3), ENCODER)
    save_memory(memory, stored, "resume", encoder=ENCODER)
    assert_same_memory(open_memory(stored), memory_of(*map(episode, range(4))))
    assert check_memory(stored).problems == ()
    assert (stored / "notes.txt").read_bytes() == b"mine"
    assert [name for name in left[1:] if (stored / name).exists()] == []
    assert lasting_bytes(stored)["versions/00000001.json"] == before["versions/00000001.json"]


def test_a_real_disk_that_fills_leaves_the_memory_as_it_was(tmp_path: Path) -> None:
    encoder = untrained_vae()
    dataset = make_dataset(np.random.default_rng(0), 4, 100, (16, 16, 3))
    with small_disk(tmp_path / "disk", 240) as resize:
        memory = Memory(dataset.info, encoder)
        memory.append(dataset[0], encoder)
        save_memory(memory, tmp_path / "disk/memory")
        memory.extend(dataset[1:], encoder)
        for _ in range(2):
            with one_clear_error("cannot write .*what was (stored|there) before is unharmed"):
                save_memory(memory, tmp_path / "disk/memory", "resume")
            assert open_memory(tmp_path / "disk/memory").ids == ("e0",)
            assert check_memory(tmp_path / "disk/memory").problems == ()
        resize(2000)
        save_memory(memory, tmp_path / "disk/memory", "resume")
        assert_same_memory(open_memory(tmp_path / "disk/memory"), memory)
        assert check_memory(tmp_path / "disk/memory").problems == ()
