"""Memories of format 1 open as ever, and are written anew in the present format when they are first changed."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.datasets import DatasetInfo
from memworld.encoders import open_encoder
from memworld.episodes import Episode
from memworld.remember import MemoryStream
from memworld.storage import check_no_links, read_arrays, write_arrays
from memworld.store import (
    LEARNED,
    check_memory,
    compact_memory,
    forget_episodes,
    open_memory,
    read_version,
    save_memory,
)
from memworld.store.first_format import is_first_format
from memworld.world_model import WorldModel
from tests.helpers import DISCRETE, assert_same_memory, folder_bytes, make_episode, one_clear_error, unless_refused
from tests.toy_memories import GOLDEN

FIRST = GOLDEN / "memory-v1"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of the golden memory: e0 of 3 steps, e1 of 1, with frames and an encoder, without checksums."""
    shutil.copytree(FIRST, tmp_path / "memory")
    return tmp_path / "memory"


def new_episode() -> Episode:
    return make_episode(np.random.default_rng(0), 2, (4, 4, 1), id="e2", states=2)


# Reading


def test_version_1_still_opens() -> None:
    memory = open_memory(FIRST)
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
    encoder = open_encoder(FIRST / "encoder")
    memory.check_encoder(encoder)
    mu, sigma = encoder.encode(memory.frames(range(6)))
    torch.testing.assert_close(mu, rows.latents.mu, rtol=0, atol=1e-5)
    torch.testing.assert_close(sigma, rows.latents.sigma, rtol=0, atol=1e-5)


def test_opening_checking_and_imagining_write_nothing(old: Path) -> None:
    before = folder_bytes(old)
    found = check_memory(old)
    assert (found.episodes, found.rows, found.versions, found.problems) == (2, 6, (), ())
    assert is_first_format(old)
    world = WorldModel.open(old, device="cpu")
    assert world.encode(world.memory.frames([0])[0]).dim == 2
    assert folder_bytes(old) == before
    with one_clear_error("the memory is stored nowhere: save it, or open one, and refresh that"):
        world.refresh()


# Writing anew


def append_with_a_stream(folder: Path) -> None:
    with MemoryStream.open(folder) as stream:
        stream.append(new_episode())


def append_with_a_save(folder: Path) -> None:
    memory = open_memory(folder)
    memory.append(new_episode(), open_encoder(folder / "encoder"))
    save_memory(memory, folder, "resume")


ANEW = "written anew from format 1"


@pytest.mark.parametrize(
    ("change", "ids", "changes"),
    [
        (append_with_a_stream, ("e0", "e1", "e2"), [ANEW, "appended 1 episode"]),
        (append_with_a_save, ("e0", "e1", "e2"), [ANEW, "appended 1 episode"]),
        (lambda folder: forget_episodes(folder, ["e1"]), ("e0",), [ANEW, "removed 1 episode"]),
        (lambda folder: forget_episodes(folder, []), ("e0", "e1"), [ANEW]),
        (lambda folder: compact_memory(folder), ("e0", "e1"), ["compacted"]),
        (lambda folder: save_memory(open_memory(folder), folder, "resume"), ("e0", "e1"), [ANEW]),
    ],
    ids=["stream", "save", "forget", "forget nothing", "compact", "save nothing"],
)
def test_the_first_change_writes_it_anew(
    old: Path, change: Callable[[Path], object], ids: tuple[str, ...], changes: list[str]
) -> None:
    (old / LEARNED).mkdir()
    expected = open_memory(FIRST)
    if "e2" in ids:
        expected.append(new_episode(), open_encoder(FIRST / "encoder"))
    expected.remove([i for i in expected.ids if i not in ids])
    change(old)
    assert not is_first_format(old)
    assert not (old / "episodes").exists()
    assert not (old / LEARNED).exists()
    assert_same_memory(open_memory(old), expected)
    assert check_memory(old).problems == ()
    assert [version.change for version in check_memory(old).versions] == changes
    assert open_encoder(old / "encoder").fingerprint == expected.encoder_fingerprint


