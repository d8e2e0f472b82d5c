"""Versions: what was done, the way back, and no way back from what was compacted."""

import importlib
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from memworld.datasets import DatasetInfo
from memworld.memory import Memory
from memworld.store import (
    LEARNED,
    Version,
    check_memory,
    compact_memory,
    forget_episodes,
    go_back,
    open_memory,
    read_index,
    read_version,
    save_memory,
    version_numbers,
    writing,
)
from memworld.store.versions import Seal
from tests.helpers import DISCRETE, assert_same_memory, make_episode, one_clear_error, untrained_vae
from tests.store.contents import files_with, lasting_bytes, newest_version
from tests.toy_memories import ENCODER, episode, memory_of


def append(folder: Path, *numbers: int) -> None:
    with writing(folder) as writer:
        writer.commit(append=memory_of(*map(episode, numbers)).episodes)


def assert_sound(folder: Path) -> None:
    assert check_memory(folder).problems == ()


def test_versions_say_what_was_done(stored: Path) -> None:
    append(stored, 3, 4)
    memory = open_memory(stored)
    memory.remove(["e0"])
    memory.append(episode(5), ENCODER)
    save_memory(memory, stored, "resume")
    forget_episodes(stored, ["e1", "e2"])
    go_back(stored, 2)
    with writing(stored) as writer:
        writer.commit(append=memory_of(episode(6)).episodes, change="a word of its own")
    versions = [read_version(stored, number) for number in version_numbers(stored)]
    assert [(v.number, v.change, v.episodes, v.rows) for v in versions] == [
        (1, "appended 3 episodes", 3, 9),
        (2, "appended 2 episodes", 5, 20),
        (3, "removed 1 episode, appended 1 episode", 5, 25),
        (4, "removed 2 episodes", 3, 18),
        (5, "went back to version 2", 5, 20),
        (6, "a word of its own", 6, 28),
    ]
    for version in versions:
        assert timedelta(0) <= datetime.now(UTC) - datetime.fromisoformat(version.time) < timedelta(hours=1)
    assert read_index(stored)[1] == 6
    found = check_memory(stored)
    assert (found.episodes, found.rows, found.versions) == (6, 28, tuple(versions))
    assert compact_memory(stored).change == "compacted"
    assert version_numbers(stored) == [7]


def test_what_was_forgotten_can_be_brought_back(stored: Path) -> None:
    whole = memory_of(episode(0), episode(1), episode(2))
    assert forget_episodes(stored, ["e1"]) == 4
    assert open_memory(stored).ids == ("e0", "e2")
    back = go_back(stored, 1)
    assert (back.number, back.change, back.episodes, back.rows) == (3, "went back to version 1", 3, 9)
    assert_same_memory(open_memory(stored), whole)
    assert_sound(stored)
    go_back(stored, 2)  # and forth again
    assert open_memory(stored).ids == ("e0", "e2")
    append(stored, 3)
    assert_same_memory(open_memory(stored), memory_of(*map(episode, (0, 2, 3))))
    assert_sound(stored)


def test_every_way_back_leads_where_it_should(stored: Path) -> None:
    """Through appends, removals and files that were written together, in any order."""
    states = [(), open_memory(stored).ids]
    for number in (3, 4):
        append(stored, number)
        states.append(open_memory(stored).ids)
        forget_episodes(stored, [f"e{number - 2}"])
        states.append(open_memory(stored).ids)
    for number in (4, 1, 5, 2, 3):
        go_back(stored, number)
        assert_same_memory(open_memory(stored), memory_of(*(episode(int(i[1:])) for i in states[number])))
    assert states[5] == ("e0", "e3", "e4")
    assert_sound(stored)


def test_going_back_to_an_empty_memory(tmp_path: Path) -> None:
    save_memory(memory_of(episode(0)), tmp_path / "memory")
    forget_episodes(tmp_path / "memory", ["e0"])
    go_back(tmp_path / "memory", 1)
    go_back(tmp_path / "memory", 2)
    assert len(open_memory(tmp_path / "memory")) == 0
    append(tmp_path / "memory", 1)
    assert_same_memory(open_memory(tmp_path / "memory"), memory_of(episode(1)))
    assert_sound(tmp_path / "memory")


