import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memworld.datasets import EpisodeEntry
from memworld.distill.pieces import Piece, cut, join, remembered
from memworld.store import check_memory, open_memory, save_memory
from memworld.stored_frames import StoredFrames
from tests.helpers import assert_same_memory
from tests.toy_memories import ENCODER, episode, memory_of

lengths = st.lists(st.integers(1, 60), min_size=1, max_size=5)


@given(lengths=lengths, steps=st.integers(1, 20), data=st.data())
def test_pieces_hold_every_transition_once_and_join_to_the_same_ones(
    lengths: list[int], steps: int, data: st.DataObject
) -> None:
    pieces = cut([EpisodeEntry(f"e{i}", length) for i, length in enumerate(lengths)], steps)
    assert [(p.episode, t) for p in pieces for t in range(p.first, p.last)] == [
        (i, t) for i, length in enumerate(lengths) for t in range(length)
    ]
    assert all(p.last - p.first <= 1.5 * steps for p in pieces)
    chosen = data.draw(st.permutations(pieces))[: data.draw(st.integers(0, len(pieces)))]
    joined = join(chosen)
    assert {(p.episode, t) for p in joined for t in range(p.first, p.last)} == {
        (p.episode, t) for p in chosen for t in range(p.first, p.last)
    }
    gaps = itertools.pairwise(joined)
    assert all((a.episode, a.last) < (b.episode, b.first) for a, b in gaps)


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("frames", [False, True])
def test_a_piece_is_the_same_steps_as_an_episode(tmp_path: Path, stored: bool, frames: bool) -> None:
    memory = memory_of(episode(0, 9), episode(1, 4), keep_frames=frames)
    if stored:
        save_memory(memory, tmp_path / "memory", encoder=ENCODER)
        memory = open_memory(tmp_path / "memory")
    smaller = remembered(memory, [Piece(0, 2, 6), Piece(0, 7, 9), Piece(1, 0, 4)])
    assert smaller.ids == ("e0-000002", "e0-000007", "e1")
    assert [entry.origin for entry in smaller.entries] == [("e0", 2), ("e0", 7), ("e1", 0)]
    assert smaller.origins == {"e0", "e1"}
    whole, (middle, end, same) = memory.episodes[0], smaller.episodes
    assert same is memory.episodes[1]
    for name in ("mu", "sigma", "z"):
        assert np.array_equal(getattr(middle.latents, name), getattr(whole.latents, name)[2:7])
    for name in ("actions", "rewards", "terminations"):
        assert np.array_equal(getattr(middle, name), getattr(whole, name)[2:6])
    assert middle.truncations.tolist() == [False, False, False, True]
    assert bool(end.truncations[-1]) == bool(whole.truncations[-1])
    assert bool(end.terminations[-1]) == bool(whole.terminations[-1])
    if frames:
        assert isinstance(middle.frames, StoredFrames) == stored
        assert np.array_equal(np.asarray(middle.frames), np.asarray(whole.frames)[2:7])
        assert np.array_equal(smaller.frames([1, 4, 5]), memory.frames([3, 6, 7]))
    # It is stored as any other.
    save_memory(smaller, tmp_path / "smaller", encoder=ENCODER)
    assert check_memory(tmp_path / "smaller").problems == ()
    assert_same_memory(open_memory(tmp_path / "smaller"), smaller)


def test_a_piece_of_a_piece_says_where_it_was_recorded() -> None:
    once = remembered(memory_of(episode(0, 20, id="x" * 128)), [Piece(0, 5, 15)])
    twice = remembered(once, [Piece(0, 2, 6)])
    assert twice.entries[0].origin == ("x" * 128, 7)
    assert twice.ids == ("x" * 121 + "-000007",)
    assert twice.entries[0].source["policy"] == once.entries[0].source["policy"]


@pytest.mark.parametrize("source", [{"piece_of": 3, "first_step": 1}, {"piece_of": "e9"}, {"first_step": 4}, {}])
def test_what_is_no_piece_is_its_own_origin(source: dict[str, object]) -> None:
    assert EpisodeEntry("e0", 4, source).origin == ("e0", 0)
