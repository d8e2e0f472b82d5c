"""Damaged files: one clear error, or found by a check; never a memory that is silently another."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memworld.memory import Memory
from memworld.store import (
    check_memory,
    compact_memory,
    forget_episodes,
    go_back,
    open_memory,
    save_memory,
)
from memworld.world_model import WorldModel
from tests.helpers import assert_same_memory, folder_bytes, one_clear_error, unless_refused
from tests.store.contents import edit, lasting_bytes, newest_version
from tests.toy_memories import episode, memory_of


def whole() -> Memory:
    return memory_of(*map(episode, (0, 2, 3)))


def is_what_it_was(folder: Path) -> bool:
    """Whether all that can be asked of a memory gives what was stored; it may be refused, but never be another."""

    def same() -> bool:
        assert_same_memory(WorldModel.open(folder).memory, whole())
        return True

    return bool(unless_refused(same))


def is_found(folder: Path) -> bool:
    """Whether a check says that something is wrong."""
    found = unless_refused(lambda: check_memory(folder))
    return found is None or bool(found.problems)


HARMS: dict[str, Callable[[bytes, np.random.Generator], bytes | None]] = {
    "missing": lambda content, rng: None,
    "empty": lambda content, rng: b"",
    "cut": lambda content, rng: content[: len(content) // 2],
    "without its last byte": lambda content, rng: content[:-1],
    "another first byte": lambda content, rng: bytes([content[0] ^ 1]) + content[1:],
    "another last byte": lambda content, rng: content[:-1] + bytes([content[-1] ^ 64]),
    "another byte": lambda content, rng: flipped(content, rng),
    "one more other byte": lambda content, rng: flipped(content, rng),
}


def means_the_same(content: bytes, other: bytes | None) -> bool:
    """Whether two JSON files say the same."""
    try:
        return other is not None and bool(json.loads(content) == json.loads(other))
    except ValueError:
        return False


def flipped(content: bytes, rng: np.random.Generator) -> bytes:
    place, bit = int(rng.integers(len(content))), int(rng.integers(8))
    return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


@pytest.mark.parametrize("harm", HARMS)
def test_harm_to_any_file_is_seen(aged: Path, tmp_path: Path, harm: str) -> None:
    rng = np.random.default_rng(list(harm.encode()))
    for name, content in lasting_bytes(aged).items():
        shutil.copytree(aged, tmp_path / "copy")
        file = tmp_path / "copy" / name
        new = HARMS[harm](content, rng)
        if new is None:
            file.unlink()
        else:
            file.write_bytes(new)
        # A blank may be another blank, an earlier version may be gone, and who trained an encoder has no seal.
        harmless = name.endswith(".json") and means_the_same(content, new)
        harmless |= new is None and name in ("versions/00000001.json", "versions/00000002.json")
        needed = name.startswith("arrays/") or name in ("memory.json", str(newest_version(aged).relative_to(aged)))
        assert is_found(tmp_path / "copy") or harmless or name == "encoder/encoder.json", name
        if needed and not harmless:
            assert not is_what_it_was(tmp_path / "copy"), name
        else:  # a file of the table is read when its frames are asked for, and never trusted before
            memory = unless_refused(lambda: open_memory(tmp_path / "copy"))
            if memory is not None and name.startswith("rows.lance"):
                frames = unless_refused(lambda memory=memory: memory.frames(range(len(memory))))  # type: ignore[misc]
                assert frames is None or np.array_equal(frames, whole().frames(range(11)))
        shutil.rmtree(tmp_path / "copy")


def test_a_sound_memory_is_what_it_was(aged: Path) -> None:
    assert is_what_it_was(aged)
    assert not is_found(aged)


# Memory.json


def put(**new: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda value: value.update(new)


def put_info(**new: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda value: value["info"].update(new)


def drop(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda value: value.pop(name)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (put(format=3), "memory.json cannot be used: format 3 is not 2, which this version reads: update memworld"),
        (put(format="2"), "format '2' is not 2"),
        (drop("format"), "memory.json is damaged .KeyError: 'format'.: restore it or remember the episodes again"),
        (drop("encoder"), "damaged .*'encoder'"),
        (drop("version"), "damaged .*'version'"),
        (put(version=-1), "damaged .*version -1"),
        (put(version=1.0), "damaged .*version 1.0"),
        (put(version=True), "damaged .*version True"),
        (put(version="1"), "damaged .*version '1'"),
        (put(version=9), "no version of a memory: it has no 00000009.json; restore it, or go back: memworld versions"),
        (put(version=10**30), f"it has no {10**30}.json; restore it"),
        (put(encoder=3), "memory.json is damaged .ValueError: encoder 3"),
        (put(encoder="\x1b[2J"), r"memory.json is damaged .ValueError: encoder '.x1b.2J'"),
        (put(seed=None), "memory.json is damaged .TypeError"),
        (put(seed=float("inf")), "memory.json is damaged .TypeError: seed inf"),
        (put(seed=True), "memory.json is damaged .TypeError: seed True"),
        (put(frames=1), "memory.json is damaged .TypeError: seed 0, frames 1"),
        (put(frames="false"), "memory.json is damaged"),
        (put(latent_shape=[2.0]), r"latent_shape \[2.0\]"),
        (put(latent_shape=[10**18, 8, 8]), r"memory.json is damaged .*latent_shape \[1000000000000000000, 8, 8\]"),
        (put(latent_shape=2), "memory.json is damaged"),
        (put(latent_shape=[]), r"memory.json is damaged .*latent_shape \[\]"),
        (put(latent_shape=[-2]), r"latent_shape \[-2\]"),
        (put(latent_shape=[3]), r"mu.bin is truncated: it has 72 bytes of 108"),
        (put_info(observation_shape=[4, 4]), "memory.json is damaged"),
        (put_info(observation_shape=[4, 4, 2]), "memory.json cannot be used: frames of shape"),
        (put_info(observation_shape=[2**40, 4, 1]), "memory.json is damaged .*observation_shape"),
        (put_info(action_space={"type": "Tuple"}), "memory.json cannot be used: unknown action space"),
        (put_info(action_space=None), "memory.json cannot be used: damaged action space"),
        (put(info=3), "memory.json is damaged"),
    ],
)
def test_a_changed_index_whose_seal_fits(stored: Path, change: Callable[[dict[str, Any]], Any], match: str) -> None:
    edit(stored / "memory.json", change)
    before = folder_bytes(stored)
    uses: list[Callable[[], object]] = [
        lambda: open_memory(stored),
        lambda: save_memory(memory_of(episode(0)), stored, "resume"),
        lambda: forget_episodes(stored, ["e0"]),
    ]
    for use in uses:
        with one_clear_error(match):
            use()
    assert folder_bytes(stored) == before


def entries(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all entries of a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [deeper for key, part in inner for deeper in [(*path, key), *entries(part, (*path, key))]]


@pytest.mark.parametrize("name", ["memory.json", "versions/00000001.json"])
@pytest.mark.parametrize("new", [None, -1, 2**70, 1.5, "x", {}, True])
def test_any_entry_that_is_another(stored: Path, name: str, new: Any) -> None:
    """With a seal that does not fit it is refused; with one that does, there is one clear error or a memory."""
    file, content = stored / name, (stored / name).read_text()
    for path in entries(json.loads(content)):

        def change(value: Any, path: tuple[Any, ...] = path) -> None:
            for key in path[:-1]:
                value = value[key]
            value[path[-1]] = new

        edit(file, change, seal=False)
        if json.dumps(json.loads(file.read_text())) != json.dumps(json.loads(content)):
            with one_clear_error(f"{file.name} (is damaged|cannot be used)"):
                open_memory(stored)
        edit(file, change)
        memory = unless_refused(lambda: open_memory(stored))
        if memory is not None:
            unless_refused(lambda memory=memory: memory.frames(range(len(memory))))  # type: ignore[misc]
        unless_refused(lambda: check_memory(stored))
        file.write_text(content)
    assert check_memory(stored).problems == ()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b'"x"', b"3", b"\xff\xfe", b"[" * 10**5])
@pytest.mark.parametrize("name", ["memory.json", "versions/00000001.json", "arrays/1/episodes.jsonl"])
def test_files_that_are_no_json_object(stored: Path, name: str, content: bytes) -> None:
    (stored / name).write_bytes(content)
    with one_clear_error(f"{name} is damaged"):
        open_memory(stored)


# Versions


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (put(number=2), "00000001.json is damaged .ValueError: number 2"),
        (put(rows=-1), "00000001.json is damaged"),
        (put(rows=0), "0 rows of 3 episodes"),
        (put(episodes=0), "9 rows of 0 episodes"),
        (put(rows=5), "5 rows of 3 episodes"),
        (put(rows=8), "episodes.jsonl is damaged .ValueError: 3 episodes of 9 rows, not 3 of 8"),
        (put(rows=10**15), "episodes.jsonl is damaged"),
        (put(arrays=7), "arrays/7/episodes.jsonl is missing: make it anew from the table: memworld check --repair"),
        (put(arrays=1.0), "00000001.json is damaged"),
        (put(listing={"bytes": 3, "sha256": ""}), "episodes.jsonl is damaged .ValueError: it is not what was written"),
        (put(listing={"bytes": "3", "sha256": ""}), "00000001.json is damaged"),
        (put(listing={"bytes": 3}), "00000001.json is damaged"),
        (put(files={"../../evil": {"bytes": 1, "sha256": ""}}), "00000001.json is damaged .ValueError: file"),
        (put(files={"data/x": {"bytes": "1", "sha256": ""}}), "00000001.json is damaged .TypeError: seal"),
        (put(more=1), "00000001.json is damaged .TypeError"),
        (drop("table"), None),
    ],
)
def test_a_changed_version_whose_seal_fits(
    stored: Path, change: Callable[[dict[str, Any]], Any], match: str | None
) -> None:
    edit(stored / "versions/00000001.json", change)
    if match is not None:
        with one_clear_error(match):
            open_memory(stored)
    assert is_found(stored)


def test_an_earlier_version_that_is_damaged_harms_only_itself(aged: Path) -> None:
    (aged / "versions/00000002.json").write_bytes(b"{")
    assert is_what_it_was(aged)
    [problem] = check_memory(aged).problems
    assert "00000002.json is damaged" in problem
    with one_clear_error("has no version 2 to go back to: it has 1, 3"):
        go_back(aged, 2)
    go_back(aged, 1)
    assert_same_memory(open_memory(aged), memory_of(*map(episode, range(3))))
    compact_memory(aged)  # which needs no earlier version
    assert check_memory(aged).problems == ()
