"""What a check finds, what it can mend, and what must not be made worse by writing on."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from memworld.store import (
    check_memory,
    compact_memory,
    forget_episodes,
    go_back,
    open_memory,
    read_index,
    save_memory,
)
from tests.helpers import assert_same_memory, folder_bytes, one_clear_error, unless_refused, untrained_vae
from tests.store.contents import edit, files_with, newest_version
from tests.toy_memories import ENCODER, episode, memory_of

# The table


def test_a_check_names_every_damaged_file_of_the_table(aged: Path) -> None:
    files = sorted(
        file for file in (aged / "rows.lance").rglob("*") if file.suffix in (".lance", ".arrow", ".manifest")
    )
    assert {file.suffix for file in files} == {".lance", ".arrow", ".manifest"}
    for file in files:
        file.write_bytes(b"\0" * file.stat().st_size)
    found = check_memory(aged).problems
    assert len(found) == len(files)
    for file in files:
        assert sum(f"{file} is damaged: its size or SHA-256 is not the one written" in line for line in found) == 1


@pytest.mark.parametrize(
    "use",
    [
        lambda folder: compact_memory(folder),
        lambda folder: go_back(folder, 1),
        lambda folder: check_memory(folder, repair=True),
        lambda folder: forget_episodes(folder, ["e0"]),
    ],
    ids=["compact", "go back", "repair", "forget"],
)
@pytest.mark.parametrize("cut", [False, True])
def test_no_damaged_file_of_the_table_is_written_on(aged: Path, use: Callable[[Path], object], cut: bool) -> None:
    """What was damaged gets no new seal, and a memory whose rows are lost in part is not made one that has fewer."""
    frame = episode(2).observations[2].tobytes()
    [name] = files_with(aged / "rows.lance", frame)
    file = aged / "rows.lance" / name
    content = file.read_bytes()
    file.write_bytes(content[:100] if cut else content.replace(frame, bytes(16)))
    unless_refused(lambda: use(aged))
    assert any(file.name in problem for problem in check_memory(aged).problems)
    assert set(open_memory(aged).ids) >= {"e2", "e3"}


def test_a_table_that_holds_something_else_is_found(stored: Path, tmp_path: Path) -> None:
    """Its seals fit, as of one that came from elsewhere as a whole."""
    other = memory_of(episode(0), episode(5, 2, id="e1"), episode(2))
    save_memory(other, tmp_path / "other")
    shutil.rmtree(stored / "rows.lance")
    shutil.copytree(tmp_path / "other/rows.lance", stored / "rows.lance")
    theirs = json.loads((tmp_path / "other/versions/00000001.json").read_text())
    edit(stored / "versions/00000001.json", lambda value: value.update(table=theirs["table"], files=theirs["files"]))
    [problem] = check_memory(stored).problems
    assert "episode e1 is not the same in the table and in the arrays" in problem
    assert check_memory(stored, apart=True).problems == (problem,)


# The encoder


def test_the_encoder_of_another_memory_is_found(aged: Path) -> None:
    untrained_vae((4, 4, 1), (2,), seed=1).save(aged / "encoder")
    [problem] = check_memory(aged).problems
    assert "encoder holds another encoder than the one that made the memory: restore it" in problem


# Repair


def damage_arrays(folder: Path, how: str) -> None:
    number = folder / "arrays" / str(json.loads(newest_version(folder).read_text())["arrays"])
    if how == "gone":
        shutil.rmtree(folder / "arrays")
    elif how == "list":
        (number / "episodes.jsonl").write_bytes(b"")
    elif how == "cut":
        (number / "z.bin").write_bytes(b"")
    else:
        content = bytearray((number / "rewards.bin").read_bytes())
        content[5] ^= 1
        (number / "rewards.bin").write_bytes(content)


@pytest.mark.parametrize("how", ["gone", "list", "cut", "flipped"])
def test_damaged_arrays_are_made_anew_from_the_table(aged: Path, how: str) -> None:
    damage_arrays(aged, how)
    with one_clear_error("make it anew from the table: memworld check --repair"):
        open_memory(aged)
    assert check_memory(aged).problems
    found = check_memory(aged, repair=True)
    assert (found.episodes, found.rows, found.problems) == (3, 11, ())
    assert found.versions[-1].change == "arrays made anew"
    assert_same_memory(open_memory(aged), memory_of(*map(episode, (0, 2, 3))))
    assert [child.name for child in (aged / "arrays").iterdir()] == [str(found.versions[-1].arrays)]
    go_back(aged, 1)
    assert_same_memory(open_memory(aged), memory_of(*map(episode, range(3))))


def test_a_repair_of_what_is_sound_does_nothing(aged: Path) -> None:
    before = folder_bytes(aged)
    assert check_memory(aged, repair=True).problems == ()
    assert folder_bytes(aged) == before


def test_what_cannot_be_repaired_is_said(aged: Path) -> None:
    damage_arrays(aged, "cut")
    for file in (aged / "rows.lance/data").iterdir():
        file.write_bytes(b"")
    with one_clear_error("is damaged: its size or SHA-256 is not the one written; restore it"):
        check_memory(aged, repair=True)
    assert read_index(aged)[1] == 3


def test_a_memory_grows_on_after_a_repair(aged: Path) -> None:
    damage_arrays(aged, "flipped")
    check_memory(aged, repair=True)
    memory = open_memory(aged)
    memory.append(episode(5), ENCODER)
    save_memory(memory, aged, "resume")
    assert_same_memory(open_memory(aged), memory_of(*map(episode, (0, 2, 3, 5))))
    assert check_memory(aged).problems == ()
