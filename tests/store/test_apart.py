"""Frames are read by a process that files made to do harm may end."""

import os
import shutil
import signal
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memworld.datasets import DatasetInfo
from memworld.errors import MemworldError
from memworld.memory import Memory
from memworld.store import apart, open_memory, save_memory
from tests.helpers import DISCRETE, make_episode, one_clear_error, untrained_vae
from tests.store.fuzzing import template
from tests.store.lives import ENCODER, empty, expected, holds, lived, state_of
from tests.store.mutating import reseal


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    memory = empty()
    memory.extend(map(lived, ("a", "b")), ENCODER)
    save_memory(memory, tmp_path / "memory", encoder=ENCODER)
    return tmp_path / "memory"


def process() -> int:
    """The id of the process that reads, which runs."""
    running = apart.reader()._process
    assert running is not None
    assert running.poll() is None
    return running.pid


def test_a_file_that_is_made_to_end_its_reader_ends_no_other(tmp_path: Path) -> None:
    sound = template(tmp_path)
    before = state_of(sound)
    [file] = (sound / "rows.lance/_deletions").glob("*.arrow")
    content = file.read_bytes()
    # The length of something in it becomes 2^63: where that is depends on Lance, so all places are tried.
    for place in sorted(range(len(content)), key=lambda place: abs(place - len(content) * 6 // 10)):
        folder = tmp_path / f"harmful-{place}"
        shutil.copytree(sound, folder)
        harmful = bytearray(content)
        harmful[place] = 0x7F
        (folder / file.relative_to(sound)).write_bytes(harmful)
        assert reseal(folder, str(file.relative_to(sound)))
        try:
            np.asarray(open_memory(folder).episodes[0].frames)
        except MemworldError as error:
            if "rows.lance is damaged: reading it ended the process that did; see memworld check" in str(error):
                break
        shutil.rmtree(folder)
    else:
        raise AssertionError("no place does harm any more: is reading apart needed still?")
    assert state_of(sound) == before


def test_a_reader_that_was_ended_by_something_else_is_replaced(stored: Path) -> None:
    memory = open_memory(stored)
    assert holds(memory) == (expected("a"), expected("b"))
    os.kill(first := process(), signal.SIGKILL)
    assert holds(memory) == (expected("a"), expected("b"))
    assert process() != first


def test_a_reader_that_does_not_answer_is_ended(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = open_memory(stored)
    np.asarray(memory.episodes[0].frames)
    os.kill(first := process(), signal.SIGSTOP)
    monkeypatch.setattr(apart, "_LIMIT", 5.0)
    np.asarray(memory.episodes[0].frames)
    assert process() != first


def test_an_interrupted_reading_leaves_nothing_to_the_next(stored: Path) -> None:
    memory = open_memory(stored)
    np.asarray(memory.episodes[0].frames)
    os.kill(process(), signal.SIGSTOP)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        np.asarray(memory.episodes[1].frames)
    timer.join()
    assert holds(memory) == (expected("a"), expected("b"))


def test_another_memory_in_the_same_place_is_not_taken_for_the_one_that_was_there(stored: Path) -> None:
    first, again = open_memory(stored), open_memory(stored)
    assert holds(first) == (expected("a"), expected("b"))
    other = empty()
    other.extend(map(lived, ("a~x", "b~y")), ENCODER)
    save_memory(other, stored, "overwrite", encoder=ENCODER)
    assert state_of(stored) == (expected("a~x"), expected("b~y"))
    for memory in (first, again):
        with one_clear_error("refresh"):
            np.asarray(memory.episodes[0].frames)
        assert memory.refresh()
        assert holds(memory) == (expected("a~x"), expected("b~y"))


def test_frames_that_say_little_take_little_room_and_are_read(tmp_path: Path) -> None:
    shape = (256, 256, 3)
    encoder = untrained_vae(shape, (4,))
    memory = Memory(DatasetInfo(shape, DISCRETE, "black"), encoder)
    black = make_episode(np.random.default_rng(0), 2, shape)
    memory.append(replace(black, observations=np.zeros_like(black.observations)), encoder)
    save_memory(memory, tmp_path / "memory")
    size = sum(file.stat().st_size for file in (tmp_path / "memory/rows.lance").rglob("*.lance"))
    assert size < np.prod(shape)
    assert not open_memory(tmp_path / "memory").frames([0, 1, 2]).any()


def test_threads_read_at_the_same_time(stored: Path) -> None:
    memory, found = open_memory(stored), []
    threads = [threading.Thread(target=lambda: found.append(holds(memory))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(expected("a"), expected("b"))] * 8


def test_a_forked_process_has_a_reader_of_its_own(stored: Path) -> None:
    memory = open_memory(stored)
    assert holds(memory) == (expected("a"), expected("b"))
    first = process()
    if not (child := os.fork()):
        right = False
        try:
            right = holds(memory) == (expected("a"), expected("b")) and process() != first
        finally:
            apart.reader().close()
            os._exit(not right)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert process() == first
