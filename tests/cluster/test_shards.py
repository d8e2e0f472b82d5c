"""Pieces and shards, in this process: what a worker does, without Ray."""

import itertools
import os
import platform
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memworld.cluster import Piece, Search, Shard, Shards
from memworld.cluster.pieces import cut, pieces_of
from memworld.cluster.shard import packed_query, unpacked_matches, unpacked_query
from memworld.memory import Memory, Rows
from memworld.search.merging import merge
from memworld.store import Stored, compact_memory, forget_episodes, open_memory, save_memory
from tests.cluster.toys import ENCODER, assert_same, lived, queries, remember, searches, whole
from tests.helpers import one_clear_error, untrained_vae

LENGTHS = [9, 1, 30, 2, 12, 5]


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return remember(tmp_path / "memory", LENGTHS)


def stored(memory: Memory) -> Stored:
    assert isinstance(memory.stored, Stored)
    return memory.stored


@given(
    lengths=st.lists(st.integers(2, 50), min_size=1, max_size=30), parts=st.integers(1, 12), first=st.integers(0, 99)
)
def test_parts_are_whole_episodes_of_about_as_many_rows(lengths: list[int], parts: int, first: int) -> None:
    starts = first + np.cumsum([0, *lengths])
    made = cut(starts, parts)
    assert made[0][0] == 0
    assert made[-1][1] == len(lengths)
    assert all(begin < end for begin, end in made)
    assert all(end == begin for (_, end), (begin, _) in itertools.pairwise(made))
    assert len(made) <= parts
    rows = [int(starts[end] - starts[begin]) for begin, end in made]
    # An end is off by half an episode at most, where the shares are not smaller than an episode.
    share = sum(lengths) / parts
    assert max(rows) <= share + max(lengths)
    if share >= max(lengths):
        assert len(made) == parts
        assert min(rows) >= share - max(lengths)


@pytest.mark.parametrize("parts", [1, 2, 3, 9])
def test_shards_together_answer_as_one_index_of_everything(memory: Memory, parts: int) -> None:
    pieces = pieces_of(stored(memory), 0, parts)
    assert len(pieces) == {1: 1, 2: 2, 3: 3, 9: 6}[parts]  # there are six episodes
    for search in searches():
        one, shards = whole(memory, search), [Shard(piece, search) for piece in pieces]
        # Two workers, one of which holds several.
        workers = [(Shards(search), pieces[:1]), (Shards(search), pieces[1:])]
        for query in queries(memory, search):
            for k in (1, 4, memory.steps):
                assert_same(merge([s.nearest(query, k) for s in shards], k), one.nearest(query, k))
                packed = [w.nearest(p, packed_query(query), k) for w, p in workers if p]
                assert_same(merge([unpacked_matches(answer) for answer in packed], k), one.nearest(query, k))
            each = one.nearest_per_episode(query)
            assert_same(merge([s.nearest_per_episode(query) for s in shards], len(memory.ids)), each)
            packed = [w.nearest_per_episode(p, packed_query(query)) for w, p in workers if p]
            assert_same(merge([unpacked_matches(answer) for answer in packed], len(memory.ids)), each)


def test_a_query_travels_as_arrays(memory: Memory) -> None:
    for query in queries(memory, Search("l2")):
        packed = packed_query(query)
        assert all(isinstance(v, np.ndarray | str | float | None) for v in packed.values())
        again = unpacked_query(packed)
        for name in ("mu", "sigma", "z"):
            assert getattr(again.latents, name).equal(getattr(query.latents, name))
        assert (again.exclude_episode is None) == (query.exclude_episode is None)
        assert again.actions is not None
        assert query.actions is not None
        assert again.actions.equal(query.actions)
        assert (again.conditioning, again.action_weight) == (query.conditioning, query.action_weight)


def test_a_shard_reads_nothing_but_its_own_rows(memory: Memory, tmp_path: Path) -> None:
    """The files of the others may as well be full of nonsense."""
    first, second = pieces_of(stored(memory), 0, 2)
    query = next(queries(memory, Search("l2")))
    right = whole(memory, Search("l2")).nearest(query, memory.steps)
    for file in (tmp_path / "memory/arrays/1").glob("*.bin"):
        content = bytearray(file.read_bytes())
        row = len(content) // stored(memory).version.rows
        content[second.rows[0] * row :] = b"\xff" * (len(content) - second.rows[0] * row)  # NaN, 255
        file.write_bytes(content)
    shard = Shard(first, Search("l2"))
    found = shard.nearest(query, memory.steps)
    assert len(shard) == len(first) == found.rows.shape[1]
    own = right.rows[right.rows < second.rows[0]].reshape(len(right.rows), -1)
    assert own.equal(found.rows)
    with one_clear_error("episode e0003 is damaged: its SHA-256 is not the one in the list"):
        Shard(second, Search("l2"))


