import errno
import hashlib
import json
import shutil
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld import memory_files
from memworld.datasets import DatasetInfo
from memworld.encoders import open_encoder
from memworld.episodes import Episode
from memworld.memory import Memory
from memworld.store import forget_episodes, one_episode, open_memory, save_memory
from memworld.stored_frames import StoredFrames
from tests.helpers import DISCRETE, assert_same_memory, folder_bytes, make_episode, one_clear_error, untrained_vae
from tests.toy_memories import BOX, ENCODER, GOLDEN, INFO, SHAPE, episode, memory_of


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A folder with episodes e0, e1 and e2 of 1, 2 and 3 steps."""
    save_memory(memory_of(episode(0), episode(1), episode(2)), tmp_path / "memory", encoder=ENCODER)
    return tmp_path / "memory"


# Round trips


@given(
    lengths=st.lists(st.integers(1, 5), max_size=4),
    seed=st.integers(-5, 2**40),
    keep_frames=st.booleans(),
    box=st.booleans(),
    latent_shape=st.sampled_from([(2,), (3, 2, 2)]),
)
@settings(max_examples=25)
def test_a_round_trip_loses_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[int],
    seed: int,
    keep_frames: bool,
    box: bool,
    latent_shape: tuple[int, ...],
) -> None:
    folder = tmp_path_factory.mktemp("memory")
    encoder, space = untrained_vae(SHAPE, latent_shape), BOX if box else DISCRETE
    memory = Memory(DatasetInfo(SHAPE, space, "toy", ("x",)), encoder, seed, keep_frames)
    rng = np.random.default_rng(0)
    memory.extend([make_episode(rng, n, SHAPE, space, f"e{i}", 1) for i, n in enumerate(lengths)], encoder)
    save_memory(memory, folder, encoder=encoder)
    opened = open_memory(str(folder))
    assert_same_memory(opened, memory)
    opened.check_encoder(open_encoder(folder / "encoder"))
    assert (folder / "episodes/e0.frames.npy").exists() == (keep_frames and len(lengths) > 0)


def test_a_memory_without_checksums_gets_them_when_it_is_written(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "memory-v1", tmp_path / "memory")
    forget_episodes(tmp_path / "memory", ["e1"])
    assert "sha256" not in (tmp_path / "memory/memory.json").read_text()  # which reads no episode
    save_memory(open_memory(tmp_path / "memory"), tmp_path / "memory", "resume")
    digest = hashlib.sha256((tmp_path / "memory/episodes/e0.safetensors").read_bytes()).hexdigest()
    [entry] = json.loads((tmp_path / "memory/memory.json").read_text())["episodes"]
    assert entry["sha256"] == digest
    open_memory(tmp_path / "memory")


def test_version_1_still_opens() -> None:
    memory = open_memory(GOLDEN / "memory-v1")
    assert memory.info == DatasetInfo((4, 4, 1), DISCRETE, "toy", ("x", "y"), ("left", "right", "up", "down"))
    assert (memory.seed, memory.latent_shape, memory.keep_frames) == (7, (2,), True)
    entries = [(e.entry.id, e.entry.steps, dict(e.entry.source)) for e in memory.episodes]
    assert entries == [("e0", 3, {"policy": "random", "seed": 62}), ("e1", 1, {"policy": "random", "seed": 541})]
    rows = memory.rows
    assert rows.latents.mu[0].tolist() == [0.17453184723854065, -0.02921319007873535]
    assert rows.latents.sigma[0].tolist() == [0.6805996894836426, 0.5830104947090149]
    assert rows.latents.z[-1].tolist() == [0.6873427629470825, 0.09343230724334717]
    assert rows.actions[rows.candidates].argmax(1).tolist() == [1, 2, 3, 1]
    assert rows.rewards.tolist() == pytest.approx([0.0284, 0.5467, -0.7365, 0, -0.4222, 0], abs=1e-4)
    assert rows.terminations.tolist() == [False, False, True, False, False, False]
    assert [e.truncations[-1] for e in memory.episodes] == [False, True]
    assert [int(frame.sum()) for frame in memory.frames(range(6))] == [2663, 1878, 1993, 1493, 2083, 1773]
    # Its encoder still makes the same codes, up to the float noise of another machine.
    encoder = open_encoder(GOLDEN / "memory-v1/encoder")
    memory.check_encoder(encoder)
    mu, sigma = encoder.encode(memory.frames(range(6)))
    torch.testing.assert_close(mu, rows.latents.mu, rtol=0, atol=1e-5)
    torch.testing.assert_close(sigma, rows.latents.sigma, rtol=0, atol=1e-5)


def test_a_stored_memory_grows_as_one_that_never_left(stored: Path, tmp_path: Path) -> None:
    opened = open_memory(stored)
    opened.append(episode(3), ENCODER)
    whole = memory_of(*map(episode, range(4)))
    assert_same_memory(opened, whole)
    save_memory(opened, stored, "resume")
    save_memory(whole, tmp_path / "whole", encoder=ENCODER)
    assert folder_bytes(stored) == folder_bytes(tmp_path / "whole")


def test_the_same_memory_gives_the_same_bytes(stored: Path, tmp_path: Path) -> None:
    # The same frames in another memory order, the same memory by another way.
    frozen = np.asfortranarray(episode(1).observations)
    frozen.setflags(write=False)
    memory = memory_of(episode(0), replace(episode(1), observations=frozen), episode(5), episode(2))
    memory.remove(["e5"])
    save_memory(memory, tmp_path / "other", encoder=ENCODER)
    assert folder_bytes(tmp_path / "other") == folder_bytes(stored)


# Saving again


def modified(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_ino for p in folder.rglob("*") if p.is_file()}


def test_saving_again_writes_what_is_missing_and_deletes_what_was_removed(stored: Path, tmp_path: Path) -> None:
    before = modified(stored)
    memory = memory_of(episode(2), episode(1), episode(3), episode(0))
    memory.remove(["e1"])
    save_memory(memory, stored, "resume")
    after = modified(stored)
    kept = {f"episodes/e{n}{suffix}" for n in (0, 2) for suffix in (".safetensors", ".frames.npy")}
    assert {name for name in before if after.get(name) == before[name]} >= kept
    assert {p.name.split(".")[0] for p in (stored / "episodes").iterdir()} == {"e0", "e2", "e3"}
    assert open_memory(stored).ids == ("e0", "e2", "e3")  # in order of arrival there
    save_memory(memory_of(episode(0), episode(2), episode(3)), tmp_path / "fresh", encoder=ENCODER)
    assert folder_bytes(stored) == folder_bytes(tmp_path / "fresh")


def test_what_was_removed_leaves_no_file(stored: Path) -> None:
    memory = open_memory(stored)
    memory.remove(["e1"])
    save_memory(memory, stored, "resume")
    assert not list((stored / "episodes").glob("e1*"))
    assert open_memory(stored).ids == ("e0", "e2")
    memory.remove(["e0", "e2"])
    save_memory(memory, stored, "resume")
    assert list((stored / "episodes").iterdir()) == []
    assert len(open_memory(stored)) == 0


@pytest.mark.parametrize(
    "changed",
    [
        episode(1, 9),  # longer
        replace(episode(1), observations=255 - episode(1).observations),
        replace(episode(1), rewards=-episode(1).rewards),
        replace(episode(1), actions=3 - episode(1).actions),
        replace(episode(1), source={"other": 1}),
    ],
)
def test_another_episode_under_a_stored_id_replaces_it(stored: Path, tmp_path: Path, changed: Episode) -> None:
    memory = open_memory(stored)
    memory.remove(["e1"])
    memory.append(changed, ENCODER)
    save_memory(memory, stored, "resume")
    save_memory(memory_of(episode(0), episode(2), changed), tmp_path / "fresh", encoder=ENCODER)
    assert folder_bytes(stored) == folder_bytes(tmp_path / "fresh")


def test_ids_that_end_like_files(tmp_path: Path) -> None:
    ids = ("a", "a.frames.npy", "a.safetensors", "a.frames.npy.safetensors", "memory.json")
    memory = memory_of(*(episode(i, id=id) for i, id in enumerate(ids)))
    save_memory(memory, tmp_path / "memory")
    assert_same_memory(open_memory(tmp_path / "memory"), memory)
    memory.remove(["a.frames.npy", "a.safetensors"])
    save_memory(memory, tmp_path / "memory", "resume")
    assert_same_memory(open_memory(tmp_path / "memory"), memory)
    assert len(list((tmp_path / "memory/episodes").iterdir())) == 6


def test_saving_leaves_the_frames_on_disk(tmp_path: Path) -> None:
    memory = memory_of(episode(0), episode(1))
    save_memory(memory, tmp_path / "memory")
    assert all(isinstance(e.frames, StoredFrames) for e in memory.episodes)
    assert_same_memory(memory, memory_of(episode(0), episode(1)))
    # A copy elsewhere is whole, and then leaves its frames there.
    save_memory(memory, tmp_path / "copy")
    shutil.rmtree(tmp_path / "memory")
    assert_same_memory(memory, memory_of(episode(0), episode(1)))


@pytest.mark.parametrize(
    ("memory", "match"),
    [
        (lambda: memory_of(episode(0), seed=1), "holds a memory with seed 0, this one has 1: name another folder"),
        (lambda: memory_of(episode(0), keep_frames=False), "keep_frames True, this one has False"),
        (
            lambda: memory_of(episode(0), encoder=untrained_vae(SHAPE, (2,), seed=1)),
            "encoder [0-9a-f]{64}, this one has [0-9a-f]{64}: name another folder, or use --overwrite",
        ),
        (lambda: Memory(replace(INFO, world="else"), ENCODER), "world toy, this one has else"),
        (lambda: Memory(replace(INFO, action_space=BOX), ENCODER), "action_space .*'Discrete'.*, this one has .*'Box'"),
        (lambda: Memory(replace(INFO, state_names=("x",)), ENCODER), r"state_names \[\], this one has \['x'\]"),
    ],
)
def test_a_folder_of_another_memory(stored: Path, memory: Callable[[], Memory], match: str) -> None:
    before = folder_bytes(stored)
    with one_clear_error(match):
        save_memory(memory(), stored, "resume")
    assert folder_bytes(stored) == before


def test_refusals_that_leave_everything_as_it_was(stored: Path) -> None:
    before = folder_bytes(stored)
    memory, other = memory_of(episode(0)), untrained_vae(SHAPE, (2,), seed=1)
    with one_clear_error("memory exists and is not empty: name another, or use --resume or --overwrite"):
        save_memory(memory, stored)
    for mode in ("error", "resume", "overwrite"):
        with one_clear_error("the memory was made by encoder"):
            save_memory(memory, stored, mode, encoder=other)
    with one_clear_error("holds no memory.json of a memworld memory, so it is not memworld's to overwrite"):
        save_memory(memory, stored / "encoder", "overwrite")
    assert folder_bytes(stored) == before


def test_overwriting_starts_anew(stored: Path, tmp_path: Path) -> None:
    save_memory(memory_of(episode(3), seed=4), stored, "overwrite", encoder=ENCODER)
    save_memory(memory_of(episode(3), seed=4), tmp_path / "fresh", encoder=ENCODER)
    assert folder_bytes(stored) == folder_bytes(tmp_path / "fresh")


def test_a_memory_cannot_overwrite_the_folder_that_holds_its_frames(stored: Path, tmp_path: Path) -> None:
    before = folder_bytes(stored)
    (tmp_path / "link").symlink_to(stored)
    for folder in (stored, tmp_path / "link"):
        with one_clear_error("own frames are in .*, so it cannot be overwritten: use --resume, or name another"):
            save_memory(open_memory(stored), folder, "overwrite")
    assert folder_bytes(stored) == before


def test_the_encoder_is_saved_whenever_it_is_given(stored: Path) -> None:
    before = folder_bytes(stored)
    shutil.rmtree(stored / "encoder")
    save_memory(open_memory(stored), stored, "resume")
    assert not (stored / "encoder").exists()
    save_memory(open_memory(stored), stored, "resume", encoder=ENCODER)
    assert folder_bytes(stored) == before


# Interrupts and full disks


class Stop(BaseException):
    """A kill; unlike an error, nothing handles it."""


def fail_at(patch: pytest.MonkeyPatch, call: int, error: BaseException) -> list[int]:
    """Let the n-th write of a memory's files fail, before anything is written; return the number of writes so far."""
    count = [0]

    def limited(real: Callable[..., None], *args: Any) -> None:
        count[0] += 1
        if count[0] == call:
            raise error
        real(*args)

    for owner, name in ((memory_files, "write_json"), (one_episode, "write_arrays"), (one_episode, "write_atomic")):
        patch.setattr(owner, name, partial(limited, getattr(owner, name)))
    return count


