"""Readers beside a writer; `make readers` lets them read for longer."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from memworld.remember import MemoryStream
from memworld.search import Query
from memworld.search.exact import ExactIndex
from memworld.store import compact_memory, forget_episodes, open_memory, save_memory, versions
from tests.helpers import one_clear_error
from tests.store.forking import Forks, nobody
from tests.store.lives import ENCODER, empty, expected, holds, lived, told
from tests.store.reading import Witness, out_of_order, watch

SECONDS = 3.0
"""That writer and readers run beside each other."""


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as started:
        yield started


@pytest.mark.parametrize("appends_only", [True, False])
def test_two_readers_see_only_what_was_written_and_find_what_it_holds(
    forks: Forks, tmp_path: Path, appends_only: bool
) -> None:
    watched = watch(forks, tmp_path / "memory", SECONDS, seed=0, appends_only=appends_only)
    assert not watched.problems
    assert watched.written > 2
    for counts in watched.counts:
        assert counts.states > 1
        assert counts.episodes
        assert counts.searches


def test_frames_of_a_memory_that_has_only_grown_can_be_read_however_late(tmp_path: Path) -> None:
    stored = empty()
    stored.extend(map(lived, ("a", "b")), ENCODER)
    save_memory(stored, tmp_path / "memory", encoder=ENCODER)
    late = open_memory(tmp_path / "memory")
    with MemoryStream.open(tmp_path / "memory", episodes=1) as stream:
        stream.extend(lived(f"c{number}") for number in range(versions.KEPT + 1))
    compact_memory(tmp_path / "memory")  # its version, and the files of it, are gone twice over
    assert late.ids == ("a", "b")
    assert holds(late) == (expected("a"), expected("b"))


def test_frames_that_are_gone_are_told_to_be(tmp_path: Path) -> None:
    stored = empty()
    stored.extend(map(lived, ("a", "b", "c")), ENCODER)
    save_memory(stored, tmp_path / "memory", encoder=ENCODER)
    seen, late = open_memory(tmp_path / "memory"), open_memory(tmp_path / "memory")
    np.asarray(seen.episodes[2].frames)
    rows = late.rows.latents.mu.clone()
    forget_episodes(tmp_path / "memory", ["a"])
    assert told(late.episodes[0]) == expected("a")  # as it was, until it is compacted
    compact_memory(tmp_path / "memory")
    for memory in (seen, late, open_memory(tmp_path / "memory")):
        if memory.ids == ("b", "c"):
            assert holds(memory) == (expected("b"), expected("c"))
            continue
        assert memory.rows.latents.mu.equal(rows)
        with one_clear_error("refresh"):
            np.asarray(memory.episodes[2].frames)
        assert memory.refresh()
        assert holds(memory) == (expected("b"), expected("c"))


def test_a_wrong_answer_would_be_seen(tmp_path: Path) -> None:
    a, b, ab = ["a"], ["b"], ["a", "b"]
    assert not out_of_order([[], a, ab, b], [a, a, b])
    assert out_of_order([[], a, ab, b], [["c"]])
    assert out_of_order([[], a, ab, b], [ab, a])
    stored = empty()
    stored.extend(map(lived, ("a", "b")), ENCODER)
    save_memory(stored, tmp_path / "memory", encoder=ENCODER)
    memory = open_memory(tmp_path / "memory")
    witness = Witness(nobody, tmp_path / "memory", 0)
    query = stored.rows.latents[:1]
    found = ExactIndex.of(stored.rows, "kl_stored_query").nearest(Query(query), 2).rows
    witness.look(memory, present=False)
    witness.search(found, query, memory)
    assert not witness.counts.wrong
    assert (witness.counts.episodes, witness.counts.searches) == (2, 1)
    witness.search(found.flip(1), query, memory)
    assert len(witness.counts.wrong) == 1
    memory.rows.latents.mu[3] += 1  # a copy on write
    witness.look(memory, present=False)
    assert len(witness.counts.wrong) > 1
