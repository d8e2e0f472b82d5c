"""One writes at a time, who comes late takes nothing away, and nothing outside the folder is touched."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from memworld.storage import locked
from memworld.store import (
    check_memory,
    compact_memory,
    forget_episodes,
    go_back,
    open_memory,
    save_memory,
    writing,
)
from tests.helpers import assert_same_memory, folder_bytes, one_clear_error
from tests.store.contents import assert_same_stored, lasting_bytes
from tests.toy_memories import ENCODER, episode, memory_of

WRITERS: list[Callable[[Path], object]] = [
    lambda folder: save_memory(memory_of(episode(3)), folder, "resume"),
    lambda folder: save_memory(memory_of(episode(3)), folder, "overwrite"),
    lambda folder: forget_episodes(folder, ["e0"]),
    lambda folder: compact_memory(folder),
    lambda folder: go_back(folder, 1),
    lambda folder: check_memory(folder, repair=True),
    lambda folder: writing(folder).__enter__(),
]


# Other writers


def test_a_save_removes_nothing_but_what_this_memory_removed(stored: Path) -> None:
    stale, other = open_memory(stored), open_memory(stored)
    other.append(episode(3), ENCODER)
    save_memory(other, stored, "resume")
    stale.remove(["e1"])
    stale.append(episode(4), ENCODER)
    save_memory(stale, stored, "resume")
    assert_same_memory(open_memory(stored), memory_of(*map(episode, (0, 2, 3, 4))))
    assert stale.ids == ("e0", "e2", "e4")
    # What was removed once is not removed again, should it come back.
    save_memory(memory_of(episode(1)), stored, "resume")
    save_memory(stale, stored, "resume")
    assert open_memory(stored).ids == ("e0", "e2", "e3", "e4", "e1")


def test_another_episode_that_this_memory_did_not_remove_stays(stored: Path) -> None:
    before = lasting_bytes(stored)
    with one_clear_error("holds another episode e1: remove it from this memory first, or rename it"):
        save_memory(memory_of(episode(0), replace(episode(1), rewards=-episode(1).rewards)), stored, "resume")
    assert lasting_bytes(stored) == before


@pytest.mark.parametrize("write", WRITERS)
def test_one_writer_at_a_time(stored: Path, write: Callable[[Path], object]) -> None:
    (stored / "arrays/1/mu.bin").write_bytes(b"")  # so that there is something to repair
    before = folder_bytes(stored)
    with locked(stored), one_clear_error("another memworld is writing to .*memory: wait for it"):
        write(stored)
    assert folder_bytes(stored) == before


def test_a_writer_in_another_process_is_one_too_until_it_ends(stored: Path) -> None:
    code = """
import sys
from memworld.store import writing
with writing(sys.argv[1]):
    print("in", flush=True)
    sys.stdin.read()
