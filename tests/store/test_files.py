"""Memories in folders: nothing is lost on the way there and back, and opening reads next to nothing."""

import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.actions import ActionSpace
from memworld.datasets import DatasetInfo
from memworld.encoders import open_encoder
from memworld.memory import Memory, Rows
from memworld.store import check_memory, compact_memory, go_back, open_memory, save_memory
from memworld.stored_frames import StoredFrames
from memworld.world_model import WorldModel
from tests.helpers import DISCRETE, assert_same_memory, make_episode, one_clear_error, untrained_vae
from tests.store.contents import assert_same_stored
from tests.toy_memories import ENCODER, GOLDEN, SHAPE, SPACES, episode, memory_of


def assert_same_rows(one: Rows, other: Rows) -> None:
    """Equal in every column, and in its type."""
    pairs = [(getattr(one.latents, name), getattr(other.latents, name)) for name in ("mu", "sigma", "z")]
    names = ("actions", "discrete", "rewards", "terminations", "episodes", "steps", "has_successor", "candidates")
    for left, right in pairs + [(getattr(one, name), getattr(other, name)) for name in names]:
        assert left.dtype == right.dtype
        assert torch.equal(left, right)


@given(
    lengths=st.lists(st.integers(1, 5), max_size=4),
    seed=st.integers(-5, 2**40),
    keep_frames=st.booleans(),
    space=st.sampled_from(SPACES),
    latent_shape=st.sampled_from([(2,), (3, 2, 2)]),
)
@settings(max_examples=30)
def test_a_round_trip_loses_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[int],
    seed: int,
    keep_frames: bool,
    space: ActionSpace,
    latent_shape: tuple[int, ...],
) -> None:
    folder = tmp_path_factory.mktemp("memory")
    encoder = untrained_vae(SHAPE, latent_shape)
    memory = Memory(DatasetInfo(SHAPE, space, "toy", ("x",)), encoder, seed, keep_frames)
    rng = np.random.default_rng(0)
    memory.extend([make_episode(rng, n, SHAPE, space, f"e{i}", 1) for i, n in enumerate(lengths)], encoder)
    expected = Memory.restore(memory.info, encoder.fingerprint, latent_shape, seed, keep_frames, memory.episodes)
    save_memory(memory, folder, encoder=encoder)
    for opened in (open_memory(str(folder)), memory):
        assert_same_memory(opened, expected)
        if lengths:
            assert_same_rows(opened.rows, expected.rows)
    opened.check_encoder(open_encoder(folder / "encoder"))
    assert check_memory(folder).problems == ()


def test_a_stored_memory_grows_as_one_that_never_left(stored: Path, tmp_path: Path) -> None:
    opened = open_memory(stored)
    assert len(opened.rows) == 9
    opened.append(episode(3), ENCODER)
    whole = memory_of(*map(episode, range(4)))
    assert_same_rows(opened.rows, whole.rows)
    assert_same_memory(opened, whole)
    save_memory(opened, stored, "resume")
    save_memory(whole, tmp_path / "whole", encoder=ENCODER)
    assert_same_stored(stored, tmp_path / "whole")


def test_the_same_memory_is_stored_alike_whatever_way_it_came(stored: Path, tmp_path: Path) -> None:
    # The same frames in another memory order, the same memory by another way.
    frozen = np.asfortranarray(episode(1).observations)
    frozen.setflags(write=False)
    memory = memory_of(episode(0), replace(episode(1), observations=frozen), episode(5), episode(2))
    memory.remove(["e5"])
    save_memory(memory, tmp_path / "other", encoder=ENCODER)
    assert_same_stored(tmp_path / "other", stored)


def test_ids_that_are_files_of_their_own(tmp_path: Path) -> None:
    ids = ("a", "episodes.jsonl", "mu.bin", "memory.json", "1", "rows.lance", "NULL", "x" * 128)
    memory = memory_of(*(episode(i, id=id) for i, id in enumerate(ids)))
    save_memory(memory, tmp_path / "memory")
    memory.remove(["memory.json", "NULL"])
    save_memory(memory, tmp_path / "memory", "resume")
    assert_same_memory(open_memory(tmp_path / "memory"), memory)
    assert check_memory(tmp_path / "memory").problems == ()


