"""Pulling from a folder: only what a memory needs, checked before it counts."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memworld.sharing import pull, pull_memory, push_memory
from memworld.sharing.trying import problems
from memworld.store import INDEX, open_memory, save_memory
from memworld.store.versions import _digest
from memworld.world_model import WorldModel
from tests.helpers import assert_same_memory, folder_bytes, one_clear_error
from tests.toy_memories import ENCODER, GOLDEN, memory_of


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tried by another process, which takes seconds: for what is refused before that, or after."""
    monkeypatch.setattr(pull, "problems_apart", problems)


def rewrite(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a file of JSON as one would who knows how its digest is made."""
    value = json.loads(file.read_text())
    value.pop("sha256", None)
    change(value)
    file.write_text(json.dumps({**value, "sha256": _digest(value)}))


# What is taken


def test_what_is_pulled_is_what_was_pushed(made: Path, tmp_path: Path) -> None:
    found = pull_memory(made / "pushed", tmp_path / "deep/out")
    before, after = folder_bytes(made / "pushed"), folder_bytes(tmp_path / "deep/out")
    assert after == before
    assert (found.path, found.episodes, found.rows) == (tmp_path / "deep/out", 3, 30)
    assert (found.files, found.bytes) == (len(after), sum(map(len, after.values())))
    assert_same_memory(open_memory(tmp_path / "deep/out"), open_memory(made / "memory"))
    assert WorldModel.open(tmp_path / "deep/out").memory.ids == ("e7", "e8", "e9")
    assert [child.name for child in (tmp_path / "deep").iterdir()] == ["out"]


def test_of_a_memory_in_use_only_what_counts_is_taken(memory: Path, tmp_path: Path, trusted: None) -> None:
    for stray in ("run.sh", "encoder/run.sh", "arrays/2/run.bin", "rows.lance/run.py", "figures/x.html", "arrays/7"):
        (memory / stray).parent.mkdir(exist_ok=True)
        (memory / stray).write_text("harm")
    for name in ("mu.bin", "ends.bin", "episodes.jsonl"):  # as an append leaves them that does not count yet
        with (memory / "arrays/2" / name).open("ab") as file:
            file.write(b"more")
    pull_memory(memory, tmp_path / "out")
    assert_same_memory(open_memory(tmp_path / "out"), open_memory(memory))
    names = set(folder_bytes(tmp_path / "out"))
    assert not any("run" in name or name.startswith(("learned", "figures", "README")) for name in names)
    assert {name for name in names if name.startswith("versions")} == {"versions/00000003.json"}
    assert (tmp_path / "out/arrays/2/mu.bin").stat().st_size == 30 * 2 * 4
    push_memory(tmp_path / "out", tmp_path / "further")  # and it is a memory as any other
    assert_same_memory(open_memory(tmp_path / "further"), open_memory(memory))


# What is not


Change = Callable[[Path], object]


def link(name: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).rename(folder.parent / "victim")
        (folder / name).symlink_to(folder.parent / "victim")

    return change


def named(new: str) -> Change:
    """Let the version name another file of the table."""

    def change(folder: Path) -> None:
        def rename(version: dict[str, Any]) -> None:
            seal = version["files"].popitem()[1]
            version["files"][new] = seal

        rewrite(folder / "versions/00000001.json", rename)

    return change


def sized(size: int, **where: str) -> Change:
    """Let the version claim another size of something."""

    def change(folder: Path) -> None:
        def resize(version: dict[str, Any]) -> None:
            if where["of"] == "file":
                next(iter(version["files"].values()))["bytes"] = size
            elif where["of"] == "listing":
                version["listing"]["bytes"] = size
            else:
                version["rows"] = size

        rewrite(folder / "versions/00000001.json", resize)

    return change


def longer(name: str) -> Change:
    def change(folder: Path) -> None:
        [file] = folder.glob(name)
        with file.open("ab") as opened:
            opened.truncate(1 << 38)  # a file of holes, which takes no space there

    return change


def shorter(name: str) -> Change:
    return lambda folder: os.truncate(folder / name, 3)


def folder_for_card(folder: Path) -> None:
    (folder / "README.md").unlink()
    (folder / "README.md").mkdir()


def fifo(folder: Path) -> None:
    (folder / "README.md").unlink()
    os.mkfifo(folder / "README.md")


REFUSED: dict[str, tuple[Change, str]] = {
    "nothing": (shutil.rmtree, "pushed is no folder: give the folder of a memory, or hub:owner/name"),
    "no memory": (lambda f: (f / INDEX).unlink(), "pushed holds no whole memory: it has no memory.json"),
    "no version": (lambda f: (f / "versions/00000001.json").unlink(), "it has no versions/00000001.json"),
    "no array": (lambda f: (f / "arrays/1/z.bin").unlink(), "it has no arrays/1/z.bin"),
    "no table": (lambda f: shutil.rmtree(f / "rows.lance"), "it has no rows.lance/"),
    "no encoder": (lambda f: (f / "encoder/encoder.json").unlink(), "it has no encoder/encoder.json"),
    "a folder": (folder_for_card, "README.md is no file"),
    "a pipe": (fifo, "README.md is no file: put one in its place"),
    "a link": (link("memory.json"), "memory.json is a link, which could lead outside"),
    "a linked folder": (link("arrays"), "arrays is a link"),
    "a link within": (link("encoder/encoder.safetensors"), "encoder.safetensors is a link"),
    "a linked card": (link("README.md"), "README.md is a link"),
    "outside": (named("../../../outside"), "is damaged .ValueError: file '../../../outside'"),
    "absolute": (named("/etc/passwd"), "is damaged .ValueError: file '/etc/passwd'"),
    "hidden": (named("data/.bashrc"), "part of a file's name '.bashrc' cannot be a file name"),
    "patterns": (named("data/*"), "part of a file's name '\\*' cannot be a file name"),
    "a huge file": (longer("rows.lance/data/*.lance"), "cannot be taken: rows.lance/data/.* has 274877906944 bytes"),
    "a huge index": (longer("memory.json"), "memory.json has 274877906944 bytes, and may have at most 67108864"),
    "a huge encoder": (longer("encoder/encoder.safetensors"), "encoder.safetensors has .* may have at most"),
    "a huge card": (longer("README.md"), "README.md has .* may have at most"),
    "a short array": (shorter("arrays/1/mu.bin"), "arrays/1/mu.bin has 3 bytes, and must have 240"),
    "a huge claim": (sized(1 << 60, of="file"), "and must have 1152921504606846976"),
    "a huge list": (sized(1 << 60, of="listing"), "episodes.jsonl has .* bytes, and must have 1152921504606846976"),
    "huge arrays": (sized(1 << 50, of="rows"), "mu.bin has 240 bytes, and must have 9007199254740992"),
    "less than is there": (sized(1, of="file"), "bytes, and must have 1"),
    "a damaged index": (lambda f: (f / INDEX).write_text("[" * 100_000), "memory.json is damaged"),
    "a damaged version": (lambda f: (f / "versions/00000001.json").write_text("{}"), "00000001.json is damaged"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_does_not_belong_to_a_memory_is_refused_before_it_is_copied(
    pushed: Path, memory: Path, monkeypatch: pytest.MonkeyPatch, case: str, overwrite: bool
) -> None:
    change, match = REFUSED[case]
    change(pushed)
    output = memory if overwrite else pushed.parent / "out"
    before = folder_bytes(output)
    monkeypatch.setattr(pull, "problems_apart", lambda folder: pytest.fail("it was all copied"))
    with one_clear_error(match):
        pull_memory(pushed, output, overwrite=overwrite)
    assert folder_bytes(output) == before
    assert {child.name for child in pushed.parent.iterdir()} <= {"memory", "pushed", "victim"}


def test_messages_name_the_source_and_not_where_it_lies_for_the_moment(pushed: Path, tmp_path: Path) -> None:
    (pushed / "versions/00000001.json").write_text("{")
    with one_clear_error(str(pushed / "versions/00000001.json")):
        pull_memory(pushed, tmp_path / "out")


def test_memories_that_have_nothing_to_take(tmp_path: Path) -> None:
    save_memory(memory_of(), tmp_path / "empty", encoder=ENCODER)
    with one_clear_error("empty is empty: there is nothing to take"):
        pull_memory(tmp_path / "empty", tmp_path / "out")
    with one_clear_error("memory-v1 is of the first format: push it with memworld push, which writes it anew"):
        pull_memory(GOLDEN / "memory-v1", tmp_path / "out")
    with one_clear_error("memory-v1 is a folder, which has no revisions: leave --revision out"):
        pull_memory(GOLDEN / "memory-v1", tmp_path / "out", revision="main")
    assert not (tmp_path / "out").exists()


def test_outputs_that_must_not_be(pushed: Path, tmp_path: Path) -> None:
    before = folder_bytes(tmp_path)
    for output, match in (
        (pushed, "pushed is, contains or lies in .*pushed: name another folder"),
        (pushed / "below", "below is, contains or lies in"),
        (tmp_path, "is, contains or lies in"),
        (tmp_path / "memory.json/x", "memory.json is a file: name a folder"),
    ):
        (tmp_path / "memory.json").write_text("")
        with one_clear_error(match):
            pull_memory(pushed, output, overwrite=True)
        (tmp_path / "memory.json").unlink()
    assert folder_bytes(tmp_path) == before


def test_what_does_not_fit_on_the_disk_is_not_begun(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real(path)._replace(free=4000))
    with one_clear_error("pushed takes 0 MB, and 0 MB are free here: free space, or name another output"):
        pull_memory(made / "pushed", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


# What is found when it is tried


def flip(name: str) -> Change:
    def change(folder: Path) -> None:
        [file] = folder.glob(name)
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)

    return change


def other_frames(folder: Path) -> None:
    def change(index: dict[str, Any]) -> None:
        index["info"]["observation_shape"] = [4, 2, 1]

    rewrite(folder / INDEX, change)


TRIED: dict[str, tuple[Change, str]] = {
    "latents": (flip("arrays/1/mu.bin"), "episode e8 is damaged: its SHA-256 is not the one in the list"),
    "table": (flip("rows.lance/data/*"), "is damaged: its size or SHA-256 is not the one written"),
    "manifest": (flip("rows.lance/_versions/*"), "is damaged: its size or SHA-256"),
    "encoder": (flip("encoder/encoder.safetensors"), "are not those that were saved"),
    "frames of another size": (other_frames, "its frames have other sizes than 8 bytes"),
}


@pytest.mark.parametrize("case", TRIED)
def test_damage_is_found_before_anything_is_replaced(pushed: Path, memory: Path, trusted: None, case: str) -> None:
    change, match = TRIED[case]
    change(pushed)
    before = folder_bytes(memory)
    with one_clear_error(f"pushed was not taken: .*{match}"):
        pull_memory(pushed, memory, overwrite=True)
    assert folder_bytes(memory) == before
    assert sorted(child.name for child in memory.parent.iterdir()) == ["memory", "pushed"]


def test_another_process_finds_it_too_and_names_the_source(pushed: Path, memory: Path) -> None:
    flip("encoder/encoder.safetensors")(pushed)
    before = folder_bytes(memory)
    with one_clear_error(f"{pushed} was not taken: .*{pushed}/encoder are not those that were saved"):
        pull_memory(pushed, memory, overwrite=True)
    assert folder_bytes(memory) == before


def test_a_memory_that_ends_who_reads_it_ends_another_process(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dies").write_text("#!/bin/sh\nkill -9 $$\n")
    (tmp_path / "dies").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "dies"))
    with one_clear_error("pushed was not taken: reading it ended the process .-9."):
        pull_memory(made / "pushed", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_memory_that_is_there_is_replaced_if_that_is_asked_for(
    made: Path, memory: Path, tmp_path: Path, trusted: None
) -> None:
    before = folder_bytes(memory)
    with one_clear_error("memory exists and is not empty: name another folder, or use --overwrite"):
        pull_memory(made / "pushed", memory)
    assert folder_bytes(memory) == before
    pull_memory(made / "pushed", memory, overwrite=True)
    assert folder_bytes(memory) == folder_bytes(made / "pushed")
    assert [child.name for child in tmp_path.iterdir()] == ["memory"]
