"""The table is rows in the format Lance, which Lance reads without memworld, and from which episodes come back."""

import json
from dataclasses import replace
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.actions import ActionSpace
from memworld.datasets import DatasetInfo
from memworld.memory import Memory
from memworld.store import (
    check_memory,
    compact_memory,
    forget_episodes,
    go_back,
    open_memory,
    read_index,
    read_version,
    save_memory,
    table_changes,
    table_rows,
    writing,
)
from memworld.store.arrays import columns_of, digest
from memworld.store.opening import settings_of
from memworld.store.table import TABLE, Table, TableFrames
from memworld.store.table_rows import batches_of, episode_from, schema
from memworld.store.versions import Version
from tests.helpers import assert_same_memory, make_episode, one_clear_error, untrained_vae
from tests.store.contents import assert_same_stored, newest_version, table_of
from tests.toy_memories import ENCODER, SHAPE, SPACES, episode, memory_of


@given(
    steps=st.integers(1, 9),
    space=st.sampled_from(SPACES),
    keep_frames=st.booleans(),
    latent_shape=st.sampled_from([(2,), (3, 2, 2)]),
    batch=st.integers(1, 11),
)
@settings(max_examples=60)
def test_an_episode_as_rows_and_back(
    steps: int, space: ActionSpace, keep_frames: bool, latent_shape: tuple[int, ...], batch: int
) -> None:
    encoder = untrained_vae(SHAPE, latent_shape)
    memory = Memory(DatasetInfo(SHAPE, space), encoder, 0, keep_frames)
    memory.append(make_episode(np.random.default_rng(steps), steps, SHAPE, space), encoder)
    [before], form = memory.episodes, settings_of(memory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_rows, "BATCH", batch)
        rows = list(batches_of(before, form))
    assert len(rows) == -(-(steps + 1) // batch)
    assert all(part.schema.equals(schema(form)) for part in rows)
    listed, columns = episode_from(rows, form)
    expected = columns_of(before)
    assert listed.entry.to_json() == before.entry.to_json()
    assert listed.sha256 == digest(expected)
    for name, column in expected.items():
        assert (columns[name].dtype, columns[name].shape) == (column.dtype, column.shape)
        np.testing.assert_array_equal(columns[name], column)
    if keep_frames:
        frames = pa.Table.from_batches(rows)["frame"].to_pylist()
        assert frames == [frame.tobytes() for frame in np.asarray(before.frames)]


def test_lance_reads_what_was_remembered_without_memworld(stored: Path) -> None:
    whole, table = memory_of(episode(0), episode(1), episode(2)), table_of(stored)
    assert table.schema.names == [
        "episode", "step", "last", "mu", "sigma", "z", "action", "reward", "terminated", "truncated", "source", "frame",
    ]  # fmt: skip
    rows, found = whole.rows, table.to_pydict()
    assert found["episode"] == ["e0"] * 2 + ["e1"] * 3 + ["e2"] * 4
    assert found["step"] == rows.steps.tolist() == [0, 1, 0, 1, 2, 0, 1, 2, 3]
    assert found["last"] == rows.has_successor.logical_not().tolist()
    for name in ("mu", "sigma", "z"):
        np.testing.assert_array_equal(np.array(found[name], np.float32), getattr(rows.latents, name).numpy())
    for number, one in enumerate(whole.episodes):
        start = [0, 2, 5][number]
        here = slice(start, start + one.entry.steps)
        assert found["action"][here] == one.actions.tolist()
        assert found["terminated"][here] == one.terminations.tolist()
        assert found["truncated"][here] == one.truncations.tolist()
        np.testing.assert_array_equal(np.array(found["reward"][here], np.float32), one.rewards)
        assert json.loads(found["source"][start]) == dict(one.entry.source)
        assert found["source"][start + 1 : here.stop + 1] == [None] * one.entry.steps
    assert found["frame"] == [frame.tobytes() for frame in whole.frames(range(9))]
    # What memory it is, its file says as well.
    about = json.loads(table.schema.metadata[b"memworld"])
    assert (about["encoder"], about["seed"], about["frames"]) == (ENCODER.fingerprint, 0, True)
    some = lance.dataset(stored / TABLE).to_table(columns=["reward"], filter="episode = 'e1' AND NOT last")
    np.testing.assert_array_equal(some["reward"].to_numpy(), episode(1).rewards)


def test_a_memory_without_frames_has_no_such_column(tmp_path: Path) -> None:
    save_memory(memory_of(episode(0), keep_frames=False), tmp_path / "memory")
    assert "frame" not in table_of(tmp_path / "memory").schema.names


def test_removed_rows_are_no_rows(stored: Path) -> None:
    forget_episodes(stored, ["e1"])
    assert table_of(stored)["episode"].to_pylist() == ["e0"] * 2 + ["e2"] * 4
    memory, whole = open_memory(stored), memory_of(episode(0), episode(2))
    np.testing.assert_array_equal(memory.frames(range(6)), whole.frames(range(6)))


def test_episodes_come_back_in_order_from_many_files_and_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = memory_of()
    save_memory(memory, tmp_path / "memory")
    with writing(tmp_path / "memory") as writer:
        for number in range(5):
            writer.commit(append=memory_of(episode(number, 4 + number)).episodes)
    version = read_version(tmp_path / "memory", 5)
    monkeypatch.setattr("memworld.store.table.BATCH", 3)
    found = list(Table(tmp_path / "memory" / TABLE, version).episodes(settings_of(memory)))
    assert [listed.entry.id for listed, _ in found] == [f"e{n}" for n in range(5)]
    for number, (listed, columns) in enumerate(found):
        expected = columns_of(memory_of(episode(number, 4 + number)).episodes[0])
        assert listed.sha256 == digest(expected)
        assert all(np.array_equal(columns[name], expected[name]) for name in expected)


def test_no_table_is_no_episode(tmp_path: Path) -> None:
    assert list(Table(tmp_path, Version()).episodes(settings_of(memory_of()))) == []


# Many small files


def data_files(folder: Path) -> list[Path]:
    return sorted((folder / TABLE / "data").iterdir())


def test_many_small_files_are_written_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames then are in other places of other files, also for who had the memory open."""
    monkeypatch.setattr(table_changes, "_MANY_FILES", 6)
    save_memory(memory_of(episode(0)), tmp_path / "memory", encoder=ENCODER)
    early = open_memory(tmp_path / "memory")
    with writing(tmp_path / "memory") as writer:
        for number in range(1, 20):
            writer.commit(append=memory_of(episode(number % 4, id=f"e{number}")).episodes)
            assert len(read_version(tmp_path / "memory", read_index(tmp_path / "memory")[1]).files) <= 9
    whole = memory_of(*(episode(n % 4, id=f"e{n}") for n in range(20)))
    assert_same_memory(open_memory(tmp_path / "memory"), whole)
    assert_same_memory(early, memory_of(episode(0)))
    assert early.refresh()
    assert_same_memory(early, whole)
    found = check_memory(tmp_path / "memory")
    assert found.problems == ()
    assert "wrote small files together" in {version.change for version in found.versions}


def test_a_damaged_small_file_is_not_written_together_with_others(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or its damage would get a seal of its own; what is appended is stored all the same."""
    monkeypatch.setattr(table_changes, "_MANY_FILES", 3)
    [file], frame = data_files(stored), episode(1).observations[1].tobytes()
    file.write_bytes(file.read_bytes().replace(frame, bytes(16)))
    with writing(stored) as writer:
        for number in range(3, 8):
            writer.commit(append=memory_of(episode(number)).episodes)
    [problem] = check_memory(stored).problems
    assert f"{file.name} is damaged" in problem
    memory = open_memory(stored)
    assert memory.ids == tuple(f"e{n}" for n in range(8))
    np.testing.assert_array_equal(memory.frames([memory.row_of("e7", 2)])[0], episode(7).observations[2])
    with one_clear_error(f"{file.name} is damaged"):
        memory.frames([memory.row_of("e1", 1)])


def test_compacting_leaves_one_file(stored: Path, tmp_path: Path) -> None:
    with writing(stored) as writer:
        writer.commit(append=memory_of(episode(3)).episodes)
        writer.commit(remove=["e1"])
        writer.commit(append=memory_of(episode(4)).episodes)
    assert len(data_files(stored)) == 3
    compact_memory(stored)
    assert len(data_files(stored)) == 1
    assert not list((stored / TABLE).glob("_deletions/*"))
    save_memory(memory_of(*map(episode, (0, 2, 3, 4))), tmp_path / "fresh", encoder=ENCODER)
    assert_same_stored(stored, tmp_path / "fresh")


# Seals


def test_frames_of_a_file_with_a_wrong_seal_are_not_read(stored: Path) -> None:
    memory = open_memory(stored)
    [file] = data_files(stored)
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    for _ in range(2):
        with one_clear_error(f"{file.name} is damaged: its size or SHA-256 is not the one written; restore it"):
            memory.frames([0])
    file.write_bytes(bytes(content)[:-1])
    with one_clear_error(f"{file.name} is damaged: its size"):
        memory.frames([0])
    file.unlink()
    with one_clear_error(f"{file.name} is missing: if the memory was written to since, refresh it; otherwise restore"):
        memory.frames([0])
    file.mkdir()
    with one_clear_error(f"cannot read .*{file.name}|{file.name} is damaged"):
        memory.frames([0])


def test_damage_to_one_file_spares_the_frames_of_others(stored: Path) -> None:
    with writing(stored) as writer:
        writer.commit(append=memory_of(episode(3)).episodes)
    memory = open_memory(stored)
    files = {one.path for f in lance.dataset(stored / TABLE).get_fragments()[1:] for one in f.metadata.files}
    [damaged] = (stored / TABLE / "data" / name for name in files)
    damaged.write_bytes(b"")
    whole = memory_of(*map(episode, range(4)))
    np.testing.assert_array_equal(memory.frames(range(9)), whole.frames(range(9)))
    with one_clear_error("is damaged"):
        memory.frames([0, 9])
    torch.testing.assert_close(memory.rows.latents.mu, whole.rows.latents.mu, rtol=0, atol=0)


def test_a_manifest_that_names_a_file_without_a_seal(stored: Path) -> None:
    version = read_version(stored, 1)
    bare = replace(version, files={name: seal for name, seal in version.files.items() if "data/" not in name})
    frames = TableFrames(stored / TABLE, (2, *SHAPE), Table(stored / TABLE, bare), 0)
    with one_clear_error("belongs to no version of the memory: see memworld check"):
        frames[0]


def test_what_one_has_open_is_read_on_until_it_leaves_the_disk(stored: Path) -> None:
    memory, whole = open_memory(stored), memory_of(episode(0), episode(1), episode(2))
    forget_episodes(stored, ["e1"])
    assert_same_memory(memory, whole)
    go_back(stored, 1)
    assert_same_memory(memory, whole)
    late = open_memory(stored)
    forget_episodes(stored, ["e1"])
    compact_memory(stored)
    # Its latents are mapped, its frames are gone.
    np.testing.assert_array_equal(late.rows.latents.mu, whole.rows.latents.mu)
    with one_clear_error("is missing: if the memory was written to since, refresh it"):
        late.frames([0])
    assert late.refresh()
    assert_same_memory(late, memory_of(episode(0), episode(2)))
    assert newest_version(stored).exists()
