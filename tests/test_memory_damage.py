import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.store import open_memory, save_memory
from memworld.storage import read_arrays, write_arrays
from tests.helpers import folder_bytes, one_clear_error, unless_refused
from tests.toy_memories import ENCODER, GOLDEN, SHAPE, episode, memory_of


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A folder with episodes e0, e1 and e2 of 1, 2 and 3 steps."""
    save_memory(memory_of(episode(0), episode(1), episode(2)), tmp_path / "memory", encoder=ENCODER)
    return tmp_path / "memory"


def drop(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda value: value.pop(name)


def put(name: str, new: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda value: value.update({name: new})


def put_info(name: str, new: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda value: value["info"].update({name: new})


def put_episode(name: str, new: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda value: value["episodes"][1].update({name: new})


def without_checksums(folder: Path) -> None:
    """As older versions wrote it."""
    value = json.loads((folder / "memory.json").read_text())
    for entry in value["episodes"]:
        del entry["sha256"]
    (folder / "memory.json").write_text(json.dumps(value))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (put("format", 2), "memory.json cannot be used: format 2 is not 1, which this version reads: update memworld"),
        (put("format", "1"), "format '1' is not 1"),
        (drop("format"), "memory.json is damaged .KeyError: 'format'.: restore it or remember the episodes again"),
        (drop("encoder"), "damaged .*'encoder'"),
        (drop("episodes"), "damaged .*'episodes'"),
        (put("seed", None), "memory.json is damaged .TypeError"),
        (put("seed", float("inf")), "memory.json is damaged .TypeError: seed inf"),
        (put("seed", True), "memory.json is damaged .TypeError: seed True"),
        (put("frames", 1), "memory.json is damaged .TypeError: seed 0, frames 1"),
        (put("frames", "false"), "memory.json is damaged"),
        (put("latent_shape", [2.0]), r"latent_shape \[2.0\]"),
        (put("latent_shape", [10**18, 8, 8]), "mu should be float32"),
        (put("latent_shape", 2), "memory.json is damaged"),
        (put("latent_shape", []), r"memory.json is damaged .*latent_shape \[\]"),
        (put("latent_shape", [-2]), r"latent_shape \[-2\]"),
        (put("latent_shape", [3]), r"e0.safetensors is damaged: mu should be float32 \[2, 3\], got float32 \[2, 2\]"),
        (put_info("observation_shape", [4, 4]), "memory.json is damaged"),
        (put_info("observation_shape", [4, 4, 2]), "memory.json cannot be used: frames of shape"),
        (put_info("observation_shape", [4, 8, 1]), r"e0.frames.npy are not uint8 \[2, 4, 8, 1\]"),
        (put_info("action_space", {"type": "Tuple"}), "memory.json cannot be used: unknown action space"),
        (put_info("action_space", None), "memory.json cannot be used: damaged action space"),
        (put("episodes", 3), "memory.json is damaged"),
        (put("episodes", ["e0"]), "memory.json is damaged"),
        (put_episode("id", "../../evil"), "memory.json cannot be used: episode id '../../evil' cannot be a file name"),
        (put_episode("id", 5), "episode id 5 cannot be a file name"),
        (put_episode("id", "e0"), "memory.json is damaged .*an episode is listed twice"),
        (put_episode("id", "e9"), "remembered episode .*e9.safetensors is missing"),
        (put_episode("steps", 5), r"e1.safetensors is damaged: mu should be float32 \[6, 2\], got float32 \[3, 2\]"),
        (put_episode("steps", -1), "memory.json is damaged .*episode e1 of -1 steps"),
        (put_episode("steps", 0), "memory.json is damaged .*episode e1 of 0 steps"),
        (put_episode("steps", 2.0), "memory.json is damaged .*episode e1 of 2.0 steps"),
        (put_episode("sha256", 3), "memory.json is damaged .*sha256 3"),
        (put_episode("sha256", "0" * 64), "e1.safetensors is damaged: its SHA-256 is not the one in the memory's list"),
        (put_episode("steps", float("inf")), "memory.json is damaged"),
        (put_episode("source", "x"), "memory.json is damaged"),
    ],
)
def test_a_changed_list(stored: Path, change: Callable[[dict[str, Any]], Any], match: str) -> None:
    value = json.loads((stored / "memory.json").read_text())
    change(value)
    (stored / "memory.json").write_text(json.dumps(value))
    before = folder_bytes(stored)
    with one_clear_error(match):
        open_memory(stored)
    with one_clear_error(match):
        save_memory(memory_of(episode(0)), stored, "resume")
    assert folder_bytes(stored) == before


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b'"x"', b"\xff\xfe"])
def test_a_list_that_is_no_json_object(stored: Path, content: bytes) -> None:
    (stored / "memory.json").write_bytes(content)
    with one_clear_error("memory.json is damaged"):
        open_memory(stored)


def test_no_memory_at_all(tmp_path: Path) -> None:
    with one_clear_error("is no memory: it has no memory.json"):
        open_memory(tmp_path)
    with one_clear_error("none is no memory: it has no memory.json"):
        open_memory(tmp_path / "none")
    (tmp_path / "file").write_bytes(b"")
    with one_clear_error("cannot read .*file/memory.json"):
        open_memory(tmp_path / "file")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda a: a.pop("z"), r"e1.safetensors is damaged: z should be float32 \[3, 2\], got nothing; or drop"),
        (lambda a: a.update(mu=a["mu"].astype(np.float64)), r"mu should be float32 \[3, 2\], got float64 \[3, 2\]"),
        (lambda a: a.update(actions=a["actions"][:1]), r"actions should be int64 \[2\], got int64 \[1\]"),
        (lambda a: a.update(actions=a["actions"].astype(np.float32)), r"actions should be int64 \[2\], got float32"),
        (lambda a: a.update(rewards=np.zeros((2, 1), np.float32)), r"rewards should be float32 \[2\]"),
        (lambda a: a.update(terminations=np.zeros(2, np.uint8)), r"terminations should be bool \[2\]"),
        (lambda a: a.pop("truncations"), "truncations should be bool"),
        (lambda a: a.update(mu=a["mu"] * np.float32(np.nan)), "e1.safetensors: mu holds NaN or infinity"),
        (lambda a: a.update(sigma=a["sigma"] * 0), "e1.safetensors: sigma must be above 0"),
        (lambda a: a.update(actions=a["actions"] + 4), "e1.safetensors is damaged: action .* is outside Discrete.4."),
        (lambda a: a.update(rewards=a["rewards"] * np.float32(np.inf)), "its rewards hold NaN or infinity"),
        (lambda a: a.update(terminations=np.array([True, False])), "the episode ends before its last step"),
        (lambda a: a.update(truncations=np.array([True, True])), "the episode ends before its last step"),
    ],
)
def test_an_episode_s_arrays_that_were_changed(
    stored: Path, change: Callable[[dict[str, np.ndarray]], Any], match: str
) -> None:
    arrays = read_arrays(stored / "episodes/e1.safetensors", "episode")
    change(arrays)
    write_arrays(stored / "episodes/e1.safetensors", arrays)
    with one_clear_error("e1.safetensors is damaged: its SHA-256 is not the one in the memory's list"):
        open_memory(stored)
    without_checksums(stored)
    with one_clear_error(match):
        open_memory(stored)
    with one_clear_error(f"drop the episode: memworld forget {stored} e1$"):
        open_memory(stored)


def test_an_episode_s_files_that_are_cut_off_or_gone(stored: Path) -> None:
    for name, lengths in (("e1.safetensors", (0, 8, 60, -1)), ("e1.frames.npy", (0, 5, 60, -1))):
        path = stored / "episodes" / name
        content = path.read_bytes()
        for length in lengths:
            path.write_bytes(content[:length])
            with one_clear_error(f"{name} (is|are) truncated or damaged"):
                open_memory(stored)
        path.unlink()
        with one_clear_error(f"{name} (is|are) missing"):
            open_memory(stored)
        path.write_bytes(content)
    open_memory(stored)


def test_frames_of_another_shape_or_type(stored: Path) -> None:
    path = stored / "episodes/e1.frames.npy"
    frames = np.load(path)
    for other in (frames[:2], frames.astype(np.int16), frames[..., 0], np.array([{}], object)):
        np.save(path, other, allow_pickle=True)
        with one_clear_error("e1.frames.npy are (not uint8|truncated or damaged)"):
            open_memory(stored)


def test_frames_that_vanish_while_the_memory_is_open(stored: Path) -> None:
    memory = open_memory(stored)
    (stored / "episodes/e1.frames.npy").unlink()
    assert memory.frames([0]).shape == (1, *SHAPE)
    with one_clear_error("e1.frames.npy are missing: remember the episode again"):
        memory.frames([2])


@given(data=st.data())
@settings(max_examples=100)
def test_any_damage_gives_one_error_or_a_memory(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    shutil.copytree(GOLDEN / "memory-v1", folder, dirs_exist_ok=True)
    path = folder / data.draw(st.sampled_from(["memory.json", "episodes/e0.safetensors", "episodes/e0.frames.npy"]))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 2))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    memory = unless_refused(lambda: open_memory(folder))
    if memory is not None:
        memory.rows.latents.check("rows")
        assert memory.frames(range(len(memory))).dtype == np.uint8
