"""Approximate indexes that are kept beside a memory."""

import os
from pathlib import Path

import numpy as np
import pytest

from memworld.dynamics import DynamicsConfig
from memworld.search import Candidates, Query
from memworld.search.approximate import ApproximateIndex, shelf
from memworld.search.approximate.shelf import IndexShelf
from memworld.store import forget_episodes, save_memory
from memworld.world_model import WorldModel
from tests.search.trajectories import assert_same, candidates_of, queries_of_20, trajectories
from tests.toy_memories import ENCODER, episode, memory_of

pytest.importorskip("faiss")


def made(seed: int = 11) -> Candidates:
    return candidates_of(trajectories(np.random.default_rng(seed), 12, 101, 20), 101)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows every index that is built, rather than opened, is made of; few are enough for codes."""
    monkeypatch.setattr("memworld.search.approximate.index._EXACT_UP_TO", 100)
    sizes: list[int] = []
    build = ApproximateIndex.__init__

    def counted(self: ApproximateIndex, metric: str, candidates: Candidates, *rest: float) -> None:
        sizes.append(len(candidates))
        build(self, metric, candidates, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(ApproximateIndex, "__init__", counted)
    return sizes


def test_an_index_is_built_once_and_answers_as_it_did(built: list[int], tmp_path: Path) -> None:
    candidates = made()
    first = IndexShelf(tmp_path / "index").index("l2", candidates)
    again = IndexShelf(tmp_path / "index").index("l2", candidates)
    assert built == [1200]
    assert_same(first.nearest(Query(queries_of_20()), 10), again.nearest(Query(queries_of_20()), 10))
    IndexShelf(tmp_path / "index").index("kl_stored_query", candidates)  # another metric
    IndexShelf(tmp_path / "index").index("l2", made(12))  # other rows
    IndexShelf(None).index("l2", candidates)  # no place
    assert built == [1200] * 4
    assert len(list((tmp_path / "index").iterdir())) == 3


def test_a_damaged_one_is_built_anew(built: list[int], tmp_path: Path) -> None:
    candidates = made()
    IndexShelf(tmp_path).index("l2", candidates)
    (file,) = tmp_path.glob("*/approximate.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    IndexShelf(tmp_path).index("l2", candidates)
    IndexShelf(tmp_path).index("l2", candidates)
    assert built == [1200, 1200]


def test_where_nothing_can_be_kept_it_is_built_all_the_same(built: list[int], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for _ in range(2):
        IndexShelf(tmp_path / "file/index").index("l2", made())
    assert built == [1200, 1200]


def test_the_oldest_go(built: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "KEPT", 2)
    for number, seed in enumerate((11, 12, 13)):
        IndexShelf(tmp_path).index("l2", made(seed))
        for child in tmp_path.iterdir():
            os.utime(child, (number, number) if child.stat().st_mtime > 100 else None)
    assert len(list(tmp_path.iterdir())) == 2
    IndexShelf(tmp_path).index("l2", made(13))
    assert len(built) == 3


def test_a_world_s_index_lies_beside_its_memory_until_an_episode_is_removed(built: list[int], tmp_path: Path) -> None:
    path = tmp_path / "memory"
    save_memory(memory_of(*(episode(i, 80) for i in range(3))), path, encoder=ENCODER)
    dynamics = DynamicsConfig("replay_kl")
    frame, actions = episode(9).observations[0], [[0, 1, 2]]
    first = WorldModel.open(path, dynamics=dynamics, index="approximate").imagine(frame, actions)
    again = WorldModel.open(path, dynamics=dynamics, index="approximate").imagine(frame, actions)
    assert built == [240]
    assert first.rows.tolist() == again.rows.tolist()
    # What is new is a part of its own; what was there is opened.
    grown = WorldModel.open(path, dynamics=dynamics, index="approximate")
    grown.prepare()
    grown.memory.append(episode(5, 110), ENCODER)
    save_memory(grown.memory, path, "resume")
    grown.imagine(frame, actions)
    assert built == [240, 110]
    forget_episodes(path, ["e0"])
    assert not list(path.glob("learned/**/approximate.safetensors"))