def test_a_source_of_any_content_comes_back(tmp_path: Path) -> None:
    source = {"words": "naïve\u2028 line\nbreaks \"' \\", "deep": {"list": [1, None, 2.5, True]}, "": []}
    save_memory(memory_of(replace(episode(0), source=source), episode(1)), tmp_path / "memory")
    assert dict(open_memory(tmp_path / "memory").entries[0].source) == source
    assert check_memory(tmp_path / "memory").problems == ()


def test_version_2_still_opens(tmp_path: Path) -> None:
    """Written when this format was: version 1 saved e0 and e1 of `memory-v1`, 2 appended e2, 3 removed e1."""
    memory = open_memory(GOLDEN / "memory-v2")
    assert memory.info == DatasetInfo((4, 4, 1), DISCRETE, "toy", ("x", "y"), ("left", "right", "up", "down"))
    assert (memory.seed, memory.latent_shape, memory.keep_frames) == (7, (2,), True)
    entries = [(e.id, e.steps, dict(e.source)) for e in memory.entries]
    assert entries == [("e0", 3, {"policy": "random", "seed": 62}), ("e2", 2, {"policy": "random", "seed": 55})]
    rows = memory.rows
    assert rows.latents.mu[0].tolist() == [0.17453184723854065, -0.02921319007873535]
    assert rows.latents.sigma[0].tolist() == [0.6805996894836426, 0.5830104947090149]
    assert rows.latents.z[-1].tolist() == [-0.38878944516181946, 0.020161405205726624]
    assert rows.actions[rows.candidates].argmax(1).tolist() == [1, 2, 3, 3, 1]
    assert rows.rewards.tolist() == pytest.approx([0.0284, 0.5467, -0.7365, 0, 0.2812, -0.5538, 0], abs=1e-4)
    assert rows.terminations.tolist() == [False, False, True, False, False, False, False]
    assert [bool(e.truncations[-1]) for e in memory.episodes] == [False, True]
    assert [int(frame.sum()) for frame in memory.frames(range(7))] == [2663, 1878, 1993, 1493, 2055, 2032, 2207]
    assert WorldModel.open(GOLDEN / "memory-v2").memory.ids == ("e0", "e2")
    found = check_memory(GOLDEN / "memory-v2", apart=True)
    assert (found.episodes, found.rows, found.problems) == (2, 7, ())
    assert [version.change for version in found.versions] == [
        "appended 2 episodes", "appended 1 episode", "removed 1 episode",
    ]  # fmt: skip
    # It is written to as well, and its way back is one.
    shutil.copytree(GOLDEN / "memory-v2", tmp_path / "memory")
    assert go_back(tmp_path / "memory", 1).number == 4
    assert_same_memory(open_memory(tmp_path / "memory"), open_memory(GOLDEN / "memory-v1"))
    compact_memory(tmp_path / "memory")
    assert check_memory(tmp_path / "memory").problems == ()


# Frames


def test_saving_leaves_the_frames_on_disk(tmp_path: Path) -> None:
    memory = memory_of(episode(0), episode(1))
    save_memory(memory, tmp_path / "memory")
    assert all(isinstance(e.frames, StoredFrames) for e in memory.episodes)
    assert_same_memory(memory, memory_of(episode(0), episode(1)))
    # A copy elsewhere is whole, and then leaves its frames there.
    save_memory(memory, tmp_path / "copy")
    (tmp_path / "memory").rename(tmp_path / "gone")
    assert_same_memory(memory, memory_of(episode(0), episode(1)))


