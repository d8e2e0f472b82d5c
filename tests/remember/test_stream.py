"""Episodes as they come: stored in changes of several, kept whatever ends the stream, and written by one alone."""

import importlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from memworld.encoders import open_encoder
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.memory import Memory
from memworld.remember import MemoryStream
from memworld.store import (
    MemoryWriter,
    check_memory,
    forget_episodes,
    open_memory,
    read_version,
    save_memory,
    version_numbers,
)
from tests.helpers import (
    assert_same_memory,
    make_dataset,
    one_clear_error,
    small_disk,
    untrained_vae,
)
from tests.toy_memories import ENCODER, SHAPE, episode, memory_of

stream_module = importlib.import_module("memworld.remember.stream")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A memory of e0."""
    save_memory(memory_of(episode(0)), tmp_path / "memory", encoder=ENCODER)
    return tmp_path / "memory"


def changes(folder: Path) -> list[str]:
    return [read_version(folder, number).change for number in version_numbers(folder)]


def test_a_generator_is_remembered(tmp_path: Path) -> None:
    made: list[int] = []

    def live() -> Iterator[Episode]:
        for number in range(4):
            made.append(number)
            yield episode(number)

    with MemoryStream(tmp_path / "memory", memory_of(), ENCODER) as stream:
        stream.extend(live())
        assert made == [0, 1, 2, 3]
        assert stream.ids == {"e0", "e1", "e2", "e3"}
    assert_same_memory(open_memory(tmp_path / "memory"), memory_of(*map(episode, range(4))))
    assert open_encoder(tmp_path / "memory/encoder").fingerprint == ENCODER.fingerprint
    assert check_memory(tmp_path / "memory").problems == ()


def test_episodes_are_stored_several_at_once_unless_it_is_told_otherwise(folder: Path) -> None:
    with MemoryStream.open(folder) as stream:
        for number in (1, 2, 3):
            stream.append(episode(number))
        assert list(stream.memory.ids) == ["e0"]
        stream.flush()
        assert list(stream.memory.ids) == list(open_memory(folder).ids) == ["e0", "e1", "e2", "e3"]
        stream.flush()  # nothing waits
        stream.append(episode(4))
    assert changes(folder) == ["appended 1 episode", "appended 3 episodes", "appended 1 episode"]


@pytest.mark.parametrize(("episodes", "stored"), [(1, [1, 2, 3, 4, 5]), (2, [0, 2, 2, 4, 4]), (9, [0, 0, 0, 0, 0])])
def test_so_many_episodes_are_a_change(folder: Path, episodes: int, stored: list[int]) -> None:
    found = []
    with MemoryStream.open(folder, episodes=episodes) as stream:
        for number in range(1, 6):
            stream.append(episode(number))
            found.append(len(open_memory(folder).ids) - 1)
    assert found == stored
    assert_same_memory(open_memory(folder), memory_of(*map(episode, range(6))))


def test_many_bytes_are_a_change(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "_BYTES", 3 * (16 + 24) - 1)  # three rows of a frame and a latent
    with MemoryStream.open(folder) as stream:
        for number in range(3):
            stream.append(episode(0, id=f"a{number}"))  # two rows each
    assert changes(folder)[1:] == ["appended 2 episodes", "appended 1 episode"]


def test_a_long_wait_is_a_change(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(stream_module.time, "monotonic", lambda: now[0])
    with MemoryStream.open(folder) as stream:
        for number, later in ((1, 3.0), (2, 1.9), (3, 0.2), (4, 4.9), (5, 0.2)):
            now[0] += later
            stream.append(episode(number))
    assert changes(folder)[1:] == ["appended 3 episodes", "appended 2 episodes"]


@pytest.mark.parametrize("error", [RuntimeError("the world ended"), KeyboardInterrupt()])
def test_an_error_in_mid_stream_keeps_what_was_appended(folder: Path, error: BaseException) -> None:
    def live() -> Iterator[Episode]:
        yield episode(1)
        yield episode(2)
        raise error

    with pytest.raises(type(error)), MemoryStream.open(folder) as stream:
        stream.extend(live())
    assert_same_memory(open_memory(folder), memory_of(*map(episode, range(3))))
    forget_episodes(folder, ["e1"])  # nobody writes any more


@pytest.mark.parametrize(
    ("refused", "match"),
    [
        (episode(0), "the memory has an episode e0 already: remove it first or rename the new one"),
        (episode(1), "the memory has an episode e1 already"),
        (make_dataset(np.random.default_rng(0), 1, 2, (8, 8, 3))[0], "e0 already"),
        (make_dataset(np.random.default_rng(0), 9, 2, (8, 8, 3))[8], r"e8 has frames of \(8, 8, 3\)"),
    ],
)
def test_an_episode_that_is_refused_harms_no_other(folder: Path, refused: Episode, match: str) -> None:
    with MemoryStream.open(folder) as stream:
        stream.append(episode(1))
        with one_clear_error(match):
            stream.append(refused)
        stream.append(episode(2))
        assert stream.ids == {"e0", "e1", "e2"}
    assert_same_memory(open_memory(folder), memory_of(*map(episode, range(3))))


def test_what_was_encoded_elsewhere_is_added(folder: Path) -> None:
    [ready] = memory_of(episode(1)).episodes
    with MemoryStream.open(folder) as stream:
        stream.add(ready)
        with one_clear_error("has an episode e1 already"):
            stream.add(ready)
    assert_same_memory(open_memory(folder), memory_of(episode(0), episode(1)))


def test_a_second_writer_is_refused_as_long_as_the_stream_is_open(folder: Path) -> None:
    with MemoryStream.open(folder) as stream:
        for write in (lambda: MemoryStream.open(folder), lambda: forget_episodes(folder, ["e0"])):
            with one_clear_error("another memworld is writing to .*memory: wait for it"):
                write()
        stream.append(episode(1))
    with MemoryStream.open(folder) as stream:
        stream.append(episode(2))
    assert open_memory(folder).ids == ("e0", "e1", "e2")


def test_a_closed_stream_writes_nothing(folder: Path) -> None:
    """As another may be writing by then."""
    with MemoryStream.open(folder) as stream:
        stream.append(episode(1))
    with one_clear_error("the stream into .*memory is closed: open another"):
        stream.append(episode(2))
    with one_clear_error("the stream into .*memory is closed: open another"):
        stream.add(memory_of(episode(2)).episodes[0])
    stream.flush()
    stream.close()
    assert open_memory(folder).ids == ("e0", "e1")


@pytest.mark.parametrize("call", [1, 6, 11, 16])
def test_an_interrupt_while_it_stores_loses_nothing_and_doubles_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    real, count = os.fsync, [0]

    def limited(handle: int) -> None:
        count[0] += 1
        if count[0] == call:
            raise KeyboardInterrupt
        real(handle)

    with MemoryStream.open(folder) as stream:
        stream.extend([episode(1), episode(2)])
        monkeypatch.setattr(os, "fsync", limited)
        with pytest.raises(KeyboardInterrupt):
            stream.flush()
    assert_same_memory(open_memory(folder), memory_of(*map(episode, range(3))))
    assert check_memory(folder).problems == ()


def test_an_interrupt_just_after_it_has_stored_stores_nothing_twice(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: MemoryWriter) -> None:
        raise KeyboardInterrupt

    with MemoryStream.open(folder) as stream:
        stream.extend([episode(1), episode(2)])
        with monkeypatch.context() as patch:
            patch.setattr(MemoryWriter, "_drop_old", interrupt)
            with pytest.raises(KeyboardInterrupt):
                stream.flush()
        assert open_memory(folder).ids == ("e0", "e1", "e2")
        stream.append(episode(3))
    assert_same_memory(open_memory(folder), memory_of(*map(episode, range(4))))
    assert check_memory(folder).problems == ()


def test_a_full_disk_leaves_what_waits_and_nothing_else(tmp_path: Path) -> None:
    encoder, dataset = untrained_vae(), make_dataset(np.random.default_rng(0), 4, 100, (16, 16, 3))
    expected = Memory(dataset.info, encoder)
    expected.extend(dataset, encoder)
    with small_disk(tmp_path / "disk", 240) as resize:
        folder = tmp_path / "disk/memory"
        with MemoryStream(folder, Memory(dataset.info, encoder), encoder, episodes=1) as stream:
            stream.append(dataset[0])
            for number in (1, 2):
                with one_clear_error("cannot write .*free space"):
                    stream.append(dataset[number])
            with one_clear_error("has an episode e2 already"):
                stream.append(dataset[2])
            assert stream.ids == {"e0", "e1", "e2"}
            assert stream.memory.ids == open_memory(folder).ids == ("e0",)
            assert check_memory(folder).problems == ()
            resize(4096)
            stream.append(dataset[3])
            assert_same_memory(open_memory(folder), expected)
        assert check_memory(folder).problems == ()


def test_a_disk_that_stays_full_lets_others_write_in_the_end(tmp_path: Path) -> None:
    encoder, dataset = untrained_vae(), make_dataset(np.random.default_rng(0), 3, 100, (16, 16, 3))
    with small_disk(tmp_path / "disk", 240):
        folder = tmp_path / "disk/memory"
        with (
            one_clear_error("cannot write .*free space"),
            MemoryStream(folder, Memory(dataset.info, encoder), encoder) as stream,
        ):
            stream.append(dataset[0])
            stream.flush()
            stream.extend([dataset[1], dataset[2]])
        assert forget_episodes(folder, []) == 100


# Beginnings


@pytest.mark.parametrize("episodes", [0, -1])
def test_a_change_of_no_episode(folder: Path, episodes: int) -> None:
    with one_clear_error(f"a change stores at least 1 episode, not {episodes}"):
        MemoryStream.open(folder, episodes=episodes)
    forget_episodes(folder, [])  # nothing is held


def test_streams_that_cannot_begin(folder: Path, tmp_path: Path) -> None:
    other = untrained_vae(SHAPE, (2,), seed=1)
    with one_clear_error("is no memory: nothing is there"):
        MemoryStream.open(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    with one_clear_error("the memory was made by encoder"):
        MemoryStream(folder, memory_of(), other)
    with one_clear_error("holds a memory with encoder"):
        MemoryStream(folder, memory_of(encoder=other), other)
    with one_clear_error("holds a memory with seed 0, this one has 5"):
        MemoryStream(folder, memory_of(seed=5), ENCODER)
    with one_clear_error("exists and is not empty"):
        MemoryStream(folder, memory_of(), ENCODER, on_existing="error")
    other.save(folder / "encoder")
    with pytest.raises(MemworldError, match="the memory was made by encoder"):
        MemoryStream.open(folder)
    assert forget_episodes(folder, []) == 1  # nothing is held


def test_a_stream_may_begin_anew(folder: Path) -> None:
    with MemoryStream(folder, memory_of(seed=5), ENCODER, on_existing="overwrite") as stream:
        assert stream.ids == set()
        stream.append(episode(1))
    assert_same_memory(open_memory(folder), memory_of(episode(1), seed=5))
