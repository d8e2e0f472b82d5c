"""Pushing to a folder: what counts, and nothing that was removed."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memworld.sharing import copying, push_memory, replacing
from memworld.storage import locked
from memworld.store import (
    check_memory,
    compact_memory,
    forget_episodes,
    open_memory,
    opening,
    read_version,
    save_memory,
)
from memworld.world_model import WorldModel
from tests.helpers import assert_same_memory, folder_bytes, one_clear_error
from tests.sharing.conftest import GONE
from tests.toy_memories import ENCODER, GOLDEN, episode, memory_of


def holds(folder: Path, bits: bytes) -> bool:
    return any(bits in content for content in folder_bytes(folder).values())


# What is pushed


def test_what_counts_is_pushed_and_nothing_else(made: Path) -> None:
    pushed = made / "pushed"
    assert_same_memory(open_memory(pushed), open_memory(made / "memory"))
    assert WorldModel.open(pushed).memory.ids == ("e7", "e8", "e9")
    [version] = check_memory(pushed).versions
    assert check_memory(pushed).problems == ()
    arrays = {f"arrays/1/{name}.bin" for name in ("mu", "sigma", "z", "actions", "rewards", "ends")}
    assert set(folder_bytes(pushed)) == {
        "README.md",
        "memory.json",
        "versions/00000001.json",
        "arrays/1/episodes.jsonl",
        "encoder/encoder.json",
        "encoder/encoder.safetensors",
        "figures/strip.png",
        "figures/coverage.png",
        *arrays,
        *(f"rows.lance/{name}" for name in version.files),
    }
    rows = version.rows
    sizes = {name: len(content) for name, content in folder_bytes(pushed).items()}
    assert (sizes["arrays/1/mu.bin"], sizes["arrays/1/ends.bin"]) == (rows * 2 * 4, rows)


def test_nothing_of_a_removed_episode_is_pushed(made: Path) -> None:
    latents = memory_of(GONE).episodes[0].latents
    marks = [
        GONE.id.encode(),
        GONE.observations[2].tobytes(),
        latents.mu.numpy().tobytes(),
        latents.z[1].numpy().tobytes(),
    ]
    for mark in marks:
        assert not holds(made / "pushed", mark)
    assert holds(made / "memory", marks[0])  # so that this could fail
    assert holds(made / "memory", marks[1])


def test_a_push_changes_nothing_in_the_memory(memory: Path, tmp_path: Path) -> None:
    before = folder_bytes(memory)
    push_memory(memory, tmp_path / "out")
    assert folder_bytes(memory) == before
    assert sorted(child.name for child in tmp_path.iterdir()) == ["memory", "out"]


def test_a_memory_of_the_first_format_is_pushed_in_the_present_one(tmp_path: Path) -> None:
    found = push_memory(GOLDEN / "memory-v1", tmp_path / "deep/out")
    assert (found.place, found.url, found.episodes, found.rows) == (str(tmp_path / "deep/out"), None, 2, 6)
    assert (found.files, found.bytes) == (
        len(folder_bytes(tmp_path / "deep/out")),
        sum(map(len, folder_bytes(tmp_path / "deep/out").values())),
    )
    assert_same_memory(open_memory(tmp_path / "deep/out"), open_memory(GOLDEN / "memory-v1"))
    assert read_version(tmp_path / "deep/out", 1).rows == 6


# What cannot be pushed


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"license": "Creative Commons"}, "license 'Creative Commons' is no identifier: use one of https://"),
        ({"license": "mit\ntags: x"}, "license 'mit tags: x' is no identifier"),
        ({"message": "hello"}, "--message is of the hub, and .*out is a folder: leave it out, or give hub:owner/name"),
        ({"private": True}, "--private is of the hub"),
        ({"destination": "https://huggingface.co/datasets/a/b"}, "is an address: give hub:owner/name, or the path"),
        ({"destination": "hub:pong"}, "hub:pong is no place on the hub: give hub:owner/name"),
        ({"destination": "hub:a/b/c"}, "hub:a/b/c is no place on the hub"),
        ({"path": "none"}, "none is no memory: nothing is there"),
    ],
)
def test_refusals_that_write_nothing(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], match: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with one_clear_error(match):
        arguments: dict[str, Any] = {"path": made / "memory", "destination": "out"} | given
        push_memory(**arguments)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_memory_and_one_without_encoder_are_not_pushed(memory: Path, tmp_path: Path) -> None:
    save_memory(memory_of(), tmp_path / "empty", encoder=ENCODER)
    with one_clear_error("empty is empty: remember at least one episode first"):
        push_memory(tmp_path / "empty", tmp_path / "out")
    shutil.rmtree(memory / "encoder")
    with one_clear_error("memory has no encoder, without which nobody can use it: save it with its encoder"):
        push_memory(memory, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_memory_is_not_pushed_onto_itself(memory: Path) -> None:
    before = folder_bytes(memory)
    (memory.parent / "link").symlink_to(memory)
    for place in (memory, memory / "below", memory.parent, memory.parent / "link"):
        with one_clear_error("is, contains or lies in .*memory: name another folder"):
            push_memory(memory, place, overwrite=True)
    assert folder_bytes(memory) == before


@pytest.mark.parametrize(
    "file", ["arrays/2/mu.bin", "arrays/2/rewards.bin", "rows.lance/data/*", "encoder/*.safetensors"]
)
@pytest.mark.parametrize("checked", [0, 1 << 26])
def test_damage_is_not_handed_on(
    memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, checked: int
) -> None:
    [victim, *_] = memory.glob(file)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    # Of large memories nothing is compared when they are opened.
    monkeypatch.setattr(opening, "_CHECKED_UP_TO", checked)
    with one_clear_error("damaged|not those that were saved"):
        push_memory(memory, tmp_path / "out")
    assert sorted(child.name for child in tmp_path.iterdir()) == ["memory"]


# Others who write meanwhile


def meanwhile(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Let another change the memory between its opening and its copying."""

    def changed(*arguments: Any, **named: Any) -> None:
        change()
        save_memory(*arguments, **named)

    monkeypatch.setattr(copying, "save_memory", changed)


