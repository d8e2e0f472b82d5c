"""Saving into folders that hold something already, and what refuses to be saved."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from memworld.encoders import open_encoder
from memworld.episodes import Episode
from memworld.memory import Memory
from memworld.store import (
    check_memory,
    compact_memory,
    forget_episodes,
    open_memory,
    save_memory,
    version_numbers,
)
from tests.helpers import assert_same_memory, folder_bytes, one_clear_error, untrained_vae
from tests.store.contents import assert_same_stored, lasting_bytes
from tests.toy_memories import BOX, ENCODER, INFO, SHAPE, episode, memory_of


def unchanged(folder: Path) -> dict[str, tuple[int, int]]:
    """What would tell that a file was written again."""
    files = (p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): (p.stat().st_ino, p.stat().st_size) for p in files}


# Bringing up to date


def test_saving_again_writes_what_is_missing_and_removes_what_was_removed(stored: Path, tmp_path: Path) -> None:
    before = unchanged(stored)
    memory = memory_of(episode(2), episode(1), episode(3), episode(0))
    memory.remove(["e1"])
    save_memory(memory, stored, "resume")
    after = unchanged(stored)
    # Rows that stay are not written to the table again.
    assert all(after[name] == before[name] for name in before if name.startswith("rows.lance/data/"))
    assert open_memory(stored).ids == ("e0", "e2", "e3")  # in order of arrival there
    save_memory(memory_of(episode(0), episode(2), episode(3)), tmp_path / "fresh", encoder=ENCODER)
    assert_same_stored(stored, tmp_path / "fresh")


def test_appending_leaves_what_was_there_in_its_place(stored: Path) -> None:
    before = lasting_bytes(stored)
    memory = open_memory(stored)
    memory.append(episode(3), ENCODER)
    save_memory(memory, stored, "resume")
    after = lasting_bytes(stored)
    for name, content in before.items():
        assert name == "memory.json" or after[name].startswith(content), name


def test_saving_what_is_there_already_changes_nothing(stored: Path) -> None:
    before = lasting_bytes(stored)
    for memory in (open_memory(stored), memory_of(episode(1)), memory_of()):
        save_memory(memory, stored, "resume", encoder=ENCODER)
    assert lasting_bytes(stored) == before


def test_what_was_removed_is_found_no_more(stored: Path) -> None:
    memory = open_memory(stored)
    memory.remove(["e1"])
    save_memory(memory, stored, "resume")
    assert_same_memory(open_memory(stored), memory_of(episode(0), episode(2)))
    memory.remove(["e0", "e2"])
    save_memory(memory, stored, "resume")
    assert len(open_memory(stored)) == 0
    assert check_memory(stored).problems == ()
    save_memory(memory_of(episode(4)), stored, "resume")
    assert_same_memory(open_memory(stored), memory_of(episode(4)))


@pytest.mark.parametrize(
    "changed",
    [
        episode(1, 9),  # longer
        replace(episode(1), observations=255 - episode(1).observations),
        replace(episode(1), rewards=-episode(1).rewards),
        replace(episode(1), actions=3 - episode(1).actions),
        replace(episode(1), source={"other": 1}),
    ],
)
def test_another_episode_under_a_stored_id_replaces_it_once_that_is_removed(
    stored: Path, tmp_path: Path, changed: Episode
) -> None:
    other, before = memory_of(changed), lasting_bytes(stored)
    with one_clear_error("holds another episode e1: remove it from this memory first, or rename it"):
        save_memory(other, stored, "resume")
    assert lasting_bytes(stored) == before
    memory = open_memory(stored)
    memory.remove(["e1"])
    memory.append(changed, ENCODER)
    save_memory(memory, stored, "resume")
    save_memory(memory_of(episode(0), episode(2), changed), tmp_path / "fresh", encoder=ENCODER)
    assert_same_stored(stored, tmp_path / "fresh")
    assert check_memory(stored).problems == ()


def test_overwriting_starts_anew(stored: Path, tmp_path: Path) -> None:
    forget_episodes(stored, ["e0"])
    (stored / "notes.txt").write_text("of the memory that was")
    save_memory(memory_of(episode(3), seed=4), stored, "overwrite", encoder=ENCODER)
    save_memory(memory_of(episode(3), seed=4), tmp_path / "fresh", encoder=ENCODER)
    assert_same_stored(stored, tmp_path / "fresh")
    assert version_numbers(stored) == [1]
    assert not (stored / "notes.txt").exists()


def test_a_memory_cannot_overwrite_the_folder_that_holds_its_frames(stored: Path, tmp_path: Path) -> None:
    before = folder_bytes(stored)
    (tmp_path / "link").symlink_to(stored)
    for folder in (stored, tmp_path / "link"):
        with one_clear_error("own frames are in .*, so it cannot be overwritten: use --resume, or name another"):
            save_memory(open_memory(stored), folder, "overwrite")
    assert folder_bytes(stored) == before


def test_a_memory_without_frames_can_overwrite_its_own_folder(tmp_path: Path) -> None:
    save_memory(memory_of(episode(0), episode(1), keep_frames=False), tmp_path / "memory")
    memory = open_memory(tmp_path / "memory")
    memory.append(episode(2), ENCODER)
    save_memory(memory, tmp_path / "memory", "overwrite")
    assert_same_memory(memory, memory_of(episode(0), episode(1), episode(2), keep_frames=False))
    assert_same_memory(open_memory(tmp_path / "memory"), memory)


def test_the_encoder_is_saved_whenever_it_is_given(stored: Path) -> None:
    shutil.rmtree(stored / "encoder")
    assert check_memory(stored).problems == ()
    save_memory(open_memory(stored), stored, "resume")
    assert not (stored / "encoder").exists()
    save_memory(open_memory(stored), stored, "resume", encoder=ENCODER)
    assert open_encoder(stored / "encoder").fingerprint == ENCODER.fingerprint


def test_an_empty_memory_is_one_too(tmp_path: Path) -> None:
    save_memory(memory_of(), tmp_path / "memory", encoder=ENCODER)
    assert open_memory(tmp_path / "memory").ids == ()
    assert check_memory(tmp_path / "memory").problems == ()
    compact_memory(tmp_path / "memory")
    save_memory(memory_of(episode(0)), tmp_path / "memory", "resume")
    assert_same_memory(open_memory(tmp_path / "memory"), memory_of(episode(0)))


# Refusals


@pytest.mark.parametrize(
    ("memory", "match"),
    [
        (lambda: memory_of(episode(0), seed=1), "holds a memory with seed 0, this one has 1: name another folder"),
        (lambda: memory_of(episode(0), keep_frames=False), "frames True, this one has False"),
        (
            lambda: memory_of(episode(0), encoder=untrained_vae(SHAPE, (2,), seed=1)),
            "encoder [0-9a-f]{64}, this one has [0-9a-f]{64}: name another folder, or use --overwrite",
        ),
        (lambda: Memory(replace(INFO, world="else"), ENCODER), "world toy, this one has else"),
        (lambda: Memory(replace(INFO, action_space=BOX), ENCODER), "action_space .*'Discrete'.*, this one has .*'Box'"),
        (lambda: Memory(replace(INFO, state_names=("x",)), ENCODER), r"state_names \[\], this one has \['x'\]"),
    ],
)
def test_a_folder_of_another_memory(stored: Path, memory: Callable[[], Memory], match: str) -> None:
    before = lasting_bytes(stored)
    with one_clear_error(match):
        save_memory(memory(), stored, "resume")
    assert lasting_bytes(stored) == before


def test_refusals_that_leave_everything_as_it_was(stored: Path) -> None:
    before = folder_bytes(stored)
    memory, other = memory_of(episode(0)), untrained_vae(SHAPE, (2,), seed=1)
    with one_clear_error("memory exists and is not empty: name another, or use --resume or --overwrite"):
        save_memory(memory, stored)
    for mode in ("error", "resume", "overwrite"):
        with one_clear_error("the memory was made by encoder"):
            save_memory(memory, stored, mode, encoder=other)
    with one_clear_error("holds no memory.json of a memworld memory, so it is not memworld's to overwrite"):
        save_memory(memory, stored / "encoder", "overwrite")
    assert folder_bytes(stored) == before


def test_folders_that_cannot_be_made(stored: Path) -> None:
    with one_clear_error("memory.json/below cannot be written"):
        save_memory(memory_of(episode(0)), stored / "memory.json/below")
    with one_clear_error("memory.json is a file: name a folder"):
        save_memory(memory_of(episode(0)), stored / "memory.json")
    for part in ("arrays", "versions"):
        (stored / part).rename(stored / "aside")
        (stored / part).write_bytes(b"")
        with one_clear_error(part):
            save_memory(memory_of(episode(0)), stored, "resume")
        (stored / part).unlink()
        (stored / "aside").rename(stored / part)
    assert check_memory(stored).problems == ()
