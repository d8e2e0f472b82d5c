"""What others store is seen by an open memory once it asks for it; what is its own, and not saved, stays."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from memworld import engine
from memworld.dynamics import DynamicsConfig
from memworld.memory import Memory
from memworld.remember import MemoryStream
from memworld.search import Candidates
from memworld.search.exact import ExactIndex
from memworld.store import compact_memory, forget_episodes, go_back, open_memory, save_memory, writing
from memworld.world_model import WorldModel
from tests.helpers import assert_same_memory, one_clear_error, untrained_vae
from tests.toy_memories import ENCODER, SHAPE, episode, memory_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A memory of e0, e1 and e2."""
    save_memory(memory_of(*map(episode, range(3))), tmp_path / "memory", encoder=ENCODER)
    return tmp_path / "memory"


def append(folder: Path, *numbers: int) -> None:
    with writing(folder) as writer:
        writer.commit(append=memory_of(*map(episode, numbers)).episodes)


def assert_is(memory: Memory, *numbers: int) -> None:
    """It holds these episodes, and lays out their rows and frames."""
    whole = memory_of(*map(episode, numbers))
    assert_same_memory(memory, whole)
    for name in ("mu", "sigma", "z"):
        assert torch.equal(getattr(memory.rows.latents, name), getattr(whole.rows.latents, name))
    for name in ("actions", "episodes", "steps", "has_successor"):
        assert torch.equal(getattr(memory.rows, name), getattr(whole.rows, name))
    np.testing.assert_array_equal(memory.frames(range(len(memory))), whole.frames(range(len(whole))))


def test_nothing_is_seen_until_it_is_asked_for(folder: Path) -> None:
    memory = open_memory(folder)
    rows = memory.rows
    assert not memory.refresh()
    assert memory.rows is rows
    append(folder, 3)
    assert memory.rows is rows
    assert_is(memory, 0, 1, 2)
    assert memory.refresh()
    assert_is(memory, 0, 1, 2, 3)
    assert memory.rows.grew_from(rows)
    assert not memory.refresh()


def test_another_process_appends_and_removes(folder: Path) -> None:
    code = """
import sys
from memworld.remember import MemoryStream
from memworld.store import forget_episodes
from tests.toy_memories import episode
with MemoryStream.open(sys.argv[1]) as stream:
    stream.append(episode(3))
forget_episodes(sys.argv[1], ["e1"])
"""
    memory = open_memory(folder)
    rows = memory.rows
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, cwd=Path(__file__).parents[2])
    assert memory.refresh()
    assert_is(memory, 0, 2, 3)
    assert not memory.rows.grew_from(rows)


@pytest.mark.parametrize("looked", [False, True], ids=["before any look", "after a look"])
def test_removals_compactions_and_ways_back_are_seen(folder: Path, looked: bool) -> None:
    memory = open_memory(folder)

    def refreshed(*numbers: int) -> None:
        if looked:
            memory.rows.latents.check("rows")
        assert memory.refresh()
        assert_is(memory, *numbers)

    forget_episodes(folder, ["e0"])
    refreshed(1, 2)
    go_back(folder, 1)
    refreshed(0, 1, 2)
    append(folder, 3)
    forget_episodes(folder, ["e2"])
    compact_memory(folder)
    refreshed(0, 1, 3)


def test_an_empty_memory_that_is_filled(tmp_path: Path) -> None:
    save_memory(memory_of(), tmp_path / "memory", encoder=ENCODER)
    memory = open_memory(tmp_path / "memory")
    assert not memory.refresh()
    append(tmp_path / "memory", 0)
    assert memory.refresh()
    assert_is(memory, 0)


# Its own


def test_what_was_appended_here_and_is_not_saved_stays(folder: Path) -> None:
    memory = open_memory(folder)
    memory.append(episode(5), ENCODER)
    append(folder, 3)
    forget_episodes(folder, ["e1"])
    assert memory.refresh()
    assert_is(memory, 0, 2, 3, 5)
    save_memory(memory, folder, "resume")
    assert_is(open_memory(folder), 0, 2, 3, 5)
    assert not memory.refresh()


def test_what_was_removed_here_and_is_not_saved_stays_removed(folder: Path) -> None:
    memory = open_memory(folder)
    memory.remove(["e1"])
    append(folder, 3)
    assert memory.refresh()
    assert_is(memory, 0, 2, 3)
    assert open_memory(folder).ids == ("e0", "e1", "e2", "e3")
    save_memory(memory, folder, "resume")
    assert_is(open_memory(folder), 0, 2, 3)


def test_what_was_removed_here_and_there_is_removed_once(folder: Path) -> None:
    memory = open_memory(folder)
    memory.remove(["e1"])
    forget_episodes(folder, ["e1"])
    assert memory.refresh()
    assert memory.removed == set()
    append(folder, 1)
    assert memory.refresh()
    assert_is(memory, 0, 2, 1)


def test_what_was_replaced_here_stays_replaced(folder: Path) -> None:
    memory, changed = open_memory(folder), replace(episode(1), rewards=-episode(1).rewards)
    memory.remove(["e1"])
    memory.append(changed, ENCODER)
    append(folder, 3)
    assert memory.refresh()
    assert_same_memory(memory, memory_of(episode(0), episode(2), episode(3), changed))
    save_memory(memory, folder, "resume")
    assert_same_memory(open_memory(folder), memory_of(episode(0), episode(2), episode(3), changed))


def test_what_was_replaced_there_is_taken_from_there(folder: Path) -> None:
    memory, changed = open_memory(folder), replace(episode(1), rewards=-episode(1).rewards)
    rows = memory.rows
    with writing(folder) as writer:
        writer.commit(remove=["e1"], append=memory_of(changed).episodes)
    assert memory.refresh()
    assert_same_memory(memory, memory_of(episode(0), episode(2), changed))
    assert not memory.rows.grew_from(rows)