def test_pieces_are_loaded_once_and_others_are_let_go(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Piece] = []
    read = Piece.read

    def counted(piece: Piece) -> Rows:
        loaded.append(piece)
        return read(piece)

    monkeypatch.setattr(Piece, "read", counted)
    one, two, three = pieces_of(stored(memory), 0, 3)
    worker = Shards(Search("l2"))
    held = worker.hold([one, two])
    assert (held.machine, held.process, held.rows) == (platform.node(), os.getpid(), len(one) + len(two))
    assert held.seconds > 0
    asked = packed_query(next(queries(memory, Search("l2"))))
    worker.nearest([one, two], asked, 3)
    worker.nearest_per_episode([one, two], asked)
    assert loaded == [one, two]
    worker.hold([two, three])
    assert loaded == [one, two, three]
    worker.hold([one])
    assert loaded == [one, two, three, one]


# Reloading later, elsewhere


def test_a_piece_is_still_there_after_the_memory_has_grown_and_was_compacted(memory: Memory, tmp_path: Path) -> None:
    pieces = pieces_of(stored(memory), 0, 3)
    query = next(queries(memory, Search("l2")))
    before = [Shard(piece, Search("l2")).nearest(query, 5) for piece in pieces]
    remember(tmp_path / "memory", [7, 8], first=len(LENGTHS))
    compact_memory(tmp_path / "memory")
    for piece, answer in zip(pieces, before, strict=True):
        assert_same(Shard(piece, Search("l2")).nearest(query, 5), answer)


def gone(path: Path) -> None:
    shutil.rmtree(path)


def another_encoder(path: Path) -> None:
    shutil.rmtree(path)
    other = untrained_vae((4, 4, 1), (5,), seed=1)
    assert other.fingerprint != ENCODER.fingerprint
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.cluster.toys.ENCODER", other)
        remember(path, LENGTHS)


def lagging(path: Path) -> None:
    """What a machine sees that has not heard of the last change."""
    shutil.rmtree(path)
    remember(path, LENGTHS[:2])


def removed(path: Path) -> None:
    forget_episodes(path, ["e0004"])


def replaced(path: Path) -> None:
    forget_episodes(path, ["e0005"])
    remember(path, [5], first=1005)


def no_memory(path: Path) -> None:
    shutil.rmtree(path)
    path.mkdir()


def damaged(path: Path) -> None:
    (path / "arrays/1/mu.bin").write_bytes(b"")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (gone, "memory is not to be seen there: put the memory where every machine sees it under the same path"),
        (
            another_encoder,
            "made by encoder [0-9a-f]{12}, and one made by [0-9a-f]{12} is searched: put the same memory",
        ),
        (lagging, "version 1 of the memory, and version 2 is searched: wait until the machine sees"),
        (removed, "no longer holds the episodes that are searched: some were removed .* refresh the memory"),
        (replaced, "no longer holds the episodes that are searched: some were removed or replaced"),
        (no_memory, "memory.json is missing|no memory"),
        (damaged, "mu.bin is truncated"),
    ],
)
def test_what_cannot_be_the_piece_is_refused_and_the_machine_named(
    tmp_path: Path, change: Callable[[Path], None], match: str
) -> None:
    remember(tmp_path / "memory", LENGTHS[:3])
    memory = remember(tmp_path / "memory", LENGTHS[3:], first=3)
    assert stored(memory).version.number == 2
    pieces = pieces_of(stored(memory), 0, 2)
    change(tmp_path / "memory")
    with one_clear_error(f"worker on {platform.node()}: .*({match})"):
        Shards(Search("l2")).hold(pieces)


def test_what_is_asked_of_a_gpu_that_is_not_there(memory: Memory) -> None:
    with one_clear_error("worker on .*: no GPU is to be seen from here"):
        Shards(Search("l2", device="cuda")).hold(pieces_of(stored(memory), 0, 2))


def test_a_memory_knows_where_it_is_stored_as_long_as_it_is_unchanged(tmp_path: Path) -> None:
    changed, grown = remember(tmp_path / "memory", LENGTHS), open_memory(tmp_path / "memory")
    assert len(changed.episodes) == len(LENGTHS)  # looking does no harm
    assert stored(changed).path == stored(grown).path == tmp_path / "memory"
    changed.remove(["e0000"])
    grown.add(lived(99, 3))
    assert [memory.stored for memory in (changed, grown)] == [None, None]
    save_memory(changed, tmp_path / "other")
    assert stored(changed).path == tmp_path / "other"