def test_what_is_appended_meanwhile_is_not_pushed(
    memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_memory(memory)
    meanwhile(monkeypatch, lambda: save_memory(memory_of(episode(5)), memory, "resume"))
    push_memory(memory, tmp_path / "out")
    assert_same_memory(open_memory(tmp_path / "out"), before)
    assert "e5" in open_memory(memory).ids


def test_what_is_erased_meanwhile_makes_one_clear_error(
    memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def erase() -> None:
        forget_episodes(memory, ["e7"])
        compact_memory(memory)

    meanwhile(monkeypatch, erase)
    with one_clear_error("memory was changed by another process while it was copied: push it again"):
        push_memory(memory, tmp_path / "out")
    assert sorted(child.name for child in tmp_path.iterdir()) == ["memory"]


# What is there already


def test_a_folder_is_replaced_only_if_that_is_asked_for_and_it_is_a_memory(
    made: Path, pushed: Path, tmp_path: Path
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.txt").write_text("years of work")
    (tmp_path / "file").write_text("")
    before = folder_bytes(tmp_path)
    refused: list[tuple[str, bool, str]] = [
        ("pushed", False, "pushed exists and is not empty: name another folder, or use --overwrite"),
        ("thesis", False, "thesis exists and is not empty"),
        ("thesis", True, "thesis holds no memory, so it is not memworld's to overwrite: name another folder"),
        ("file", True, "output .*file is a file: name a folder"),
    ]
    for name, overwrite, match in refused:
        with one_clear_error(match):
            push_memory(made / "memory", tmp_path / name, overwrite=overwrite)
        assert folder_bytes(tmp_path) == before
    (pushed / "stray").write_text("")
    push_memory(made / "memory", tmp_path / "pushed", overwrite=True)
    assert not (pushed / "stray").exists()
    assert_same_memory(open_memory(pushed), open_memory(made / "memory"))
    shutil.rmtree(pushed)
    pushed.mkdir()  # an empty one holds nothing to ask about
    push_memory(made / "memory", pushed)
    assert open_memory(pushed).ids == ("e7", "e8", "e9")


@pytest.mark.parametrize("at_once", [True, False])
def test_a_failed_push_leaves_what_was_there(
    memory: Path, pushed: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    before, rename = folder_bytes(pushed), Path.rename
    if not at_once:
        monkeypatch.setattr(replacing, "_exchange", lambda one, other: False)

    def refused(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError(28, "No space left on device")
        return rename(path, target)

    def full(one: Path, other: Path) -> bool:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(*((replacing, "_exchange", full) if at_once else (Path, "rename", refused)))
        with one_clear_error("cannot write .*pushed .No space left on device.: free space"):
            push_memory(memory, pushed, overwrite=True)
    assert folder_bytes(pushed) == before
    assert sorted(child.name for child in pushed.parent.iterdir()) == ["memory", "pushed"]
    push_memory(memory, pushed, overwrite=True)
    assert set(folder_bytes(pushed)) != set(before)  # Lance's files have other names


class Killed(BaseException):
    """A kill; unlike an error, nothing handles it."""


def test_what_a_kill_left_is_put_back_and_cleared_away(
    memory: Path, pushed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, rename = folder_bytes(pushed), Path.rename

    def killed(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise Killed
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(replacing, "_exchange", lambda one, other: False)
        patch.setattr(Path, "rename", killed)
        patch.setattr(replacing, "_clear", partial(_only_at_first, replacing._clear, []))
        patch.setattr(replacing, "delete", lambda path: None)
        with pytest.raises(Killed):
            push_memory(memory, pushed, overwrite=True)
    assert not pushed.exists()
    assert folder_bytes(pushed.parent / ".tmp-pushed/old") == before
    with one_clear_error("pushed exists and is not empty"):  # for it is back
        push_memory(memory, pushed)
    assert folder_bytes(pushed) == before
    assert sorted(child.name for child in pushed.parent.iterdir()) == ["memory", "pushed"]


def _only_at_first(real: Callable[..., None], calls: list[int], *arguments: Path) -> None:
    """What comes before the kill is done, what would tidy up after it is not."""
    if not calls:
        real(*arguments)
    calls.append(1)


def test_one_writer_at_a_time(memory: Path, pushed: Path) -> None:
    before = folder_bytes(pushed)
    for held in (pushed.parent / ".tmp-pushed", pushed):
        with locked(held), one_clear_error(f"another memworld is writing to {held}: wait for it"):
            push_memory(memory, pushed, overwrite=True)
    assert folder_bytes(pushed) == before


def test_a_link_to_a_folder_stays_a_link(memory: Path, pushed: Path) -> None:
    (pushed.parent / "link").symlink_to(pushed)
    before = set(folder_bytes(pushed))
    push_memory(memory, pushed.parent / "link", overwrite=True)
    assert (pushed.parent / "link").is_symlink()
    assert set(folder_bytes(pushed)) != before


def test_names_as_long_as_they_can_be(made: Path, tmp_path: Path) -> None:
    push_memory(made / "memory", tmp_path / ("n" * 255))
    assert [child.name for child in tmp_path.iterdir()] == ["n" * 255]


def test_frames_that_were_not_kept_are_not_missed(tmp_path: Path) -> None:
    save_memory(memory_of(episode(7), episode(8), keep_frames=False), tmp_path / "memory", encoder=ENCODER)
    push_memory(tmp_path / "memory", tmp_path / "out")
    assert open_memory(tmp_path / "out").ids == ("e7", "e8")
    assert np.array_equal(open_memory(tmp_path / "out").rows.steps, open_memory(tmp_path / "memory").rows.steps)
    assert "the frames themselves were not kept" in (tmp_path / "out/README.md").read_text()
