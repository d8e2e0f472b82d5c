"""The arrays on disk are plain numbers end to end, which anybody can read with what is written in `store.arrays`."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.actions import ActionSpace
from memworld.datasets import DatasetInfo, EpisodeEntry
from memworld.gaussian import Latents
from memworld.memory import Memory, MemoryEpisode
from memworld.store import arrays, open_memory, save_memory
from memworld.store.arrays import (
    Arrays,
    Listed,
    append_arrays,
    check_columns,
    columns_of,
    digest,
    episode_of,
    next_arrays,
    write_arrays_anew,
)
from memworld.store.opening import settings_of
from memworld.store.versions import Seal, Settings, Version
from tests.helpers import make_episode, one_clear_error, untrained_vae
from tests.toy_memories import ENCODER, INFO, SHAPE, SPACES, episode, memory_of

SETTINGS = settings_of(memory_of())


def toy(number: int, steps: int) -> MemoryEpisode:
    """An episode of latents that nobody encoded."""
    rng = np.random.default_rng(number)
    made = make_episode(rng, steps, SHAPE, id=f"e{number}")
    mu, sigma, z = (torch.from_numpy(rng.uniform(0.1, 1, (steps + 1, 2)).astype(np.float32)) for _ in range(3))
    entry = EpisodeEntry(made.id, steps, made.source)
    return MemoryEpisode(
        entry, Latents(mu, sigma, z), made.actions, made.rewards, made.terminations, made.truncations, None
    )


def listed_of(episodes: list[MemoryEpisode]) -> tuple[list[Listed], list[dict[str, np.ndarray]]]:
    columns = [columns_of(one) for one in episodes]
    return [Listed(e.entry, digest(c)) for e, c in zip(episodes, columns, strict=True)], columns


def appended(path: Path, version: Version, episodes: list[MemoryEpisode]) -> Version:
    """The version after appending to the arrays alone."""
    listed, columns = listed_of(episodes)
    there = replace(version, arrays=max(1, version.arrays))
    rows, listing = append_arrays(path, SETTINGS, there, columns, listed)
    return there.following("appended", rows=rows, episodes=version.episodes + len(episodes), listing=listing)


def assert_same_arrays(one: Arrays, other: Arrays) -> None:
    assert one.listed == other.listed
    for name, column in one.columns.items():
        assert column.dtype == other.columns[name].dtype
        np.testing.assert_array_equal(column, other.columns[name])


def test_the_files_are_what_the_documentation_says(stored: Path) -> None:
    whole = memory_of(episode(0), episode(1), episode(2))
    folder, rows = stored / "arrays/1", whole.rows
    for name in ("mu", "sigma", "z"):
        found = np.fromfile(folder / f"{name}.bin", "<f4").reshape(9, 2)
        np.testing.assert_array_equal(found, getattr(rows.latents, name).numpy())
    actions = [[*e.actions, 0] for e in whole.episodes]
    assert np.fromfile(folder / "actions.bin", "<i8").tolist() == [a for part in actions for a in part]
    np.testing.assert_array_equal(np.fromfile(folder / "rewards.bin", "<f4"), rows.rewards.numpy())
    ends = [[0] * (e.entry.steps - 1) + [1 if e.terminations[-1] else 2, 0] for e in whole.episodes]
    assert np.fromfile(folder / "ends.bin", "u1").tolist() == [end for part in ends for end in part]
    lines = [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]
    assert [{k: line[k] for k in ("id", "steps", "source")} for line in lines] == [e.to_json() for e in whole.entries]
    # An episode's checksum is of its bytes in the files, in the order of their names.
    by_hand = hashlib.sha256()
    for name, size in (("actions", 8), ("ends", 1), ("mu", 8), ("rewards", 4), ("sigma", 8), ("z", 8)):
        by_hand.update((folder / f"{name}.bin").read_bytes()[2 * size : 5 * size])
    assert lines[1]["sha256"] == by_hand.hexdigest()


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_the_columns_of_an_episode_and_back(space: ActionSpace) -> None:
    encoder = untrained_vae(SHAPE, (2,))
    memory = Memory(DatasetInfo(SHAPE, space), encoder)
    memory.append(make_episode(np.random.default_rng(0), 4, SHAPE, space), encoder)
    [before] = memory.episodes
    columns = columns_of(before)
    after = episode_of(Listed(before.entry, digest(columns)), columns)
    for name in ("actions", "rewards", "terminations", "truncations"):
        assert getattr(after, name).dtype == getattr(before, name).dtype
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    assert torch.equal(after.latents.z, before.latents.z)
    assert {len(column) for column in columns.values()} == {5}


@given(
    parts=st.lists(st.lists(st.integers(1, 4), max_size=3), min_size=1, max_size=4),
    leftover=st.integers(0, 40),
)
@settings(max_examples=20)
def test_appending_is_writing_at_once_whatever_a_killed_write_left(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[int]], leftover: int
) -> None:
    path, version = tmp_path_factory.mktemp("arrays"), Version()
    every: list[MemoryEpisode] = []
    for lengths in parts:
        new = [toy(len(every) + i, steps) for i, steps in enumerate(lengths)]
        version = appended(path, version, new)
        every += new
        before = Arrays.open(path, SETTINGS, version)
        for file in (path / "arrays/1").iterdir():
            with file.open("ab") as opened:
                opened.write(b"\xff" * leftover)
        assert_same_arrays(Arrays.open(path, SETTINGS, version), before)
    assert Arrays.open(path, SETTINGS, version).problems(SETTINGS) == []
    listed, columns = listed_of(every)
    whole = tmp_path_factory.mktemp("whole")
    written = write_arrays_anew(whole, SETTINGS, 1, zip(listed, columns, strict=True))
    assert written == (version.episodes, version.rows, version.listing)
    assert_same_arrays(Arrays.open(whole, SETTINGS, version), Arrays.open(path, SETTINGS, version))


def test_arrays_of_one_version_stay_as_they_are_while_they_grow(tmp_path: Path) -> None:
    first = appended(tmp_path, Version(), [toy(0, 2)])
    opened = Arrays.open(tmp_path, SETTINGS, first)
    before = {name: column.copy() for name, column in opened.columns.items()}
    second = appended(tmp_path, first, [toy(1, 3)])
    for name, column in opened.columns.items():
        np.testing.assert_array_equal(column, before[name])
    assert len(Arrays.open(tmp_path, SETTINGS, second)) == 7
    assert (len(opened), opened.nbytes) == (3, 3 * (3 * 8 + 8 + 4 + 1))
    assert opened.starts.tolist() == [0, 3]


def test_writing_anew_in_many_small_parts_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed, columns = listed_of([toy(i, 1 + i % 3) for i in range(7)])
    for number, chunk in ((1, 1 << 14), (2, 3)):
        monkeypatch.setattr(arrays, "_CHUNK", chunk)
        write_arrays_anew(tmp_path, SETTINGS, number, zip(listed, columns, strict=True))
    one, two = ({f.name: f.read_bytes() for f in (tmp_path / f"arrays/{n}").iterdir()} for n in (1, 2))
    assert one == two
    assert next_arrays(tmp_path) == 3
    assert next_arrays(tmp_path / "none") == 1


def test_no_memory_is_taken_for_what_a_damaged_version_claims(tmp_path: Path) -> None:
    version = appended(tmp_path, Version(), [toy(0, 2)])
    for claimed in (
        replace(version, rows=10**15),
        replace(version, listing=Seal(10**15, version.listing.sha256)),
        replace(version, rows=10**15, episodes=10**14),
    ):
        with one_clear_error("make it anew from the table: memworld check --repair"):
            Arrays.open(tmp_path, SETTINGS, claimed)


def changed(column: str, change: Callable[[np.ndarray], Any]) -> dict[str, np.ndarray]:
    columns = {name: array.copy() for name, array in columns_of(toy(0, 3)).items()}
    columns[column][...] = change(columns[column])
    return columns


@pytest.mark.parametrize(
    ("column", "change", "match"),
    [
        ("mu", lambda a: a * np.float32(np.nan), "episode e0: mu holds NaN or infinity"),
        ("sigma", lambda a: a * 0, "episode e0: sigma must be above 0"),
        ("z", lambda a: a + np.float32(np.inf), "episode e0: z holds NaN or infinity"),
        ("actions", lambda a: a + 4, "episode e0 is damaged: .*action .* is outside Discrete.4."),
        ("rewards", lambda a: a + np.float32(np.inf), "episode e0 is damaged: its rewards hold NaN or infinity"),
        ("ends", lambda a: [1, 0, 1, 0], "episode e0 is damaged: it ends before its last step"),
        ("ends", lambda a: [0, 2, 2, 0], "episode e0 is damaged: it ends before its last step"),
        ("ends", lambda a: [0, 0, 4, 0], "episode e0 is damaged"),
    ],
)
def test_numbers_that_make_no_sense(column: str, change: Callable[[np.ndarray], Any], match: str) -> None:
    columns = changed(column, change)
    entry = toy(0, 3).entry
    with one_clear_error(match):
        check_columns(Listed(entry, digest(columns)), columns, SETTINGS, Path("folder"))
    with one_clear_error("folder: episode e0 is damaged: its SHA-256 is not the one in the list; make it anew"):
        check_columns(Listed(entry, digest(changed(column, lambda a: a))), columns, SETTINGS, Path("folder"))


def test_a_memory_of_many_chunks_survives_a_removal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "_CHUNK", 4)
    memory = memory_of(*map(episode, range(6)))
    save_memory(memory, tmp_path / "memory")
    memory.remove(["e1", "e4"])
    save_memory(memory, tmp_path / "memory", "resume")
    np.testing.assert_array_equal(
        open_memory(tmp_path / "memory").rows.latents.z, memory_of(*map(episode, (0, 2, 3, 5))).rows.latents.z
    )


def test_settings_of_a_memory_say_what_a_row_takes() -> None:
    wide = Settings(INFO, ENCODER.fingerprint, (3, 2, 2), 0, True)
    assert arrays.forms(wide)["mu"] == (np.dtype("<f4"), (12,))
    assert arrays.forms(wide)["actions"] == (np.dtype("<i8"), ())