def test_an_empty_one_is_written_anew_too(old: Path) -> None:
    edit(old, lambda value: value.update(episodes=[]))
    assert open_memory(old).ids == ()
    append_with_a_stream(old)
    assert open_memory(old).ids == ("e2",)
    assert read_version(old, 1).change == "appended 1 episode"


def test_one_whose_episodes_are_damaged_is_not_written_anew(old: Path) -> None:
    (old / "episodes/e1.safetensors").write_bytes(b"")
    before = folder_bytes(old)
    for change in (append_with_a_stream, append_with_a_save, lambda folder: forget_episodes(folder, ["e0"])):
        with one_clear_error("e1.safetensors is truncated or damaged"):
            change(old)
    assert folder_bytes(old) == before


def test_one_whose_frames_are_damaged_is_not_written_anew(old: Path) -> None:
    (old / "episodes/e1.frames.npy").unlink()
    before = folder_bytes(old)
    with one_clear_error("e1.frames.npy are missing: remember the episode again"):
        forget_episodes(old, ["e0"])
    assert folder_bytes(old) == before


# Damage


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    value = json.loads((folder / "memory.json").read_text())
    change(value)
    (folder / "memory.json").write_text(json.dumps(value))


def put(**new: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda value: value.update(new)


def put_info(**new: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda value: value["info"].update(new)


def put_episode(**new: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda value: value["episodes"][1].update(new)


def drop(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda value: value.pop(name)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (drop("encoder"), "memory.json is damaged .KeyError: 'encoder'.: restore it or remember the episodes again"),
        (drop("episodes"), "damaged .*'episodes'"),
        (put(seed=None), "memory.json is damaged .TypeError"),
        (put(seed=True), "memory.json is damaged .TypeError: seed True"),
        (put(frames="false"), "memory.json is damaged"),
        (put(latent_shape=[2.0]), r"latent_shape \[2.0\]"),
        (put(latent_shape=[10**18, 8, 8]), "memory.json is damaged .*latent_shape"),
        (put(latent_shape=[10**6, 8, 8]), "mu should be float32"),
        (put(latent_shape=[3]), r"e0.safetensors is damaged: mu should be float32 \[4, 3\], got float32 \[4, 2\]"),
        (put_info(observation_shape=[4, 4, 2]), "memory.json cannot be used: frames of shape"),
        (put_info(observation_shape=[4, 8, 1]), r"e0.frames.npy are not uint8 \[4, 4, 8, 1\]"),
        (put_info(action_space={"type": "Tuple"}), "memory.json cannot be used: unknown action space"),
        (put(episodes=3), "memory.json is damaged"),
        (put(episodes=["e0"]), "memory.json is damaged"),
        (put_episode(id="../../evil"), "memory.json cannot be used: episode id '../../evil' cannot be a file name"),
        (put_episode(id=5), "episode id 5 cannot be a file name"),
        (put_episode(id="e0"), "memory.json is damaged .*an episode is listed twice"),
        (put_episode(id="e9"), "remembered episode .*e9.safetensors is missing"),
        (put_episode(steps=5), r"e1.safetensors is damaged: mu should be float32 \[6, 2\], got float32 \[2, 2\]"),
        (put_episode(steps=-1), "memory.json is damaged"),
        (put_episode(steps=0), "memory.json is damaged .*has no step"),
        (put_episode(sha256="0" * 64), "e1.safetensors is damaged: its SHA-256 is not the one in the memory's list"),
        (put_episode(sha256=3), "e1.safetensors is damaged: its SHA-256"),
        (put_episode(steps=float("inf")), "memory.json is damaged"),
        (put_episode(source="x"), "memory.json is damaged"),
    ],
)
def test_a_changed_list(old: Path, change: Callable[[dict[str, Any]], Any], match: str) -> None:
    edit(old, change)
    before = folder_bytes(old)
    for use in (open_memory, check_memory, lambda folder: forget_episodes(folder, ["e0"])):
        with one_clear_error(match):
            use(old)
    assert folder_bytes(old) == before


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda a: a.pop("z"), r"e0.safetensors is damaged: z should be float32 \[4, 2\], got nothing"),
        (lambda a: a.update(mu=a["mu"].astype(np.float64)), r"mu should be float32 \[4, 2\], got float64 \[4, 2\]"),
        (lambda a: a.update(actions=a["actions"][:1]), r"actions should be int64 \[3\], got int64 \[1\]"),
        (lambda a: a.update(actions=a["actions"].astype(np.float32)), r"actions should be int64 \[3\], got float32"),
        (lambda a: a.update(rewards=np.zeros((3, 1), np.float32)), r"rewards should be float32 \[3\]"),
        (lambda a: a.update(terminations=np.zeros(3, np.uint8)), r"terminations should be bool \[3\]"),
        (lambda a: a.pop("truncations"), "truncations should be bool"),
        (lambda a: a.update(mu=a["mu"] * np.float32(np.nan)), "e0.safetensors: mu holds NaN or infinity"),
        (lambda a: a.update(sigma=a["sigma"] * 0), "e0.safetensors: sigma must be above 0"),
        (lambda a: a.update(actions=a["actions"] + 4), "e0.safetensors is damaged: action .* is outside Discrete.4."),
        (lambda a: a.update(rewards=a["rewards"] * np.float32(np.inf)), "its rewards hold NaN or infinity"),
        (lambda a: a.update(terminations=np.array([True, False, True])), "the episode ends before its last step"),
        (lambda a: a.update(truncations=np.array([False, True, True])), "the episode ends before its last step"),
    ],
)
def test_an_episode_s_arrays_that_were_changed(
    old: Path, change: Callable[[dict[str, np.ndarray]], Any], match: str
) -> None:
    file = old / "episodes/e0.safetensors"
    seal = hashlib.sha256(file.read_bytes()).hexdigest()
    arrays = read_arrays(file, "episode")
    change(arrays)
    write_arrays(file, arrays)
    with one_clear_error(match):
        open_memory(old)
    edit(old, lambda value: value["episodes"][0].update(sha256=seal))
    with one_clear_error("e0.safetensors is damaged: its SHA-256 is not the one in the memory's list"):
        open_memory(old)