"""
    command = [sys.executable, "-c", code, str(stored)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"in\n"
        with one_clear_error("another memworld is writing"):
            forget_episodes(stored, ["e0"])
        assert open_memory(stored).ids == ("e0", "e1", "e2")  # readers need no lock
        other.kill()
    assert forget_episodes(stored, ["e0"]) == 5


# Changes in a writer's hand


def test_a_change_is_all_or_nothing(stored: Path) -> None:
    before = lasting_bytes(stored)
    new = memory_of(episode(3), episode(1)).episodes
    with writing(stored) as writer:
        with one_clear_error("the memory has no episode 'x': see memworld inspect for those it has"):
            writer.commit(remove=["e0", "x"])
        with one_clear_error("the memory has an episode e1 already: remove it first or rename the new one"):
            writer.commit(append=new)
        assert writer.commit().number == 1
        assert lasting_bytes(stored) == before
        assert writer.commit(append=new, remove=["e1"]).number == 2
        assert writer.memory.ids == ("e0", "e2", "e3", "e1")
        assert writer.ids == {"e0", "e1", "e2", "e3"}
    assert_same_memory(open_memory(stored), memory_of(*map(episode, (0, 2, 3, 1))))


def test_what_a_writer_shows_stays_what_it_was(stored: Path) -> None:
    with writing(stored) as writer:
        early = writer.memory
        writer.commit(append=memory_of(episode(3)).episodes)
        assert_same_memory(early, memory_of(*map(episode, range(3))))
        assert_same_memory(writer.memory, memory_of(*map(episode, range(4))))


# Links


@pytest.mark.parametrize(
    "part", ["memory.json", "versions", "arrays", "rows.lance", "encoder", "arrays/1/mu.bin", "rows.lance/data"]
)
def test_nothing_outside_is_read_written_or_deleted(stored: Path, tmp_path: Path, part: str) -> None:
    (stored / part).rename(tmp_path / "victim")
    (stored / part).symlink_to(tmp_path / "victim")
    if (tmp_path / "victim").is_dir():
        (tmp_path / "victim/thesis.txt").write_text("years of work")
    before = folder_bytes(tmp_path)
    uses: list[Callable[[], object]] = [
        lambda: open_memory(stored),
        lambda: check_memory(stored),
        lambda: save_memory(memory_of(episode(3)), stored, "resume", encoder=ENCODER),
        lambda: forget_episodes(stored, ["e1"]),
        lambda: compact_memory(stored),
        lambda: go_back(stored, 1),
    ]
    for use in uses:
        with one_clear_error(f"{part} is a link, which could lead outside"):
            use()
    assert folder_bytes(tmp_path) == before
    # To start anew removes the link, not what it leads to.
    victim = folder_bytes(tmp_path / "victim") if (tmp_path / "victim").is_dir() else (tmp_path / "victim").read_bytes()
    save_memory(memory_of(episode(0), episode(3)), stored, "overwrite", encoder=ENCODER)
    assert not (stored / part).is_symlink()
    after = folder_bytes(tmp_path / "victim") if (tmp_path / "victim").is_dir() else (tmp_path / "victim").read_bytes()
    assert after == victim
    assert open_memory(stored).ids == ("e0", "e3")


def test_the_folder_itself_may_be_a_link(stored: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(stored)
    memory = open_memory(tmp_path / "link")
    memory.remove(["e0"])
    save_memory(memory, tmp_path / "link", "resume")
    assert forget_episodes(tmp_path / "link", ["e1"]) == 3
    assert open_memory(stored).ids == ("e2",)
    with writing(tmp_path / "link"), one_clear_error("another memworld is writing"):
        forget_episodes(stored, ["e2"])


# Forgetting


def test_forgetting_is_all_or_nothing(stored: Path, tmp_path: Path) -> None:
    before = lasting_bytes(stored)
    with one_clear_error("the memory has no episode 'x': see memworld inspect for those it has"):
        forget_episodes(stored, ["e0", "x"])
    assert forget_episodes(stored, []) == 6
    assert lasting_bytes(stored) == before
    for change in (lambda folder: forget_episodes(folder, ["e0"]), compact_memory, lambda folder: go_back(folder, 1)):
        with one_clear_error("none is no memory: nothing is there"):
            change(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    assert forget_episodes(stored, ["e0", "e1", "e0"]) == 3
    assert forget_episodes(stored, ["e2"]) == 0


@pytest.mark.parametrize("part", ["mu", "actions"])
def test_an_episode_of_damaged_arrays_can_be_forgotten(stored: Path, tmp_path: Path, part: str) -> None:
    file = stored / f"arrays/1/{part}.bin"
    content = bytearray(file.read_bytes())
    content[len(content) // 9 * 3] ^= 255  # in the second row of e1
    file.write_bytes(content)
    with one_clear_error("episode e1 is damaged: its SHA-256 is not the one in the list; make it anew from the table"):
        open_memory(stored)
    assert forget_episodes(str(stored), ["e1"]) == 4
    save_memory(memory_of(episode(0), episode(2)), tmp_path / "fresh", encoder=ENCODER)
    assert_same_stored(stored, tmp_path / "fresh")