@pytest.mark.parametrize("number", [-1, 0, 2, 10**9])
def test_versions_that_are_not_there(stored: Path, number: int) -> None:
    before = lasting_bytes(stored)
    with one_clear_error(f"memory has no version {number} to go back to: it has 1$"):
        go_back(stored, number)
    assert lasting_bytes(stored) == before


def test_only_so_many_versions_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing of the others stays on the disk."""
    kept = 6
    monkeypatch.setattr(importlib.import_module("memworld.store.writing"), "KEPT", kept)
    save_memory(memory_of(episode(0)), tmp_path / "memory")
    manifests = tmp_path / "memory/rows.lance/_versions"
    with writing(tmp_path / "memory") as writer:
        for number in range(1, kept + 4):
            writer.commit(append=memory_of(episode(0, id=f"e{number}")).episodes)
            writer.commit(remove=[f"e{number - 1}"])
        numbers = [version.number for version in check_memory(tmp_path / "memory").versions]
    last = 1 + 2 * (kept + 3)
    assert numbers == version_numbers(tmp_path / "memory") == list(range(last - kept + 1, last + 1))
    assert len(list(manifests.glob("*.manifest"))) == kept
    # Of each removed episode there is a file until the last version with it is dropped.
    assert len(list((tmp_path / "memory/rows.lance/data").iterdir())) <= kept // 2 + 2
    assert [child.name for child in (tmp_path / "memory/arrays").iterdir()] == [
        str(read_version(tmp_path / "memory", last).arrays)
    ]
    with one_clear_error(f"has no version {last - kept} to go back to"):
        go_back(tmp_path / "memory", last - kept)
    go_back(tmp_path / "memory", last - kept + 2)
    assert len(open_memory(tmp_path / "memory").ids) == 1
    assert_sound(tmp_path / "memory")


# Off the disk

SECRET = "a-telling-name"


@pytest.fixture
def told(tmp_path: Path) -> tuple[Path, dict[str, bytes]]:
    """A memory with an episode that nobody is to know of, and bytes by which it would be known."""
    shape, encoder, rng = (16, 16, 3), untrained_vae((16, 16, 3), (4,)), np.random.default_rng(0)
    memory = Memory(DatasetInfo(shape, DISCRETE), encoder)
    secret = make_episode(rng, 30, shape, id=SECRET)
    memory.extend([make_episode(rng, 20, shape, id="a"), secret, make_episode(rng, 20, shape, id="b")], encoder)
    save_memory(memory, tmp_path / "memory", encoder=encoder)
    latents = memory.episodes[1].latents
    needles = {
        "frame": secret.observations[17].tobytes(),
        "name": SECRET.encode(),
        "mu": latents.mu[9].numpy().tobytes(),
        "z": latents.z[9].numpy().tobytes(),
        "reward": secret.rewards[3:7].tobytes(),
    }
    return tmp_path / "memory", needles


def assert_gone(folder: Path, needles: dict[str, bytes]) -> None:
    assert {name: files_with(folder, needle) for name, needle in needles.items()} == {name: [] for name in needles}


def test_what_was_forgotten_is_off_the_disk_once_compacted(told: tuple[Path, dict[str, bytes]]) -> None:
    folder, needles = told
    for name, needle in needles.items():
        assert files_with(folder / "rows.lance", needle), f"the test would see no {name}"
    (folder / LEARNED).mkdir()
    (folder / LEARNED / "analogues.safetensors").write_bytes(needles["mu"])
    forget_episodes(folder, [SECRET])
    assert not (folder / LEARNED).exists()
    # The arrays know it no more; the table does, for the way back.
    assert {name.split("/")[0] for name in files_with(folder, needles["frame"])} == {"rows.lance"}
    assert not any(files_with(folder / "arrays", needle) for needle in needles.values())
    compact_memory(folder)
    assert_gone(folder, needles)
    assert open_memory(folder).ids == ("a", "b")
    assert_sound(folder)
    with one_clear_error("has no version 1 to go back to: it has 3$"):
        go_back(folder, 1)


@pytest.mark.parametrize(
    "way",
    [
        lambda folder: None,
        lambda folder: (go_back(folder, 1), forget_episodes(folder, [SECRET])),
        lambda folder: forget_episodes(folder, ["a"]),
        lambda folder: (forget_episodes(folder, ["a"]), go_back(folder, 3), forget_episodes(folder, ["b"])),
        lambda folder: [forget_episodes(folder, [name]) for name in ("a", "b")],
    ],
    ids=["at once", "back and forth", "after another", "back among others", "with all others"],
)
def test_whatever_came_between_it_is_off_the_disk(
    told: tuple[Path, dict[str, bytes]], way: Callable[[Path], object]
) -> None:
    folder, needles = told
    forget_episodes(folder, [SECRET])
    way(folder)
    if SECRET in open_memory(folder).ids:
        forget_episodes(folder, [SECRET])
    compact_memory(folder)
    assert_gone(folder, needles)
    assert_sound(folder)


def test_a_damaged_earlier_version_keeps_nothing_on_the_disk(told: tuple[Path, dict[str, bytes]]) -> None:
    folder, needles = told
    forget_episodes(folder, [SECRET])
    (folder / "versions/00000001.json").write_bytes(b"{")
    compact_memory(folder)
    assert_gone(folder, needles)
    assert version_numbers(folder) == [3]


def test_what_replaces_an_episode_leaves_nothing_of_it(told: tuple[Path, dict[str, bytes]]) -> None:
    folder, needles = told
    encoder = untrained_vae((16, 16, 3), (4,))
    memory = open_memory(folder)
    memory.remove([SECRET])
    memory.append(make_episode(np.random.default_rng(9), 5, (16, 16, 3), id=SECRET), encoder)
    save_memory(memory, folder, "resume")
    compact_memory(folder)
    assert memory.refresh()
    assert_gone(folder, {name: needle for name, needle in needles.items() if name != "name"})
    assert_same_memory(open_memory(folder), memory)


def test_overwriting_leaves_nothing(told: tuple[Path, dict[str, bytes]]) -> None:
    folder, needles = told
    save_memory(memory_of(episode(0)), folder, "overwrite")
    assert_gone(folder, needles)


def test_going_back_forgets_what_was_learned_from_what_came_since(stored: Path) -> None:
    append(stored, 3)
    (stored / LEARNED).mkdir()
    (stored / LEARNED / "analogues.json").write_text("{}")
    go_back(stored, 1)
    assert not (stored / LEARNED).exists()


def test_compacting_an_empty_or_compact_memory(stored: Path) -> None:
    for _ in range(2):
        compact_memory(stored)
        assert_same_memory(open_memory(stored), memory_of(episode(0), episode(1), episode(2)))
    forget_episodes(stored, ["e0", "e1", "e2"])
    compact_memory(stored)
    assert len(open_memory(stored)) == 0
    assert not list(stored.glob("rows.lance/data/*"))
    append(stored, 3)
    assert_same_memory(open_memory(stored), memory_of(episode(3)))
    assert_sound(stored)


# A version as it is described


def test_a_version_follows_another() -> None:
    first = Version().following("began", episodes=1, rows=2, table=3, files={"data/x": Seal(1, "a")})
    second = first.following("went on")
    assert (first.number, second.number, second.change) == (1, 2, "went on")
    assert (second.episodes, second.rows, second.table, second.files) == (1, 2, 3, first.files)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", second.time)


def test_a_damaged_present_version_is_given_up_by_going_back(stored: Path) -> None:
    append(stored, 3)
    newest_version(stored).write_bytes(b"{")
    with one_clear_error(f"is damaged .*restore it, or go back: memworld versions {stored}"):
        open_memory(stored)
    for number in (2, 3, 0, -1):
        with one_clear_error("00000002.json is damaged"):
            go_back(stored, number)
    go_back(stored, 1)
    assert_same_memory(open_memory(stored), memory_of(*map(episode, range(3))))
    assert_sound(stored)
    append(stored, 4)
    assert_same_memory(open_memory(stored), memory_of(*map(episode, (0, 1, 2, 4))))