def test_stored_frames_are_the_frames(stored: Path) -> None:
    memory, whole = open_memory(stored), memory_of(episode(0), episode(1), episode(2))
    frames = memory.episodes[2].frames
    assert isinstance(frames, StoredFrames)
    assert (len(frames), frames.nbytes, frames.shape) == (4, 4 * 16, (4, *SHAPE))
    np.testing.assert_array_equal(frames[2], episode(2).observations[2])
    np.testing.assert_array_equal(frames[-1], episode(2).observations[-1])
    np.testing.assert_array_equal(np.asarray(frames), episode(2).observations)
    frames[2][:] = 0  # a copy
    for rows in ([0], [8], [3, 2, 7, 2], list(range(9))[::-1], []):
        np.testing.assert_array_equal(memory.frames(rows), whole.frames(rows))
    with pytest.raises(IndexError):
        frames[4]


def test_a_memory_without_frames_stores_none(tmp_path: Path) -> None:
    save_memory(memory_of(episode(0), keep_frames=False), tmp_path / "memory")
    memory = open_memory(tmp_path / "memory")
    assert memory.episodes[0].frames is None
    with one_clear_error("keeps no frames"):
        memory.frames([0])


# Opening


def test_opening_reads_no_frames_and_maps_the_rest(tmp_path: Path) -> None:
    encoder = untrained_vae((16, 16, 3), (2,))
    memory = Memory(DatasetInfo((16, 16, 3), DISCRETE), encoder)
    memory.append(make_episode(np.random.default_rng(0), 1500, (16, 16, 3)), encoder)
    save_memory(memory, tmp_path / "memory")
    [frames] = [e.frames for e in memory.episodes]
    assert frames is not None
    open_memory(tmp_path / "memory").frames([0])  # what is imported on the way is no memory of frames
    tracemalloc.start()
    opened = open_memory(tmp_path / "memory")
    opened.frames([1500, 0, 750])
    latents = opened.rows.latents
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < frames.nbytes / 2
    # The latents of rows and of episodes are the same bytes in one map.
    assert opened.episodes[0].latents.mu.data_ptr() == latents.mu.data_ptr()


def test_episodes_that_were_asked_for_first_leave_the_rows_mapped(stored: Path) -> None:
    memory = open_memory(stored)
    first = memory.episodes[0].latents.z
    assert memory.rows.latents.z.data_ptr() == first.data_ptr()
    assert memory.episodes is memory.episodes


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("none", "nothing is there: check the path"),
        ("file", "it is a file: give the folder that memworld remember wrote"),
        ("episodes", "it has no memory.json: give the folder .*, or look through recorded .* memworld browse"),
        ("run", "it has no memory.json: give its folder .*run/memory, which is one"),
    ],
)
def test_whoever_opens_what_is_no_memory_is_told_what_to_give(
    stored: Path, tmp_path: Path, name: str, says: str
) -> None:
    (tmp_path / "episodes").mkdir()
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "run").mkdir()
    shutil.copytree(stored, tmp_path / "run" / "memory")
    for use in (open_memory, check_memory, WorldModel.open):
        with one_clear_error(f"{name} is no memory: {says}"):
            use(tmp_path / name)


def test_a_world_of_a_stored_memory_says_what_one_in_memory_says(stored: Path) -> None:
    whole = memory_of(episode(0), episode(1), episode(2))
    worlds = (WorldModel.open(stored, device="cpu"), WorldModel(ENCODER, whole, device="cpu"))
    one, other = (world.imagine(episode(5).observations[0], [[0, 1, 2]]) for world in worlds)
    assert torch.equal(one.latents.mu, other.latents.mu)
    assert torch.equal(one.rows, other.rows)
    assert one.frames is not None
    np.testing.assert_array_equal(one.frames, other.frames)


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="counts the files that this process has open")
def test_an_open_memory_holds_no_more_files_open_for_more_episodes(tmp_path: Path) -> None:
    counts = []
    for number in (1, 30):
        save_memory(memory_of(*map(episode, range(number))), tmp_path / f"{number}")
        before = open_files()
        opened = open_memory(tmp_path / f"{number}")
        opened.frames(range(len(opened)))
        assert len(opened.episodes) == number
        counts.append(open_files() - before)
    assert counts[1] <= counts[0] + 3
