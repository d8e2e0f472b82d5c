"""Long episodes in pieces: the same steps, one piece in memory at a time."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.datasets import DatasetInfo, EpisodeDataset
from memworld.episodes import Episode
from memworld.formats import ReadOptions, open_dataset
from memworld.formats.convert import convert
from memworld.formats.pieces import in_pieces
from memworld.formats.video_frames import read_frames, write_frames
from tests.formats.trimmed import encode, remux
from tests.helpers import DISCRETE, assert_same_episode, make_episode, one_clear_error


def put_together(pieces: list[Episode]) -> Episode:
    """The episode that these are the pieces of, in order."""
    first, last = pieces[0], pieces[-1]
    states = [piece.states for piece in pieces if piece.states is not None]
    whole = sum(len(piece) for piece in pieces)
    end = np.arange(whole) == whole - 1
    return Episode(
        str(first.source["piece_of"]),
        np.concatenate([first.observations[:1], *(piece.observations[1:] for piece in pieces)]),
        np.concatenate([piece.actions for piece in pieces]),
        np.concatenate([piece.rewards for piece in pieces]),
        end & last.terminations[-1],
        end & last.truncations[-1],
        np.concatenate([states[0][:1], *(state[1:] for state in states)]) if states else None,
        {name: value for name, value in first.source.items() if name not in ("piece_of", "first_step")},
    )


@settings(max_examples=30)
@given(steps=st.integers(1, 12), most=st.integers(1, 13), states=st.integers(0, 2), seed=st.integers(0, 99))
def test_pieces_put_together_are_the_episode(steps: int, most: int, states: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    info = DatasetInfo((8, 8, 3), DISCRETE, state_names=("x", "y")[:states])
    episodes = [make_episode(rng, n, id=name, states=states) for name, n in (("a", steps), ("b", 3))]
    dataset = EpisodeDataset.from_episodes(info, episodes)
    cut = in_pieces(dataset, most)
    assert cut.steps == dataset.steps
    assert max(entry.steps for entry in cut.entries) <= most
    for episode in episodes:
        pieces = [piece for piece in cut if piece.source.get("piece_of", piece.id) == episode.id]
        if len(episode) <= most:
            assert_same_episode(pieces[0], episode)
            continue
        assert [piece.id for piece in pieces] == [f"{episode.id}.{i:03d}" for i in range(-(-len(episode) // most))]
        assert [piece.source["first_step"] for piece in pieces] == list(range(0, len(episode), most))
        assert all(piece.truncations[-1] and not piece.terminations[-1] for piece in pieces[:-1])
        assert_same_episode(put_together(pieces), episode)


@pytest.fixture
def long_video(tmp_path: Path) -> Path:
    """A video of 50 frames with a table of 49 actions, by hand."""
    rng = np.random.default_rng(0)
    (tmp_path / "clips").mkdir()
    write_frames(tmp_path / "clips/long.mp4", rng.integers(0, 256, (50, 16, 24, 3), dtype=np.uint8), 10)
    rows = [f"{i % 4},{i / 8},{int(i == 48)}" for i in range(49)]
    (tmp_path / "clips/long.csv").write_text("\n".join(["action,reward,terminated", *rows]) + "\n")
    return tmp_path / "clips"


@pytest.mark.parametrize("size", [None, (8, 8)])
def test_a_long_video_is_read_in_pieces(long_video: Path, size: tuple[int, int] | None) -> None:
    whole = open_dataset(long_video, ReadOptions(size))[0]
    cut = open_dataset(long_video, ReadOptions(size, most_steps=20))
    assert [(entry.id, entry.steps) for entry in cut.entries] == [("long.000", 20), ("long.001", 20), ("long.002", 9)]
    pieces = list(cut)
    assert_same_episode(put_together(pieces), whole)
    # In any order too, and again.
    for index in (2, 0, 0, 1):
        assert_same_episode(cut[index], pieces[index])


def test_pieces_in_order_decode_a_video_once(long_video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = 0

    def counted(*arguments: object, **settings: object) -> object:
        nonlocal decoded
        for frame in read_frames(*arguments, **settings):  # type: ignore[arg-type]
            decoded += 1
            yield frame

    monkeypatch.setattr("memworld.formats.video.reel.read_frames", counted)
    assert sum(len(episode) for episode in open_dataset(long_video, ReadOptions(most_steps=7))) == 49
    assert decoded == 50


def test_a_cut_set_converts_and_goes_on(long_video: Path, tmp_path: Path) -> None:
    cut = open_dataset(long_video, ReadOptions(most_steps=20))
    convert(cut.subset(["long.000"]), tmp_path / "set")
    converted = convert(cut, tmp_path / "set", on_existing="resume").dataset
    assert_same_episode(put_together(list(converted)), open_dataset(long_video)[0])


@pytest.mark.parametrize("most", [10, 15])
def test_a_piece_of_frames_that_cannot_be_decoded(tmp_path: Path, most: int) -> None:
    video = np.random.default_rng(0).integers(0, 256, (24, 16, 24, 3), np.uint8)
    remux(encode(tmp_path / ".whole.mp4", video, g="12", bf="0", sc_threshold="0"), tmp_path / "run.mp4", 0, first=5)
    (tmp_path / "run.csv").write_text("action\n" + "1\n" * 18)
    dataset = open_dataset(tmp_path, ReadOptions(most_steps=most))
    with one_clear_error("table .*run.csv has 18 rows and video .*run.mp4 lists 19 frames, but .*run.mp4 holds 12 fr"):
        list(dataset)


def test_what_cannot_be_cut(long_video: Path) -> None:
    with one_clear_error("most_steps is 0: an episode needs at least one step"):
        ReadOptions(most_steps=0)
    video = long_video / "long.mp4"
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    with one_clear_error("long.mp4"):
        list(open_dataset(long_video, ReadOptions(most_steps=20)))
