"""What a cluster's index makes of a memory that grows, with workers in this process."""

import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memworld.cluster import ClusterIndex, Piece, Search, Shards
from memworld.memory import Memory
from memworld.store import forget_episodes
from tests.cluster.toys import ENCODER, INFO, assert_same, queries, remember, whole
from tests.helpers import one_clear_error


class Here:
    """A cluster in this process: what `Cluster` and `Workers` promise, but for deaths."""

    def __init__(self, workers: int) -> None:
        self.count, self.connected = workers, True

    def start(self, search: Search) -> "Here":
        here = Here(self.count)
        here.search, here.shards = search, [Shards(search) for _ in range(self.count)]  # type: ignore[attr-defined]
        return here

    def __len__(self) -> int:
        return self.count

    def end(self) -> None:
        self.connected = False

    def shared(self, message: Any) -> Any:
        return message

    def ask(self, method: str, messages: Mapping[int, tuple[Any, ...]]) -> list[Any]:
        return [getattr(self.shards[worker], method)(*m) for worker, m in messages.items()]  # type: ignore[attr-defined]


def index_of(here: Here, memory: Memory, search: Search, before: ClusterIndex | None = None) -> ClusterIndex:
    return ClusterIndex.of(here, memory, search, before)  # type: ignore[arg-type]


def pieces(index: ClusterIndex) -> list[Piece]:
    return [piece for level in index.levels for piece in level.pieces]


def rows_held(index: ClusterIndex) -> list[int]:
    """By each worker."""
    held = [0] * len(index.workers)
    for level in index.levels:
        for worker, piece in zip(level.workers, level.pieces, strict=True):
            held[worker] += piece.rows[1] - piece.rows[0]
    return held


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=6), min_size=1, max_size=5),
    workers=st.integers(1, 4),
    least=st.sampled_from([1, 20, 10_000]),
    which=st.integers(0, 5),
    seed=st.integers(0, 99),
)
def test_an_index_that_has_grown_answers_as_one_of_everything(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[list[int]], workers: int, least: int, which: int, seed: int
) -> None:
    path = tmp_path_factory.mktemp("grown") / "memory"
    search = Search(("l2", "kl_stored_query", "kl_query_stored")[which % 3], (1.0,) if which < 3 else (1.0, 0.5))
    here, index, first = Here(workers), None, 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("memworld.cluster.index._LEAST", least)
        for more in lengths:
            memory = remember(path, more, first)
            first += len(more)
            index = index_of(here, memory, search, index)
            made = pieces(index)
            assert [p.rows[0] for p in made] == [0, *(p.rows[1] for p in made[:-1])]
            assert (made[-1].rows[1], made[-1].episodes[1]) == (len(memory), first)
            sizes = [level.pieces[-1].rows[1] - level.first for level in index.levels]
            assert all(large > 2 * small for large, small in itertools.pairwise(sizes))
    assert index is not None
    one = whole(memory, search)
    for query in queries(memory, search, seed=seed):
        for k in (1, min(3, memory.steps), memory.steps):
            assert_same(index.nearest(query, k), one.nearest(query, k))
        assert_same(index.nearest_per_episode(query), one.nearest_per_episode(query))


def test_what_is_new_is_spread_when_it_is_much_and_goes_where_there_is_room_when_it_is_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memworld.cluster.index._LEAST", 50)
    here = Here(3)
    index = index_of(here, remember(tmp_path / "memory", [9] * 90), Search("l2"))
    assert rows_held(index) == [300, 300, 300]
    memory = remember(tmp_path / "memory", [9] * 10, first=90)
    index = index_of(here, memory, Search("l2"), index)
    assert [len(level.pieces) for level in index.levels] == [3, 2]
    assert rows_held(index) == [350, 350, 300]
    memory = remember(tmp_path / "memory", [9], first=100)
    index = index_of(here, memory, Search("l2"), index)
    assert [len(level.pieces) for level in index.levels] == [3, 2, 1]
    assert rows_held(index) == [350, 350, 310]


def test_shards_that_stay_are_not_loaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[int] = []
    read = Piece.read

    def counted(piece: Piece) -> Any:
        loaded.append(len(piece))
        return read(piece)

    monkeypatch.setattr(Piece, "read", counted)
    here, index, memory = Here(2), None, None
    for first, more in ((0, [50, 50]), (2, [4]), (3, [5]), (4, [])):
        memory = remember(tmp_path / "memory", more, first)
        index = index_of(here, memory, Search("l2"), index)
    # The second time the small one is joined with what is new, and the last time nothing is new.
    assert loaded == [50, 50, 4, 9]
    assert index is not None
    assert memory is not None
    for other in (Search("kl_stored_query"), Search("l2", (1.0, 1.0))):
        index_of(here, memory, other, index)
    assert loaded[4:] == [50, 59] * 2


def test_what_is_not_there_any_more_is_not_gone_on_with(tmp_path: Path) -> None:
    memory = remember(tmp_path / "memory", [20, 30, 40])
    index = index_of(Here(2), memory, Search("l2"))
    forget_episodes(tmp_path / "memory", ["e0000"])
    assert memory.refresh()
    anew = index_of(Here(2), memory, Search("l2"), index)
    assert anew.workers is not index.workers
    query = next(queries(memory, Search("l2")))
    assert_same(anew.nearest(query, 4), whole(memory, Search("l2")).nearest(query, 4))
    index.workers.connected = False  # type: ignore[misc]
    assert index_of(Here(2), memory, Search("l2"), anew).workers is anew.workers
    anew.workers.connected = False  # type: ignore[misc]
    assert index_of(Here(2), memory, Search("l2"), anew).workers is not anew.workers


def test_what_has_no_folder_or_no_rows_is_refused(tmp_path: Path) -> None:
    with one_clear_error("a cluster reads a memory from its folder, and this one is stored in none, or was changed"):
        index_of(Here(1), Memory(INFO, ENCODER), Search("l2"))
    with one_clear_error("the memory is empty: remember at least one episode first"):
        index_of(Here(1), remember(tmp_path / "memory", []), Search("l2"))


def test_rows_of_a_worker_are_balanced(tmp_path: Path) -> None:
    index = index_of(Here(4), remember(tmp_path / "memory", [3, 40, 17, 29, 8, 8, 8, 31, 2, 22, 19, 5]), Search("l2"))
    held = rows_held(index)
    assert sum(held) == 204
    assert max(held) - min(held) <= 41
    assert math.isclose(sum(len(p) for p in pieces(index)), len(index))
