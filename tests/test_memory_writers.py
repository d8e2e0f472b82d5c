from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from memworld.store import forget_episodes, open_memory, save_memory
from memworld.storage import locked
from tests.helpers import assert_same_memory, folder_bytes, one_clear_error
from tests.toy_memories import ENCODER, episode, memory_of


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A folder with episodes e0, e1 and e2 of 1, 2 and 3 steps."""
    save_memory(memory_of(episode(0), episode(1), episode(2)), tmp_path / "memory", encoder=ENCODER)
    return tmp_path / "memory"


# Other writers


def test_a_save_removes_nothing_but_what_this_memory_removed(stored: Path) -> None:
    stale, other = open_memory(stored), open_memory(stored)
    other.append(episode(3), ENCODER)
    save_memory(other, stored, "resume")
    stale.remove(["e1"])
    stale.append(episode(4), ENCODER)
    save_memory(stale, stored, "resume")
    assert_same_memory(open_memory(stored), memory_of(*map(episode, (0, 2, 3, 4))))
    # What was removed once is not removed again, should it come back.
    save_memory(memory_of(episode(1)), stored, "resume")
    save_memory(stale, stored, "resume")
    assert open_memory(stored).ids == ("e0", "e2", "e3", "e4", "e1")


def test_another_episode_that_this_memory_did_not_remove_stays(stored: Path) -> None:
    before = folder_bytes(stored)
    with one_clear_error("holds another episode e1: remove it from this memory first, or rename it"):
        save_memory(memory_of(episode(0), replace(episode(1), rewards=-episode(1).rewards)), stored, "resume")
    assert folder_bytes(stored) == before


def test_one_writer_at_a_time(stored: Path) -> None:
    before = folder_bytes(stored)
    writers: list[Callable[[], object]] = [
        lambda: save_memory(memory_of(), stored, "resume"),
        lambda: save_memory(memory_of(), stored, "overwrite"),
        lambda: forget_episodes(stored, ["e0"]),
    ]
    for write in writers:
        with locked(stored), one_clear_error("another memworld is writing to .*memory: wait for it"):
            write()
    with locked(stored):
        open_memory(stored)  # readers need no lock
    assert folder_bytes(stored) == before


# Links


@pytest.mark.parametrize("part", ["episodes", "encoder", "memory.json", "episodes/e1.safetensors"])
def test_nothing_outside_is_read_written_or_deleted(stored: Path, tmp_path: Path, part: str) -> None:
    (stored / part).rename(tmp_path / "victim")
    (stored / part).symlink_to(tmp_path / "victim")
    if (tmp_path / "victim").is_dir():
        (tmp_path / "victim/thesis.txt").write_text("years of work")
        (tmp_path / "victim/stray.safetensors").write_text("")
    before, index = folder_bytes(tmp_path), (stored / "memory.json").read_bytes()
    memory = memory_of(episode(0), episode(3))
    uses: list[Callable[[], object]] = [
        lambda: open_memory(stored),
        lambda: save_memory(memory, stored, "resume", encoder=ENCODER),
        lambda: forget_episodes(stored, ["e1"]),
    ]
    for use in uses:
        with one_clear_error(f"{part} is a link, which could lead outside"):
            use()
    assert folder_bytes(tmp_path) == before
    # To start anew removes the link, not what it leads to.
    save_memory(memory, stored, "overwrite", encoder=ENCODER)
    assert not (stored / part).is_symlink()
    assert (tmp_path / "victim").is_dir() or (tmp_path / "victim").read_bytes() in (index, *before.values())
    assert open_memory(stored).ids == ("e0", "e3")


def test_the_folder_itself_may_be_a_link(stored: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(stored)
    memory = open_memory(tmp_path / "link")
    memory.remove(["e0"])
    save_memory(memory, tmp_path / "link", "resume")
    assert forget_episodes(tmp_path / "link", ["e1"]) == 3
    assert open_memory(stored).ids == ("e2",)


# Forgetting


@pytest.mark.parametrize("damage", [b"", b"x" * 100, None])
def test_a_damaged_episode_can_be_forgotten(stored: Path, tmp_path: Path, damage: bytes | None) -> None:
    for name in ("e1.safetensors", "e1.frames.npy"):
        (stored / "episodes" / name).unlink()
        if damage is not None:
            (stored / "episodes" / name).write_bytes(damage)
    for use in (lambda: open_memory(stored), lambda: save_memory(memory_of(), stored, "resume")):
        with one_clear_error(f"drop the episode: memworld forget {stored} e1$"):
            use()
    assert forget_episodes(str(stored), ["e1"]) == 4
    save_memory(memory_of(episode(0), episode(2)), tmp_path / "fresh", encoder=ENCODER)
    assert folder_bytes(stored) == folder_bytes(tmp_path / "fresh")


def test_forgetting_is_all_or_nothing(stored: Path, tmp_path: Path) -> None:
    before = folder_bytes(stored)
    with one_clear_error("the memory has no episode 'x': see memworld inspect for those it has"):
        forget_episodes(stored, ["e0", "x"])
    assert forget_episodes(stored, []) == 6
    assert folder_bytes(stored) == before
    with one_clear_error("none is no memory: it has no memory.json"):
        forget_episodes(tmp_path / "none", ["e0"])
    assert not (tmp_path / "none").exists()
    assert forget_episodes(stored, ["e0", "e1", "e2"]) == 0
    assert list((stored / "episodes").iterdir()) == []


def test_a_forgetting_that_was_killed_loses_no_other_episode(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            forget_episodes(stored, ["e1"])
    assert_same_memory(open_memory(stored), memory_of(episode(0), episode(2)))
    forget_episodes(stored, [])
    assert not list((stored / "episodes").glob("e1*"))