@pytest.mark.parametrize("call", range(1, 9))
def test_a_first_save_that_was_killed_can_be_finished(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    memory = memory_of(episode(0), episode(1), episode(2))
    with monkeypatch.context() as patch:
        count = fail_at(patch, call, Stop())
        with pytest.raises(Stop):
            save_memory(memory, tmp_path / "cut", encoder=ENCODER)
        assert count == [call]
    if call > 1:
        assert open_memory(tmp_path / "cut").ids == ()
    save_memory(memory, tmp_path / "cut", "resume", encoder=ENCODER)
    assert folder_bytes(tmp_path / "cut") == folder_bytes(stored)


@pytest.mark.parametrize("error", [Stop(), OSError(errno.ENOSPC, "No space left on device")])
@pytest.mark.parametrize("call", range(1, 7))
def test_a_later_save_that_was_killed_leaves_the_memory_as_it_was(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int, error: BaseException
) -> None:
    before = open_memory(stored)
    wanted = (episode(4), episode(2), episode(0), episode(3))
    with monkeypatch.context() as patch:
        fail_at(patch, call, error)
        if call < 6:
            with pytest.raises(type(error)):
                save_memory(memory_of(*wanted), stored, "resume")
            assert_same_memory(open_memory(stored), before)
        else:
            save_memory(memory_of(*wanted), stored, "resume")  # five writes were all
    save_memory(memory_of(*wanted), stored, "resume")
    save_memory(memory_of(*map(episode, (0, 1, 2, 4, 3))), tmp_path / "fresh", encoder=ENCODER)
    assert folder_bytes(stored) == folder_bytes(tmp_path / "fresh")


@pytest.mark.parametrize("call", range(1, 5))
def test_a_replacement_that_was_killed_never_mixes_two_episodes(
    stored: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    before = memory_of(episode(0), episode(1), episode(2))
    changed = replace(episode(1), observations=255 - episode(1).observations, rewards=-episode(1).rewards)
    memory = open_memory(stored)
    memory.remove(["e1"])
    memory.append(changed, ENCODER)
    with monkeypatch.context() as patch:
        fail_at(patch, call, Stop())
        with pytest.raises(Stop):
            save_memory(memory, stored, "resume")
    # As before, or as if the old one had been removed first.
    after = memory_of(episode(0), episode(2))
    assert_same_memory(open_memory(stored), before if call == 1 else after)
    save_memory(memory, stored, "resume")
    assert_same_memory(open_memory(stored), memory_of(episode(0), episode(2), changed))


def test_files_that_are_not_listed_are_ignored_and_cleaned_away(stored: Path) -> None:
    before, memory = folder_bytes(stored), open_memory(stored)
    (stored / "episodes/e7.frames.npy").write_bytes(b"the frames were written, the list was not")
    (stored / "episodes/e7.safetensors").write_bytes(b"")
    (stored / "episodes/.tmp-x.npy").write_bytes(b"half")
    (stored / ".tmp-x.json").write_bytes(b"half")
    (stored / "encoder/.tmp-x.json").write_bytes(b"half")
    (stored / "episodes/mine").mkdir()
    for name in ("notes.txt", "e0.txt", ".safetensors", "-x.safetensors", "e7.npy"):
        (stored / "episodes" / name).write_bytes(b"mine")
    assert_same_memory(open_memory(stored), memory)
    save_memory(memory, stored, "resume", encoder=ENCODER)
    mine = {name for name, content in folder_bytes(stored).items() if content == b"mine"}
    assert mine == {f"episodes/{n}" for n in ("notes.txt", "e0.txt", ".safetensors", "-x.safetensors", "e7.npy")}
    assert {n: c for n, c in folder_bytes(stored).items() if n not in mine} == before
    assert (stored / "episodes/mine").is_dir()


def test_frames_of_an_earlier_life_are_cleaned_away(tmp_path: Path) -> None:
    memory = memory_of(episode(0), keep_frames=False)
    save_memory(memory, tmp_path / "memory")
    (tmp_path / "memory/episodes/e0.frames.npy").write_bytes(b"stale")
    save_memory(memory, tmp_path / "memory", "resume")
    assert not (tmp_path / "memory/episodes/e0.frames.npy").exists()


def test_a_folder_that_cannot_be_made(stored: Path, tmp_path: Path) -> None:
    with one_clear_error("memory.json/below cannot be written"):
        save_memory(memory_of(episode(0)), stored / "memory.json/below")
    shutil.rmtree(stored / "episodes")
    (stored / "episodes").write_bytes(b"")
    with one_clear_error("episodes is a file: name a folder"):
        memory_files.sync_memory(memory_of(episode(0)), stored, set())


# Opening


def test_opening_reads_no_frames(tmp_path: Path) -> None:
    encoder = untrained_vae((16, 16, 3), (2,))
    memory = Memory(DatasetInfo((16, 16, 3), DISCRETE), encoder)
    memory.append(make_episode(np.random.default_rng(0), 1500, (16, 16, 3)), encoder)
    save_memory(memory, tmp_path / "memory")
    [frames] = [e.frames for e in memory.episodes]
    assert frames is not None
    open_memory(tmp_path / "memory")  # what is imported on the way is no memory of frames
    tracemalloc.start()
    opened = open_memory(tmp_path / "memory")
    opened.frames([1500, 0, 750])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < frames.nbytes / 2


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="counts the files that this process has open")
def test_an_open_memory_holds_no_files_open(tmp_path: Path) -> None:
    memory = memory_of(*map(episode, range(12)))
    before = open_files()
    save_memory(memory, tmp_path / "memory")
    opened = open_memory(tmp_path / "memory")
    opened.frames(range(len(opened)))
    assert open_files() < before + 5