def test_checksums_that_fit(old: Path) -> None:
    for number in (0, 1):
        seal = hashlib.sha256((old / f"episodes/e{number}.safetensors").read_bytes()).hexdigest()
        edit(old, lambda value, number=number, seal=seal: value["episodes"][number].update(sha256=seal))  # type: ignore[misc]
    assert_same_memory(open_memory(old), open_memory(FIRST))


def test_an_episode_s_files_that_are_cut_off_or_gone(old: Path) -> None:
    for name, lengths in (("e1.safetensors", (0, 8, 60, -1)), ("e1.frames.npy", (0, 5, 60, -1))):
        path = old / "episodes" / name
        content = path.read_bytes()
        for length in lengths:
            path.write_bytes(content[:length])
            with one_clear_error(f"{name} (is|are) (truncated or damaged|not uint8)"):
                open_memory(old)
        path.unlink()
        with one_clear_error(f"{name} (is|are) missing"):
            open_memory(old)
        path.write_bytes(content)
    open_memory(old)


@pytest.mark.parametrize("part", ["episodes", "episodes/e1.safetensors", "memory.json"])
def test_links_are_not_followed(old: Path, tmp_path: Path, part: str) -> None:
    (old / part).rename(tmp_path / "victim")
    (old / part).symlink_to(tmp_path / "victim")
    before = folder_bytes(tmp_path)
    with pytest.raises(ValueError, match="is a link"):
        check_no_links(old, part)
    for use in (open_memory, check_memory, append_with_a_stream, lambda folder: forget_episodes(folder, ["e1"])):
        with one_clear_error(f"{part} is a link, which could lead outside"):
            use(old)
    assert folder_bytes(tmp_path) == before


@given(data=st.data())
@settings(max_examples=60)
def test_any_damage_gives_one_error_or_a_memory(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    shutil.copytree(FIRST, folder, dirs_exist_ok=True)
    path = folder / data.draw(st.sampled_from(["memory.json", "episodes/e0.safetensors", "episodes/e0.frames.npy"]))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 2))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    memory = unless_refused(lambda: open_memory(folder))
    if memory is not None:
        memory.rows.latents.check("rows")
        assert memory.frames(range(len(memory))).dtype == np.uint8
    unless_refused(lambda: forget_episodes(folder, ["e1"]))