def test_two_of_one_id_are_a_conflict_which_can_be_settled(folder: Path) -> None:
    memory = open_memory(folder)
    memory.append(replace(episode(3), rewards=-episode(3).rewards), ENCODER)
    append(folder, 3, 4)
    before = memory.ids
    for _ in range(2):
        with one_clear_error("episode e3 was appended here and is not saved, and another process has stored one of"):
            memory.refresh()
        assert memory.ids == before
    memory.remove(["e3"])
    assert memory.refresh()
    assert_is(memory, 0, 1, 2, 3, 4)
    save_memory(memory, folder, "resume")  # and what was its own alone is removed from nowhere else
    assert_is(open_memory(folder), 0, 1, 2, 3, 4)


def test_a_save_into_what_has_grown_is_not_one_s_own_any_more(folder: Path) -> None:
    """What was saved there is taken from there, also once another has removed it."""
    memory = open_memory(folder)
    memory.append(episode(4), ENCODER)
    append(folder, 3)
    save_memory(memory, folder, "resume")
    assert_is(memory, 0, 1, 2, 4)
    assert memory.refresh()
    assert_is(memory, 0, 1, 2, 3, 4)
    assert not memory.refresh()
    fresh = memory_of(episode(5))
    save_memory(fresh, folder, "resume")
    forget_episodes(folder, ["e5", "e0"])
    assert fresh.refresh()
    assert_is(fresh, 1, 2, 3, 4)


def test_rows_that_were_here_alone_are_no_beginning_of_what_is_there(folder: Path) -> None:
    """An index of the rows with e4 must not be taken for one of the rows with e3."""
    memory = open_memory(folder)
    first = memory.rows
    memory.append(episode(4), ENCODER)
    mine = memory.rows
    assert mine.grew_from(first)
    append(folder, 3, 5)
    memory.remove(["e4"])
    assert memory.refresh()
    assert_is(memory, 0, 1, 2, 3, 5)
    assert not memory.rows.grew_from(mine)


# What cannot be refreshed


def test_a_memory_that_is_stored_nowhere() -> None:
    with one_clear_error("the memory is stored nowhere: save it, or open one, and refresh that"):
        memory_of(episode(0)).refresh()


def test_a_memory_that_was_overwritten(folder: Path) -> None:
    """Its versions begin anew, so that their numbers tell nothing."""
    memory = open_memory(folder)
    save_memory(memory_of(episode(5)), folder, "overwrite", encoder=ENCODER)
    assert memory.refresh()
    assert_is(memory, 5)
    other = memory_of(episode(5), seed=1)
    save_memory(other, folder, "overwrite", encoder=ENCODER)
    with one_clear_error("holds a memory with seed 0, this one has 1: name another folder"):
        memory.refresh()
    strange = untrained_vae(SHAPE, (2,), seed=1)
    save_memory(memory_of(episode(0), encoder=strange), folder, "overwrite", encoder=strange)
    with one_clear_error("holds a memory with encoder [0-9a-f]+, this one has"):
        memory.refresh()
    assert memory.ids == ("e5",)


def test_what_is_damaged_or_gone_is_said_and_the_memory_stays(folder: Path) -> None:
    memory = open_memory(folder)
    append(folder, 3)
    content = (folder / "versions/00000002.json").read_bytes()
    (folder / "versions/00000002.json").write_bytes(content[:-9])
    with one_clear_error("00000002.json is damaged"):
        memory.refresh()
    (folder / "versions/00000002.json").write_bytes(content)
    (folder / "memory.json").rename(folder / "aside")
    with one_clear_error("it has no memory.json"):
        memory.refresh()
    assert_is(memory, 0, 1, 2)
    (folder / "aside").rename(folder / "memory.json")
    assert memory.refresh()
    assert_is(memory, 0, 1, 2, 3)


# Worlds


@pytest.fixture
def indexed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows every index is made of."""
    sizes: list[int] = []

    class Counted(ExactIndex):
        def __init__(self, metric: str, candidates: Candidates, **options: object) -> None:
            sizes.append(len(candidates))
            super().__init__(metric, candidates, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "ExactIndex", Counted)
    return sizes


def test_an_open_world_indexes_only_what_is_new(tmp_path: Path, indexed: list[int]) -> None:
    first = [episode(number, 40) for number in range(3)]
    save_memory(memory_of(*first), tmp_path / "memory", encoder=ENCODER)
    settings = DynamicsConfig("rollout", conditioning="none")
    world = WorldModel.open(tmp_path / "memory", settings, device="cpu")
    state = world.encode(episode(7).observations[0])
    world.next(state, [1])
    with MemoryStream.open(tmp_path / "memory", episodes=1) as stream:
        for number, steps in ((10, 5), (11, 9)):
            stream.append(episode(number, steps))
            assert world.refresh()
            row = world.memory.row_of(f"e{number}", 3)
            found = world.next(world.memory.rows.latents[row : row + 1], [0])
            # The very moment is in memory, and is found in what has just been stored.
            assert int(found.matches.rows[0, 0]) == row
    assert indexed == [120, 5, 14]
    assert not world.refresh()
    forget_episodes(tmp_path / "memory", ["e10"])
    assert world.refresh()
    found = world.next(state, [1])
    assert indexed == [120, 5, 14, 129]
    whole = WorldModel(ENCODER, memory_of(*first, episode(11, 9)), settings, device="cpu")
    assert torch.equal(found.matches.rows, whole.next(state, [1]).matches.rows)
